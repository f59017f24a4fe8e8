"""What the API server of each cluster offers: its version, and the kinds of object imitated."""

from __future__ import annotations

from dataclasses import dataclass

from mnslib.sandbox.access import cluster_of
from mnslib.sandbox.wire import Answer, Call, routes

NETWORKING = "networking.k8s.io/v1"
APPS, BATCH, AUTOSCALING = "apps/v1", "batch/v1", "autoscaling/v2"
_READ = ("get", "list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One imitated kind of object."""

    plural: str
    word: str
    version: str = "v1"
    short: tuple[str, ...]
    namespaced: bool = True
    verbs: tuple[str, ...] = ("create", "delete", "get", "list", "patch", "update")

    @property
    def full_name(self) -> str:
        """The plural with its API group, as messages name it."""
        group = self.version.rpartition("/")[0]
        return f"{self.plural}.{group}" if group else self.plural


KINDS = {
    kind.plural: kind
    for kind in (
        Kind(plural="namespaces", word="Namespace", short=("ns",), namespaced=False),
        Kind(plural="nodes", word="Node", short=("no",), namespaced=False, verbs=_READ),
        Kind(plural="pods", word="Pod", short=("po",), verbs=("create", "delete", "get", "list")),
        Kind(plural="resourcequotas", word="ResourceQuota", short=("quota",)),
        Kind(plural="networkpolicies", word="NetworkPolicy", version=NETWORKING, short=("netpol",)),
        Kind(plural="limitranges", word="LimitRange", short=("limits",), verbs=_READ),
        Kind(plural="events", word="Event", short=("ev",), verbs=_READ),
        Kind(plural="deployments", word="Deployment", version=APPS, short=("deploy",), verbs=_READ),
        Kind(plural="replicasets", word="ReplicaSet", version=APPS, short=("rs",), verbs=_READ),
        Kind(plural="statefulsets", word="StatefulSet", version=APPS, short=("sts",), verbs=_READ),
        Kind(plural="daemonsets", word="DaemonSet", version=APPS, short=("ds",), verbs=_READ),
        Kind(plural="jobs", word="Job", version=BATCH, short=(), verbs=_READ),
        Kind(plural="cronjobs", word="CronJob", version=BATCH, short=("cj",), verbs=_READ),
        Kind(
            plural="horizontalpodautoscalers",
            word="HorizontalPodAutoscaler",
            version=AUTOSCALING,
            short=("hpa",),
            verbs=_READ,
        ),
    )
}
_GROUPS = {version: version.split("/")[0] for version in (APPS, AUTOSCALING, BATCH, NETWORKING)}


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
    *(("GET", f"/apis/{version}", get_resources) for version in _GROUPS),
    ("GET", "/openapi/v2", get_openapi_v2),
    ("GET", "/openapi/v3", get_openapi_v3),
)
ROUTES = routes("kubernetes", _C, _TABLE)
