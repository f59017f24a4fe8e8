"""Notebook 20 by a form: what it may ask, its plan, its approval, its write; where it stands.

The form is `show/forms.py`, which knows no run. All is read, checked and planned by what the
notebook's cells use; the write is a run of its own, as the library's. An approval lives in this
object alone, never in a widget or a file: after a restart there is a plan at most.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import yaml

from mnslib.errors import (
    ConfigError,
    LockedError,
    MnsError,
    StalePlanError,
    cut,
)
from mnslib.models import Principal, PrincipalType
from mnslib.provisioning import observe
from mnslib.provisioning.apply import Progress
from mnslib.provisioning.approval import Caps, decide
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.provisioning.risks import read_max_commitment
from mnslib.requests import spec
from mnslib.resource_ids import GUID
from mnslib.results import RunStatus, utc_now
from mnslib.run import project, runs
from mnslib.run.changing import Changing, checked, identified, observed, rules
from mnslib.run.progress import ipython, is_notebook
from mnslib.show import form_facts, plans
from mnslib.show.displays import Sentence
from mnslib.show.form_state import Draft, State
from mnslib.show.templates import render_part

FORM_NAME = "form.json"
"""In the notebook's run directory: what the form held last, for a kernel that comes later."""

SAMPLE_TIERS = "parameters/tiers.sample.yaml"
"""Sizes that are offered where no `tiers_file` is named: their amounts are filled in, no tier."""

MOST_FOUND = 8
"""Of each kind that a search offers; our choice: who wants another one types more."""

_OF_RUN = (
    "target", "cloud", "credential", "max_commitment", "tiers_file", "policy_file",
    "verify_principals",
)  # fmt: skip


def in_thread(job: Callable[[], None]) -> None:
    """Start a job beside the kernel, which stays free for a stop."""
    threading.Thread(target=job, daemon=True).start()


