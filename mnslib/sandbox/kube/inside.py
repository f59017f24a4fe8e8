"""What happens inside a cluster: objects of managed namespaces, quota status, samples for metrics.

Called by the ARM side (operations that complete) and the Kubernetes side (pods come and go).
"""

from __future__ import annotations

from contextlib import suppress

from mnslib.sandbox.amounts import canonical
from mnslib.sandbox.kube import quotas
from mnslib.sandbox.kube.admission import admit
from mnslib.sandbox.kube.arithmetic import total_need
from mnslib.sandbox.kube.defaults import fill
from mnslib.sandbox.kube.kinds import Kind, known
from mnslib.sandbox.kube.scheduling import await_node
from mnslib.sandbox.rules import (
    MANAGED_LABEL,
    NAME_LABEL,
    POLICY_NAME,
    QUOTA_NAME,
    adoption_refusal,
    policy_spec,
    quota_hard,
    wants_policy,
    wants_quota,
)
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Json, Refusal, kube_error

_ACCOUNT, _AUTHORITY = "default", "kube-root-ca.crt"
_FURNISHED = "furnished"  # setting: clusters whose seeded namespaces have what each one has


def metadata(state: State, name: str, namespace: str = "", **extra: object) -> Json:
    """Return metadata of a new object; `extra` fields that are empty are left out."""
    base: Json = {"name": name, **({"namespace": namespace} if namespace else {})}
    base |= {"uid": state.new_guid(), "creationTimestamp": kube_time(state.now())}
    return base | {key: value for key, value in extra.items() if value}


def create_namespace(
    state: State, cluster: str, name: str, labels: Json, annotations: Json
) -> Json:
    """Store and return a new Kubernetes namespace."""
    labels = {**labels, NAME_LABEL: name}
    doc = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(state, name, labels=labels, annotations=annotations),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    return state.put_object(cluster, "namespaces", doc)


def check_adoption(state: State, cluster: str, name: str, properties: Json) -> str:
    """Return why the namespace that is there may not be taken over, or an empty text."""
    namespace = state.object(cluster, "namespaces", "", name)
    # not by its label, which anybody may write who may write namespaces
    managed = "applied" in state.notes(f"{cluster}/managedNamespaces/{name}")
    if namespace is None or managed:
        return ""
    quota = state.object(cluster, "resourcequotas", name, QUOTA_NAME)
    policy = state.object(cluster, "networkpolicies", name, POLICY_NAME)
    return adoption_refusal(properties, namespace, quota, policy, state.switches)


def apply_managed(
    state: State, cluster: str, name: str, properties: Json, applied: Json | None
) -> None:
    """Write a managed namespace's objects: namespace, default quota, default policy.

    Args:
        state: the store.
        cluster: its key.
        name: of the namespace.
        properties: the wanted ones.
        applied: labels and annotations that ARM wrote last time (they go when no longer wanted);
            None when the namespace was not managed.
    """
    namespace = state.object(cluster, "namespaces", "", name)
    if namespace is None:
        namespace = create_namespace(state, cluster, name, {}, {})
    replace = applied is None and state.switches.always_metadata == "replace"
    for field in ("labels", "annotations"):
        wanted = properties.get(field, {})
        present = {} if replace else dict(namespace["metadata"].get(field, {}))
        for key in (applied or {}).get(field, {}):
            present.pop(key, None)
        namespace["metadata"][field] = present | wanted
    namespace["metadata"]["labels"] |= {MANAGED_LABEL: "true", NAME_LABEL: name}
    state.put_object(cluster, "namespaces", namespace)
    spec = {"hard": quota_hard(properties)} if wants_quota(properties, state.switches) else None
    _write(state, cluster, "resourcequotas", "v1/ResourceQuota", name, QUOTA_NAME, spec)
    spec = None
    if wants_policy(properties, state.switches):
        spec = policy_spec(properties, name, state.switches)
    kind = "networking.k8s.io/v1/NetworkPolicy"
    _write(state, cluster, "networkpolicies", kind, name, POLICY_NAME, spec)
    miscount(state, cluster, name, {})
    recount(state, cluster, name)


def _write(
    state: State, cluster: str, plural: str, kind: str, namespace: str, name: str, spec: Json | None
) -> None:
    """Make a default object look as wanted; a `spec` of None removes it."""
    if spec is None:
        state.delete_object(cluster, plural, namespace, name)
        return
    doc = state.object(cluster, plural, namespace, name)
    if doc is None:
        version, _, word = kind.rpartition("/")
        doc = {"apiVersion": version, "kind": word, "metadata": metadata(state, name, namespace)}
    doc["metadata"].setdefault("labels", {})[MANAGED_LABEL] = "true"
    state.put_object(cluster, plural, doc | {"spec": spec})


def release_managed(state: State, cluster: str, name: str, *, policy: str) -> None:
    """End ARM's management: `Keep` leaves the namespace, `Delete` removes it with its content."""
    namespace = state.object(cluster, "namespaces", "", name)
    if namespace is None:
        return
    if policy == "Delete":
        terminate(state, cluster, namespace)
    else:
        _unmark(state, cluster, "namespaces", namespace)
        for plural, default in (("resourcequotas", QUOTA_NAME), ("networkpolicies", POLICY_NAME)):
            doc = state.object(cluster, plural, name, default)
            if doc and state.switches.keep_leaves_objects:
                _unmark(state, cluster, plural, doc)
            elif doc:
                state.delete_object(cluster, plural, name, default)
        recount(state, cluster, name)


