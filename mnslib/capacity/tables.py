"""Every table of one reading, each made on first use and kept: what an analysis is, without pages.

    tables = Tables(snapshot)
    tables.utilization  # a frame; evidence and layers were made on the way

Pure: it opens no door and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from mnslib.capacity.advice import advised, with_advice
from mnslib.capacity.changed import Earlier, changes_since
from mnslib.capacity.clusters import commitment_table, placement_table
from mnslib.capacity.daily import counted_days, crossings_table, daily_peaks
from mnslib.capacity.decide import Decided, decided, step_requests
from mnslib.capacity.evidence import with_evidence, worst_evidence
from mnslib.capacity.fit import fit_table
from mnslib.capacity.layers import layers_by_day, layers_table, roll_ups
from mnslib.capacity.owners import Owners, owners_of
from mnslib.capacity.refusals import refusals_table
from mnslib.capacity.utilization import tightest, utilization_table

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import CleanSnapshot, Snapshot


class Tables:
    """The tables of notebook 40, by the names of their files.

    Attributes:
        snapshot: what was read.
        earlier: the run that `changed` compares with.
        group_by: labels to sum the layers by, beside owner, cluster and subscription.
        owner_label: the label that was to name owners.
        names: those of the tables, in the order in which one rests on the other.
    """

    names = (
        "evidence", "layers", "utilization", "changed", "daily", "crossings", "layers_by_day",
        "refusals", "fit", "commitment", "placement", "steps", "requests",
    )  # fmt: skip

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        earlier: Earlier | None = None,
        group_by: Sequence[str] = (),
        owner_label: str = "",
        new_cpu: str = "",
        new_memory: str = "",
        new_region: str = "",
        pod_cpu: str = "",
        pod_memory: str = "",
    ) -> None:
        """Make nothing yet.

        Args:
            new_cpu, new_memory, new_region: of the next namespace, as `placement_table` takes them.
            pod_cpu, pod_memory: of the pod that is asked about everywhere, as `fit_table` does.
        """
        self.snapshot = snapshot
        self.earlier = earlier or Earlier(note="No earlier run was asked for.")
        self.group_by = tuple(group_by)
        self.owner_label = owner_label
        self._new = {"new_cpu": new_cpu, "new_memory": new_memory, "new_region": new_region}
        self._pod = {"pod_cpu": pod_cpu, "pod_memory": pod_memory}

    @cached_property
    def _weighed(self) -> tuple[pd.DataFrame, CleanSnapshot]:
        return with_evidence(self.snapshot)

    @cached_property
    def evidence(self) -> pd.DataFrame:
        """Which figures hold, as `with_evidence` returns it."""
        return self._weighed[0]

    @cached_property
    def worst_evidence(self) -> pd.DataFrame:
        """What is known least of each namespace, as `worst_evidence` returns it."""
        return worst_evidence(self.evidence)

    @property
    def clean(self) -> CleanSnapshot:
        """The reading without the samples that cannot be true."""
        return self._weighed[1]

    @cached_property
    def _unadvised(self) -> pd.DataFrame:
        return utilization_table(self.clean, evidence=self.evidence)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Granted, requested and used of each namespace, as `layers_table` returns it."""
        return layers_table(self.clean, self._unadvised, evidence=self.evidence)

    @cached_property
    def utilization(self) -> pd.DataFrame:
        """Requested over hard of every quota value, with verdict and advice."""
        return with_advice(self._unadvised, self.advised)

    @cached_property
    def advised(self) -> pd.DataFrame:
        """The resource that decides what each namespace is advised, as `advised` returns it."""
        return advised(self.layers)

    @cached_property
    def worst(self) -> pd.DataFrame:
        """The value that speaks for each namespace, as `tightest` returns it."""
        return tightest(self.utilization)

    @cached_property
    def changed(self) -> pd.DataFrame:
        """What is new since the earlier run, as `changes_since` returns it."""
        unreachable = self.snapshot.unreachable
        return changes_since(self.utilization, self.earlier, unreachable=unreachable)

    @cached_property
    def daily(self) -> pd.DataFrame:
        """The highest share of each day, as `daily_peaks` returns it."""
        return daily_peaks(self.clean, self.utilization, evidence=self.evidence)

    @cached_property
    def days(self) -> pd.DataFrame:
        """The same, its days counted, as `counted_days` returns it."""
        return counted_days(self.daily)

    @cached_property
    def crossings(self) -> pd.DataFrame:
        """When 90 % and the quota were reached and left, as `crossings_table` returns it."""
        return crossings_table(self.clean, evidence=self.evidence)

    @cached_property
    def layers_by_day(self) -> pd.DataFrame:
        """The layers day by day over all namespaces, as `layers.layers_by_day` returns them."""
        return layers_by_day(self.clean, evidence=self.evidence)

    @cached_property
    def refusals(self) -> pd.DataFrame:
        """Whose pods were refused, as `refusals_table` returns it."""
        return refusals_table(self.snapshot)

    @cached_property
    def fit(self) -> pd.DataFrame:
        """What still fits in quotas and on nodes, as `fit_table` returns it."""
        return fit_table(self.snapshot, utilization=self.utilization, **self._pod)

    @cached_property
    def commitment(self) -> pd.DataFrame:
        """What each cluster has committed, as `commitment_table` returns it."""
        return commitment_table(self.snapshot)

    @cached_property
    def placement(self) -> pd.DataFrame:
        """Which cluster takes the next namespace, as `placement_table` returns it."""
        return placement_table(self.snapshot, **self._new, **self._pod)

    @cached_property
    def sums(self) -> Mapping[str, pd.DataFrame]:
        """The layers by owner, cluster, subscription and label: `by_owner` and the like."""
        return roll_ups(self.layers, self.group_by)

    @cached_property
    def decided(self) -> Decided:
        """What there is to do: no table, but what tables are made of."""
        return decided(self)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """What every namespace needs next, the most urgent first, as `Decided` has it."""
        return self.decided.table

    @cached_property
    def requests(self) -> pd.DataFrame:
        """The part of the steps that a request file can change, with its columns."""
        return step_requests(self.steps, self.snapshot)

    @cached_property
    def owners(self) -> Owners:
        """What is known of each owner, as `owners_of` returns it: what their pages are made of."""
        return owners_of(self)

    def made(self) -> dict[str, pd.DataFrame]:
        """Return by name the tables that were made so far."""
        found = {name: vars(self)[name] for name in self.names if name in vars(self)}
        return {**found, **vars(self).get("sums", {})}

    def all(self) -> dict[str, pd.DataFrame]:
        """Return every table by its name, after making those that nobody asked for yet."""
        for name in (*self.names, "sums"):
            getattr(self, name)
        return self.made()
