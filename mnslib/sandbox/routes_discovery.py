"""What the API server of each cluster offers: its version, and the kinds of object imitated."""

from __future__ import annotations

from dataclasses import dataclass

from mnslib.sandbox.access import cluster_of
from mnslib.sandbox.wire import Answer, Call, routes

NETWORKING = "networking.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One imitated kind of object."""

    plural: str
    word: str
    version: str = "v1"
    short: tuple[str, ...]
    namespaced: bool = True
    verbs: tuple[str, ...] = ("create", "delete", "get", "list", "patch", "update")


KINDS = {
    kind.plural: kind
    for kind in (
        Kind(plural="namespaces", word="Namespace", short=("ns",), namespaced=False),
        Kind(plural="nodes", word="Node", short=("no",), namespaced=False, verbs=("get", "list")),
        Kind(plural="pods", word="Pod", short=("po",), verbs=("create", "delete", "get", "list")),
        Kind(plural="resourcequotas", word="ResourceQuota", short=("quota",)),
        Kind(plural="networkpolicies", word="NetworkPolicy", version=NETWORKING, short=("netpol",)),
    )
}
_GROUPS = {"apps/v1": "apps", NETWORKING: "networking.k8s.io"}


def get_version(call: Call) -> Answer:
    """Return the API server's version."""
    version = cluster_of(call)["properties"]["currentKubernetesVersion"]
    major, minor, _ = version.split(".")
    facts = {"major": major, "minor": minor, "gitVersion": f"v{version}", "platform": "linux/amd64"}
    return Answer(body=facts | {"gitCommit": "sandbox", "gitTreeState": "clean"})


def get_api(call: Call) -> Answer:
    """Return the versions of the core group."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": call.origin.split("//")[1]}]
    body = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
    return Answer(body=body)


def get_apis(call: Call) -> Answer:
    """Return the API groups."""
    groups = []
    for group_version, name in _GROUPS.items():
        version = {"groupVersion": group_version, "version": group_version.split("/")[1]}
        groups.append({"name": name, "versions": [version], "preferredVersion": version})
    return Answer(body={"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})


def get_resources(call: Call) -> Answer:
    """Return the kinds of one API version."""
    group_version = call.path.split("/", 5)[5].removeprefix("api/").removeprefix("apis/")
    resources = [
        {
            "name": kind.plural,
            "singularName": kind.word.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.word,
            "verbs": list(kind.verbs),
            "shortNames": list(kind.short),
        }
        for kind in KINDS.values()
        if kind.version == group_version
    ]
    body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return Answer(body=body | {"resources": resources})


def get_openapi_v2(call: Call) -> Answer:
    """Return an empty OpenAPI document: enough for kubectl, which then leaves checks to us."""
    media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    return Answer(headers={"content-type": media})


def get_openapi_v3(call: Call) -> Answer:
    """Return an OpenAPI index without paths."""
    return Answer(body={"paths": {}})


_C = "/kubernetes/{subscription}/{group}/{cluster}"
_TABLE = (
    ("GET", "/version", get_version),
    ("GET", "/api", get_api),
    ("GET", "/apis", get_apis),
    ("GET", "/api/v1", get_resources),
    ("GET", "/apis/apps/v1", get_resources),
    ("GET", "/apis/networking.k8s.io/v1", get_resources),
    ("GET", "/openapi/v2", get_openapi_v2),
    ("GET", "/openapi/v3", get_openapi_v3),
)
ROUTES = routes("kubernetes", _C, _TABLE)
