"""The Kubernetes API of one cluster, read only: what plan and capacity need, as our own values.

lightkube behind a transport that asks for the token at each request, so that a run may outlive a
token. Knows nothing of Azure: server, certificate and token come from the caller.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import httpx2
import msgspec
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, Context, User
from lightkube.resources import core_v1

from mnslib.errors import KubeError, KubeUnreachableError
from mnslib.models import (
    Container,
    KubernetesNamespace,
    Node,
    Pod,
    QuotaStatus,
)
from mnslib.quantities import ZERO, parse_quantity

PAGE_SIZE = 500
"""Objects a page. Source: kubectl, `--chunk-size`."""

ATTEMPTS = 3
"""Times a read is sent; our choice."""

LONGEST_WAIT_SECONDS = 10.0
"""Longest pause between attempts, also where the server asks for more; our choice."""

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""Answers after which a read is sent again. Source: Kubernetes API conventions, HTTP status codes;
502 comes from load balancers in between."""

_REMEDIES = {
    401: "Sign in to the tenant of this cluster, or choose another `credential`.",
    403: "Reading namespaces, quotas, nodes and pods takes a role on the whole cluster: Azure "
    "Kubernetes Service RBAC Cluster Admin, or one of your own (RBAC Reader covers no nodes); on a "
    "cluster without Azure RBAC, a ClusterRoleBinding.",
    410: "The list changed while it was read; run again.",
    429: "The API server is overloaded; run again later.",
}

_COUNTED = ("cpu", "memory")


_FIRST_READ = threading.Lock()

Value = TypeVar("Value")


class KubeClient:
    """Reads one cluster; every list to its last page. Safe to use from several threads.

    Args:
        server: `https://` address of the API server.
        ca_pem: certificate of the authority that signed the server's.
        token: returns a bearer token for the API server; asked at each request.
        name: the cluster, as messages shall name it.
        timeout_seconds: for connecting, and between two parts of an answer.
        sleep: waits between attempts.

    Raises:
        KubeError: if `server` is no https address or `ca_pem` no certificate.
    """

    def __init__(
        self,
        *,
        server: str,
        ca_pem: str,
        token: Callable[[], str],
        name: str,
        timeout_seconds: float = 20,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not server.startswith("https://"):
            raise KubeError(f"cluster {name}: {server[:200]!r} is no https address")
        with _FIRST_READ:
            _learn_types()
        context = _trust(ca_pem, name)
        self._name = name
        self._client = Client(
            _config(server, name, ca_pem).get(),
            timeout=httpx2.Timeout(timeout_seconds),
            trust_env=False,
            transport=_Transport(
                verify=context, proxy=_proxy_for(server), token=token, name=name, sleep=sleep
            ),
        )

    def namespaces(self) -> list[KubernetesNamespace]:
        """Return the namespaces of the cluster; raises KubeError, as all lists here."""
        return self._read("namespaces", core_v1.Namespace, _namespace)

    def resource_quotas(self) -> list[QuotaStatus]:
        """Return the ResourceQuota objects of all namespaces."""
        return self._read("resource quotas", core_v1.ResourceQuota, _quota, namespace="*")

    def nodes(self) -> list[Node]:
        """Return the nodes of the cluster."""
        return self._read("nodes", core_v1.Node, _node)

    def pods(self) -> list[Pod]:
        """Return the pods of all namespaces, finished ones too."""
        return self._read("pods", core_v1.Pod, _pod, namespace="*")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(
        self, what: str, kind: Any, convert: Callable[[Any], Value], **where: Any
    ) -> list[Value]:
        try:
            found = self._client.list(kind, chunk_size=PAGE_SIZE, **where)
            return [convert(item) for item in found]
        except (msgspec.MsgspecError, ValueError, AttributeError) as error:
            raise KubeError(
                f"cluster {self._name}: the answer is no list of {what}: {error}"
            ) from error


def _config(server: str, name: str, ca_pem: str = "") -> KubeConfig:
    # lightkube makes a TLS context that our transport has no use for; with the certificate named
    # it does not read the machine's whole store for that, 40 ms for each cluster
    data = base64.b64encode(ca_pem.encode()).decode() or None
    return KubeConfig(
        clusters={name: Cluster(server=server, certificate_auth_data=data)},
        users={name: User()},
        contexts={name: Context(cluster=name, user=name)},
        current_context=name,
    )


@cache
def _learn_types() -> None:
    """Read an empty list of each kind once.

    msgspec 0.22 crashes the process when two threads decode a type for the first time at once.
    """
    empty = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"items": [], "metadata": {}}))
    config = _config("https://localhost", "nowhere")
    with Client(config.get(), trust_env=False, transport=empty) as client:
        for kind in (core_v1.Namespace, core_v1.Node):
            list(client.list(kind))
        for namespaced in (core_v1.Pod, core_v1.ResourceQuota):
            list(client.list(namespaced, namespace="*"))


