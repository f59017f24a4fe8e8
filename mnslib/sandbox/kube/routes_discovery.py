"""What the API server of each cluster offers: its version and health, its groups and kinds."""

from __future__ import annotations

from mnslib.sandbox.access import cluster_of
from mnslib.sandbox.kube import openapi
from mnslib.sandbox.kube.kinds import Kind, served
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Answer, Call, Json, Route, kube_error, routes


def get_version(call: Call) -> Answer:
    """Return the API server's version."""
    version = cluster_of(call)["properties"]["currentKubernetesVersion"]
    major, minor, _ = version.split(".")
    facts = {"major": major, "minor": minor, "gitVersion": f"v{version}", "platform": "linux/amd64"}
    return Answer(body=facts | {"gitCommit": "sandbox", "gitTreeState": "clean"})


def get_health(call: Call) -> Answer:
    """Return the word of a server that is well."""
    return Answer(body=b"ok", headers={"content-type": "text/plain; charset=utf-8"})


def get_api(call: Call) -> Answer:
    """Return the versions of the core group."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": call.origin.split("//")[1]}]
    body = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
    return Answer(body=body)


def _groups() -> dict[str, Json]:
    found: dict[str, Json] = {}
    for group_version in filter(lambda one: "/" in one, served()):
        name, version = group_version.split("/")
        entry = {"groupVersion": group_version, "version": version}
        found.setdefault(name, {"name": name, "versions": [], "preferredVersion": entry})
        found[name]["versions"].append(entry)
    return found


def get_apis(call: Call) -> Answer:
    """Return the API groups."""
    groups = list(_groups().values())
    return Answer(body={"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})


def get_group(call: Call) -> Answer:
    """Return one API group."""
    group = _groups().get(call.params["api_group"])
    if group is None:
        raise _unknown()
    return Answer(body={"kind": "APIGroup", "apiVersion": "v1"} | group)


def get_resources(call: Call) -> Answer:
    """Return the kinds of one API version, subresources among them."""
    group_version = _version(call)
    resources = [
        one for kind in served()[group_version].values() for one in (_entry(kind), *_parts(kind))
    ]
    body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return Answer(body=body | {"resources": resources})


def _version(call: Call) -> str:
    p = call.params
    found = f"{p['api_group']}/{p['version']}" if "api_group" in p else "v1"
    if found not in served():
        raise _unknown()
    return found


def _entry(kind: Kind) -> Json:
    entry = {
        "name": kind.plural,
        "singularName": kind.word.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.word,
        "verbs": list(kind.verbs),
    }
    more = {"shortNames": list(kind.short), "categories": list(kind.categories)}
    return entry | {key: value for key, value in more.items() if value}


def _parts(kind: Kind) -> list[Json]:
    table = packaged("kube/kinds.yaml")["subresources"]
    found = []
    for name in kind.subresources:
        entry = _entry(kind) | {"name": f"{kind.plural}/{name}", "singularName": ""}
        entry = {key: entry[key] for key in ("name", "singularName", "namespaced", "kind")}
        if "kind" in table[name]:
            version, _, entry["kind"] = table[name]["kind"].rpartition("/")
            if version != kind.version:
                group, _, entry["version"] = version.rpartition("/")
                entry |= {"group": group} if group else {}
        found.append(entry | {"verbs": table[name]["verbs"].split()})
    return found


def _unknown() -> Exception:
    return kube_error(404, "NotFound", "the server could not find the requested resource")


def get_openapi_v2(call: Call) -> Answer:
    """Return an empty document: what kubectl asks is in OpenAPI v3."""
    media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    return Answer(headers={"content-type": media})


def get_openapi_index(call: Call) -> Answer:
    """Return where the OpenAPI v3 document of each API version lies."""
    return Answer(body=openapi.index(call.path.removesuffix("/openapi/v3")))


def get_openapi_v3(call: Call) -> Answer:
    """Return the OpenAPI v3 document of one API version."""
    return Answer(body=openapi.document(_version(call)), headers={"content-type": _JSON})


_JSON = "application/json"
# `kubectl get --raw` leaves out the path under which a cluster is served; these are anybody's
PROBES = ("/healthz", "/livez", "/readyz")
_C = "/kubernetes/{subscription}/{group}/{cluster}"
_TABLE = (
    ("GET", "/version", get_version),
    *(("GET", path, get_health) for path in PROBES),
    ("GET", "/api", get_api),
    ("GET", "/apis", get_apis),
    ("GET", "/api/v1", get_resources),
    ("GET", "/apis/{api_group}", get_group),
    ("GET", "/apis/{api_group}/{version}", get_resources),
    ("GET", "/openapi/v2", get_openapi_v2),
    ("GET", "/openapi/v3", get_openapi_index),
    ("GET", "/openapi/v3/api/v1", get_openapi_v3),
    ("GET", "/openapi/v3/apis/{api_group}/{version}", get_openapi_v3),
)
ROUTES = routes("kubernetes", _C, _TABLE)
ROUTES += [
    Route(surface="kubernetes", method="GET", template=path, handler=get_health, open=True)
    for path in PROBES
]
