"""The run of a notebook that changes something: its steps, in the order of the story.

From the requests through plan, approval and apply to the proof; each cell calls one, which returns
what it shows. What a step does is in `steps`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnslib.errors import PARAMETERS, ConfigError, SpecError, cut
from mnslib.models import NamespaceSpec
from mnslib.provisioning.apply import MAX_PARALLEL_PER_CLUSTER
from mnslib.provisioning.approval import Approval, Caps, decide
from mnslib.provisioning.journal import JOURNAL_NAME, read_events, read_timeline
from mnslib.provisioning.observe import ObservedState
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.provisioning.resume import (
    EarlierRun,
    Rest,
    plan_rest,
    read_earlier,
    read_in_flight,
    require_same_requests,
)
from mnslib.provisioning.risks import read_max_commitment
from mnslib.requests import answer, files, spec
from mnslib.requests.columns import COLUMNS
from mnslib.results import OPEN_OUTCOMES, ApplyResult, CheckResult, utc_now
from mnslib.run import handover, locks, project, runs, steps
from mnslib.run.record import Run, ended
from mnslib.show import plans
from mnslib.show.displays import Callout, Cell, Stack, Table

if TYPE_CHECKING:
    from mnslib.show.charts import Chart


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
    _requests: Path
    _resumed: Path | None = None
    _earlier: EarlierRun | None = None
    _rest: Rest | None = None
    _is_plan_shown = False

    def requests(self) -> Table:
        """Return what is asked: of the request file, or by the parameters themselves, all checked.

        A file is read once, so that the run's copy is what was checked, whoever writes to it
        meanwhile. One with mistakes is given back with what is wrong with each row.

        Raises:
            ConfigError: if there is no such file.
            SpecError: with every mistake.
        """
        rules = steps.rules(self.target, **self.asked("tiers_file", "policy_file"))
        if "request_file" in self.parameters:
            path = self._request_file()
            self._requests = self.directory / f"requests{path.suffix.lower()}"
            data = files.read_bytes(path)
            try:
                self.specs = spec.parse_requests(path, data=data, **rules)
            except SpecError as error:
                self._give_back_refused(data, error)
                raise
            project.write_whole(self._requests, data)
        else:
            row = {name: self.parameters[name] for name in COLUMNS if name in self.parameters}
            self.specs = spec.specs_from_rows([row], file=PARAMETERS, **rules)
        return plans.requests_table(self.specs)

    def _request_file(self) -> Path:
        """Return the file that is asked; of a resumed run its own copy, which was approved."""
        given = self.parameters["request_file"]
        if resumed := self.parameters["resume_run"]:
            earlier = runs.find_run(resumed, runs_dir=self.directory.parent)
            copy = earlier / f"requests{Path(given).suffix.lower()}"
            if copy.is_file():
                return copy
        return project.existing_file("request_file", given)

    def resume(self) -> Table:
        """Return how far the run that `resume_run` names had come, once nobody writes any more.

        Raises:
            ConfigError: if there is no such run, or it wrote nothing.
            StalePlanError: if the requests are about other namespaces than it planned.
        """
        rows: list[list[Cell]] = []
        if resume_run := self.asked("resume_run")["resume_run"]:
            runs_dir = self.directory.parent
            runs.find_run(resume_run, runs_dir=runs_dir)
            with locks.only_writer(
                {spec.id.cluster for spec in self.specs},
                endpoint=self.target.azure.cloud.arm_endpoint,
                run_directory=self.directory,
                now=utc_now(),
                tell=lambda sentence: sys.stderr.write(f"{sentence}\n"),
            ):
                pass  # it is waited for; whoever that was may have gone on with it
            self._resumed = runs.find_run(resume_run, runs_dir=runs_dir)
            earlier = self._earlier = read_earlier(self._resumed)
            require_same_requests(self.specs, earlier)
            torn = ", its last line cut off" if earlier.is_torn else ""
            rows = [
                ["Run", earlier.name],
                ["Approved plan", earlier.digest],
                ["Finished", f"{len(earlier.finished)} of {len(earlier.items)} items"],
                ["Journal", f"{JOURNAL_NAME}{torn}"],
            ]
        return Table(columns=["Resumed", ""], rows=rows, empty="A new run: nothing is resumed.")

    def observe(self) -> Table:
        """Return what is there, in Azure and on the clusters."""
        self.asked()
        self.observed = steps.observed(self.specs, self.target)
        if self._earlier is not None:
            self.observed = read_in_flight(self.observed, self._earlier, azure=self.target.azure)
        return plans.observed_table(self.observed)

    def check(self) -> Table:
        """Return the checks; raises PreflightError if one failed."""
        self.checks = steps.checked(self.specs, self.observed)
        return plans.checks_table(self.checks)

    def plan(self) -> None:
        """Show what would change, after writing it to `plan.json`.

        Of a resumed run: what is left to change, under the digest that was approved.
        """
        specs, observed = self.specs, self.observed
        limit = read_max_commitment(self.asked("max_commitment")["max_commitment"])
        if self._earlier is not None:
            self._rest = plan_rest(specs, observed, self._earlier, max_commitment=limit)
            self.planned = self._rest.plan
        else:
            try:
                self.planned = make_plan(specs, observed, max_commitment=limit)
            except SpecError as error:
                if "request_file" in self.parameters:
                    self._give_back_refused(self._requests.read_bytes(), error)
                raise
        steps.write_plan(self.planned, self.directory)
        self._show_plan()

    def _show_plan(self, result: ApplyResult | None = None) -> None:
        """Show what to read of the plan; with its outcomes, what was done, in the same place.

        Nothing is shown anew where nothing was shown before.
        """
        from IPython.display import display

        is_update = result is not None
        if is_update and not self._is_plan_shown:
            return
        self._is_plan_shown = True
        report = plans.plan_report(self.planned, result)
        # as one output: the boxes of what was done may be fewer than those that were planned
        forms = {"text/plain": repr(report), "text/html": report._repr_html_()}
        display(forms, raw=True, display_id="plan", update=is_update)  # type: ignore[no-untyped-call]

    def changes(self) -> Table:
        """Return every change, those with a risk first."""
        return plans.changes_table(self.planned)

    def effect(self) -> Chart:
        """Return the picture of what the clusters have committed before and after."""
        return self.with_pictures(plans.plan_chart(self.planned))

    def clusters(self) -> Table:
        """Return what each cluster has committed before and after, as a table."""
        return plans.clusters_table(self.planned)

    def approve(
        self,
        *,
        dry_run: bool,
        approval: str,
        approved_digest: str,
        allow: Sequence[str],
        **caps: str,
    ) -> Callout:
        """Return the decision on the plan; raises PlanError if it may not be applied as asked.

        Args:
            caps: `max_changes`, `max_deletions` and `max_failures`; none of them for a notebook
                about one namespace.
        """
        self.asked()
        self.approval = None  # what was approved before says nothing of this plan
        self.approval = decide(
            self.planned,
            dry_run=dry_run,
            approval=approval,
            approved_digest=approved_digest,
            allow=list(allow),
            caps=Caps(**caps) if caps else None,
            total=len(self._earlier.items) if self._earlier else None,
            failed_before=self._rest.failed_before if self._rest else frozenset(),
        )
        return plans.approval_report(self.approval)

    def apply(self) -> Stack:
        """Return one outcome per request; shows progress; keeps the journal."""
        self.asked()
        if self.approval is None or self.approval.plan is not self.planned:
            raise ConfigError("This plan has no approval yet: run the cell that decides on it.")
        pace = self.parameters.get("max_parallel_per_cluster", MAX_PARALLEL_PER_CLUSTER)
        result = self._record.result = steps.carry_out(
            self.approval,
            self.target,
            directory=self.directory,
            rest=self._rest,
            resumed=self._resumed,
            max_parallel_per_cluster=pace,
        )
        if self.approval.may_write:
            self._show_plan(result)
        return plans.outcome_report(result)

    @property
    def _ended(self) -> ApplyResult:
        if self._record.result is None:
            raise ConfigError("Nothing was applied yet: run the cells above first.")
        return self._record.result

    def outcome(self) -> Chart | None:
        """Return the picture of what came of each change; None after a dry run."""
        from mnslib.show.charts import bulk_outcome

        result = self._ended
        chart = None if result.is_dry_run else bulk_outcome(result, moment=self._record.started)
        return self.with_pictures(chart)

    def timeline(self) -> Chart | None:
        """Return the picture of when each change was written and ended; None after a dry run."""
        from mnslib.show.charts import bulk_timeline

        if self._ended.is_dry_run:
            return None
        events, _ = read_events(self.directory / JOURNAL_NAME)
        throttle = self.target.azure.throttle
        paces = {
            cluster: throttle.pace("PUT", str(cluster.namespace("any")))
            for cluster in self.planned.observed.clusters
        }
        chart = bulk_timeline(read_timeline(events), moment=self._record.started, paces=paces)
        return self.with_pictures(chart)

    def read_back(self) -> Callout:
        """Return what is still open, after every field was compared with what reads back.

        After a dry run the plan itself is what is open.
        """
        result, self.left = self._ended, self.planned
        if not result.is_dry_run:
            checked, self.left = steps.read_back(self.planned, result, self.specs, self.target)
            self._record.result = checked
            if checked != result:
                self._show_plan(checked)
        return plans.still_open(self.left, self._ended)

    def give_back(self) -> Table:
        """Return where the request file was written with what came of each of its rows."""
        result = self._ended
        outcomes = {item.id.key: item for item in result.outcomes}
        answers = {s.origin.row: outcomes[s.id.key] for s in self.specs if s.origin.row}
        file, problem = self._answered(answers)
        row: list[Cell] = [f"not written: {problem}", None, None]
        if file:
            row = [file, len(answers), len(result.unfinished)]
        return Table(
            columns=["File", "Rows", "Not as requested"],
            rows=[row],
            caption="The request file with status, outcome, duration and message of each row",
        )

    def _give_back_refused(self, data: bytes, error: SpecError) -> None:
        mistakes = answer.refusals(error)
        may_be_secret = (
            "secret" in mistake.message or mistake.column not in COLUMNS
            for mistake in error.problems
        )
        if not mistakes or any(may_be_secret):
            return  # no row could be read; or a copy would hold what a run must not keep
        _, problem = self._answered(mistakes, data)
        if problem:  # the mistakes are told all the same
            sys.stderr.write(f"The request file is not given back: {problem}\n")

    def _answered(self, answers: Mapping[int, Any], data: bytes | None = None) -> tuple[str, str]:
        """Return the name of the file that was written with answers, else why it was not."""
        try:
            suffix, content = answer.answered_file(self._requests, answers, data=data)
            file = self._requests.with_suffix(suffix)
            project.write_whole(file, content)
        except Exception as error:  # what was done stands, and is in the record all the same
            return "", cut(f"{type(error).__name__}: {error}")
        return file.name, ""

    def hand_over(self) -> Table:
        """Return where the kubeconfig of each namespace that stands was written (mode 0600)."""
        asked = self.asked("cloud", "kubectl_login", "kubeconfig")
        both = zip(self.planned.changes, self._ended.outcomes, strict=True)
        return handover.hand_over(
            [c.id for c, o in both if c.after is not None and o.outcome not in OPEN_OUTCOMES],
            self.target,
            cloud=asked["cloud"],
            login=asked["kubectl_login"],
            kubeconfig=asked["kubeconfig"],
        )

    def record(self) -> Table:
        """Return the figures of the run, after writing them to `result.json`.

        Raises:
            ApplyError: after the record is written, if something is not as requested.
        """
        plan, result = self.planned, self._ended
        status, headline, numbers = ended(plan, result, self.left)
        is_unchanged = not plan.to_do
        return self._finish(status, headline, numbers, self.checks, is_unchanged=is_unchanged)