class Guided(Draft):
    """What the form is shown, and what it asks for.

    Attributes:
        taken_from: the run whose form it goes on with.
        found: whom the directory has found, each with the names of who is in it.
        names: of the object ids that were looked up.
    """

    writing: ClassVar["Guided | None"] = None
    """Whose write is under way in this kernel."""

    def __init__(
        self, run: Changing, *, start: Callable[[Callable[[], None]], object] = in_thread
    ) -> None:
        """Take up the notebook's parameters, or where the form of before stood with the same."""
        read_by = rules(run.target, **run.asked("tiers_file", "policy_file"))
        del read_by["missing"]  # which is asked for once, not at each key
        limit = read_max_commitment(run.parameters["max_commitment"])
        super().__init__(run.parameters, rules=read_by, max_commitment=limit)
        if not self.has_tiers and (sample := project.resolve_path(SAMPLE_TIERS)).is_file():
            self.sizes = form_facts.sizes(spec.read_tiers(sample))
        self.run, self._start = run, start
        self.taken_from = ""
        self.found: list[tuple[Principal, list[str]]] = []
        self.names: dict[str, str] = {}
        self.progress: Progress | None = None
        self._stop, self._began, self._was_planned = threading.Event(), 0.0, False
        self._take_up()
        self._check()

    def reset(self) -> None:
        """Go back to the notebook's parameters."""
        self.taken_from = ""
        self.change(**{name: self.run.parameters[name] for name in self.values})
        self._changed()

    @property
    def is_locked(self) -> bool:
        """Whether nothing may be edited: a write is approved and under way."""
        return Guided.writing is self

    @property
    def seconds(self) -> float:
        """How long the write has taken so far."""
        return time.monotonic() - self._began

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def load(self) -> None:
        """Read which clusters there are, then what is on them; then plan, where it had been."""
        self._job("reading the clusters", self._load)

    def plan(self) -> None:
        """Read what is there, and make the plan."""
        self.message = ""
        self._job("making the plan", self._plan)

    def search(self, text: str) -> None:
        """Look somebody up by the begin of a name, or by an id; who is found is in `found`."""
        self.message = ""
        self._job("searching the directory", partial(self._search, text))

    def approve(self) -> None:
        """Approve the plan that was read, and have it written if it still is that one."""
        if self.planned is None or not self.may_approve:
            return
        self._digest, Guided.writing = self.planned.digest, self
        self.told, self.progress, self.message = {}, None, ""
        self._began = time.monotonic()
        self._stop.clear()
        self._job("planning again", partial(self._write, self._digest, frozenset(self.allow)))

    def stop(self) -> None:
        """Start nothing new; what runs is awaited."""
        self._stop.set()
        self._changed()

    def save(self, file: str, *, replaces: bool = False) -> None:
        """Write the values as a parameter file of the notebook, below `runs_dir` or parameters/."""
        try:
            self.message, self.saved = "", str(self._save(file, replaces=replaces))
        except (MnsError, OSError) as error:
            self.message, self.saved = str(error), ""
        self._changed()

    # Behind it

    def _changed(self) -> None:
        with suppress(OSError):  # a convenience, on which no write depends
            is_planned = self.planned is not None
            held = {"values": self.values, "run": self.directory, "is_planned": is_planned}
            project.write_whole(self.run.directory / FORM_NAME, json.dumps(held, default=str))
        super()._changed()

    def _job(self, what: str, job: Callable[[], None]) -> None:
        if self.busy:
            return

        def work() -> None:
            try:
                job()
            except Exception as error:  # whatever it is, it is told where the person looks
                is_ours = isinstance(error, MnsError)
                self.message = str(error) if is_ours else cut(f"{type(error).__name__}: {error}")
            finally:
                self.busy = ""
                self._changed()

        self.busy = what
        self._changed()
        self._start(work)

    def _load(self) -> None:
        target, asked = self.run.target, str(self.run.parameters["subscription_id"])
        only = [asked] if asked and target.sandbox is None else []
        listed = observe.clusters_of(target.azure, target.scope(only, [])[0])
        self.clusters = {one: form_facts.Choice(id=one) for one in listed}
        self._changed()
        if (cluster := self.cluster) and cluster not in listed:
            self._missing = observe.missing_clusters([cluster], target.azure)
        found = observe.observe_clusters(
            dict.fromkeys(listed, ()),
            azure=target.azure,
            known=listed,
            kube_for=target.kube_for,
            now=utc_now,
        )
        self._found = dict(found)
        choices = [form_facts.choice(*one, self._limit) for one in found.items()]
        self.clusters = {one.id: one for one in choices}
        self._check()
        ids = [one.partition(":")[2] for one in form_facts.principals(self.values["access"])]
        if ids:
            with suppress(MnsError):  # whoever may not read the directory sees ids
                known = target.azure.directory.by_ids(filter(GUID.fullmatch, ids))
                self.names |= {key: one.name for key, one in known.items()}
        if self._was_planned and self._preview and not self._ended:
            self._plan()

    def _plan(self) -> None:
        edition, target = self._edition, self.run.target
        verify = self.run.parameters["verify_principals"]
        how = {"policy": self._rules["policy"], "verify_principals": verify}
        specs, who = identified(self._specs, target, **how)
        if edition == self._edition:
            self._specs = specs
        there = observed(specs, target, who=who)
        self._found |= there.clusters
        self._checks = checked(specs, there)
        plan = make_plan(specs, there, max_commitment=self._limit)
        self.shown = plans.plan_sentence(plan), plans.changes_table(plan)
        self.planned, self._planned_edition = plan, edition
        self.allow, self._digest, self._ended, self.directory = set(), "", None, ""

    def _search(self, text: str) -> None:
        directory, self.found = self.run.target.azure.directory, []
        for one in directory.search(text, most=MOST_FOUND):
            is_group = one.kind is PrincipalType.GROUP
            inside = directory.members(one.id) if is_group else []
            self.found.append((one, [member.name for member in inside]))
            self.names[one.id] = one.name
        if not self.found:
            raise ConfigError(project.message("form_nobody", text=cut(text, 80)))

    def _write(self, digest: str, allow: frozenset[str]) -> None:
        try:
            with interrupts_to(self.stop):
                self._plan()
                if self.planned is None or self.planned.digest != digest:
                    raise StalePlanError(project.message("form_other_plan"))
                if self.is_stopping:
                    raise ConfigError(project.message("form_stopped"))
                self.allow, self._digest = {*allow}, digest
                self._carry_out(self.planned)
        finally:
            Guided.writing = None

    def _carry_out(self, plan: Plan) -> None:
        caps, allow, given = Caps(), sorted(self.allow), self.run.parameters
        approval = decide(
            plan,
            dry_run=False,
            approval="digest",
            approved_digest=self._digest,
            allow=allow,
            caps=caps,
        )
        settings = {name: given[name] for name in _OF_RUN} | asdict(caps) | {"allow": allow}
        run = Changing.of_plan(
            approval,
            target=self.run.target,
            specs=self._specs,
            rows=[dict(self.values)],
            checks=self._checks,
            parameters={**settings, "runs_dir": str(self.run.directory.parent)},
        )
        run.beside = given
        self._ended, self.directory = State.WRITING, run.directory.name
        try:
            run.carry_out(
                tell=self._tell,
                observer=self._observe,
                is_stopped=self._stop.is_set,
                hands_over=True,
            )
        except Exception as error:  # a refused lock is before any write: the approval holds
            self._ended = None if isinstance(error, LockedError) else State.PARTLY
            raise
        self._ended, self.message = State.DONE, plans.outcome_sentence(run.so_far)
        self._found |= run.left.observed.clusters

    def _tell(self, step: str, shown: Any) -> None:
        self.told[step] = shown
        self._changed()

    def _observe(self, progress: Progress) -> None:
        self.progress = progress
        self._changed()

    def _take_up(self) -> None:
        """Go on where the last form stood, if the notebook's parameters are those of then."""
        runs_dir, given = self.run.directory.parent, json.dumps(self.run.parameters, default=str)
        for directory in reversed(project.run_directories(runs_dir)):
            file, record = directory / FORM_NAME, project.read_result(directory)
            if record and record["notebook"] == self.run.notebook and file.is_file():
                if record["parameters"] == json.loads(given):
                    with suppress(OSError, ValueError, LookupError, TypeError):  # damaged
                        self._take(json.loads(file.read_text(encoding="utf-8")), directory)
                return

    def _take(self, held: Mapping[str, Any], directory: Path) -> None:
        self.values |= {name: held["values"][name] for name in self.values}
        self.taken_from, self._was_planned = directory.name, bool(held["is_planned"])
        written_by = directory.parent / str(held["run"])
        if held["run"] and (record := project.read_result(written_by)):
            if record["status"] == RunStatus.STOPPED and not runs.is_under_way(written_by):
                record, _ = runs.by_journal(written_by, record)
            is_done = record["status"] in (RunStatus.DONE, RunStatus.FINDINGS)
            self.directory, self.message = written_by.name, record["headline"]
            self._ended = State.DONE if is_done else State.PARTLY

    def _save(self, file: str, *, replaces: bool) -> Path:
        path, root = project.resolve_path(file).resolve(), project.find_project_root()
        folders = [one.resolve() for one in (root / "parameters", self.run.directory.parent)]
        if path.suffix != ".yaml" or not any(map(path.is_relative_to, folders)):
            raise ConfigError(project.message("form_place", file=file))
        if path.exists() and not replaces:
            listed = ["git", "-C", str(root), "ls-files", "--error-unmatch", str(path)]
            is_tracked = subprocess.run(listed, capture_output=True).returncode == 0
            raise ConfigError(
                project.message("form_tracked" if is_tracked else "form_there", file=file)
            )
        given = {**self.run.parameters, **self.values, "dry_run": True, "approval": "digest"}
        given["approved_digest"] = self._digest if self.state is State.APPROVED else ""
        given["allow"] = sorted(self.allow) if self.state is State.APPROVED else []
        text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
        project.write_whole(path, f"{project.message('form_saved')}\n{text}")
        return path


