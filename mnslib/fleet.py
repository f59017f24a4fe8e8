"""What a person does in a blank notebook: list, read, change and take away managed namespaces.

The library's rooms do the work; here they are put behind a few objects. Every write goes through
plan, approval and journal, and leaves a run like a notebook's. Decides nothing about namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import pandas as pd

from mnslib.capacity.promql import LOOKBACK_DAYS
from mnslib.capacity.tables import Tables
from mnslib.commitment import commitments
from mnslib.errors import (
    REQUESTS,
    ApplyError,
    ArmForbiddenError,
    ConfigError,
    MnsError,
    StalePlanError,
    cut,
    nearest,
)
from mnslib.models import POLICY_FIELDS, ROLE_NAMES, NamespaceSpec
from mnslib.packaged import packaged
from mnslib.provisioning.approval import Approval, Caps, decide
from mnslib.provisioning.observe import ObservedCluster, clusters_of, observe_clusters
from mnslib.provisioning.plan import Plan as Planned
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.principals import with_names
from mnslib.provisioning.risks import read_max_commitment
from mnslib.requests import files, spec
from mnslib.requests.columns import COLUMNS
from mnslib.resource_ids import ID_COLUMNS, ClusterId, ManagedNamespaceId
from mnslib.results import ApplyResult, CheckResult, utc_now
from mnslib.run.cells import watch_cells
from mnslib.run.changing import Changing, checked, identified, observed, rules
from mnslib.run.handover import kubeconfig_text
from mnslib.run.parameters import refused_values
from mnslib.run.progress import watched
from mnslib.run.project import existing_file, write_whole
from mnslib.run.targets import Target, open_target
from mnslib.show.displays import Callout, Sentence, Shown, Stack
from mnslib.show.plans import changes_table, outcome_report, plan_report, sheet_note
from mnslib.show.tables import told

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.requests.policy import Policy

OLDEST_READING = timedelta(minutes=5)
"""What was read longer ago is read again before it is written over; our choice."""

STEP_MINUTES = 60
"""Distance of two samples of usage, as notebook 40 has it."""

MOST_CANDIDATES = 20
"""Names that an error lists; our choice."""


def connect(
    target: str = "sandbox",
    *,
    subscription_ids: Sequence[str] = (),
    clusters: Sequence[str] = (),
    credential: str = "default",
    cloud: str = "public",
    tiers_file: str = "",
    policy_file: str = "",
    verify_principals: bool = True,
    max_commitment: str = "1.5",
    runs_dir: str = "runs",
    owner_label: str = "owner",
    history: str = "auto",
    prometheus_endpoint: str = "",
) -> Fleet:
    """Return the clusters of a scope; reads and writes nothing yet.

    Args:
        target: `sandbox`, which is started if need be, or `azure`.
        subscription_ids: whose clusters to work on; on the sandbox none means all.
        clusters: ARM ids of the only clusters to work on.
        credential: `default`, `environment`, `workload-identity`, `managed-identity` or `cli`.
        cloud: `public`, `usgov` or `china`; not used on the sandbox.
        tiers_file: named sizes that requests may use; as all files here, from the working folder.
        policy_file: rules that every request has to keep to.
        verify_principals: look up in the directory whom `access` names; False for callers who may
            not read it, who then write object ids.
        max_commitment: how often a cluster may commit what its nodes give; empty for no limit.
        runs_dir: where each apply leaves its run.
        owner_label: label that names a namespace's owner.
        history: `auto`, `azure-monitor`, `prometheus` or `none`: where usage is read.
        prometheus_endpoint: the query endpoint of that history.

    Raises:
        ConfigError: if a word does not exist, a file is missing, or nothing says where to look.
    """
    watch_cells()
    here = Path.cwd()
    settings: dict[str, Any] = {
        "target": target,
        "cloud": cloud,
        "credential": credential,
        "tiers_file": tiers_file and str(existing_file("tiers_file", tiers_file, here)),
        "policy_file": policy_file and str(existing_file("policy_file", policy_file, here)),
        "verify_principals": verify_principals,
        "max_commitment": max_commitment,
        "runs_dir": str(Path(runs_dir).expanduser().absolute()),
        "owner_label": owner_label,
        "history": history,
        "prometheus_endpoint": prometheus_endpoint,
    }
    given = {"subscription_ids": subscription_ids, "clusters": clusters}
    where = {name: _texts(name, ids) for name, ids in given.items()}
    if refused := refused_values(settings | where):
        raise ConfigError("\n".join(refused.values()))
    opened = open_target(target, cloud=cloud, credential=credential)
    opened.prometheus(history, prometheus_endpoint)  # refuses at once what cannot be asked
    subscriptions, ids = opened.scope(**where)
    return Fleet(settings, opened, tuple(subscriptions), tuple(ids))


@dataclass(repr=False, eq=False)
class Fleet:
    """The clusters of a scope and the managed namespaces on them."""

    _settings: Mapping[str, Any]
    _opened: Target | None
    _subscription_ids: Sequence[str]
    _clusters: Sequence[ClusterId]

    @property
    def _target(self) -> Target:
        if self._opened is None:
            raise ConfigError("This fleet was closed: mns.connect(...) opens it again.")
        return self._opened

    def __repr__(self) -> str:
        where = [f"{len(self._subscription_ids)} subscriptions"] if self._subscription_ids else []
        where += [f"{len(self._clusters)} clusters"] if self._clusters else []
        return f"<Fleet: {self._settings['target']}, {', '.join(where)}>"

    def close(self) -> None:
        """Close the connections; for a program that goes on without it."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def clusters(self) -> pd.DataFrame:
        """Return one row per cluster: what it is, what it has committed, or why it cannot be read.

        Cores and bytes. `reason` is empty where all of it was read; a cluster whose Kubernetes API
        does not answer has its ARM columns and a reason.

        Raises:
            MnsError: if no cluster can be read.
        """
        limit = read_max_commitment(self._settings["max_commitment"])
        rows = []
        for cluster_id, found in self._read().items():
            row = dict[str, Any](cluster_id.columns)
            rows.append(row)
            if isinstance(found, MnsError):
                row["reason"] = str(found)
                continue
            row |= {column: getattr(found.cluster, name) for column, name in _OF_CLUSTER.items()}
            row["managed_namespaces"] = len(found.managed)
            row["reason"] = "" if found.kubernetes else found.kubernetes_unknown
            if (view := found.kubernetes) is None:
                continue
            sums = commitments(
                nodes=view.nodes, quotas=view.quotas, pods=view.pods, max_ratio=limit
            )
            for resource, one in sums.items():
                row |= {f"{resource}_{name}": float(getattr(one, name)) for name in _OF_COMMITMENT}
                row["nodes_left_out"] = one.nodes_left_out
        return _Wide(rows, columns=_COLUMNS["clusters"])

    def namespaces(self, *, all: bool = False) -> pd.DataFrame:
        """Return one row per managed namespace; a cluster that cannot be read is a row with why.

        Cores and bytes; labels, annotations and tags are mappings.

        Args:
            all: the cluster's other namespaces, too; `is_managed` says which is which.

        Raises:
            MnsError: if no cluster can be read.
        """
        rows: list[dict[str, Any]] = []
        for cluster, found in self._read(with_kubernetes=all).items():
            if isinstance(found, MnsError):
                rows.append(cluster.columns | {"reason": str(found)})
                continue
            managed, seen = found.managed, found.kubernetes
            there: list[Any] = [
                (one.id.namespace_name, one, True) for _, one in sorted(managed.items())
            ]
            if all and seen is not None:
                others = sorted(seen.namespaces.items())
                there += [(name, one, False) for name, one in others if name not in managed]
            for name, one, is_managed in there:
                row = cluster.namespace(name).columns | {
                    "is_managed": is_managed,
                    "labels": dict(one.labels),
                    "annotations": dict(one.annotations),
                    "owner": one.labels.get(self._settings["owner_label"], ""),
                    "reason": "",
                }
                rows.append(row)
                if is_managed:
                    row |= {name: float(amount) for name, amount in one.quota.items()}
                    row |= {name: _word(getattr(one, name)) for name in POLICY_FIELDS}
                    row |= {"tags": dict(one.tags), "provisioning_state": one.provisioning_state}
            if all and seen is None:
                rows.append(cluster.columns | {"reason": found.kubernetes_unknown})
        return _Wide(rows, columns=_COLUMNS["namespaces"])

    def namespace(
        self, cluster: str, name: str, *, resource_group: str = "", subscription_id: str = ""
    ) -> Namespace:
        """Return the managed namespace of that name.

        Args:
            cluster: its cluster's name or ARM id.
            resource_group, subscription_id: which cluster of that name is meant.

        Raises:
            ConfigError: if it is not there, or several are; names the candidates.
            ArmError: if Azure refuses or cannot be reached.
        """
        azure = self._target.azure
        found = self._cluster(cluster, resource_group, subscription_id)
        there = {
            one.id.namespace_name: one.id
            for one in azure.managed_namespaces.list_by_managed_cluster(found)
        }
        if name not in there:
            near = _candidates(name, there, there)
            what = {"name": cut(name, 80), "cluster": found.cluster_name, "near": near}
            raise ConfigError(_message("no_namespace", **what))
        return Namespace(self, there[name])

    def plan(self, requests: str | Path | pd.DataFrame | Sequence[Mapping[str, Any]]) -> Plan:
        """Return what would change so that what is there is as requested; writes nothing.

        Args:
            requests: a request file (CSV, XLSX, YAML), or a DataFrame or a list of mappings with
                the columns of one. An empty cell leaves a value as it is.

        Raises:
            SpecError: with every mistake in the requests.
            PreflightError: if a cluster cannot take them.
            ArmError: if Azure refuses or cannot be reached.
        """
        asked = {name: self._settings[name] for name in ("tiers_file", "policy_file")}
        read_by = rules(self._target, **asked)
        if not isinstance(requests, str | Path):
            rows = _rows(requests)
            specs = spec.specs_from_rows(rows, file=REQUESTS, **read_by)
            return self._plan(specs, rows, policy=read_by["policy"])
        path = Path(requests).expanduser().absolute()
        data = files.read_bytes(path)
        specs = spec.parse_requests(path, data=data, **read_by)
        cells = [row for _, row in files.read_rows(path, data).rows]
        rows = [{k: cell for k, cell in row.items() if k in COLUMNS} for row in cells]
        return self._plan(specs, rows, policy=read_by["policy"])

    def usage(self, days: int = 30, **questions: Any) -> Usage:
        """Read what is requested and used, now and over the days before; writes nothing.

        Args:
            days: of history, one sample an hour.
            questions: `group_by`, `new_cpu`, `new_memory`, `new_region`, `pod_cpu` and
                `pod_memory`, as notebook 40 takes them.

        Raises:
            ConfigError: if there can be no such history, or no such question.
            MnsError: if no cluster can be read.
        """
        from mnslib.run.reading import OF_TABLES

        if unknown := sorted(questions.keys() - set(OF_TABLES)):
            known = ", ".join(OF_TABLES)
            raise ConfigError(f"usage takes no {', '.join(unknown)}: write days, {known}.")
        owner = self._settings["owner_label"]
        return Usage(self._snapshot(self._clusters, days), owner_label=owner, **questions)

    def _snapshot(self, clusters: Sequence[ClusterId], days: int) -> Snapshot:
        from mnslib.run.reading import read_usage

        least, most = LOOKBACK_DAYS
        if type(days) is not int or not least <= days <= most:
            raise ConfigError(f"days is {days!r}: write a whole number, {least} to {most}.")
        asked = {
            **self._settings,
            "subscription_ids": self._subscription_ids,
            "clusters": [str(one) for one in clusters],
            "inventory": "azure",
            "prometheus_token_env": "",
            "lookback_days": days,
            "step_minutes": STEP_MINUTES,
        }
        snapshot = read_usage(self._target, asked)
        if not snapshot.quotas:
            _refuse_all([f"{name}: {why}" for name, why in snapshot.unreachable.items()])
        return snapshot

    def _plan(
        self,
        specs: Sequence[NamespaceSpec],
        rows: Sequence[Mapping[str, Any]],
        *,
        policy: Policy | None = None,
    ) -> Plan:
        read_at, verify = utc_now(), self._settings["verify_principals"]
        specs, who = identified(specs, self._target, verify_principals=verify, policy=policy)
        there = observed(specs, self._target, who=who)
        checks = checked(specs, there)
        limit = read_max_commitment(self._settings["max_commitment"])
        planned = make_plan(specs, there, max_commitment=limit)
        return Plan(self, specs, rows, planned, checks, read_at)

    def _read(self, *, with_kubernetes: bool = True) -> dict[ClusterId, ObservedCluster | MnsError]:
        azure = self._target.azure
        listed = {} if self._clusters else clusters_of(azure, self._subscription_ids)
        found = observe_clusters(
            dict.fromkeys(self._clusters or listed, ()),
            azure=azure,
            known=listed,
            kube_for=self._target.kube_for if with_kubernetes else None,
            now=utc_now,
            watched=watched,
        )
        reasons = [str(one) for one in found.values() if isinstance(one, MnsError)]
        if len(reasons) == len(found):
            _refuse_all(reasons)
        return found

    def _cluster(self, cluster: str, resource_group: str, subscription_id: str) -> ClusterId:
        there = list(self._clusters or clusters_of(self._target.azure, self._subscription_ids))
        asked = {"resource_group": resource_group, "subscription_id": subscription_id}
        narrowed = {name: value for name, value in asked.items() if value}
        found = [
            one
            for one in there
            if cluster.lower() in (one.cluster_name.lower(), one.key)
            and all(getattr(one, n).lower() == value.lower() for n, value in narrowed.items())
        ]
        if len(found) == 1:
            return found[0]
        wanted = cut(cluster, 200)
        if found:
            ids = ", ".join(map(str, found))
            raise ConfigError(_message("ambiguous", name=wanted, count=len(found), ids=ids))
        where = "".join(f" with {name} {cut(v, 90)!r}" for name, v in narrowed.items())
        near = _candidates(cluster, [one.cluster_name for one in there], there)
        raise ConfigError(f"There is no cluster {wanted!r}{where} here. {near}")


