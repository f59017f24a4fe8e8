"""Generated requests over every route: never a 500, never a hang, the state unharmed.

`MNS_FUZZ_EXAMPLES` sets how many per surface; the suite sends a couple of hundred. With 5000 they
have been over every kind, subresource and media type of a cluster.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnslib.sandbox.app import ROUTES
from mnslib.sandbox.kube.kinds import served
from mnslib.sandbox.offers import packaged
from tests.sandbox.client import (
    AKS_SERVER_ID,
    PROD,
    PROMETHEUS,
    Client,
    make_body,
    make_pod,
    namespace_id,
)

EXAMPLES = int(os.environ.get("MNS_FUZZ_EXAMPLES", "200"))
WORDS = {
    "tenant": "00000000-0000-4000-8000-000000000001",
    "subscription": PROD,
    "group": "rg-platform",
    "cluster": "aks-prod-weu-1",
    "namespace": "payments-api",
    "location": "westeurope",
    "scope*": f"subscriptions/{PROD}",
}
KINDS = [kind for rows in served().values() for kind in rows.values()]
PARTS = sorted(packaged("kube/kinds.yaml")["subresources"])
ROLE = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
MATRIX = 'max by (namespace, resourcequota, resource) (max_over_time(kube_resourcequota{cluster="'
MATRIX += 'aks-prod-weu-1",type="used"}[3600s]))'

VERSIONS = ("2026-08-01", "2022-04-01", "2025-03-01", "2022-12-01", "2021-04-01", "2022-09-01")
MEMBERS = """
    location tags properties labels annotations defaultResourceQuota cpuRequest memoryLimit
    defaultNetworkPolicy ingress adoptionPolicy deletePolicy metadata name namespace spec hard
    containers resources requests limits cpu memory kind apiVersion principalId principalType
    roleDefinitionId scope ids types resourceVersion podSelector scopes initContainers overhead
    seconds clear faults match effect identity sku dnsPrefix agentPoolProfiles status phase
