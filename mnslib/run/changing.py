"""A run that changes something: its steps, in the order of the story.

From the requests through plan, approval and apply to the proof. Each cell of a notebook calls one,
which returns what it shows; the library takes the last of them with a plan of its own. What is
decided is decided in `provisioning`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from mnslib import results
from mnslib.errors import (
    PARAMETERS,
    ArmError,
    ArmForbiddenError,
    ArmNotFoundError,
    ConfigError,
    MnsError,
    SpecError,
    StalePlanError,
    cut,
)
from mnslib.models import Ensure, NamespaceSpec, Principal
from mnslib.provisioning import apply as applying
from mnslib.provisioning import principals, proof
from mnslib.provisioning import resume as resuming
from mnslib.provisioning.approval import Approval, Caps, decide, to_go_ahead
from mnslib.provisioning.changes import Change
from mnslib.provisioning.journal import JOURNAL_NAME, Journal, read_events, read_timeline
from mnslib.provisioning.observe import (
    Facts,
    ObservedState,
    missing_clusters,
    observe,
    observe_ground,
)
from mnslib.provisioning.plan import Plan, make_plan, plan_to_json
from mnslib.provisioning.preflight import preflight, require_passed, worst_first
from mnslib.provisioning.proof import Proven
from mnslib.provisioning.readiness import permissions, readiness, require_permitted, steps_of
from mnslib.provisioning.risks import read_max_commitment
from mnslib.provisioning.writing import Writer
from mnslib.requests import export, files, spec
from mnslib.requests.columns import COLUMNS
from mnslib.requests.policy import Policy, read_policy
from mnslib.requests.rules import OF_SECRETS, say
from mnslib.requests.spec import read_tiers
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import (
    LIBRARY,
    ApplyResult,
    CheckResult,
    CheckStatus,
    RunStatus,
    utc_now,
    utc_text,
)
from mnslib.run import handover, project, runs
from mnslib.run.locks import only_writer
from mnslib.run.log import tell
from mnslib.run.progress import apply_progress, is_notebook, show_now
from mnslib.run.proving import prove
from mnslib.run.record import Run
from mnslib.run.targets import NOBODY, Target
from mnslib.show import plans
from mnslib.show.displays import Callout, Cell, Stack, Table
from mnslib.show.handover import first_pod, handover_page, starter
from mnslib.show.proofs import proof_report
from mnslib.show.templates import render_part
from mnslib.signals import end_pauses

if TYPE_CHECKING:
    from mnslib.show.charts import Chart

PLAN_NAME = "plan.json"
_FOUND_BY = {
    "specs": "requests", "_requests": "requests", "_policy": "requests", "observed": "observe",
    "facts": "observe",
    "planned": "plan", "left": "read_back",
}  # fmt: skip
"""What later steps rest on, by the step that finds it."""


def rules(target: Target, *, tiers_file: str, policy_file: str) -> dict[str, Any]:
    """Return what requests are read by, from the files that hold it; an empty name is none.

    If a request has a mistake, clusters that are not there are told with it.
    """
    found = project.existing_file
    return {
        "tiers": read_tiers(found("tiers_file", tiers_file)) if tiers_file else None,
        "policy": read_policy(found("policy_file", policy_file)) if policy_file else None,
        "missing": lambda clusters: missing_clusters(clusters, target.azure),
    }


def observed(
    specs: Sequence[NamespaceSpec],
    target: Target,
    known: ObservedState | None = None,
    *,
    who: Mapping[str, Principal] = MappingProxyType({}),
) -> ObservedState:
    """Return what is there now of what the requests name; `known` as `observe` takes it.

    Args:
        who: the principals that the requests name, by object id.
    """
    found = observe(specs, azure=target.azure, kube_for=target.kube_for, now=utc_now, known=known)
    return replace(found, principals=known.principals if known else who)


def identified(
    specs: Sequence[NamespaceSpec],
    target: Target,
    *,
    verify_principals: bool,
    policy: Policy | None,
) -> tuple[Sequence[NamespaceSpec], Mapping[str, Principal]]:
    """Return the requests with object ids for names, and whom their ids belong to."""
    directory = target.azure.directory if verify_principals else None
    return principals.identified(specs, directory, policy=policy)


def checked(specs: Sequence[NamespaceSpec], found: ObservedState) -> tuple[CheckResult, ...]:
    """Return the checks before a plan."""
    checks = preflight(specs, found)
    require_passed(checks)
    return checks


class Changing(Run):
    """A run from requests to namespaces.

    Attributes:
        specs, observed, checks, planned, approval, left: what the steps so far have found.
    """

    specs: Sequence[NamespaceSpec]
    observed: ObservedState
    checks: Sequence[CheckResult] = ()
    planned: Plan
    approval: Approval | None = None
    left: Plan
    _policy: Policy | None
    _requests: Path
    _resumed: Path | None = None
    _earlier: resuming.EarlierRun | None = None
    _rest: resuming.Rest | None = None
    _is_plan_shown = _has_applied = False
    _observer: applying.Observer | None = None
    _is_stopped: Callable[[], bool] = staticmethod(lambda: False)
    _not_handed_over: Mapping[str, str] = MappingProxyType({})

    @cached_property
    def _proven(self) -> dict[ManagedNamespaceId, Proven]:
        return {}

    def __getattr__(self, name: str) -> Any:
        """Say which step finds what is not there yet.

        Raises:
            ConfigError: if a step was called before another that it rests on.
        """
        if step := _FOUND_BY.get(name):
            raise ConfigError(f"Nothing is there to go on with: run the {step} cell first.")
        raise AttributeError(name)

    @classmethod
    def of_plan(
        cls,
        approval: Approval,
        *,
        target: Target,
        specs: Sequence[NamespaceSpec],
        rows: Sequence[Mapping[str, Any]],
        checks: Sequence[CheckResult],
        parameters: Mapping[str, Any],
    ) -> Self:
        """Return the run of the library that carries out an approved plan, in a fresh directory.

        Args:
            specs, rows: the requests, checked and as they were written.
            parameters: those of the notebook for many requests, which resumes it.
        """
        directory = project.new_run_directory(
            Path(parameters["runs_dir"]), notebook=LIBRARY, environment=parameters["target"]
        )
        file = directory / "requests.csv"
        data = export.request_file(rows, suffix=file.suffix)
        project.write_whole(file, data)
        asked = {
            **parameters,
            "request_file": str(file),
            "dry_run": False,
            "approval": "digest",
            "approved_digest": approval.plan.digest,
            "resume_run": "",
        }
        run = cls(LIBRARY, asked, directory, asked["target"])
        run.content = hashlib.sha256(data).hexdigest()
        run.target, run.approval, run.specs, run.checks = target, approval, specs, checks
        return run

    def carry_out(
        self,
        *,
        tell: Callable[[str, Any], object] = lambda step, shown: None,
        observer: applying.Observer | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        hands_over: bool = False,
    ) -> None:
        """Write and prove the plan that was approved, and record what came of it.

        Args:
            tell: is given each step's name as it begins, with None, and again with what it shows.
            observer, is_stopped: of the writes, as `provisioning.apply` takes them.
            hands_over: the packs, too, after what they say was proven.

        Raises:
            LockedError: if another process writes to the same clusters.
            ApplyError: if something is not as requested; its `result` is told by the caller.
        """
        assert self.approval is not None
        try:
            self.take(self.approval.plan)
            self._observer, self._is_stopped = observer, is_stopped
            last = ("prove", "hand_over", "record") if hands_over else ("record",)
            for step in ("apply", "read_back", *last):
                tell(step, None)
                tell(step, getattr(self, step)())
        except (Exception, KeyboardInterrupt) as error:
            self.write_failure(error)
            raise

    def requests(self) -> Table:
        """Return what is asked: of the request file, or by the parameters themselves, all checked.

        A file is read once, so that the run's copy is what was checked, whoever writes to it
        meanwhile. One with mistakes is given back with what is wrong with each row.

        Raises:
            ConfigError: if there is no such file.
            SpecError: with every mistake.
        """
        self._require_unapplied()
        read_by = rules(self.target, **self.asked("tiers_file", "policy_file"))
        self._policy = read_by["policy"]
        if "request_file" in self.parameters:
            path = Path(self.parameters["request_file"])
            if resumed := self.parameters["resume_run"]:  # its own copy is what was approved
                earlier = runs.find_run(resumed, runs_dir=self.directory.parent)
                copy = earlier / f"requests{path.suffix.lower()}"
                path = copy if copy.is_file() else path
            path = project.existing_file("request_file", str(path))
            self._requests = self.directory / f"requests{path.suffix.lower()}"
            data = files.read_bytes(path)
            self._keep_content(data)
            if resumed:  # which may have been given back with answers since
                self.content = (project.read_result(earlier) or {}).get("content", "")
            try:
                self.specs = spec.parse_requests(path, data=data, **read_by)
            except SpecError as error:
                self._give_back_refused(data, error)
                raise
            project.write_whole(self._requests, data)
        else:
            row = {name: self.parameters[name] for name in COLUMNS if name in self.parameters}
            self._keep_content(json.dumps(row, sort_keys=True, default=str).encode())
            self.specs = spec.specs_from_rows([row], file=PARAMETERS, **read_by)
        return plans.requests_table(self.specs)

    def _keep_content(self, requests: bytes) -> None:
        """Keep what tells these requests, and the tiers they lean on, from others."""
        digest = hashlib.sha256(requests)
        if tiers := self.parameters.get("tiers_file"):
            digest.update(project.existing_file("tiers_file", tiers).read_bytes())
        self.content = digest.hexdigest()

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
            with self._only_writer({spec.id.cluster for spec in self.specs}, is_patient=True):
                pass  # it is waited for; whoever that was may have gone on with it
            self._resumed = runs.find_run(resume_run, runs_dir=runs_dir)
            earlier = self._earlier = resuming.read_earlier(self._resumed)
            resuming.require_untouched(earlier, runs.runs_until(self._resumed)[0] / PLAN_NAME)
            resuming.require_same_requests(self.specs, earlier)
            torn = ", its last line cut off" if earlier.is_torn else ""
            rows = [
                ["Run", earlier.name],
                ["Approved plan", earlier.digest],
                ["Finished", f"{len(earlier.finished)} of {len(earlier.items)} items"],
                ["Journal", f"{JOURNAL_NAME}{torn}"],
            ]
        return Table(columns=["Resumed", ""], rows=rows, empty="A new run: nothing is resumed.")

    def _only_writer(
        self, clusters: Iterable[ClusterId], *, is_patient: bool = False
    ) -> AbstractContextManager[None]:
        return only_writer(
            clusters,
            endpoint=self.target.azure.cloud.arm_endpoint,
            run_directory=self.directory,
            tell=tell if is_patient else None,
        )

    def observe(self) -> Table:
        """Return what is there, in Azure and on the clusters."""
        self._require_unapplied()
        asked = {"policy": self._policy, **self.asked("verify_principals")}
        try:
            with self._giving_back():
                self.specs, who = identified(self.specs, self.target, **asked)
            self.observed = observed(self.specs, self.target, who=who)
        except ArmForbiddenError as error:
            self._refuse(error)
            raise
        if self._earlier is not None:
            azure = self.target.azure
            self.observed = resuming.read_in_flight(self.observed, self._earlier, azure=azure)
        return plans.observed_table(self.observed)

    def check(self) -> Table:
        """Return the checks, of one namespace after all lines on how ready its cluster is.

        Raises:
            SpecError: if there is no such cluster; the lines are shown first.
            PreflightError: as well, if a check failed.
        """
        self.checks = preflight(self.specs, self.observed)
        shown, facts = self.checks, self._facts()
        if facts is not None:
            self.checks = worst_first((*self.checks, *permissions(facts, steps_of(self.specs))))
            lines = {line.name: line for line in (*readiness(facts), *self.checks)}
            shown = worst_first(list(lines.values()))
        table = plans.checks_table(shown)
        if any(line.status is CheckStatus.FAILED for line in shown):
            show_now(table)  # of a cell that fails nothing else is seen
        if facts is not None and self.observed.missing:
            make_plan(self.specs, self.observed)  # which says so in the words of every request
        require_passed(shown)
        return table

    def _facts(self, error: MnsError | None = None) -> Facts | None:
        """Return what the cluster of the one namespace stands on; None for a file of requests."""
        if "request_file" in self.parameters:
            return None
        (asked,) = self.specs
        found = None if error else self.observed.clusters.get(asked.id.cluster)
        there = found and found.find(asked.id)
        return observe_ground(
            asked.id.cluster,
            found or error or ArmNotFoundError(f"{asked.id.cluster} was not found."),
            azure=self.target.azure,
            namespace=there.id if there else None,
        )

    def _refuse(self, error: ArmForbiddenError) -> None:
        """Say before anything is written which steps all will be refused, where one was.

        Raises:
            PreflightError: with all of them, of one namespace.
        """
        if (facts := self._facts(error)) is not None:
            lines = permissions(facts, steps_of(self.specs))
            show_now(plans.checks_table(lines))
            require_permitted(lines, error)

    def plan(self) -> None:
        """Show what would change, after writing it to `plan.json`.

        Of a resumed run: what is left to change, under the digest that was approved.
        """
        self._require_unapplied()
        specs, there = self.specs, self.observed
        limit = read_max_commitment(self.asked("max_commitment")["max_commitment"])
        if self._earlier is not None:
            self._rest = resuming.plan_rest(specs, there, self._earlier, max_commitment=limit)
            self.take(self._rest.plan)
        else:
            with self._giving_back():
                self.take(make_plan(specs, there, max_commitment=limit))
        self._show_plan()

    def take(self, plan: Plan) -> None:
        """Go on with a plan, after writing it to `plan.json`."""
        self.planned = plan
        content = plan_to_json(plan, created_utc=utc_text(utc_now()))
        text = json.dumps(content, indent=1, ensure_ascii=False)
        project.write_whole(self.directory / PLAN_NAME, text + "\n")

    def _show_plan(self, *, is_update: bool = False) -> None:
        """Show what to read of the plan; as an update, what was done, in the same place.

        Nothing is shown anew where nothing was shown before.
        """
        from IPython.display import display

        if is_update and not self._is_plan_shown:
            return
        self._is_plan_shown = True
        report = plans.plan_report(self.planned, self.result if is_update else None)
        # as one output: the boxes of what was done may be fewer than those that were planned
        forms = {"text/plain": repr(report), "text/html": report._repr_html_()}
        display(forms, raw=True, display_id="plan", update=is_update)  # type: ignore[no-untyped-call]

    def changes(self) -> Table:
        """Return every change, those with a risk first."""
        return plans.changes_table(self.planned)

    def adoption(self) -> Table:
        """Return what the takeovers among the changes do to what runs there."""
        return plans.adoption_table(self.planned)

    def effect(self) -> "Chart":
        """Return the picture of what the clusters have committed before and after."""
        return self.with_pictures(plans.plan_chart(self.planned))

    def clusters(self) -> Table:
        """Return what each cluster has committed before and after, as a table."""
        return plans.clusters_table(self.planned)

    def way_on(self, error: BaseException) -> str:
        """Return the approval that a plan lacks, or how to resume what is left of one."""
        in_cells, left = is_notebook() and self.notebook != LIBRARY, self.so_far
        if isinstance(error, StalePlanError) and (plan := vars(self).get("planned")):
            return to_go_ahead(plan.digest, plan.risk_names(), in_python=in_cells)
        can_resume = "resume_run" in self.parameters and not (left.is_dry_run or left.needs_plan)
        if not can_resume or not left.unfinished:
            return ""
        name = self.directory.name
        return f'resume_run = "{name}"' if in_cells else f"mns resume {name}"

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
        self._require_unapplied()
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
        return plans.approval_report(self.approval, in_notebook=is_notebook())

    def apply(self) -> Stack:
        """Return one outcome per request; shows progress; keeps the journal.

        Raises:
            LockedError: if another process writes to the same clusters.
        """
        self._require_unapplied()
        approval, rest, azure = self.approval, self._rest, self.target.azure
        if approval is None or approval.plan is not self.planned:
            raise ConfigError("This plan has no approval yet: run the cell that decides on it.")
        journal = Journal(self.directory / JOURNAL_NAME, now=utc_now)
        writes = self.planned.to_do if approval.may_write else ()
        with self._only_writer({change.id.cluster for change in writes}):
            if approval.may_write and rest is not None and self._resumed is not None:
                runs.continue_journal(self._resumed, self.directory, now=utc_now)
                for outcome in rest.decided:
                    journal.write("finished", **outcome.to_json())
            self._has_applied = approval.may_write
            result = applying.apply(
                approval,
                azure=azure,
                kube_for=self.target.kube_for,
                journal=journal,
                observer=self._observer or apply_progress(),
                is_stopped=self._is_stopped,
                max_parallel_per_cluster=self.parameters.get(
                    "max_parallel_per_cluster", applying.MAX_PARALLEL_PER_CLUSTER
                ),
                writer=self._writer,
            )
        self.result = result = rest.complete(result) if rest else result
        if approval.may_write and self.planned.to_do:
            unread = "It was not read back: its run did not come to that."
            self.write(RunStatus.STOPPED, self.behind_written(unread), result.counts())
        if approval.may_write:
            self._show_plan(is_update=True)
        return plans.outcome_report(result)

    @property
    def _writer(self) -> Callable[..., Writer]:
        """What makes the writer of its changes."""
        return Writer

    def _require_unapplied(self) -> None:
        """Raise ConfigError where a plan was applied: the record is of that one alone."""
        self.require_open()
        if self._has_applied:
            raise ConfigError(project.message("applied"))

    @property
    def so_far(self) -> ApplyResult:
        """What came of its items so far, by the journal where the apply itself could not say it."""
        if self.result is None and self._has_applied:
            return resuming.result_so_far(self.directory)
        return super().so_far

    @property
    def _ended(self) -> ApplyResult:
        if self.result is None:
            raise ConfigError("Nothing was applied yet: run the cells above first.")
        return self.result

    def outcome(self) -> "Chart | None":
        """Return the picture of what came of each change; None after a dry run."""
        from mnslib.show.charts import bulk_outcome

        if self._ended.is_dry_run:
            return None
        return self.with_pictures(bulk_outcome(self._ended, moment=self.started))

    def timeline(self) -> "Chart | None":
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
        chart = bulk_timeline(read_timeline(events), moment=self.started, paces=paces)
        return self.with_pictures(chart)

    def read_back(self) -> Callout:
        """Return what is still open, after every field was compared with what reads back.

        One list per cluster; what was reported as done is planned again, which must find nothing.
        After a dry run the plan itself is what is open.
        """
        plan, result = self.planned, self._ended
        self.left = plan
        if not result.is_dry_run:
            try:
                again = observed(self.specs, self.target, known=plan.observed)
                self.result, self.left = applying.read_back(
                    plan, result, self.specs, again=again, azure=self.target.azure
                )
            except ArmError as error:
                self.result = applying.not_read_back(plan, result, error)
            finally:
                end_pauses()  # where the run was interrupted, for what the process does next
            if self.result != result:
                self._show_plan(is_update=True)
        return plans.still_open(self.left, self._ended)

    def prove(self) -> Stack | Table:
        """Return what is proven of each namespace that stands, with nothing left behind."""
        reports = [proof_report(one.id, self._proven_of(one)) for one in self._standing]
        if not reports:
            return Table(columns=[], rows=[], empty="Nothing to prove yet: nothing was changed.")
        return Stack(reports)

    @property
    def _standing(self) -> list[Change]:
        """The changes whose namespace is there, as asked, after an apply that was approved."""
        if self.approval is None or not self.approval.may_write:
            return []
        done = {item.id for item in self._ended.done}
        return [one for one in self.planned.changes if one.after is not None and one.id in done]

    def _proven_of(self, change: Change) -> Proven:
        if change.id not in self._proven:
            assert change.after is not None
            cluster = self.planned.observed.clusters[change.id.cluster].cluster
            given = {**self.beside, **self.parameters}
            self._proven[change.id] = prove(
                change.after,
                cluster,
                self.target,
                credential=given.get("proof_credential", ""),
                has_defaults=any(one.after.get("limit_range") for one in change.companions),
            )
        return self._proven[change.id]

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

    @contextmanager
    def _giving_back(self) -> Iterator[None]:
        """Give a request file back with what turns out to be wrong with its rows."""
        try:
            yield
        except SpecError as error:
            if "request_file" in self.parameters:
                self._give_back_refused(self._requests.read_bytes(), error)
            raise

    def _give_back_refused(self, data: bytes, error: SpecError) -> None:
        mistakes = export.refusals(error)
        # of a column that is there twice, the first was looked at by nobody
        withheld = (*OF_SECRETS, say("column_twice")[0])
        may_be_secret = (
            any(told in mistake.message for told in withheld) or mistake.column not in COLUMNS
            for mistake in error.problems
        )
        if any(may_be_secret):
            note = project.message("withheld", file=self.parameters["request_file"])
            raise SpecError(error.problems, note=note) from error
        if not mistakes:
            return  # no row could be read
        _, problem = self._answered(mistakes, data)
        if problem:  # the mistakes are told all the same
            tell(f"The request file is not given back: {problem}")

    def _answered(self, answers: Mapping[int, Any], data: bytes | None = None) -> tuple[str, str]:
        """Return the name of the file that was written with answers, else why it was not."""
        try:
            suffix, content = export.answered_file(self._requests, answers, data=data)
            file = self._requests.with_suffix(suffix)
            project.write_whole(file, content)
        except Exception as error:  # what was done stands, and is in the record all the same
            return "", cut(f"{type(error).__name__}: {error}")
        return file.name, ""

    def hand_over(self) -> Table:
        """Return where the pack of each namespace that stands was written, or why not."""
        login, merged = self.asked("kubectl_login", "kubeconfig").values()
        rows: list[list[Cell]] = []
        missing: dict[str, str] = {}
        for change in self._standing:
            written = ""
            try:
                pack = self._write_pack(change)
                written = str(pack.relative_to(project.find_project_root()))
                found = [written, f"kubectl --kubeconfig {written} get pods"]
                if merged:
                    found[0] += f", merged into {handover.merge_into(merged, pack)}"
            except (MnsError, OSError) as error:  # the namespace stands; only its file is missing
                verb = "merged" if written else "written"
                found = [f"{written}, not merged" if written else "not written", str(error)]
                missing[change.id.key] = f"its kubeconfig was not {verb}: {error}"
            rows.append([change.id.namespace_name, *found])
        self._not_handed_over = missing
        is_sandbox = self.target.sandbox is not None
        note = render_part("run.txt.j2", "handed_over", login or "kubelogin", is_sandbox)
        return Table(
            columns=["Namespace", "Kubeconfig", "Try"],
            rows=rows,
            caption="Handed over",
            note=note,
            empty="Nothing to hand over: nothing was changed.",
        )

    def _write_pack(self, change: Change) -> Path:
        """Return the kubeconfig of a pack that was written."""
        asked, proven = change.after, self._proven_of(change)
        assert asked is not None
        given = {"pod_cpu": "", "pod_memory": "", **self.beside, **self.parameters}
        pod = first_pod(given["pod_cpu"], given["pod_memory"])
        about = {"sandbox": "sandbox" if self.target.sandbox else "", "run": self.directory.name}
        rows = [change.id.columns | dict(asked.quota)]
        return handover.write_pack(
            change.id,
            self.target,
            cloud=given["cloud"],
            login=given["kubectl_login"],
            identity=proven.somebody or NOBODY,
            beside={
                "handover.html": handover_page(asked, pod, proven, moment=self.started, **about),
                "starter.yaml": starter(change.id, pod, proven),
                "request.csv": export.request_file(rows, suffix=".csv"),
            },
        )

    def record(self) -> Table:
        """Return the figures of the run, after writing them to `result.json`.

        Raises:
            ApplyError: after the record is written, if something is not as requested.
        """
        plan, result, missing = self.planned, self._ended, self._not_handed_over
        settled = {item.id for item in result.done}
        for asked in self.specs:
            if asked.ensure is Ensure.ABSENT and asked.id in settled:
                handover.remove_pack(asked.id)
        if result.interrupted_by_signal is not None:
            status = RunStatus.INTERRUPTED
        elif result.is_dry_run:
            status = RunStatus.FINDINGS
        elif not result.unfinished:
            status = RunStatus.PARTLY if self.left.to_do or missing else RunStatus.DONE
        else:
            done = result.counts().keys() & {kind.value for kind in results.WRITTEN_OUTCOMES}
            status = RunStatus.PARTLY if result.has_written or done else RunStatus.FAILED
        if status is RunStatus.FINDINGS:
            headline = plans.plan_sentence(plan)
        else:
            headline = plans.outcome_sentence(result)
            if self.left.to_do:
                headline += f" Planned again: {plans.plan_sentence(self.left)}"
        headline = f"{headline} {plans.sheet_note(self.specs)}".strip()
        if missing:
            self.result = result.with_reasons(missing)
            headline += " " + render_part("run.txt.j2", "not_handed_over", [*missing.values()])
        risks = result.resumed.risks if result.resumed else plan.risk_names()
        numbers = {**result.counts(), "risks": len(risks), **proof.numbers(self._proven.values())}
        # what is refused, late or not provable is told; these contradict the plan, as a change does
        # that reads back differently
        if contradicting := [one for found in self._proven.values() for one in found.failed]:
            status = RunStatus.PARTLY if status is RunStatus.DONE else status
            headline += " " + render_part("run.txt.j2", "disproved", contradicting)
        checks = [*self.checks, *plans.short_for_now(plan)]
        return self.finish(status, headline, numbers, checks, is_unchanged=not plan.to_do)
