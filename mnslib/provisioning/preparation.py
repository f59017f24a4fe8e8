"""What it takes to make a cluster ready: the plan, and how it is carried out.

One item, the cluster itself: the provider is registered, a cluster is made, Entra ID and Azure RBAC
are turned on. Each is a risk of its own name, so that nothing happens that `allow` does not name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from mnslib import errors
from mnslib.azure.operations import OPERATION_TIMEOUT_SECONDS
from mnslib.azure.scheduler import Call, Pause, Work
from mnslib.models import NewCluster
from mnslib.provisioning.changes import Change, FieldDifference, Risk, RiskName, words
from mnslib.provisioning.observe import Facts, ObservedCluster, ObservedState
from mnslib.provisioning.plan import Plan, digest_of
from mnslib.provisioning.writing import STALE, Item, StaleItemError, Writer
from mnslib.results import ChangeKind

if TYPE_CHECKING:
    from mnslib.azure.operations import Operation

LOOK_SECONDS = 2.0
"""Between two looks at a registration, which takes minutes; our choice."""

_REGISTERED = "Registered"


def make_preparation(facts: Facts, wanted: NewCluster | None) -> Plan:
    """Return what has to be done to the cluster, as a plan of one change.

    Args:
        wanted: what to make where there is no such cluster; None to make none.
    """
    found: dict[RiskName, list[FieldDifference]] = {}
    if isinstance(facts.provider, str) and facts.provider != _REGISTERED:
        about = "Microsoft.ContainerService"
        found[RiskName.REGISTER_PROVIDER] = [_difference(about, facts.provider, _REGISTERED)]
    kind = ChangeKind.UPDATE
    etag, cluster = None, facts.cluster
    if isinstance(cluster, errors.ArmNotFoundError) and wanted is not None:
        kind = ChangeKind.CREATE
        values = asdict(wanted) | {"entra_id": "on", "azure_rbac": "on"}
        found[RiskName.CREATE_CLUSTER] = [
            _difference(name, None, str(value))
            for name, value in values.items()
            if name != "id" and value
        ]
    elif isinstance(cluster, ObservedCluster) and not cluster.cluster.is_stopped:
        etag = cluster.cluster.etag
        sides = {"entra_id": cluster.cluster.has_entra_id, "azure_rbac": _has_rbac(cluster)}
        if off := [_difference(name, "off", "on") for name, is_on in sides.items() if not is_on]:
            found[RiskName.ENABLE_AZURE_RBAC] = off
    change = Change(
        kind=kind if found else ChangeKind.NO_CHANGE,
        id=facts.id.itself,
        differences=tuple(one for differences in found.values() for one in differences),
        risks=tuple(Risk(name=name, detail=words("risks")[name]) for name in found),
    )
    told = {"differences": [asdict(one) for one in change.differences], "etag": etag}
    digest = digest_of({"id": str(change.id), "change": change.kind, **told})
    nothing = ObservedState(clusters={})
    return Plan(changes=(change,), plan_risks=(), digest=digest, observed=nothing)


def _has_rbac(found: ObservedCluster) -> bool:
    return found.cluster.has_entra_id and found.cluster.has_azure_rbac


def _difference(path: str, old: str | None, new: str) -> FieldDifference:
    return FieldDifference(operation="change" if old else "add", path=path, old=old, new=new)


@dataclass(kw_only=True)
class ClusterWriter(Writer):
    """Carries a preparation out."""

    facts: Facts
    wanted: NewCluster | None

    def carry_out(self, item: Item) -> Work[None]:
        """Do what the risks of the change name, one after the other.

        Raises:
            StaleItemError: if somebody else made or changed the cluster meanwhile.
            MnsError: if it failed and trying again does not help, or helped too rarely.
        """
        steps: dict[str, Callable[[Item], Work[None]]] = {
            RiskName.REGISTER_PROVIDER: self._register,
            RiskName.CREATE_CLUSTER: self._create,
            RiskName.ENABLE_AZURE_RBAC: self._enable,
        }
        for name, step in steps.items():
            if name in item.change.risk_names:
                yield from self._patiently(partial(step, item))

    def _register(self, item: Item) -> Work[None]:
        where, providers = self.facts.id.subscription_id, self.azure.providers
        path = f"/subscriptions/{where}/providers/Microsoft.ContainerService"

        def send() -> str:
            self._begin(item, "preparing", step=RiskName.REGISTER_PROVIDER)
            return providers.register(where)

        state, left = (yield Call("POST", f"{path}/register", send)), OPERATION_TIMEOUT_SECONDS
        while state != _REGISTERED:
            if left <= 0:
                raise errors.OperationTimeoutError(f"{path} is still {state}.")
            yield Pause(LOOK_SECONDS)
            left -= LOOK_SECONDS
            state = yield Call("GET", path, partial(providers.state, where))

    def _create(self, item: Item) -> Work[None]:
        assert self.wanted is not None
        begin = partial(self.azure.managed_clusters.begin_create, self.wanted)
        yield from self._send_cluster(item, RiskName.CREATE_CLUSTER, begin)

    def _enable(self, item: Item) -> Work[None]:
        assert isinstance(self.facts.cluster, ObservedCluster)
        there, clusters = self.facts.cluster.cluster, self.azure.managed_clusters
        begin = partial(clusters.begin_enable_azure_rbac, there.id, if_match=there.etag)
        yield from self._send_cluster(item, RiskName.ENABLE_AZURE_RBAC, begin)

    def _send_cluster(
        self, item: Item, step: RiskName, begin: Callable[[], Operation | None]
    ) -> Work[None]:
        def send() -> Operation | None:
            self._begin(item, "preparing", step=step)
            return begin()

        try:
            operation = yield Call("PUT", str(self.facts.id), send)
        except errors.ArmPreconditionError as error:
            raise StaleItemError(STALE) from error
        item.is_sent = True
        if operation is not None:
            item.is_accepted = True
            yield from self.azure.operations.follow(operation)
