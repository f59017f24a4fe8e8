"""Threads that use the SDK's models for the first time, at once; each try in a fresh process."""

import subprocess
import sys
import textwrap

TRIES = 40

RACE = textwrap.dedent("""
    import os, sys, threading
    from azure.core.credentials import AccessToken
    from mnslib.azure.client import AzureClient
    from mnslib.azure.clouds import CLOUDS
    from mnslib.resource_ids import ClusterId
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import BaseAdapter
    import json, requests
    from io import BytesIO
    from urllib3 import HTTPResponse

    BODY = json.dumps({
        "id": "/subscriptions/s/resourcegroups/r/providers/Microsoft.ContainerService"
        "/managedClusters/aks", "name": "aks", "location": "westeurope",
        "properties": {
            "powerState": {"code": "Running"}, "networkProfile": {"networkPolicy": "azure"},
            "aadProfile": {"managed": True, "enableAzureRBAC": True},
            "oidcIssuerProfile": {"enabled": True}, "sku": {"name": "Base"},
            "agentPoolProfiles": [{"name": "a", "enableAutoScaling": True, "maxCount": 3,
                                   "upgradeSettings": {"maxSurge": "1"}}],
        },
    }).encode()

    class Azure(BaseAdapter):
        def send(self, request, **_):
            self.start.wait()  # all answers come at once
            answer = requests.Response()
            answer.status_code, answer.url, answer.request = 200, request.url, request
            answer.headers["Content-Type"] = "application/json"
            answer.raw = HTTPResponse(BytesIO(BODY), preload_content=False, status=200)
            return answer
        def close(self):
            pass

    class Credential:
        def get_token(self, *scopes, **_):
            return AccessToken("token", 1 << 40)

    def race():
        sys.setswitchinterval(1e-6)
        session = requests.Session()
        session.trust_env = False
        azure = Azure()
        azure.start = threading.Barrier(6)
        session.mount("https://", azure)
        transport = RequestsTransport(session=session)
        client = AzureClient(CLOUDS["public"], Credential(), transport=transport)
        found = []
        def read():
            found.append(client.managed_clusters.get(ClusterId("s", "r", "aks")))
        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        same = [c.has_entra_id and c.power_state == "Running" and c.most_nodes for c in found]
        return same == [{"a": 3}] * 6

    lost = 0
    for _ in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0:
            os._exit(0 if race() else 1)
        lost += os.waitpid(child, 0)[1] != 0
    print(lost)
""")


def test_threads_that_read_their_first_clusters_at_once_all_get_them():
    # imported once, forked before each try: the models of every try are untouched
    command = [sys.executable, "-c", RACE, str(TRIES)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0", found.stderr[-2000:]
