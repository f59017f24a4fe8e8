"""The Kubernetes API of one cluster: what plan and capacity need, as our own values; two writes.

lightkube behind a transport that asks for the token at each request, so that a run may outlive a
token. Knows nothing of Azure: kubeconfig and token come from the caller.
"""

import base64
import json
import ssl
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import httpx2
import msgspec
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.core.decoders import decode_list
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources import (
    apps_v1,
    authentication_v1,
    authorization_v1,
    autoscaling_v2,
    batch_v1,
    core_v1,
    networking_v1,
    node_v1,
)

from mnslib import errors
from mnslib import kube_models as own
from mnslib.errors import LARGEST_ANSWER_BYTES, LONGEST_TEXT, KubeError, KubeUnreachableError, cut
from mnslib.kube import objects
from mnslib.kube.kubeconfig import read_server
from mnslib.packaged import packaged
from mnslib.secrets import hide_secrets
from mnslib.signals import pause

PAGE_SIZE = 500
"""Objects a page. Source: kubectl, `--chunk-size`."""

MOST_PAGES = 1_000
"""Of one list; our choice, three times the pods that a cluster is said to take."""

TIMEOUT_SECONDS = 20.0
"""For connecting, and between two parts of an answer; our choice."""

ATTEMPTS = 3
LONGEST_WAIT_SECONDS = 10.0
"""Times a read is sent, and the longest pause between two, also where the server asks for more; our
choice. What is tried again at Azure is in `azure.pipeline`."""

_WORDS = packaged("mnslib.kube", "words")
_WORKLOADS: dict[Any, Callable[[Any], own.Workload]] = {
    apps_v1.Deployment: objects.deployment,
    apps_v1.StatefulSet: objects.stateful_set,
    apps_v1.DaemonSet: objects.daemon_set,
    batch_v1.CronJob: objects.cron_job,
    batch_v1.Job: objects.job,
}
_ENTRANCES: dict[str, Any] = {
    "services": core_v1.Service,
    "ingresses": networking_v1.Ingress,
    "http_routes": create_namespaced_resource(
        "gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"
    ),
}
FIELD_MANAGER = "mnslib"
"""Who the API server says has written a field of an object that was applied here."""

_MADE = {"ReplicaSet": apps_v1.ReplicaSet, "Job": batch_v1.Job}
_FIRST_READ = threading.Lock()
_REFUSALS = (400, 403, 404, 409, 422)
"""What a server answers that will not take an object; all else is no answer about it."""

_UNREADABLE = (msgspec.MsgspecError, ValueError, AttributeError, TypeError, ArithmeticError)
"""What reading an object may raise that is not as its kind has it."""

Value = TypeVar("Value")


