"""What the cells of a notebook call: `connect`, then one step of the run after the other.

A step reads or writes through the library's rooms and shows progress; it decides nothing about
namespaces, those decisions are in `provisioning` and `capacity`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.errors import PARAMETERS, ConfigError, MnsError, cut
from mnslib.progress import progress_bar, progress_lines
from mnslib.project import find_project_root, read_result, resolve_path, write_whole
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.results import ApplyResult, CheckResult, utc_text
from mnslib.session import Session
from mnslib.targets import Target, metrics_alone, open_target

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.capacity.changed import Earlier
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.models import NamespaceSpec
    from mnslib.provisioning.approval import Approval
    from mnslib.provisioning.observed import ObservedState
    from mnslib.provisioning.plan import Plan
    from mnslib.provisioning.resume import EarlierRun, Rest
    from mnslib.reporting.charts import Chart
    from mnslib.reporting.displays import Cell, Table

SNAPSHOT_FOLDER = "snapshot"
"""Of a run directory: what a reading notebook has read, for `snapshot_run`."""


def connect(notebook: str, cells: Mapping[str, Any]) -> Notebook:
    """Return the run of a notebook, with its run directory made and its target chosen.

    Starts the sandbox where that is the target; signs in nowhere yet.

    Args:
        notebook: its name without ending, such as `30_provision_in_bulk`.
        cells: its `globals()`.

    Raises:
        ConfigError: if a parameter has an unknown name or a value that does not exist.
    """
    return Notebook(notebook, cells)


class Notebook(Session):
    """One run of one notebook: the steps that its cells call, in the order of the story."""

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        super().__init__(notebook, cells)
        self._cloud = str(self.parameters["cloud"])
        self._offline = str(self.parameters.get("snapshot_run", ""))
        if not self._offline:
            _ = self.target  # a word that does not exist is refused here, not by a later cell
        self._requests = self.directory / "requests"
        self._earlier: EarlierRun | None = None
        self._earlier_directory = self.directory
        self._rest: Rest | None = None
        self._tables: dict[str, pd.DataFrame] = {}

    @cached_property
    def target(self) -> Target:
        """The way to Azure or to the sandbox; a run that analyzes an earlier one never takes it."""
        return open_target(
            str(self.parameters["target"]),
            cloud=self._cloud,
            credential=str(self.parameters["credential"]),
        )

    # Steps of notebooks that change something

    def load_requests(
        self, request_file: str, *, tiers_file: str = "", policy_file: str = ""
    ) -> tuple[NamespaceSpec, ...]:
        """Return the requests of a file, all checked, and keep a copy of it with the run.

        Raises:
            ConfigError: if there is no such file.
            SpecError: with every mistake of it.
        """
        from mnslib.requests.spec import parse_requests

        path = _existing("request_file", request_file)
        specs = parse_requests(path, **_rule_files(tiers_file, policy_file))
        self._requests = self.directory / f"requests{path.suffix.lower()}"
        shutil.copyfile(path, self._requests)
        return specs

    def request(
        self, *, tiers_file: str = "", policy_file: str = "", **columns: Any
    ) -> tuple[NamespaceSpec, ...]:
        """Return the one request that the notebook's parameters make, checked like a file's."""
        from mnslib.requests.spec import specs_from_rows

        rules = _rule_files(tiers_file, policy_file)
        return specs_from_rows([columns], file=PARAMETERS, **rules)

    def resume(self, specs: Sequence[NamespaceSpec], resume_run: str) -> Table:
        """Return how far the run that is resumed had come, once nobody writes any more.

        Args:
            resume_run: name or path of its directory; empty where the run starts anew.

        Raises:
            ConfigError: if there is no such run, or it wrote nothing.
            StalePlanError: if the requests are about other namespaces than it planned.
        """
        from mnslib.provisioning.resume import read_earlier, require_same_requests
        from mnslib.reporting.displays import Table
        from mnslib.runs import find_run, wait_for_writers

        rows: list[list[Cell]] = []
        if resume_run:
            runs_dir = self.directory.parent
            find_run(resume_run, runs_dir=runs_dir)
            wait_for_writers(
                {spec.id.cluster for spec in specs},
                run_directory=self.directory,
                now=_now(),
                tell=lambda sentence: sys.stderr.write(f"{sentence}\n"),
            )
            # after the wait: whoever was waited for may have gone on with it
            directory = self._earlier_directory = find_run(resume_run, runs_dir=runs_dir)
            earlier = self._earlier = read_earlier(directory)
            require_same_requests(specs, earlier)
            torn = ", its last line cut off" if earlier.is_torn else ""
            rows = [
                ["Run", directory.name],
                ["Approved plan", earlier.digest],
                ["Finished", f"{earlier.finished} of {len(earlier.items)} items"],
                ["Journal", f"{JOURNAL_NAME}{torn}"],
            ]
        return Table(columns=["Resumed", ""], rows=rows, empty="A new run: nothing is resumed.")

    def observe(
        self, specs: Sequence[NamespaceSpec], *, known: ObservedState | None = None
    ) -> ObservedState:
        """Return what is there, in Azure and on the clusters; `known` spares reading clusters."""
        from mnslib.provisioning.observe import observe

        azure, kube_for = self.target.azure, self.target.kube_for
        observed = observe(specs, azure=azure, kube_for=kube_for, now=_now, known=known)
        if self._earlier is None or known is not None:
            return observed
        from mnslib.provisioning.resume import read_in_flight

        return read_in_flight(observed, self._earlier, azure=azure)

    def preflight(
        self, specs: Sequence[NamespaceSpec], observed: ObservedState
    ) -> tuple[CheckResult, ...]:
        """Return the checks; raises PreflightError if one failed."""
        from mnslib.provisioning.preflight import preflight, require_passed

        checks = preflight(specs, observed)
        require_passed(checks)
        return checks

    def plan(
        self, specs: Sequence[NamespaceSpec], observed: ObservedState, *, max_commitment: str
    ) -> Plan:
        """Return what would change, after writing it to `plan.json`.

        Of a resumed run: what is left to change, under the digest that was approved.

        Args:
            max_commitment: how often a cluster may promise what its nodes give; empty for no limit.
        """
        from mnslib.provisioning.effect import read_max_commitment
        from mnslib.provisioning.plan import make_plan, plan_to_json
        from mnslib.provisioning.resume import plan_rest

        limit = read_max_commitment(max_commitment)
        if self._earlier is None:
            plan = make_plan(specs, observed, max_commitment=limit)
        else:
            self._rest = plan_rest(specs, observed, self._earlier, max_commitment=limit)
            plan = self._rest.plan
        content = plan_to_json(plan, created_utc=utc_text(_now()))
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_whole(self.directory / "plan.json", text + "\n")
        return plan

    def require_approval(
        self,
        plan: Plan,
        *,
        dry_run: bool,
        approval: str,
        approved_digest: str,
        allow: Sequence[str],
        **caps: str,
    ) -> Approval:
        """Return the decision on the plan; raises PlanError if it may not be applied as asked.

        Args:
            caps: `max_changes`, `max_deletions` and `max_failures`; none of them for a notebook
                about one namespace.
        """
        from mnslib.provisioning.approval import Caps, decide

        limits = Caps(**caps) if caps else None
        if limits is not None and self._earlier is not None:
            limits = limits.as_counts(len(self._earlier.items))
        return decide(
            plan,
            dry_run=dry_run,
            approval=approval,
            approved_digest=approved_digest,
            allow=list(allow),
            caps=limits,
        )

    def apply(self, approval: Approval, **settings: Any) -> ApplyResult:
        """Return one outcome per request; shows progress; keeps the journal.

        Args:
            settings: `max_parallel_per_cluster`, as `provisioning.apply` takes it.
        """
        from mnslib.provisioning.apply import apply
        from mnslib.provisioning.journal import Journal
        from mnslib.runs import continue_journal, only_writer

        journal = Journal(self.directory / JOURNAL_NAME, now=_now)
        carry_out = partial(
            apply,
            approval,
            azure=self.target.azure,
            kube_for=self.target.kube_for,
            journal=journal,
            observer=progress_lines() if self.is_headless else progress_bar(),
            **settings,
        )
        if not approval.may_write:
            self.result = carry_out()
            return self.result
        clusters = {change.id.cluster for change in approval.plan.to_do}
        with only_writer(clusters, run_directory=self.directory, now=_now()):
            if self._rest is not None:
                continue_journal(self._earlier_directory, self.directory, now=_now)
                for outcome in self._rest.decided:
                    journal.write("finished", **outcome.to_json())
            result = carry_out()
        self.result = self._rest.complete(result) if self._rest else result
        return self.result

    def timeline(self, plan: Plan, result: ApplyResult) -> Chart | None:
        """Return the picture of when each change was written and ended; None after a dry run."""
        from mnslib.provisioning.journal import read_events
        from mnslib.provisioning.timeline import read_timeline
        from mnslib.reporting.charts import bulk_timeline

        if result.is_dry_run:
            return None
        events, _ = read_events(self.directory / JOURNAL_NAME)
        throttle = self.target.azure.throttle
        paces = {
            cluster: throttle.pace("PUT", str(cluster.namespace("any")))
            for cluster in plan.observed.clusters
        }
        return bulk_timeline(read_timeline(events), moment=self.started, paces=paces)

    def read_back(
        self, specs: Sequence[NamespaceSpec], plan: Plan, result: ApplyResult
    ) -> tuple[ApplyResult, Plan]:
        """Return the outcomes as they read back, and the plan that is still open.

        One list per cluster, every field compared; what was reported as done is planned again,
        which must find nothing. After a dry run the plan itself is what is open.
        """
        from mnslib.provisioning.verify import plan_again, read_back, read_disputed

        if result.is_dry_run:
            return result, plan
        again = self.observe(specs, known=plan.observed)
        again = read_disputed(plan, result, again=again, azure=self.target.azure)
        checked = self.result = read_back(plan, result, again=again)
        return checked, plan_again(specs, checked, again=again)

    def give_back(self, specs: Sequence[NamespaceSpec], result: ApplyResult) -> Table:
        """Return where the request file was written with what came of each of its rows."""
        from mnslib.reporting.displays import Table
        from mnslib.requests.answer import answered_file

        outcomes = {item.id.key: item for item in result.outcomes}
        answers = {spec.origin.row: outcomes[spec.id.key] for spec in specs if spec.origin.row}
        try:
            suffix, content = answered_file(self._requests, answers)
            write_whole(self._requests.with_suffix(suffix), content)
            rows: list[list[Cell]] = [[f"requests{suffix}", len(answers), len(result.unfinished)]]
        except Exception as error:  # what was done stands, and is in the record all the same
            rows = [[f"not written: {cut(f'{type(error).__name__}: {error}')}", None, None]]
        return Table(
            columns=["File", "Rows", "Not as requested"],
            rows=rows,
            caption="The request file with status, outcome, duration and message of each row",
        )

    def hand_over(
        self, plan: Plan, result: ApplyResult, *, login: str = "mns", kubeconfig: str = ""
    ) -> Table:
        """Return where the kubeconfig of each namespace that stands was written (mode 0600).

        Args:
            login: the program that shall fetch the team's tokens: `mns` or `kubelogin`.
            kubeconfig: a file to merge it into besides; empty = none.
        """
        from mnslib.handover import merge_into, write_pack
        from mnslib.reporting.displays import Table

        rows: list[list[Cell]] = []
        for change, outcome in zip(plan.changes, result.outcomes, strict=True):
            if change.after is None or outcome in result.unfinished:
                continue
            try:
                place = write_pack(change.id, self.target, cloud=self._cloud, login=login)
                shown = str(place.relative_to(find_project_root()))
                found = [shown, f"kubectl --kubeconfig {shown} get pods"]
                if kubeconfig:
                    found[0] += f", merged into {merge_into(kubeconfig, place)}"
            except MnsError as error:  # the namespace stands; only its file is missing
                found = ["not written", cut(str(error))]
            rows.append([change.id.namespace_name, *found])
        where, limits = "on any machine with", ""
        if self.target.sandbox is not None:
            where = "on this machine only, by"
            limits = (
                " The sandbox's Kubernetes shows NAME and AGE only, runs nothing, and watches "
                "nothing (docs/sandbox.md)."
            )
        return Table(
            columns=["Namespace", "Kubeconfig", "Try"],
            rows=rows,
            caption="Handed over",
            note=f"No secret is in it. It works {where} {login}, which asks for a token as whoever "
            f"runs kubectl.{limits}",
            empty="Nothing to hand over: nothing was changed.",
        )

    # Steps of notebooks that read

    def collect(
        self,
        *,
        subscription_ids: Sequence[str],
        clusters: Sequence[str],
        history: str,
        prometheus_endpoint: str,
        snapshot_run: str = "",
        prometheus_token_env: str = "",
        inventory: str = "azure",
        owner_label: str = "",
        **window: Any,
    ) -> Snapshot:
        """Return quotas, requests and use of the clusters, now and over the lookback.

        What is read is written to `snapshot/` in the run directory, before anything is made of it.

        Args:
            snapshot_run: an earlier run, whose snapshot is returned instead; nothing is asked then.
            history, prometheus_endpoint, prometheus_token_env: as `Target.prometheus` takes them.
            inventory: `azure`, or `history`: clusters and namespaces as the metrics name them, and
                nothing else is asked.
            owner_label: label that names an owner; metrics know none.
            window: `lookback_days` and `step_minutes`, as `capacity.collect` takes them.

        Raises:
            ConfigError: if that run has no snapshot, or was made on another target.
        """
        from mnslib.capacity.store import read_snapshot, write_snapshot

        if snapshot_run:
            return read_snapshot(self._earlier_snapshot(snapshot_run))
        door = self.target.prometheus(history, prometheus_endpoint, token_env=prometheus_token_env)
        if metrics := metrics_alone(inventory, door, subscription_ids=subscription_ids):
            from mnslib.capacity.inventory import collect_from_metrics

            snapshot = collect_from_metrics(metrics, clusters=clusters, now=_now(), **window)
        else:
            from mnslib.capacity.collect import collect

            subscriptions, ids = self.target.scope(subscription_ids, clusters)
            snapshot = collect(
                self.target.azure,
                self.target.kube_for,
                subscription_ids=subscriptions,
                clusters=ids,
                prometheus=door,
                now=_now(),
                owner_label=owner_label,
                **window,
            )
        write_snapshot(
            snapshot, self.directory / SNAPSHOT_FOLDER, written_by=f"mnslib {mnslib.__version__}"
        )
        return snapshot

    def _earlier_snapshot(self, run: str) -> Path:
        """Return the folder with the snapshot of a run that was made on this run's target."""
        from mnslib.runs import find_run

        directory = find_run(run, runs_dir=self.directory.parent)
        record = read_result(directory)
        if record is None:
            raise ConfigError(f"snapshot_run: {directory} has no record of a run.")
        if record["target"] != self.parameters["target"]:
            raise ConfigError(
                f"snapshot_run: {directory.name} was made on {record['target']}; write target: "
                f"{record['target']}, so that the report says so."
            )
        if earlier := record["parameters"].get("snapshot_run"):
            raise ConfigError(
                f"snapshot_run: {directory.name} read nothing itself, it analyzed {earlier}; "
                "name that run."
            )
        return directory / SNAPSHOT_FOLDER

    def earlier(self, compare_run: str) -> Earlier:
        """Return the run to compare with: the one before this, or before the reading it analyzes.

        Args:
            compare_run: its name or path; empty for the last of this notebook and environment.

        Raises:
            ConfigError: if there is no run of that name.
        """
        from mnslib.capacity.changed import Earlier, read_earlier
        from mnslib.runs import find_run, run_before

        runs_dir = self.directory.parent
        origin = str(self.parameters.get("snapshot_run", ""))
        read_by = find_run(origin, runs_dir=runs_dir) if origin else self.directory
        record = read_result(read_by) or {}
        found: Path | None
        if compare_run:
            found = find_run(compare_run, runs_dir=runs_dir)
        else:
            found = run_before(
                self.directory,
                notebook=self.notebook,
                environment=record.get("environment", ""),
                started_utc=record.get("started_utc", ""),
            )
        if found is None:
            return Earlier(note="No earlier run of this notebook and environment is there.")
        try:
            utilization = (found / "tables" / "utilization.csv").read_text(encoding="utf-8")
            refusals = found / "tables" / "refusals.csv"
            refused = refusals.read_text(encoding="utf-8") if refusals.is_file() else ""
        except (OSError, ValueError) as error:
            return Earlier(run=found.name, note=f"No tables of {found.name} can be read: {error}.")
        return read_earlier(found.name, utilization=utilization, refusals=refused)

    def save_table(self, name: str, table: pd.DataFrame) -> Path:
        """Return the path of the table, written as `tables/<name>.csv` (cores and bytes)."""
        from mnslib.reporting.capacity import write_csv

        path = self.directory / "tables" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        write_csv(table, path)
        self._tables[name] = table
        return path

    def save_tables(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Write each table under its name, as `save_table` does."""
        for name, table in tables.items():
            self.save_table(name, table)

    def save_workbook(self) -> Table:
        """Return which tables were saved, after writing all as one `tables/tables.xlsx`."""
        from mnslib.reporting.displays import Table
        from mnslib.reporting.workbook import workbook

        write_whole(self.directory / "tables" / "tables.xlsx", workbook(self._tables))
        return Table(
            columns=["Table", "Rows"],
            rows=[[f"tables/{name}.csv", len(table)] for name, table in self._tables.items()],
            note="All of them, a sheet each: tables/tables.xlsx. Cores and bytes.",
        )

    def save_owner_pages(self, snapshot: Snapshot) -> Table:
        """Return the owners, after writing a page for each and `portfolio.html` over all.

        They are made of the tables that were saved before.
        """
        from mnslib.reporting.owner_pages import OWNERS_FOLDER, owner_files, owners_table

        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        owners, pages = owner_files(snapshot, self._tables, run=self.directory.name, sandbox=badge)
        for name, html in pages:
            write_whole(self.directory / name, html)
        return owners_table(owners)

    # How the run shows itself

    def _facts(self) -> Table:
        from mnslib.reporting.displays import Table

        dry_run = self.parameters.get("dry_run")
        mode = "dry run: writes nothing" if dry_run else "writes what is approved"
        endpoint = "none: nothing is asked"
        if self._offline:
            mode = f"offline: analyzes what {self._offline} read"
        else:
            endpoint = self.target.azure.cloud.arm_endpoint
            if self.parameters.get("inventory") == "history":
                endpoint = str(self.parameters["prometheus_endpoint"]) or "the sandbox's metrics"
            mode = "reads only" if dry_run is None else mode
        rows: list[list[Cell]] = [
            ["Target", {"azure": "Azure"}.get(word := str(self.parameters["target"]), word)],
            ["Endpoint", endpoint],
            ["Mode", mode],
            ["Run directory", str(self.directory)],
            ["mnslib", mnslib.__version__],
        ]
        return Table(columns=["This run", ""], rows=rows)

    def __repr__(self) -> str:
        return repr(self._facts())

    def _repr_html_(self) -> str:
        return self._facts()._repr_html_()


def _rule_files(tiers_file: str, policy_file: str) -> dict[str, Any]:
    from mnslib.requests.policy import read_policy
    from mnslib.requests.tiers import read_tiers

    return {
        "tiers": read_tiers(_existing("tiers_file", tiers_file)) if tiers_file else None,
        "policy": read_policy(_existing("policy_file", policy_file)) if policy_file else None,
    }


def _existing(parameter: str, file: str) -> Path:
    path = resolve_path(file)
    if not path.is_file():
        raise ConfigError(
            f"{parameter}: there is no file {path}. A relative path is taken from the project "
            f"folder {find_project_root()}, wherever the notebook is run."
        )
    return path


def _now() -> datetime:
    return datetime.now(UTC)
