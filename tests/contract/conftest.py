"""Our Azure client against the sandbox process; its clock is ours, so that nothing waits."""

import pytest

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential
from mnslib.azure.throttle import NO_LIMITS


@pytest.fixture
def make_azure_client(sandbox):
    opened = []

    def make(*, identity="admin", **options):
        client = AzureClient(
            sandbox_cloud(sandbox.connection),
            sandbox_credential(sandbox.connection, identity=identity),
            **{"clock": sandbox.clock, "sleep": sandbox.sleep, "limits": NO_LIMITS} | options,
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def azure_client(make_azure_client):
    return make_azure_client()
