"""What the cells of a notebook that changes something call, in the order of the story.

From the requests through plan, approval and apply to the proof. A step reads or writes through the
library's rooms; what is decided is decided in `provisioning`.
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
from mnslib.run.session import Session

if TYPE_CHECKING:
    from mnslib.models import NamespaceSpec
    from mnslib.provisioning.approval import Approval
    from mnslib.provisioning.observed import ObservedState
    from mnslib.provisioning.plan import Plan
    from mnslib.provisioning.resume import EarlierRun, Rest
    from mnslib.show.charts import Chart
    from mnslib.show.displays import Cell, Table


class ChangeSteps(Session):
    """The steps from requests to namespaces."""

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        super().__init__(notebook, cells)
        self._requests = self.directory / "requests"
        self._earlier: EarlierRun | None = None
        self._earlier_directory = self.directory
        self._rest: Rest | None = None
        self._is_plan_shown = False

    def load_requests(
        self, request_file: str, *, tiers_file: str = "", policy_file: str = ""
    ) -> tuple[NamespaceSpec, ...]:
        """Return the requests of a file, all checked, and keep the bytes that hold them.

        It is read once, so that the run's copy is what was checked, whoever writes to the file
        meanwhile. A file with mistakes is given back with what is wrong with each row.

        Raises:
            ConfigError: if there is no such file.
            SpecError: with every mistake of it.
        """
        from mnslib.requests.rows import read_bytes
        from mnslib.requests.spec import parse_requests

        path = _existing("request_file", request_file)
        self._requests = self.directory / f"requests{path.suffix.lower()}"
        rules, data = _rule_files(tiers_file, policy_file), read_bytes(path)
        try:
            specs = parse_requests(path, data=data, **rules)
        except SpecError as error:
            self._give_back_refused(path, data, error)
            raise
        write_whole(self._requests, data)
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
        from mnslib.run.locks import wait_for_writers
        from mnslib.run.runs import find_run
        from mnslib.show.displays import Table

        rows: list[list[Cell]] = []
        if resume_run:
            runs_dir = self.directory.parent
            find_run(resume_run, runs_dir=runs_dir)
            wait_for_writers(
                {spec.id.cluster for spec in specs},
                run_directory=self.directory,
                now=utc_now(),
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
        observed = observe(specs, azure=azure, kube_for=kube_for, now=utc_now, known=known)
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
        return plan

    def show_plan(self, plan: Plan, result: ApplyResult | None = None) -> None:
        """Show what to read of the plan; with its outcomes, what was done, in the same place.

        Nothing is shown anew where nothing was shown before.
        """
        from IPython.display import display

        from mnslib.show.plans import plan_report

        is_update = result is not None
        if is_update and not self._is_plan_shown:
            return
        self._is_plan_shown = True
        display(plan_report(plan, result), display_id="plan", update=is_update)  # type: ignore[no-untyped-call]

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
            failed_before=self._rest.failed_before if self._rest else frozenset(),
        )

    def apply(self, approval: Approval, **settings: Any) -> ApplyResult:
        """Return one outcome per request; shows progress; keeps the journal.

        Args:
            settings: `max_parallel_per_cluster`, as `provisioning.apply` takes it.
        """
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
            **settings,
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
        self.show_plan(approval.plan, self.result)
        return self.result

    def timeline(self, plan: Plan, result: ApplyResult) -> Chart | None:
        """Return the picture of when each change was written and ended; None after a dry run."""
        from mnslib.provisioning.journal import read_events
        from mnslib.provisioning.timeline import read_timeline
        from mnslib.show.charts import bulk_timeline

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
        if checked != result:
            self.show_plan(plan, checked)
        return checked, plan_again(specs, checked, again=again)

    def give_back(self, specs: Sequence[NamespaceSpec], result: ApplyResult) -> Table:
        """Return where the request file was written with what came of each of its rows."""
        from mnslib.requests.answer import answered_file
        from mnslib.show.displays import Table

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

    def hand_over(
        self, plan: Plan, result: ApplyResult, *, login: str = "mns", kubeconfig: str = ""
    ) -> Table:
        """Return where the kubeconfig of each namespace that stands was written (mode 0600).

        Args:
            login: the program that shall fetch the team's tokens: `mns` or `kubelogin`.
            kubeconfig: a file to merge it into besides; empty = none.
        """
        from mnslib.run.handover import hand_over

        both = zip(plan.changes, result.outcomes, strict=True)
        return hand_over(
            [c.id for c, o in both if c.after is not None and o.outcome not in OPEN_OUTCOMES],
            self.target,
            cloud=str(self.parameters["cloud"]),
            login=login,
            kubeconfig=kubeconfig,
        )


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
