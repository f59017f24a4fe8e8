"""Where the guided form of notebook 20 stands: what is written, what is wrong with it, its plan.

Checked by the readers of requests, and by the plan on what was read last. Pure: it is handed what
was read, and asks nobody. What is read, planned anew and written is behind it, `run/guided.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import Any

from mnslib.errors import PARAMETERS, Problem, SpecError
from mnslib.models import NamespaceSpec
from mnslib.provisioning.observe import Missing, ObservedCluster, ObservedState
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.requests import spec
from mnslib.requests.cells import read_pairs
from mnslib.requests.columns import COLUMNS, is_mentioned, written
from mnslib.requests.rules import CellError
from mnslib.resource_ids import CLUSTER_COLUMNS, ID_COLUMNS, ClusterId
from mnslib.show import form_facts
from mnslib.show.displays import Table


class State(StrEnum):
    """Where the form stands."""

    EDITING = "editing"
    INVALID = "invalid"
    PLANNED = "planned"
    STALE = "stale"
    APPROVED = "approved"
    WRITING = "writing"
    DONE = "done"
    PARTLY = "partly"


class Draft:
    """What is written in the form, and what follows from it.

    Attributes:
        values: the notebook's parameters that are request columns, as they are now.
        sizes: the quota values of each tier; `has_tiers` where the run itself names their file.
        busy: what is under way, empty where nothing is.
        message: what was refused last, or what came of it.
        problems, needed: by column, what is wrong with what is written, what is still to be.
        clusters: those to choose from.
        planned, shown: the plan that was made last; its sentence and its table of changes.
        allow: risks whose boxes are ticked.
        told: what each step of the write has shown, None while it is under way.
        directory: the run of the write.
        watch: called whenever something to show has changed, on whatever thread.
    """

    def __init__(
        self, given: Mapping[str, Any], *, rules: Mapping[str, Any], max_commitment: Decimal | None
    ) -> None:
        """Take the parameters of a notebook.

        Args:
            rules: by which requests are read, as `read_specs` takes them.
        """
        self.values = {name: given[name] for name in COLUMNS if name in given}
        self.has_tiers = rules["tiers"] is not None
        self.sizes = form_facts.sizes(rules["tiers"])
        self.busy = self.message = self.saved = self.directory = self._digest = ""
        self.problems: dict[str, str] = {}
        self.needed: dict[str, str] = {}
        self.clusters: dict[ClusterId, form_facts.Choice] = {}
        self.planned: Plan | None = None
        self.shown: tuple[str, Table] | None = None
        self.allow: set[str] = set()
        self.told: dict[str, Any] = {}
        self.watch: list[Callable[[], None]] = []
        self._rules, self._limit = rules, max_commitment
        self._found: dict[ClusterId, Any] = {}
        self._missing: dict[ClusterId, Missing] = {}
        self._preview: Plan | None = None
        self._specs: Sequence[NamespaceSpec] = ()
        self._ended: State | None = None
        self._edition = self._planned_edition = 0

    # What is shown

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._ended or self.problems:
            return self._ended or State.INVALID
        if self.planned is None:
            return State.EDITING
        if self._planned_edition != self._edition:
            return State.STALE
        return State.APPROVED if self._digest else State.PLANNED

    @property
    def stage(self) -> str:
        """The stage where one is, by its class."""
        wrong = self.problems.keys() | self.needed.keys()
        editing = "where" if {*ID_COLUMNS} & wrong else "who" if "access" in wrong else "how-much"
        return {
            State.DONE: "done",
            State.PARTLY: "done",
            State.WRITING: "progress",
            State.APPROVED: "progress",
            State.PLANNED: "approve",
        }.get(self.state, editing if wrong else "plan")

    @property
    def cluster(self) -> ClusterId | None:
        """The cluster that is asked for, None where a part of its id is missing."""
        parts = [str(self.values[name]).strip() for name in CLUSTER_COLUMNS]
        return ClusterId(*parts) if all(parts) else None

    @property
    def _there(self) -> ObservedCluster | None:
        found = self._found.get(self.cluster) if self.cluster else None
        return found if isinstance(found, ObservedCluster) else None

    @property
    def is_locked(self) -> bool:
        """Whether nothing may be edited: a write is approved and under way."""
        return False

    @property
    def may_plan(self) -> bool:
        """Whether a plan can be made of what is written."""
        return self._preview is not None and not self.busy

    @property
    def risks(self) -> tuple[str, ...]:
        """The names of the plan's risks."""
        return self.planned.risk_names() if self.planned else ()

    @property
    def may_approve(self) -> bool:
        """Whether this very plan may be approved: it is fresh, and each of its risks accepted."""
        is_fresh = self.state in (State.PLANNED, State.APPROVED) and not self.busy
        has_changes = self.planned is not None and bool(self.planned.to_do)
        return is_fresh and has_changes and {*self.risks} <= self.allow

    @property
    def name_is(self) -> str:
        """What the name is on that cluster, see `form_facts`."""
        return form_facts.name_is(self._there, str(self.values["namespace_name"]))

    @property
    def rooms(self) -> Mapping[str, Any]:
        """What the cluster has committed before and after, by resource."""
        chosen = self.clusters.get(self.cluster) if self.cluster else None
        return form_facts.rooms(self.cluster, self._preview, chosen)

    @property
    def fit(self) -> form_facts.Fit | None:
        """How many of a first Deployment's pods start; None where the quota is not known."""
        return form_facts.fit(self._there, self._preview)

    def text_of(self, column: str) -> str:
        """Return what a field shows of a parameter."""
        return written(column, self.values[column])

    def read(self, column: str, value: Any) -> Any:
        """Return what a parameter holds where its field says this; a text that is none stays."""
        if column in ("labels", "annotations", "tags") and isinstance(value, str):
            with suppress(CellError):
                return read_pairs(column, value)
        return value

    # What is asked

    def change(self, **values: Any) -> None:
        """Take values of parameters; a plan that was made before is stale then."""
        values = {name: self.read(name, value) for name, value in values.items()}
        if self.is_locked or all(self.values[name] == value for name, value in values.items()):
            return
        self.values |= values
        self._edition += 1
        if self._ended:
            self._ended, self.planned, self.told, self.directory = None, None, {}, ""
        self.message = self.saved = self._digest = ""
        self._check()
        self._changed()

    def choose(self, cluster: str) -> None:
        """Take a cluster by its ARM id; empty for none."""
        none = dict.fromkeys(CLUSTER_COLUMNS, "")
        self.change(**(ClusterId.parse(cluster).columns if cluster else none))

    def size(self, name: str) -> None:
        """Take the values of a size; the tier itself only where the run names a file of tiers."""
        tier = {"tier": name} if self.has_tiers else {}
        self.change(**self.sizes.get(name, {}), **tier)

    def raise_quota(self) -> None:
        """Raise what is too little for a first Deployment, and nothing else."""
        self.change(**(self.fit.raised if self.fit else {}))

    def grant(self, principal: str, role: str) -> None:
        """Give somebody a role by its short name, and the one that fetches the kubeconfig."""
        asked = [f"{principal}={one}" for one in ("namespace-user", role)]
        self.change(access=list(dict.fromkeys([*self.values["access"], *asked])))

    def ungrant(self, principal: str) -> None:
        """Ask for no role of somebody any more; what they have stays."""
        kept = [one for one in self.values["access"] if one.rpartition("=")[0] != principal]
        self.change(access=kept)

    def tick(self, risk: str, *, is_accepted: bool) -> None:
        """Accept a risk of this plan, or not."""
        (self.allow.add if is_accepted else self.allow.discard)(risk)
        self._changed()

    def _check(self) -> None:
        """Say what is wrong, by the readers of requests, and try the plan on what was read."""
        cluster, there = self.cluster, self._there
        found: list[Problem] = []
        self._preview = None
        try:
            self._specs = spec.specs_from_rows([self.values], file=PARAMETERS, **self._rules)
            if cluster and there:
                state = ObservedState(clusters={cluster: there})
                self._preview = make_plan(self._specs, state, max_commitment=self._limit)
        except SpecError as error:
            found += error.problems
        if cluster and cluster in self._missing:
            column, (why, meant) = self._missing[cluster]
            about: dict[str, Any] = {"file": PARAMETERS, "row": None, "column": column}
            found.append(Problem(**about, message=why, suggestion=meant))
        told: dict[bool, dict[str, str]] = {True: {}, False: {}}
        for one in found:
            column = one.column or "namespace_name"
            lines = told[is_mentioned(column, self.values.get(column))]
            lines[column] = " ".join(filter(None, [lines.get(column), one.told("")]))
        self.problems, self.needed = told[True], told[False]

    def _changed(self) -> None:
        for watcher in self.watch:
            watcher()