@contextmanager
def interrupts_to(stop: Callable[[], object]) -> Iterator[None]:
    """Have an interrupt that finds the kernel idle stop the write meanwhile.

    ipykernel passes over one then. Its own handler is put in place for each message, and back.
    """
    kernel = getattr(ipython(), "kernel", None)
    if kernel is None:
        yield
        return
    before: list[Any] = []
    later, set_handler = kernel.io_loop.add_callback, partial(signal.signal, signal.SIGINT)
    later(lambda: before.append(set_handler(lambda *_: stop())))  # only the first thread may
    try:
        yield
    finally:
        later(lambda: set_handler(before[0]))


class Onboarding(Changing):
    """The run of notebook 20, which can be guided by a form."""

    def form(self) -> Any:
        """Return the form where a person looks on; elsewhere a line: nothing waits for it."""
        if not is_attended():
            return Sentence(render_part("forms.txt.j2", "headless"))
        from mnslib.show.forms import Form

        is_writing = Guided.writing is not None
        guided = Guided.writing or Guided(self)
        form = Form(guided)
        if not is_writing:
            guided.load()
        return form.show()


def is_attended() -> bool:
    """Return whether a front end asks, which names the cell; programs that run notebooks do not."""
    kernel = getattr(ipython(), "kernel", None)
    if kernel is None or not is_notebook():
        return False
    return bool(kernel.get_parent("shell").get("metadata", {}).get("cellId"))