class KubeClient:
    """One cluster; every list is read to its last page. Safe to use from several threads.

    Args:
        kubeconfig_text: names the API server, and the authority that signed its certificate.
        token: returns a bearer token for the API server; asked at each request.
        name: the cluster, as messages shall name it.
        sleep: waits between attempts.

    Attributes:
        set_apart: of each kind that was listed, the objects that could not be read and why; anybody
            who may make an object can write one that nothing here expects.

    Raises:
        KubeError: if the text is no kubeconfig, or its server is not https with a certificate.
    """

    def __init__(
        self,
        kubeconfig_text: str,
        *,
        token: Callable[[], str],
        name: str,
        sleep: Callable[[float], bool | None] = pause,
    ) -> None:
        server, ca_pem = read_server(kubeconfig_text)
        try:
            context = ssl.create_default_context(cadata=ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise KubeError(f"cluster {name}: its certificate authority is no PEM") from error
        self._name = name
        self.set_apart: dict[str, list[str]] = {}
        # lightkube makes a TLS context that our transport has no use for; with the certificate
        # named it does not read the machine's whole store for that, 40 ms for each cluster
        data = base64.b64encode(ca_pem.encode()).decode()
        cluster = Cluster(server=server, certificate_auth_data=data)
        proxies = urllib.request.getproxies()  # of the environment, as Azure's SDKs use them
        is_direct = urllib.request.proxy_bypass(urllib.parse.urlsplit(server).netloc)
        self._client = Client(
            KubeConfig.from_one(cluster=cluster, user=User()),
            timeout=httpx2.Timeout(TIMEOUT_SECONDS),
            trust_env=False,
            transport=_Transport(
                verify=context,
                proxy=None if is_direct else proxies.get("https"),
                token=token,
                name=name,
                sleep=sleep,
            ),
        )

    def namespaces(self, name: str = "") -> list[own.KubernetesNamespace]:
        """Return the namespaces of the cluster, or the one of a name; raises KubeError, as all."""
        fields = {"metadata.name": name} if name else None
        return self._read("namespaces", core_v1.Namespace, objects.namespace, fields=fields)

    def resource_quotas(self, namespace: str = "*") -> list[own.QuotaStatus]:
        """Return the ResourceQuota objects of one namespace, or of all."""
        kind = core_v1.ResourceQuota
        return self._read("resource quotas", kind, objects.quota, namespace=namespace)

    def nodes(self) -> list[own.Node]:
        """Return the nodes of the cluster."""
        return self._read("nodes", core_v1.Node, objects.node)

    def pods(self) -> list[own.Pod]:
        """Return the pods of all namespaces, finished ones too."""
        return self._read("pods", core_v1.Pod, objects.pod, namespace="*")

    def limit_ranges(self, namespace: str = "*") -> list[own.LimitRange]:
        """Return the LimitRanges of one namespace, or of all, one for each kind they speak of."""
        kind = core_v1.LimitRange
        found = self._read("limit ranges", kind, objects.limit_range, namespace=namespace)
        return [part for parts in found for part in parts]

    def try_pod(self, pod: Mapping[str, Any]) -> str:
        """Return why the server would not let a pod in, in its words; empty where it would.

        Nothing is made. Source: Kubernetes API concepts, "Dry-run": admission runs, no write does.

        Raises:
            KubeError: if the server cannot be asked.
        """
        try:
            self._create(core_v1.Pod, pod, dry_run=True)
        except KubeError as error:
            if error.status not in _REFUSALS:
                raise
            return error.said
        return ""

    def may(self, **asked: str) -> tuple[bool, str]:
        """Return whether the bearer of this client's token may do something, and the reason given.

        Args:
            asked: `verb`, `group`, `resource`, `subresource`, `namespace`; what is left out is
                empty, as for the whole cluster.

        Source: Kubernetes, SelfSubjectAccessReview; it is what `kubectl auth can-i` asks.
        """
        review = {"spec": {"resourceAttributes": asked}}
        status = self._create(authorization_v1.SelfSubjectAccessReview, review).status
        return status.allowed, status.reason or ""

    def whoami(self) -> tuple[str, ...]:
        """Return whom the cluster takes that bearer for: object id, name, then groups by id.

        Source: Kubernetes, SelfSubjectReview; `oid` of `extra` is AKS'.
        """
        user = self._create(authentication_v1.SelfSubjectReview, {}).status.userInfo
        return (*(user.extra or {}).get("oid", ()), user.username or "", *(user.groups or ()))

    def _create(self, kind: Any, body: Mapping[str, Any], **how: Any) -> Any:
        with _FIRST_READ:  # the answer is decoded, see `_learn`
            return self._client.create(kind.from_dict(dict(body)), **how)

    def overheads(self) -> dict[str, Mapping[str, Decimal]]:
        """Return what each RuntimeClass adds to its pods, by name, in cores and bytes."""
        return dict(self._read("runtime classes", node_v1.RuntimeClass, objects.runtime_class))

    def workloads(self) -> list[own.Workload]:
        """Return what starts pods in all namespaces, jobs of CronJobs too."""
        return [
            workload
            for kind, convert in _WORKLOADS.items()
            for workload in self._read("workloads", kind, convert, namespace="*")
        ]

    def autoscalers(self) -> list[own.Autoscaler]:
        """Return the HorizontalPodAutoscalers of all namespaces."""
        kind = autoscaling_v2.HorizontalPodAutoscaler
        return self._read("autoscalers", kind, objects.autoscaler, namespace="*")

    def entrances(self, kind: str) -> list[own.Entrance]:
        """Return what leads into namespaces: `services`, `ingresses` or `http_routes`.

        A cluster without the Gateway API answers the last with status 404.
        """
        what = kind.replace("_", " ")
        found = self._read(what, _ENTRANCES[kind], objects.entrances, namespace="*")
        return [one for of_item in found for one in of_item]

    def network_policies(self, namespace: str = "*") -> list[own.NetworkPolicy]:
        """Return the NetworkPolicies of one namespace, or of all."""
        kind = networking_v1.NetworkPolicy
        return self._read("network policies", kind, objects.network_policy, namespace=namespace)

    def refused_pods(self) -> list[own.Event]:
        """Return the events of pods that could not be created, with the workload they are for."""
        chosen = {"reason": "FailedCreate"}
        events = self._read("events", core_v1.Event, objects.event, namespace="*", fields=chosen)
        places = {(event.object_kind, event.namespace_name) for event in events}
        makers = {
            (kind, namespace, name): maker
            for kind, namespace in sorted(places)
            if kind in _MADE
            for name, maker in self._read("owners", _MADE[kind], objects.maker, namespace=namespace)
        }
        return [
            objects.made_by(event, makers) if event.object_kind in _MADE else event
            for event in events
        ]

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Write a `LimitRange` or `ResourceQuota` by server-side apply; fields of others stay.

        Raises:
            KubeError: 409, which names whose field it is, if another manager holds another value.
        """
        kind: Any = getattr(core_v1, manifest["kind"])
        with _FIRST_READ:
            _learn(kind)
        self._client.apply(kind.from_dict(dict(manifest)), field_manager=FIELD_MANAGER)

    def delete(self, kind: str, name: str, *, namespace: str) -> None:
        """Delete a `LimitRange` or `ResourceQuota`; raises KubeError, 404 if it is not there."""
        self._client.delete(getattr(core_v1, kind), name, namespace=namespace)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(
        self, what: str, kind: Any, convert: Callable[[Any], Value], **where: Any
    ) -> list[Value]:
        with _FIRST_READ:
            _learn(kind)
        try:
            try:
                return self._converted(kind, kind, convert, where)
            except msgspec.ValidationError:  # by an item that is not as its kind has it
                bases = (dict, kind.__bases__[0])
                loose = type(kind.__name__, bases, {"_api_info": kind._api_info})
                return self._converted(kind, loose, convert, where)
        except (*_UNREADABLE, LookupError, RecursionError) as error:
            raise KubeError(
                f"cluster {self._name}: the answer is no list of {what}: {error}"
            ) from error

    def _converted(
        self, kind: Any, listed_as: Any, convert: Callable[[Any], Value], where: Mapping[str, Any]
    ) -> list[Value]:
        """Return the items of a list; those that cannot be read are set apart."""
        found, apart = [], []
        for item in self._client.list(listed_as, chunk_size=PAGE_SIZE, **where):
            try:
                typed = item if listed_as is kind else msgspec.convert(item, kind)
                found.append(convert(typed))
            except _UNREADABLE as error:
                apart.append(objects.set_apart(kind.__name__, item, error))
        self.set_apart[kind.__name__] = apart
        return found


@cache
def _learn(kind: Any) -> None:
    """Read an empty list of a kind, which prepares its type.

    msgspec 0.22 crashes the process when two threads decode a type for the first time at once.
    """
    decode_list(b'{"items": []}', kind)


class _Transport(httpx2.HTTPTransport):
    """Sends the token of the moment, tries reads again, and turns refusals into `KubeError`."""

    def __init__(
        self,
        *,
        verify: ssl.SSLContext,
        proxy: str | None,
        token: Callable[[], str],
        name: str,
        sleep: Callable[[float], bool | None],
    ) -> None:
        super().__init__(verify=verify, trust_env=False, proxy=proxy)
        self._token, self._name, self._sleep = token, name, sleep
        self._pages: Counter[str] = Counter()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path, wait = request.url.path, 0.5
        self._pages[path] = self._pages[path] + 1 if "continue" in request.url.params else 1
        if self._pages[path] > MOST_PAGES:
            raise KubeError(f"cluster {self._name}: GET {path} was answered with endless pages.")
        for attempt in range(1, ATTEMPTS + 1):
            request.headers["Authorization"] = f"Bearer {self._token()}"
            asked = ""
            try:
                response = super().handle_request(request)
                self._read(response)  # here: a connection dropped half way is tried again too
            except httpx2.RequestError as error:  # what cannot be unpacked is one of them
                if attempt == ATTEMPTS:
                    raise KubeUnreachableError(
                        f"cluster {self._name}: no answer from {request.url.host} "
                        f"({type(error).__name__}: {error}). Is it running, and can this machine "
                        "reach it? A private cluster answers only from inside its network."
                    ) from error
            else:
                status = response.status_code
                if status in (200, 201):
                    break
                if attempt == ATTEMPTS or status not in errors.TRANSIENT_STATUSES:
                    said, what = _message(response), f"{request.method} {path}"
                    remedies = _WORDS["remedies" if request.method == "GET" else "write_remedies"]
                    raise KubeError(
                        f"cluster {self._name}: {what} was answered {status}: "
                        f"{said} {remedies.get(status, '')}".rstrip(),
                        status=status,
                        said=said,
                    )
                asked = response.headers.get("Retry-After", "")
            seconds = float(asked) if asked.isdecimal() else 0.0
            if self._sleep(min(max(seconds, wait), LONGEST_WAIT_SECONDS)):
                raise KubeUnreachableError(f"cluster {self._name}: not asked again, but stopped.")
            wait *= 2
        return response

    def _read(self, response: httpx2.Response) -> None:
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER_BYTES:
                response.close()
                raise KubeError(
                    f"cluster {self._name}: an answer is larger than {LARGEST_ANSWER_BYTES:,} bytes"
                    " and was not read to its end; is a proxy in between?"
                )
        response._content = bytes(content)


def _message(response: httpx2.Response) -> str:
    """Return what a Kubernetes `Status` says, or that the answer was none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and body.get("kind") == "Status":
        said = str(body.get("message") or body.get("reason") or "no reason given").rstrip(".")
        return cut(hide_secrets(said), errors.LONGEST_REFUSAL - LONGEST_TEXT) + "."
    return "the answer is not from Kubernetes; is a proxy in between?"