""".split()  # noqa: SIM905
TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "\x00", "a" * 5000, "100m", "1e999", "-1", "9" * 400, "../..", "é\U0001f600", "${x}", "'"]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**300, -(10**40), 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(MEMBERS) | TEXTS, inner, max_size=5)
    ),
    max_leaves=12,
)
STRANGE_BODIES = [b"", b"{", b"\xff\xfe", b'"\\ud800"', b'{"a":"\\udfff"}', b"[" * 100_000, b"NaN"]
STRANGE_BODIES += [b"9" * 10_000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"\x00", b"null", b"[]"]
LABEL = {"a": "b"}
POD = {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"}
TEMPLATE = {"metadata": {"labels": LABEL}, "spec": POD}
WORKLOAD = {"replicas": 2, "selector": {"matchLabels": LABEL}, "template": TEMPLATE}
JOB = {"spec": {"template": TEMPLATE}}
GOOD: dict[str, list[Any]] = {
    "arm": [
        make_body(),
        make_body(labels={"a": "b"}, annotations={"c": "d"}) | {"tags": {"e": "f"}},
        {"properties": {"principalId": ROLE, "roleDefinitionId": ROLE, "principalType": "User"}},
        {"tags": {"a": "b"}},
    ],
    "kubernetes": [
        make_pod("good", requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "1"}),
        {"metadata": {"name": "good", "labels": {"a": "b"}, "annotations": {"c": "d"}}},
        {"metadata": {"name": "good"}, "spec": {"hard": {"pods": "1", "requests.cpu": "1"}}},
        {"metadata": {"name": "good"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        {"metadata": {"generateName": "good-", "finalizers": ["a/b"]}, "data": {"a": "b"}},
        {"metadata": {"name": "good"}, "spec": {"replicas": 2, "selector": {"matchLabels": LABEL}}}
        | {"template": TEMPLATE},
        {"metadata": {"name": "good"}, "spec": WORKLOAD},
        {"metadata": {"name": "good"}, "spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}},
        {"metadata": {"name": "good"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
        {"metadata": {"name": "good"}, "spec": {"schedule": "* * * * *", "jobTemplate": JOB}},
        {"metadata": {"name": "good"}, "spec": {"scaleTargetRef": LABEL, "maxReplicas": 3}},
        {"spec": {"replicas": 3}},
        {"status": {"phase": "Failed", "conditions": [{"type": "Ready", "status": "True"}]}},
        [{"op": "replace", "path": "/metadata/labels", "value": {"a": "b"}}],
        {"kind": "DeleteOptions", "propagationPolicy": "Foreground", "gracePeriodSeconds": 0},
        {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
    ],
    "graph": [{"ids": [ROLE], "types": ["group"]}],
    "control": [
        {"seconds": 1},
        {"clear": ["limits"]},
        {"name": "default"},
        {"limits": {"tenant-writes": {"burst": 9, "per_minute": 9}}},
        {"faults": [{"name": "a", "match": {"path": "zzz"}, "effect": {"list_trails": 1}}]},
        {"if_match": "ignored", "list_lag_seconds": 1.0},
        {"principal": "reader", "resource": AKS_SERVER_ID},
    ],
}


@st.composite
def mutated(draw: Any, surface: str) -> bytes:
    """A good body with a value somewhere in it replaced."""
    body = json.loads(json.dumps(draw(st.sampled_from(GOOD.get(surface, [{}])))))
    at = body
    while True:
        key = draw(st.sampled_from(sorted(at) or ["x"])) if isinstance(at, dict) else 0
        inner = at[key] if key in at or key == 0 else None
        if not isinstance(inner, dict) or draw(st.booleans()):
            at[key] = draw(VALUES)
            return json.dumps(body).encode()
        at = inner


BODIES = st.sampled_from(STRANGE_BODIES) | VALUES.map(lambda v: json.dumps(v).encode())
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "$filter",
            "$skiptoken",
            "$expand",
            "$top",
            "limit",
            "continue",
            "labelSelector",
            "fieldSelector",
            "watch",
            "dryRun",
            "includeObject",
            "resourceVersion",
            "resourceVersionMatch",
            "fieldValidation",
            "fieldManager",
            "propagationPolicy",
            "gracePeriodSeconds",
            "query",
            "start",
            "end",
            "step",
            "$search",
            "$select",
            "method",
            "path",
            "since",
            "force",
            "t",
            "c",
            "s",
            "h",
        ]
    )
    | TEXTS,
    TEXTS
    | st.sampled_from(["-1", "0", "1", "eyJ", "W10=", "WzEsMl0=", "a in (", "!", "a=b=c", "All"])
    | st.sampled_from(["atScope() and", "principalId eq ''", "roleName eq 'x'", "tagName eq"])
    | st.sampled_from(["nan", "inf", "NQ==", "bnVsbA==", "\N{SUPERSCRIPT TWO}", "9" * 5000])
    | st.sampled_from(["resourceType eq 'Microsoft.Authorization/roleAssignments'"]),
    max_size=4,
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MEDIA = [
    *["application/json"] * 6,
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "\x7f",
    "a/b; c=\xe9",
]
HEADERS = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(MEDIA)},
    optional={
        "If-Match": st.sampled_from(["*", '"x"', "\xff"]),
        "x-ms-correlation-request-id": st.sampled_from(["", "\xe9", "x" * 3000]),
        "Accept": st.sampled_from(["*/*", "application/xml", "", TABLE, TABLE + ";v=v9"]),
    },
)


@st.composite
def of_a_kind(draw: Any, path: str) -> str:
    """A path of a cluster with a kind that fits in it; one in ten does not."""
    fits = [one for one in KINDS if ("api_group" in path) == bool(one.group)]
    if draw(st.integers(0, 9)):
        scoped = "{namespace}" in path or "/namespaces/payments-api" in path
        fits = [one for one in fits if one.namespaced == scoped] or fits
    kind = draw(st.sampled_from(fits))
    part = draw(st.sampled_from([*(kind.subresources or PARTS), "nothing"]))
    words = {"api_group": kind.group, "version": kind.version.rpartition("/")[2]}
    for name, word in (words | {"plural": kind.plural, "subresource": part}).items():
        path = path.replace(f"{{{name}}}", word)
    return path


@st.composite
def requests_of(draw: Any, surface: str) -> tuple[str, str, bytes, dict[str, str]]:
    """A request to a route of a surface, with what is right, or anything, in its places."""
    route = draw(st.sampled_from([route for route in ROUTES if route.surface == surface]))
    path = route.template
    for name, word in WORDS.items():
        text = draw(st.just(word) | TEXTS) if draw(st.integers(0, 19)) > 18 else word
        path = path.replace(f"{{{name}}}", text if name.endswith("*") else quote(text, safe=""))
    if surface == "kubernetes":
        path = draw(of_a_kind(path))
    path = path.replace("{name}", draw(st.sampled_from(["good", "payments-api", ROLE, "x y"])))
    path = path.replace("{", "").replace("}", "")
    if draw(st.integers(0, 19)) == 0:
        path += draw(TEXTS)
    query = draw(QUERIES) if draw(st.integers(0, 2)) == 2 else {}
    if "watch" in query:  # else it would be as long as a server likes
        query["timeoutSeconds"] = "1"
    if surface == "prometheus" and draw(st.booleans()):
        query |= {"query": MATRIX, "start": "1", "end": "2", "step": "60"}
        query[draw(st.sampled_from(sorted(query)))] = draw(TEXTS | NUMBERS.map(str))
    if surface == "arm" and draw(st.integers(0, 9)):
        query["api-version"] = draw(st.sampled_from(sorted(route.api_versions) or VERSIONS))
    text = "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in query.items())
    methods = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO")
    method = route.method if draw(st.integers(0, 9)) else draw(st.sampled_from(methods))
    target = f"{_quoted(path, '/%')}?{text}"
    headers = draw(HEADERS)
    if method == "PATCH" and draw(st.booleans()):
        headers["Content-Type"] = draw(st.sampled_from(MEDIA[6:10]))
    body = draw(mutated(surface)) if draw(st.integers(0, 3)) else draw(BODIES)
    return method, target[:60_000], body, headers


def _quoted(text: str, safe: str = "") -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe)


class Sender:
    """One connection with every right, opened again when the server ends it."""

    def __init__(self, client: Client) -> None:
        origin = client.connection["arm_endpoint"]
        audiences = {"arm": origin, "entra": origin, "graph": f"{origin}/graph"}
        audiences |= {"kubernetes": AKS_SERVER_ID, "prometheus": PROMETHEUS}
        self.tokens = {name: client.token(one) for name, one in audiences.items()}
        self.tokens["control"] = client.connection["control_token"]
        context = ssl.create_default_context(cafile=client.connection["ca_file"])
        place = urlsplit(origin).netloc
        self.http = http.client.HTTPSConnection(place, context=context, timeout=20)

    def send(
        self, surface: str, method: str, target: str, body: bytes, headers: Any
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.tokens[surface]}"} | headers
        for attempt in (1, 2):
            try:
                self.http.putrequest(method, target, skip_accept_encoding=True)
                for name, value in headers.items():
                    self.http.putheader(name, value.encode("latin-1"))
                self.http.putheader("Content-Length", str(len(body)))
                self.http.endheaders(body)
                answer = self.http.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.http.close()
                if attempt == 2:
                    raise
        raise AssertionError


@pytest.fixture
def sender(sandbox: Client) -> Iterator[Sender]:
    """A sender; afterwards the world, the weather and the limits are the usual ones."""
    opened = Sender(sandbox)
    yield opened
    opened.http.close()
    sandbox.control("POST", "faults", {})
    sandbox.control("POST", "world", {"name": "default"})
    sandbox.control("POST", "reset", {"clear": ["limits", "faults"]})


@pytest.mark.parametrize("surface", sorted({route.surface for route in ROUTES}))
def test_no_request_breaks_the_sandbox(surface: str, sandbox: Client, sender: Sender) -> None:
    before = sandbox.arm("GET", namespace_id("payments-ledger")).json()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests_of(surface))
    def send(request: tuple[str, str, bytes, dict[str, str]]) -> None:
        status, body = sender.send(surface, *request)
        answers[status] += 1
        # of a node that cannot be reached, or two budgets for one pod, a real server says 500 too
        assert b"The sandbox failed" not in body

    answers: Counter[int] = Counter()
    send()
    if surface == "kubernetes":  # they do come as far as the handlers
        assert {200, 404, 405} <= set(answers)
    sandbox.control("POST", "faults", {})
    sandbox.control("POST", "reset", {"clear": ["limits"]} if surface == "control" else {})
    assert sandbox.control("GET", "health").json()["status"] == "ok"
    assert sandbox.put("after-all", make_body()).status_code == 201
    assert sandbox.get("after-all")["properties"]["provisioningState"] == "Succeeded"
    after = sandbox.arm("GET", namespace_id("payments-ledger")).json()
    assert after["properties"] == before["properties"]