@dataclass(frozen=True, repr=False, eq=False)
class Namespace:
    """One managed namespace."""

    _fleet: Fleet
    id: ManagedNamespaceId

    def __repr__(self) -> str:
        return f"<Namespace {self.id.namespace_name} on {self.id.cluster.cluster_name}>"

    def change(self, **columns: Any) -> Plan:
        """Return the plan of a change: what is not named stays as it is; writes nothing.

        Args:
            columns: columns of a request file, such as `cpu_request`, `labels`, `access`; labels,
                annotations and tags as mappings, None in them removes the key.

        Raises:
            SpecError: with every mistake.
        """
        own = self.id.columns
        if taken := sorted(columns.keys() & own.keys()):
            raise ConfigError(f"{', '.join(taken)}: {self!r} is the one that is changed.")
        return self._fleet.plan([own | columns])

    def delete(self) -> Plan:
        """Return the plan of taking it out of ARM; its delete policy says what stays inside."""
        return self.change(ensure="absent")

    def grant(self, principal: str, role: str) -> Plan:
        """Return the plan of a role assignment on it.

        Args:
            principal: `group:<name or object id>`, `user:...` or `sp:...`.
            role: `namespace-user`, `reader`, `writer`, `admin`, `contributor` or the full name.
        """
        return self.change(access=[f"{principal}={role}"])

    def revoke(self, principal: str, role: str) -> Plan:
        """Return the plan of taking away a role assignment on it, whoever made it.

        Args:
            principal, role: as `grant` takes them.

        Raises:
            SpecError: if the principal has the role by an assignment further up; names its scope.
        """
        return self.change(access=[f"{principal}={role}-"])

    def access(self) -> pd.DataFrame:
        """Return one row per role assignment that acts on it, with the scope it is made at.

        `is_inherited` ones are made above it and act on more than this namespace; `principal` is
        whose it is by name, or `unknown: <reason>`.

        Raises:
            ArmError: if Azure refuses or cannot be reached.
        """
        azure, cluster = self._fleet._target.azure, self.id.cluster
        own, roles = self.id.own_scopes, ROLE_NAMES | told("roles")
        rows = [
            asdict(held)
            | {
                "role": roles.get(held.role_guid.lower(), held.role_guid),
                "is_inherited": held.scope.lower() not in own,
            }
            for held in azure.role_assignments.list_for_subscription(cluster.subscription_id)
            if held.scope.lower() in own or self.id.is_below(held.scope)
        ]
        names = self._names({row["principal_id"] for row in rows})
        rows = [row | {"principal": names(row["principal_id"])} for row in rows]
        rows.sort(key=lambda row: (row["is_inherited"], row["role"], row["principal_id"]))
        columns = ["principal", "principal_type", "principal_id", "role", "scope", "is_inherited"]
        return _Wide(rows, columns=[*columns, "id"])

    def _names(self, ids: Iterable[str]) -> Callable[[str], str]:
        """Return what says how a principal is called, or why that is unknown."""
        fleet = self._fleet
        if not fleet._settings["verify_principals"]:
            return lambda _: "unknown: verify_principals is False"
        try:
            found = fleet._target.azure.directory.by_ids(ids)
        except ArmForbiddenError:  # roles are worth reading without the names
            return lambda _: "unknown: you may not read the directory"
        gone = "unknown: the directory has nobody of that id"
        return lambda guid: found[guid.lower()].name if guid.lower() in found else gone

    def usage(self, days: int = 30) -> pd.DataFrame:
        """Return its hard quota, requests and use: UTC times x (resource, layer), cores and bytes.

        A row stands for the hour that ends at its time; NaN is no sample, never zero.

        Args:
            days: of history.

        Raises:
            ConfigError: if there can be no such history.
            MnsError: if its cluster or the history cannot be read.
        """
        from mnslib.capacity.evidence import with_evidence

        cluster, name = self.id.cluster.cluster_name, self.id.namespace_name
        read = self._fleet._snapshot([self.id.cluster], days)
        if read.no_history or (read.used.columns.empty and read.usage_cpu.columns.empty):
            reason = read.no_history.get(cluster, "") or read.history_note
            raise MnsError(f"There is no history of {name} on {cluster}: {reason}")
        _, snapshot = with_evidence(read)
        found = {}
        for resource, usage in (("cpu", snapshot.usage_cpu), ("memory", snapshot.usage_memory)):
            key = (cluster, name, f"requests.{resource}")
            # what pods request stands for a counter that does not count, as in `layers`
            counter = snapshot.used.get(key)
            is_counted = counter is not None and counter.notna().any()
            found[resource, "hard"] = snapshot.hard.get(key)
            found[resource, "requested"] = counter if is_counted else snapshot.requested.get(key)
            found[resource, "usage"] = usage.get(key[:2])
        frame = pd.DataFrame(found, index=snapshot.used.index, dtype=float)
        return frame.rename_axis(columns=["resource", "layer"])

    def kubeconfig(self, path: str | Path | None = None) -> str | Path:
        """Return its kubeconfig, which holds no secret; with a path, the file it is written to.

        Args:
            path: a file that only its owner may read (mode 0600); replaced if it is there.

        Raises:
            MnsError: if Azure gives none.
        """
        fleet = self._fleet
        text = kubeconfig_text(self.id, fleet._target, cloud=fleet._settings["cloud"])
        if path is None:
            return text
        file = Path(path).expanduser().absolute()
        try:
            write_whole(file, text, mode=0o600)
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error
        return file


