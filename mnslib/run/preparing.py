"""A run that makes a cluster ready for managed namespaces: what the cells of notebook 10 call.

Plan, approval, journal, outcomes and record are those of every run that changes something.
"""

from collections.abc import Callable
from functools import partial

from mnslib.errors import PARAMETERS, ArmNotFoundError, MnsError
from mnslib.models import NewCluster
from mnslib.provisioning.changes import words
from mnslib.provisioning.observe import (
    Facts,
    ObservedCluster,
    ObservedState,
    observe_clusters,
    observe_ground,
)
from mnslib.provisioning.preflight import require_passed, worst_first
from mnslib.provisioning.preparation import ClusterWriter, make_preparation
from mnslib.provisioning.readiness import permissions, readiness, require_permitted
from mnslib.provisioning.writing import Writer
from mnslib.requests import spec
from mnslib.resource_ids import CLUSTER_COLUMNS, ClusterId
from mnslib.results import CheckResult, CheckStatus, utc_now
from mnslib.run.changing import Changing
from mnslib.run.progress import show_now
from mnslib.show import plans
from mnslib.show.displays import Callout, Table

_OWN_STEPS = ("register-provider", "create-cluster", "enable-azure-rbac")
"""Steps that are needed where something is to be done, by the names in `allow`."""


class Preparing(Changing):
    """A run from a cluster, or none, to one that is ready.

    Attributes:
        facts: what the cluster stands on.
    """

    facts: Facts
    specs = ()

    def observe(self) -> Table:
        """Return what is there of the cluster that the parameters name.

        Raises:
            SpecError: if they name none.
        """
        self._require_unapplied()
        row = {**self.asked(*CLUSTER_COLUMNS), "namespace_name": "any"}
        (named,) = spec.specs_from_rows([row], file=PARAMETERS)
        self.facts = self._read(named.id.cluster)
        found = self.facts.cluster
        there = {self.facts.id: found} if isinstance(found, ObservedCluster) else {}
        return plans.observed_table(ObservedState(clusters=there))

    def _read(self, cluster: ClusterId) -> Facts:
        azure, kube_for = self.target.azure, self.target.kube_for
        found = observe_clusters({cluster: ()}, azure=azure, kube_for=kube_for, now=utc_now)
        return observe_ground(cluster, found[cluster], azure=azure)

    def check(self) -> Table:
        """Return how ready the cluster is, and what the caller may do of all later steps.

        Raises:
            PreflightError: if there is no cluster and none is to be made, or it cannot be read; the
                lines are shown first.
        """
        self.checks = self._lines()
        table = plans.checks_table(self.checks)
        cluster = self.facts.cluster
        is_missing = isinstance(cluster, ArmNotFoundError)
        stops = [] if is_missing and self._wanted else [f"{self.facts.id.cluster_name}: there"]
        stops.append(f"{self.facts.id.cluster_name}: resource group")
        if isinstance(cluster, MnsError):
            failed = [line for line in self.checks if line.name in stops]
            if any(line.status is not CheckStatus.PASSED for line in failed):
                show_now(table)  # of a cell that fails nothing else is seen
            require_passed(failed)
            if not is_missing:
                require_permitted(self.checks, cluster)
                raise cluster
        return table

    def _lines(self) -> tuple[CheckResult, ...]:
        lines = readiness(self.facts)
        needed = {line.allow for line in lines}
        steps = [step for step in words("steps") if step not in _OWN_STEPS or step in needed]
        return worst_first((*lines, *permissions(self.facts, steps)))

    @property
    def _wanted(self) -> NewCluster | None:
        """What to make where there is no cluster; None where nothing is asked for."""
        asked = self.parameters
        if not asked["create_cluster"]:
            return None
        group = self.facts.group
        return NewCluster(
            id=self.facts.id,
            location=asked["location"] or (group if isinstance(group, str) else ""),
            kubernetes_version=asked["kubernetes_version"],
            node_size=asked["node_size"],
            node_count=asked["node_count"],
            network_policy=asked["network_policy"],
        )

    def plan(self) -> None:
        """Show what would be done, after writing it to `plan.json`."""
        self._require_unapplied()
        self.take(make_preparation(self.facts, self._wanted))
        self._show_plan()

    @property
    def _writer(self) -> Callable[..., Writer]:
        return partial(ClusterWriter, facts=self.facts, wanted=self._wanted)

    def read_back(self) -> Callout:
        """Return what is still open, after the cluster was read again and planned once more."""
        self.left = self.planned
        if not self._ended.is_dry_run:
            self.facts = self._read(self.facts.id)
            self.checks = self._lines()
            self.left = make_preparation(self.facts, self._wanted)
        return plans.still_open(self.left, self._ended)

    def ready(self) -> Table:
        """Return how ready the cluster is by now; nothing anew where nothing was written."""
        return plans.checks_table(() if self._ended.is_dry_run else self.checks)