def terminate(state: State, cluster: str, namespace: Json) -> Json:
    """Begin a namespace's deletion, which the next settling goes on with; return it as marked."""
    if "deletionTimestamp" in namespace["metadata"]:
        return namespace
    namespace["metadata"]["deletionTimestamp"] = kube_time(state.now())
    namespace["status"] = namespace.get("status", {}) | {"phase": "Terminating"}
    return state.put_object(cluster, "namespaces", namespace)


def furnish(state: State, cluster: str, doc: Json | None) -> None:
    """Store what every namespace has: its default account and the cluster's authority."""
    if doc is None or "deletionTimestamp" in doc["metadata"]:
        return
    name, at = doc["metadata"]["name"], doc["metadata"]["creationTimestamp"]
    authority = {"data": {"ca.crt": state.meta("keys")["ca_pem"]}}
    rows: tuple[tuple[str, str, str, Json], ...] = (
        ("serviceaccounts", "ServiceAccount", _ACCOUNT, {}),
        ("configmaps", "ConfigMap", _AUTHORITY, authority),
    )
    for plural, kind, of, content in rows:
        if state.object(cluster, plural, name, of) is None:
            meta = metadata(state, of, name) | {"creationTimestamp": at}
            made = {"apiVersion": "v1", "kind": kind, "metadata": meta} | content
            create(state, cluster, plural, made)


def furnish_seeded(state: State, cluster: str, plural: str) -> None:
    """Store what every namespace has once somebody reads its kind: worlds leave it out."""
    if plural in ("serviceaccounts", "configmaps"):
        done = state.meta(_FURNISHED, [])
        if cluster not in done:
            with state.transaction():
                for doc in state.objects(cluster, "namespaces"):
                    with suppress(Refusal):
                        furnish(state, cluster, doc)
                state.set_meta(_FURNISHED, [*done, cluster])


def _unmark(state: State, cluster: str, plural: str, doc: Json) -> None:
    doc["metadata"].get("labels", {}).pop(MANAGED_LABEL, None)
    state.put_object(cluster, plural, doc)


_MISCOUNTED = "miscounted"  # setting: surplus by namespace's key, quota and quota key


def miscount(state: State, cluster: str, namespace: str, surplus: Json) -> None:
    """Let quota counters be wrong by so much, until one of the namespace's quotas is written.

    Pods that come and go do not mend it, as in a cluster whose quota controller missed something.
    """
    present = state.meta(_MISCOUNTED, {})
    kept = {key: value for key, value in present.items() if key != f"{cluster}/{namespace}"}
    if surplus or kept != present:
        more = {f"{cluster}/{namespace}": surplus} if surplus else {}
        state.set_meta(_MISCOUNTED, kept | more)


def recount(state: State, cluster: str, namespace: str, full: str = "pods") -> None:
    """Bring `status` of every quota of a namespace up to date and note a sample for the metrics.

    Args:
        state: the store.
        cluster: its key.
        namespace: its name.
        full: plural of the kind that changed, with its group; what no quota counts is passed over.
    """
    stored = state.objects(cluster, "resourcequotas", namespace)
    keys = {key for quota in stored for key in quota["spec"].get("hard", {})}
    if full not in ("pods", "resourcequotas") and not any(quotas.tracks(full, k) for k in keys):
        return
    pods, now = state.objects(cluster, "pods", namespace), state.now()
    total = total_need(pods, now)
    wrong = state.meta(_MISCOUNTED, {}).get(f"{cluster}/{namespace}", {})
    sample: Json = {"quotas": {}}

    def objects(full: str) -> list[Json]:
        plural = full.partition(".")[0]
        return pods if plural == "pods" else state.objects(cluster, plural, namespace)

    for quota in stored:
        hard = quota["spec"].get("hard", {})
        surplus = wrong.get(quota["metadata"]["name"], {})
        status = {"hard": hard, "used": quotas.used(quota, objects, now, surplus)}
        sample["quotas"][quota["metadata"]["name"]] = status
        if quota.get("status") != status:
            state.put_object(cluster, "resourcequotas", quota | {"status": status})
    sample["total"] = {
        key: canonical(value, binary=key.endswith("memory")) for key, value in total.items()
    }
    state.add_sample(cluster, namespace, sample)


def receive(state: State, cluster: str, kind: Kind, doc: Json) -> None:
    """Default and admit an object that is to be created.

    Raises:
        Refusal: what admission says; 409 where there is one of its name.
    """
    meta = doc["metadata"]
    if kind.generation:
        meta["generation"] = 1
    fill(kind.plural, doc, state.sequence, None)
    admit(state, cluster, doc)
    if kind.plural == "pods":
        await_node(doc, state.now())
    if state.object(cluster, kind.plural, meta.get("namespace", ""), meta["name"]) is not None:
        text = f'{kind.full_name} "{meta["name"]}" already exists'
        raise kube_error(409, "AlreadyExists", text, kind.details(meta["name"]))


def create(state: State, cluster: str, plural: str, doc: Json) -> None:
    """Store a new object of a controller, which admission takes like anybody's.

    Raises:
        Refusal: as `receive`.
    """
    kind, namespace = known(plural), doc["metadata"]["namespace"]
    receive(state, cluster, kind, doc)
    state.put_object(cluster, plural, doc)
    for quota in state.objects(cluster, "resourcequotas", namespace):
        # for the next one's admission; the settling counts all of them in the end
        if used := quotas.charged(quota, kind.full_name, doc, state.now()):
            quota["status"]["used"] |= used
            state.put_object(cluster, "resourcequotas", quota)