class Usage(Tables):
    """What one reading says: its tables as attributes, each made on first use and kept.

    They bear the names and columns of notebook 40's CSV files; `dir(usage)` lists them. Those by
    owner, cluster and label are in `sums`.
    """

    def __dir__(self) -> list[str]:
        return sorted({*self.names, "sums", "show"})

    def __repr__(self) -> str:
        read = self.snapshot
        return f"<Usage of {len(read.namespaces)} namespaces: {read.history}>"

    def show(self, name: str) -> Stack:
        """Return the answer to one question: the finding, its picture and its table.

        Args:
            name: such as `decisions`, `utilization`, `efficiency`, `blocked` or `clusters`.

        Raises:
            ConfigError: if there is no such view; names those that are.
        """
        from mnslib.show.show import show

        where = Sentence("tables/<name>.csv is usage.<name> here: nothing was written.")
        return Stack((*show(self, name).parts, where))


class _Wide(pd.DataFrame):
    """A table whose text has every column and all of each cell; what is made of it is pandas'."""

    def __repr__(self) -> str:
        width = get_terminal_size().columns
        return self.to_string(max_rows=pd.get_option("display.max_rows"), line_width=width)


@dataclass(repr=False, eq=False)
class Plan(Shown):
    """What would change, and the way to have it done; shows itself in a notebook.

    Attributes:
        requests: the checked requests it was made from.
    """

    _fleet: Fleet
    requests: Sequence[NamespaceSpec]
    _rows: Sequence[Mapping[str, Any]]
    _planned: Planned
    _checks: Sequence[CheckResult]
    _read_at: datetime

    @property
    def digest(self) -> str:
        """What `apply` takes to know that this very plan was read."""
        return self._planned.digest

    @property
    def changes(self) -> pd.DataFrame:
        """One row per field that changes; a namespace without one has a row of its own.

        `principal` is whom a role goes to, or is taken from.
        """
        rows: list[dict[str, Any]] = []
        who = self._planned.observed.principals
        for change in self._planned.changes:
            own = change.id.columns | {"change": change.kind.value, "field": ""}
            rows += [
                own
                | {"field": one.path, "before": one.old, "after": one.new}
                | ({"principal": with_names(one.key, who)} if one.is_access else {})
                for one in change.differences
            ] or [own]
        columns = [*ID_COLUMNS, "change", "field", "before", "after", "principal"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def risks(self) -> pd.DataFrame:
        """One row per risk, to be named in `allow`; those of the whole plan have no namespace."""
        found: list[Any] = [({"namespace_name": ""}, risk) for risk in self._planned.plan_risks]
        found += [(one.id.columns, risk) for one in self._planned.changes for risk in one.risks]
        who = self._planned.observed.principals
        rows = [
            own | {"risk": risk.name.value, "detail": with_names(risk.detail, who)}
            for own, risk in found
        ]
        return pd.DataFrame(rows, columns=[*ID_COLUMNS, "risk", "detail"])

    def apply(
        self,
        *,
        approve: str = "",
        allow: Sequence[str] = (),
        max_changes: str = "",
        max_deletions: str = "",
        max_failures: str = "",
    ) -> Result:
        """Carry the plan out and return what came of it, as one run below `runs_dir`.

        What was read more than five minutes ago, or applied before, is read again first.

        Args:
            approve: the digest of the plan that was read.
            allow: names of the risks that are accepted.
            max_changes, max_deletions, max_failures: caps, such as `50` or `20%`; empty for none.

        Raises:
            StalePlanError: if `approve` is not the digest of the present plan.
            UnsafePlanError: if a risk is not allowed, or a cap is exceeded.
            LockedError: if another run writes to the same clusters.
            ApplyError: if something is not as requested; its `result` says what.
        """
        caps = Caps(
            max_changes=str(max_changes),
            max_deletions=str(max_deletions),
            max_failures=str(max_failures),
        )
        accepted = _texts("allow", allow)
        plan, approval = self._approved(approve, accepted, caps)
        self._read_at = datetime.min.replace(tzinfo=UTC)
        settings = {name: self._fleet._settings[name] for name in _OF_RUN}
        run = Changing.of_plan(
            approval,
            target=self._fleet._target,
            specs=plan.requests,
            rows=plan._rows,
            checks=plan._checks,
            parameters={**settings, "allow": accepted, **asdict(caps)},
        )
        try:
            run.carry_out()
        except ApplyError as error:
            error.result = run.result and Result(run.result, run.status.value, run.directory)
            raise
        assert run.result is not None
        return Result(run.result, run.status.value, run.directory)

    def _approved(self, digest: str, allow: list[str], caps: Caps) -> tuple[Plan, Approval]:
        """Return the present plan, and the decision to write it; refuses another than was read."""
        if digest != self.digest:
            given = f"approve is {cut(str(digest), 80)!r}" if digest else "approve is empty"
            raise StalePlanError(_message("not_read", given=given, digest=self.digest))
        plan = self
        if utc_now() - self._read_at > OLDEST_READING:
            plan = self._fleet._plan(self.requests, self._rows)
        if digest != plan.digest:
            raise StalePlanError(_message("changed"))
        approval = decide(
            plan._planned,
            dry_run=False,
            approval="digest",
            approved_digest=digest,
            allow=allow,
            caps=caps,
        )
        return plan, approval

    def _shown(self) -> Stack:
        if not self.requests:
            return Stack((Sentence("Nothing to do: there are no rows."),))
        to_do = self._planned.to_do
        changes = [changes_table(self._planned, exact="plan.changes")] if to_do else []
        digest = Callout(title="Digest, for apply(approve=...)", code=self.digest)
        note = sheet_note(self.requests) or None
        return Stack((note, *plan_report(self._planned).parts, *changes, digest))


@dataclass(frozen=True, repr=False, eq=False)
class Result(Shown):
    """What came of a plan; shows itself in a notebook.

    Attributes:
        status: how it ended, as in the run's record: `done`, `findings` (a check warned), `partly`,
            `failed`, `interrupted`.
        directory: of the run, for `mns resume` and `mns undo`.
    """

    _applied: ApplyResult
    status: str
    directory: Path

    @property
    def outcomes(self) -> pd.DataFrame:
        """One row per namespace, as `result.json` has it."""
        rows = [item.to_json() for item in self._applied.outcomes]
        return pd.DataFrame([row | {"risks": ", ".join(row["risks"])} for row in rows])

    def _shown(self) -> Stack:
        run = Callout(
            title=f"{self.status.capitalize()}: the run's directory", code=str(self.directory)
        )
        return Stack((*outcome_report(self._applied).parts, run))


_COLUMNS = packaged("mnslib", "fleet")
_OF_RUN, _OF_CLUSTER = _COLUMNS["of_run"], _COLUMNS["of_cluster"]
_OF_COMMITMENT = ("allocatable", "committed", "headroom")


def _message(key: str, **values: object) -> str:
    return str(_COLUMNS["messages"][key]).format(**values)


def _refuse_all(reasons: Sequence[str]) -> None:
    if reasons:
        raise MnsError(f"None of {len(reasons)} clusters can be read. The first: {reasons[0]}")


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _rows(requests: Any) -> list[dict[str, Any]]:
    """Return requests as mappings of plain values; what a caller changes later is no part."""
    if isinstance(requests, pd.DataFrame):
        if twice := sorted({str(n) for n in requests.columns[requests.columns.duplicated()]}):
            raise ConfigError(f"requests: the columns {', '.join(twice)} are there twice.")
        rows = requests.to_dict("records")
        requests = [{n: cell for n, cell in row.items() if cell is not None} for row in rows]
    if not isinstance(requests, list | tuple) or not all(
        isinstance(row, Mapping | pd.Series) for row in requests
    ):
        raise ConfigError(_message("no_requests", columns=", ".join(COLUMNS)))
    return [
        {  # numpy's values have `tolist`
            str(name): cell.tolist() if hasattr(cell, "tolist") else deepcopy(cell)
            for name, cell in row.items()
            # NaN, NaT and NA are an empty cell; None is one in a table only
            if cell is None or not pd.api.types.is_scalar(cell) or not pd.isna(cell)
        }
        for row in requests
    ]


def _candidates(wanted: str, names: Iterable[str], listed: Iterable[object]) -> str:
    """Return which name was probably meant, and what there is."""
    known, near = sorted(map(str, listed)), nearest(wanted, names)
    more = f" and {len(known) - MOST_CANDIDATES} more" if len(known) > MOST_CANDIDATES else ""
    said = f"There are: {', '.join(known[:MOST_CANDIDATES])}{more}." if known else "None is there."
    return f"Did you mean {near}? {said}" if near else said


def _texts(name: str, values: Sequence[str]) -> list[str]:
    if isinstance(values, str):
        raise ConfigError(f"{name} is {cut(values, 90)!r}: write a list.")
    return [str(value) for value in values]