class _Transport(httpx2.HTTPTransport):
    """Sends the token of the moment, tries reads again, and turns refusals into `KubeError`."""

    def __init__(
        self,
        *,
        verify: ssl.SSLContext,
        proxy: str | None,
        token: Callable[[], str],
        name: str,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(verify=verify, trust_env=False, proxy=proxy)
        self._token, self._name, self._sleep = token, name, sleep

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        attempt = 1
        while True:
            request.headers["Authorization"] = f"Bearer {self._token()}"
            asked_wait = 0.0
            try:
                response = super().handle_request(request)
                response.read()  # here, so that a connection dropped half way is tried again too
            except httpx2.TransportError as error:
                if attempt == ATTEMPTS:
                    raise self._unreachable(request, error) from error
            else:
                if response.status_code == 200:
                    return response
                if attempt == ATTEMPTS or response.status_code not in _TRANSIENT:
                    raise self._refused(request, response)
                asked_wait = _asked_wait(response)
            self._sleep(asked_wait or 0.5 * 2.0 ** (attempt - 1))
            attempt += 1

    def _unreachable(self, request: httpx2.Request, error: Exception) -> KubeUnreachableError:
        return KubeUnreachableError(
            f"cluster {self._name}: no answer from {request.url.host} "
            f"({type(error).__name__}: {error}). Is it running, and can this machine reach it? "
            "A private cluster answers only from inside its network."
        )

    def _refused(self, request: httpx2.Request, response: httpx2.Response) -> KubeError:
        status = response.status_code
        return KubeError(
            f"cluster {self._name}: GET {request.url.path} was answered {status}: "
            f"{_message(response)} {_REMEDIES.get(status, '')}".rstrip(),
            status=status,
        )


def _trust(ca_pem: str, name: str) -> ssl.SSLContext:
    try:
        if not ca_pem.strip():  # else Python would trust what the machine trusts
            raise ValueError("no certificate")
        return ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise KubeError(f"cluster {name}: its certificate authority is no PEM") from error


def _proxy_for(server: str) -> str | None:
    """Return the proxy that the environment names for this server, as Azure's SDKs use it."""
    host = urllib.parse.urlsplit(server).netloc
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("https")


def _asked_wait(response: httpx2.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT_SECONDS) if asked.isdecimal() else 0.0


def _message(response: httpx2.Response) -> str:
    """Return what a Kubernetes `Status` says, or that the answer was none."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status":
        return str(body.get("message") or body.get("reason") or "no reason given").rstrip(".") + "."
    return "the answer is not from Kubernetes; is a proxy in between?"


# lightkube types every part as optional. `Any` here: where a part is missing that Kubernetes always
# sends, attribute access raises, and `_read` says which list it was.


def _namespace(item: Any) -> KubernetesNamespace:
    return KubernetesNamespace(
        name=item.metadata.name,
        created_utc=item.metadata.creationTimestamp,
        labels=item.metadata.labels or {},
        annotations=item.metadata.annotations or {},
    )


def _quota(item: Any) -> QuotaStatus:
    # `status` trails `spec` until the quota controller has looked at a new object.
    status, spec = item.status, item.spec
    return QuotaStatus(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        hard=_amounts((status and status.hard) or (spec and spec.hard)),
        used=_amounts(status and status.used),
        is_scoped=bool(spec and (spec.scopes or spec.scopeSelector)),
    )


_POOL_LABEL = "kubernetes.azure.com/agentpool"
"""Source: AKS, reserved system labels of nodes."""


def _node(item: Any) -> Node:
    offered = _amounts(item.status and item.status.allocatable, only=(*_COUNTED, "pods"))
    conditions = (item.status and item.status.conditions) or []
    return Node(
        name=item.metadata.name,
        allocatable_cores=offered.get("cpu", ZERO),  # absent until a new node has reported
        allocatable_bytes=offered.get("memory", ZERO),
        is_ready=any(c.type == "Ready" and c.status == "True" for c in conditions),
        pool=(item.metadata.labels or {}).get(_POOL_LABEL, ""),
        most_pods=int(offered["pods"]) if "pods" in offered else None,
        is_cordoned=bool(item.spec and item.spec.unschedulable),
    )


def _pod(item: Any) -> Pod:
    spec = item.spec
    requests, limits = _resources(spec.resources)
    return Pod(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        phase=(item.status and item.status.phase) or "Pending",
        containers=tuple(_container(c) for c in spec.containers),
        init_containers=tuple(_container(c) for c in spec.initContainers or ()),
        overhead=_amounts(spec.overhead, only=_COUNTED),
        pod_requests=requests,
        pod_limits=limits,
        node_name=spec.nodeName or "",
    )


def _container(item: Any) -> Container:
    requests, limits = _resources(item.resources)
    # Only an init container may say so, and then it is a sidecar.
    return Container(requests=requests, limits=limits, is_sidecar=item.restartPolicy == "Always")


def _resources(item: Any) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
    if item is None:
        return {}, {}
    return _amounts(item.requests, only=_COUNTED), _amounts(item.limits, only=_COUNTED)


def _amounts(
    texts: Mapping[str, Any] | None, *, only: Iterable[str] | None = None
) -> dict[str, Decimal]:
    """Return quantities by key; with `only`, those that are there of these keys."""
    said = texts or {}
    keys = said if only is None else [key for key in only if key in said]
    return {key: parse_quantity(str(said[key])) for key in keys}
