"""The run of a notebook that changes something: its steps, in the order of the story.

From the requests through plan, approval and apply to the proof; each cell calls one, which returns
what it shows. A step reads or writes through the library's rooms; what is decided is decided in
`provisioning`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnslib.errors import PARAMETERS, ConfigError, SpecError, cut
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.results import OPEN_OUTCOMES, ApplyResult, CheckResult, utc_now, utc_text
from mnslib.run.progress import progress_bar, progress_lines
from mnslib.run.project import find_project_root, resolve_path, write_whole
from mnslib.run.record import Run

if TYPE_CHECKING:
    from mnslib.models import NamespaceSpec
    from mnslib.provisioning.approval import Approval
    from mnslib.provisioning.observed import ObservedState
    from mnslib.provisioning.plan import Plan
    from mnslib.provisioning.resume import EarlierRun, Rest
    from mnslib.show.charts import Chart
    from mnslib.show.displays import Cell, Table


class Changing(Run):
    """A run from requests to namespaces.

    Attributes:
        specs, observed, checks, planned, approval, left: what the steps so far have found.
    """

    specs: tuple[NamespaceSpec, ...]
    observed: ObservedState
    checks: tuple[CheckResult, ...] = ()
    planned: Plan
    approval: Approval | None = None
    left: Plan

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        super().__init__(notebook, cells)
        self._requests = self.directory / "requests"
        self._earlier: EarlierRun | None = None
        self._earlier_directory = self.directory
        self._rest: Rest | None = None
        self._is_plan_shown = False

    def requests(self) -> Table:
        """Return what is asked: of the request file, or by the parameters themselves, all checked.

        A file is read once, so that the run's copy is what was checked, whoever writes to it
        meanwhile. One with mistakes is given back with what is wrong with each row.

        Raises:
            ConfigError: if there is no such file.
            SpecError: with every mistake.
        """
        from mnslib.show.plans import requests_table

        asked = self.asked("tiers_file", "policy_file")
        rules = _rule_files(**asked)
        if "request_file" in self.parameters:
            self.specs = self._of_file(self.asked("request_file")["request_file"], rules)
        else:
            from mnslib.requests.columns import COLUMNS
            from mnslib.requests.spec import specs_from_rows

            row = {name: self.parameters[name] for name in COLUMNS if name in self.parameters}
            self.specs = specs_from_rows([row], file=PARAMETERS, **rules)
        return requests_table(self.specs)

    def _of_file(self, request_file: str, rules: Mapping[str, Any]) -> tuple[NamespaceSpec, ...]:
        from mnslib.requests.rows import read_bytes
        from mnslib.requests.spec import parse_requests

        path = _existing("request_file", request_file)
        self._requests = self.directory / f"requests{path.suffix.lower()}"
        data = read_bytes(path)
        try:
            specs = parse_requests(path, data=data, **rules)
        except SpecError as error:
            self._give_back_refused(path, data, error)
            raise
        write_whole(self._requests, data)
        return specs

    def resume(self) -> Table:
        """Return how far the run that `resume_run` names had come, once nobody writes any more.

        Raises:
            ConfigError: if there is no such run, or it wrote nothing.
            StalePlanError: if the requests are about other namespaces than it planned.
        """
        from mnslib.provisioning.resume import read_earlier, require_same_requests
        from mnslib.run.locks import wait_for_writers
        from mnslib.run.runs import find_run
        from mnslib.show.displays import Table

        rows: list[list[Cell]] = []
        if resume_run := self.asked("resume_run")["resume_run"]:
            runs_dir = self.directory.parent
            find_run(resume_run, runs_dir=runs_dir)
            wait_for_writers(
                {spec.id.cluster for spec in self.specs},
                run_directory=self.directory,
                now=utc_now(),
                tell=lambda sentence: sys.stderr.write(f"{sentence}\n"),
            )
            # after the wait: whoever was waited for may have gone on with it
            directory = self._earlier_directory = find_run(resume_run, runs_dir=runs_dir)
            earlier = self._earlier = read_earlier(directory)
            require_same_requests(self.specs, earlier)
            torn = ", its last line cut off" if earlier.is_torn else ""
            rows = [
                ["Run", directory.name],
                ["Approved plan", earlier.digest],
                ["Finished", f"{earlier.finished} of {len(earlier.items)} items"],
                ["Journal", f"{JOURNAL_NAME}{torn}"],
            ]
        return Table(columns=["Resumed", ""], rows=rows, empty="A new run: nothing is resumed.")

    def observe(self) -> Table:
        """Return what is there, in Azure and on the clusters."""
        from mnslib.show.plans import observed_table

        self.asked()
        self.observed = self._observe(known=None)
        if self._earlier is not None:
            from mnslib.provisioning.resume import read_in_flight

            self.observed = read_in_flight(self.observed, self._earlier, azure=self.target.azure)
        return observed_table(self.observed)

    def _observe(self, *, known: ObservedState | None) -> ObservedState:
        from mnslib.provisioning.observe import observe

        azure, kube_for = self.target.azure, self.target.kube_for
        return observe(self.specs, azure=azure, kube_for=kube_for, now=utc_now, known=known)

    def check(self) -> Table:
        """Return the checks; raises PreflightError if one failed."""
        from mnslib.provisioning.preflight import preflight, require_passed
        from mnslib.show.plans import checks_table

        self.checks = preflight(self.specs, self.observed)
        require_passed(self.checks)
        return checks_table(self.checks)

    def plan(self) -> None:
        """Show what would change, after writing it to `plan.json`.

        Of a resumed run: what is left to change, under the digest that was approved.
        """
        from mnslib.provisioning.effect import read_max_commitment
        from mnslib.provisioning.plan import make_plan, plan_to_json
        from mnslib.provisioning.resume import plan_rest

        specs, observed = self.specs, self.observed
        limit = read_max_commitment(self.asked("max_commitment")["max_commitment"])
        if self._earlier is None:
            try:
                plan = make_plan(specs, observed, max_commitment=limit)
            except SpecError as error:
                self._give_back_refused(self._requests, None, error)
                raise
        else:
            self._rest = plan_rest(specs, observed, self._earlier, max_commitment=limit)
            plan = self._rest.plan
        content = plan_to_json(plan, created_utc=utc_text(utc_now()))
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_whole(self.directory / "plan.json", text + "\n")
        self.planned = plan
        self._show_plan()

    def _show_plan(self, result: ApplyResult | None = None) -> None:
        """Show what to read of the plan; with its outcomes, what was done, in the same place.

        Nothing is shown anew where nothing was shown before.
        """
        from IPython.display import display

        from mnslib.show.plans import plan_report

        is_update = result is not None
        if is_update and not self._is_plan_shown:
            return
        self._is_plan_shown = True
        report = plan_report(self.planned, result)
        display(report, display_id="plan", update=is_update)  # type: ignore[no-untyped-call]

    def changes(self) -> Any:
        """Return every change, those with a risk first."""
        from mnslib.show.plans import changes_table

        return changes_table(self.planned)

    def effect(self) -> Any:
        """Return the picture of what the clusters have committed before and after."""
        from mnslib.show.plans import plan_chart

        return self.with_pictures(plan_chart(self.planned))

    def clusters(self) -> Any:
        """Return what each cluster has committed before and after, as a table."""
        from mnslib.show.plans import clusters_table

        return clusters_table(self.planned)

    def approve(
        self,
        *,
        dry_run: bool,
        approval: str,
        approved_digest: str,
        allow: Sequence[str],
        **caps: str,
    ) -> Any:
        """Return the decision on the plan; raises PlanError if it may not be applied as asked.

        Args:
            caps: `max_changes`, `max_deletions` and `max_failures`; none of them for a notebook
                about one namespace.
        """
        from mnslib.provisioning.approval import Caps, decide
        from mnslib.show.plans import approval_report

        self.asked()
        self.approval = None  # what was approved before says nothing of this plan
        limits = Caps(**caps) if caps else None
        if limits is not None and self._earlier is not None:
            limits = limits.as_counts(len(self._earlier.items))
        self.approval = decide(
            self.planned,
            dry_run=dry_run,
            approval=approval,
            approved_digest=approved_digest,
            allow=list(allow),
            caps=limits,
            failed_before=self._rest.failed_before if self._rest else frozenset(),
        )
        return approval_report(self.approval)

    def apply(self) -> Any:
        """Return one outcome per request; shows progress; keeps the journal."""
        from mnslib.show.plans import outcome_report

        self.asked()
        if self.approval is None or self.approval.plan is not self.planned:
            raise ConfigError("This plan has no approval yet: run the cell that decides on it.")
        return outcome_report(self._apply(self.approval))

    def _apply(self, approval: Approval) -> ApplyResult:
        from mnslib.provisioning.apply import apply
        from mnslib.provisioning.journal import Journal
        from mnslib.run.locks import only_writer
        from mnslib.run.runs import continue_journal

        journal = Journal(self.directory / JOURNAL_NAME, now=utc_now)
        carry_out = partial(
            apply,
            approval,
            azure=self.target.azure,
            kube_for=self.target.kube_for,
            journal=journal,
            observer=progress_lines() if self.is_headless else progress_bar(),
            **{name: self.parameters[name] for name in _PACE if name in self.parameters},
        )
        if not approval.may_write:
            self.result = carry_out()
            return self.result
        clusters = {change.id.cluster for change in approval.plan.to_do}
        with only_writer(clusters, run_directory=self.directory, now=utc_now()):
            if self._rest is not None:
                continue_journal(self._earlier_directory, self.directory, now=utc_now)
                for outcome in self._rest.decided:
                    journal.write("finished", **outcome.to_json())
            result = carry_out()
        self.result = self._rest.complete(result) if self._rest else result
        self._show_plan(self.result)
        return self.result

    @property
    def _ended(self) -> ApplyResult:
        if self.result is None:
            raise ConfigError("Nothing was applied yet: run the cells above first.")
        return self.result

    def outcome(self) -> Any:
        """Return the picture of what came of each change."""
        from mnslib.show.plans import outcome_chart

        return self.with_pictures(outcome_chart(self._ended, moment=self.started))

    def timeline(self) -> Chart | None:
        """Return the picture of when each change was written and ended; None after a dry run."""
        from mnslib.provisioning.journal import read_events
        from mnslib.provisioning.timeline import read_timeline
        from mnslib.show.charts import bulk_timeline

        if self._ended.is_dry_run:
            return None
        events, _ = read_events(self.directory / JOURNAL_NAME)
        throttle = self.target.azure.throttle
        paces = {
            cluster: throttle.pace("PUT", str(cluster.namespace("any")))
            for cluster in self.planned.observed.clusters
        }
        return self.with_pictures(
            bulk_timeline(read_timeline(events), moment=self.started, paces=paces)
        )

    def read_back(self) -> Any:
        """Return what is still open, after every field was compared with what reads back.

        One list per cluster, every field compared; what was reported as done is planned again,
        which must find nothing. After a dry run the plan itself is what is open.
        """
        from mnslib.provisioning.verify import plan_again, read_back, read_disputed
        from mnslib.show.plans import still_open

        plan, result = self.planned, self._ended
        if result.is_dry_run:
            self.left = plan
            return still_open(plan, result)
        again = self._observe(known=plan.observed)
        again = read_disputed(plan, result, again=again, azure=self.target.azure)
        checked = self.result = read_back(plan, result, again=again)
        if checked != result:
            self._show_plan(checked)
        self.left = plan_again(self.specs, checked, again=again)
        return still_open(self.left, checked)

    def give_back(self) -> Table:
        """Return where the request file was written with what came of each of its rows."""
        from mnslib.requests.answer import answered_file
        from mnslib.show.displays import Table

        result = self._ended
        outcomes = {item.id.key: item for item in result.outcomes}
        answers = {s.origin.row: outcomes[s.id.key] for s in self.specs if s.origin.row}
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

    def _give_back_refused(self, path: Path, data: bytes | None, error: SpecError) -> None:
        from mnslib.requests.answer import answered_file, refusals
        from mnslib.requests.columns import COLUMNS

        mistakes = refusals(error)
        may_be_secret = (
            "secret" in mistake.message or mistake.column not in COLUMNS
            for mistake in error.problems
        )
        if not mistakes or any(may_be_secret):
            return  # no row could be read; or a copy would hold what a run must not keep
        try:
            suffix, content = answered_file(path, mistakes, data=data)
            write_whole(self._requests.with_suffix(suffix), content)
        except Exception as failure:  # the mistakes are told all the same
            reason = cut(f"{type(failure).__name__}: {failure}")
            sys.stderr.write(f"The request file is not given back: {reason}\n")

    def hand_over(self) -> Table:
        """Return where the kubeconfig of each namespace that stands was written (mode 0600)."""
        from mnslib.run.handover import hand_over

        asked = self.asked("cloud", "kubectl_login", "kubeconfig")
        both = zip(self.planned.changes, self._ended.outcomes, strict=True)
        return hand_over(
            [c.id for c, o in both if c.after is not None and o.outcome not in OPEN_OUTCOMES],
            self.target,
            cloud=asked["cloud"],
            login=asked["kubectl_login"],
            kubeconfig=asked["kubeconfig"],
        )

    def record(self, **about: Any) -> Table:
        """Return the figures of the run, as `Run.record` does of its plan and outcomes."""
        ended = {"plan": self.planned, "result": self._ended, "left": self.left}
        return super().record(**{**ended, "checks": self.checks, **about})


_PACE = ("max_parallel_per_cluster",)
"""Parameters that say how fast an apply may go."""


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
