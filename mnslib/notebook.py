"""The front of every notebook: a session that connects, shows progress, and leaves a record.

A session owns one run directory and always leaves `result.json` in it: first as `stopped`, so
that a kernel that dies is known by it, then as what came of the run. It decides nothing about
namespaces; those decisions are in `provisioning` and `capacity`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import mnslib
from mnslib.errors import (
    ApplyError,
    ConfigError,
    MnsError,
    SpecError,
    cut,
)
from mnslib.parameters import Parameter, check_parameters, read_parameters
from mnslib.project import (
    RUN_DIRECTORY_VARIABLE,
    find_project_root,
    new_run_directory,
    resolve_path,
    write_result,
    write_whole,
)
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.results import (
    EXIT_CODES,
    ApplyResult,
    CheckResult,
    ItemOutcome,
    RunRecord,
    RunStatus,
    utc_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.azure.client import AzureClient
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.kube.client import KubeClient
    from mnslib.models import ManagedCluster, NamespaceSpec
    from mnslib.provisioning.apply import Progress
    from mnslib.provisioning.approval import Approval
    from mnslib.provisioning.observed import ObservedState
    from mnslib.provisioning.plan import Plan
    from mnslib.reporting.displays import Cell, Table
    from mnslib.resource_ids import ManagedNamespaceId

PLAN_NAME = "plan.json"
TARGETS = ("sandbox", "azure")
SECONDS_BETWEEN_LINES = 2.0
"""Headless progress prints at most so often; a person reads no faster."""


def utc_now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)


def connect(notebook: str, cells: Mapping[str, Any]) -> Session:
    """Return the session of one run of a notebook.

    Reads the parameters that the notebook declares, makes the run directory, starts the sandbox
    where that is the target, and signs in lazily. Changes nothing on Azure.

    Args:
        notebook: the notebook's name without ending, such as `30_provision_in_bulk`.
        cells: the notebook's `globals()`.

    Raises:
        ConfigError: if a parameter has an unknown name or a value that does not exist.
    """
    root = find_project_root()
    declared = read_parameters(root / "notebooks" / f"{notebook}.ipynb")
    parameters = {known.name: cells.get(known.name, known.default) for known in declared}
    directory = _run_directory(notebook, parameters)
    session = Session(
        notebook=notebook,
        parameters=parameters,
        root=root,
        directory=directory,
        environment=directory.name.partition(f"{notebook}-")[2],
        is_headless=RUN_DIRECTORY_VARIABLE in os.environ,
    )
    try:
        _check(declared, parameters, cells)
    except ConfigError:
        session.parameters = {}  # what is refused may hold a secret
        raise
    finally:
        session.begin()
    session.open_target()
    return session


def _run_directory(notebook: str, parameters: Mapping[str, Any]) -> Path:
    given = os.environ.get(RUN_DIRECTORY_VARIABLE)
    if given:
        return Path(given)
    return new_run_directory(
        resolve_path(str(parameters["runs_dir"])),
        notebook=notebook,
        environment=str(parameters["target"]),
        started=utc_now(),
    )


def _check(
    declared: Sequence[Parameter], parameters: Mapping[str, Any], cells: Mapping[str, Any]
) -> None:
    """Check again what the runner checks: plain papermill passes anything on."""
    names = [known.name for known in declared]
    for name, value in cells.items():
        is_literal = isinstance(value, str | int | bool | float | list | dict)
        if is_literal and name not in names and not name.startswith("_"):
            near = get_close_matches(name, names, n=1, cutoff=0.8)
            if near:
                raise ConfigError(
                    f"{name}: the notebook has no such parameter; did you mean {near[0]}?"
                )
    check_parameters(declared, parameters)


@dataclass(eq=False, slots=True)
class Session:
    """One run of one notebook: its parameters, its directory, its way to Azure and Kubernetes."""

    notebook: str
    parameters: dict[str, Any]
    root: Path
    directory: Path
    environment: str
    is_headless: bool
    started: datetime = field(default_factory=utc_now)
    connection: Mapping[str, Any] | None = None
    azure: AzureClient = field(init=False)
    _kube: dict[str, KubeClient] = field(default_factory=dict)
    _result: ApplyResult | None = None

    # The record

    def begin(self) -> None:
        """Leave the provisional record, and have a failing cell replace it."""
        self._write_record(RunStatus.STOPPED, headline="The kernel ended before the notebook did.")
        with contextlib.suppress(ImportError):
            from IPython.core.getipython import get_ipython

            shell = get_ipython()
            if shell is not None:
                shell.events.register("post_run_cell", self._after_cell)

    def _after_cell(self, result: Any) -> None:
        error = result.error_in_exec or result.error_before_exec
        if error is None or isinstance(error, ApplyError):
            return
        if isinstance(error, KeyboardInterrupt):
            status, headline = RunStatus.INTERRUPTED, "Interrupted before the notebook ended."
        elif isinstance(error, SpecError | ConfigError):
            status, headline = RunStatus.REFUSED, str(error)
        elif isinstance(error, MnsError):
            status, headline = RunStatus.FAILED, str(error)
        else:
            status, headline = RunStatus.FAILED, cut(f"{type(error).__name__}: {error}")
        result = self._result
        if result is not None and status is RunStatus.REFUSED:
            status = RunStatus.FAILED  # refused means that nothing was written
        self._write_record(
            status,
            headline=headline,
            summary=result.counts() if result else {},
            items=result.outcomes if result else (),
        )

    def _write_record(
        self,
        status: RunStatus,
        *,
        headline: str,
        summary: Mapping[str, float] | None = None,
        items: Sequence[ItemOutcome] = (),
    ) -> RunRecord:
        known = (PLAN_NAME, JOURNAL_NAME)
        found = [name for name in known if (self.directory / name).exists()]
        tables = sorted(path.name for path in (self.directory / "tables").glob("*.csv"))
        record = RunRecord(
            notebook=self.notebook,
            environment=self.environment,
            target=str(self.parameters.get("target", "")),
            started_utc=utc_text(self.started),
            finished_utc=utc_text(utc_now()),
            status=status,
            exit_code=EXIT_CODES[status],
            parameters=self.parameters,
            headline=headline,
            summary=summary or {},
            items=items,
            artifacts=[*found, *(f"tables/{name}" for name in tables)],
        )
        write_result(self.directory, record.to_json())
        return record

    def record(
        self,
        *,
        result: ApplyResult | None = None,
        plan: Plan | None = None,
        left: Plan | None = None,
        headline: str = "",
        summary: Mapping[str, float] | None = None,
        has_findings: bool = False,
    ) -> Table:
        """Return the figures of the run, after writing them to `result.json`.

        Args:
            result: what came of a plan; its outcomes decide the status.
            plan: the plan it came of; one that waits for approval is a finding.
            left: the plan made again after the change; if it is not empty, the run is not done.
            headline: the finding in a sentence; made from the result where it is empty.
            summary: numbers by name.
            has_findings: whether a reading notebook found something that needs somebody.

        Raises:
            ApplyError: after the record is written, if something is not as requested, so that
                every way of running the notebook ends as failed.
        """
        from mnslib.reporting.displays import Table
        from mnslib.reporting.provisioning import outcome_sentence, plan_sentence

        status = RunStatus.FINDINGS if has_findings else RunStatus.DONE
        numbers: dict[str, float] = dict(summary or {})
        if result is not None and plan is not None:
            status = _status(result, plan, left)
            numbers = {**result.counts(), **numbers, "risks": len(plan.risk_names())}
            waits = status is RunStatus.FINDINGS
            headline = headline or (plan_sentence(plan) if waits else outcome_sentence(result))
            if left is not None and left.to_do and not waits:
                headline += f" Planned again: {plan_sentence(left)}"
        self._write_record(
            status, headline=headline, summary=numbers, items=result.outcomes if result else ()
        )
        if status in (RunStatus.PARTLY, RunStatus.FAILED, RunStatus.INTERRUPTED):
            raise ApplyError(f"{headline} What is done is not repeated: run the same file again.")
        rows: list[list[Cell]] = [
            [name.replace("_", " "), value] for name, value in numbers.items()
        ]
        caption = f"{status.value.capitalize()}: {headline}"
        return Table(columns=["Figure", "Value"], rows=rows, caption=caption)

    # The target

    def open_target(self) -> None:
        """Choose the endpoint and the credential; asks nothing of Azure yet.

        Raises:
            ConfigError: if target, cloud or credential is a word that does not exist.
        """
        if _require("target", self.parameters.get("target"), TARGETS) == "sandbox":
            self.connection = sandbox_connection(self.root)
        self.azure = azure_client(
            self.connection,
            cloud=str(self.parameters.get("cloud", "public")),
            credential=str(self.parameters.get("credential", "default")),
        )

    def kube_for(self, cluster: ManagedCluster) -> KubeClient:
        """Return the Kubernetes door of a cluster; asks for its credential once."""
        from mnslib.kube.client import KubeClient
        from mnslib.kube.kubeconfig import read_access

        if cluster.id.key not in self._kube:
            access = read_access(
                self.azure.managed_clusters.list_cluster_user_credential(cluster.id)
            )
            self._kube[cluster.id.key] = KubeClient(
                server=access.server,
                ca_pem=access.ca_pem,
                token=lambda: self.azure.token(self.azure.cloud.kubernetes_scope),
                name=cluster.id.cluster_name,
            )
        return self._kube[cluster.id.key]

    # The steps of notebooks that change something

    def load_requests(self, request_file: str) -> tuple[NamespaceSpec, ...]:
        """Return the requests of a file, all checked; its path is relative to the project."""
        from mnslib.requests.spec import parse_requests

        return parse_requests(resolve_path(request_file))

    def request(self, **columns: Any) -> tuple[NamespaceSpec, ...]:
        """Return the one request that the notebook's parameters make, checked like a file's."""
        from mnslib.requests.spec import specs_from_rows

        return specs_from_rows([columns], file="parameters")

    def observe(self, specs: Sequence[NamespaceSpec]) -> ObservedState:
        """Return what is there, in Azure and on the clusters; changes nothing."""
        from mnslib.provisioning.observe import observe

        return observe(specs, azure=self.azure, kube_for=self.kube_for, now=utc_now)

    def preflight(
        self, specs: Sequence[NamespaceSpec], observed: ObservedState
    ) -> tuple[CheckResult, ...]:
        """Return the checks; raises PreflightError if one failed."""
        from mnslib.provisioning.preflight import preflight, require_passed

        checks = preflight(specs, observed)
        require_passed(checks)
        return checks

    def plan(self, specs: Sequence[NamespaceSpec], observed: ObservedState) -> Plan:
        """Return what would change, after writing it to `plan.json`."""
        from mnslib.provisioning.plan import make_plan, plan_to_json

        plan = make_plan(specs, observed)
        content = plan_to_json(plan, created_utc=utc_text(utc_now()))
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_whole(self.directory / PLAN_NAME, text + "\n")
        return plan

    def require_approval(
        self,
        plan: Plan,
        *,
        dry_run: bool,
        approval: str,
        approved_digest: str,
        allow: Sequence[str],
        max_changes: str | None = None,
        max_deletions: str = "",
        max_failures: str = "",
    ) -> Approval:
        """Return the decision on the plan; raises PlanError if it may not be applied as asked.

        Args:
            max_changes: None for a notebook about one namespace, which has no caps.
        """
        from mnslib.provisioning.approval import Caps, decide

        caps = None
        if max_changes is not None:
            caps = Caps(
                max_changes=max_changes, max_deletions=max_deletions, max_failures=max_failures
            )
        return decide(
            plan,
            dry_run=dry_run,
            approval=approval,
            approved_digest=approved_digest,
            allow=list(allow),
            caps=caps,
        )

    def apply(self, approval: Approval) -> ApplyResult:
        """Return one outcome per request; shows progress; keeps the journal."""
        from mnslib.provisioning.apply import apply
        from mnslib.provisioning.journal import Journal

        journal = Journal(self.directory / JOURNAL_NAME, now=utc_now)
        observer = _lines() if self.is_headless else _bar()
        self._result = apply(approval, azure=self.azure, journal=journal, observer=observer)
        return self._result

    def read_back(
        self, specs: Sequence[NamespaceSpec], plan: Plan, result: ApplyResult
    ) -> tuple[ApplyResult, Plan]:
        """Return the outcomes as they read back, and the plan that is still open.

        One list per cluster, every field compared; what was reported as done is planned again,
        which must find nothing. After a dry run the plan itself is what is open.
        """
        if _is_dry_run(result):
            return result, plan
        from mnslib.provisioning.observe import observe
        from mnslib.provisioning.plan import make_plan
        from mnslib.provisioning.verify import read_back

        again = observe(
            specs, azure=self.azure, kube_for=self.kube_for, now=utc_now, known=plan.observed
        )
        checked = self._result = read_back(plan, result, again=again, azure=self.azure)
        left_out = {item.id for item in checked.unfinished}
        return checked, make_plan([spec for spec in specs if spec.id not in left_out], again)

    # The steps of notebooks that read

    def prometheus(self, history: str, endpoint: str) -> PrometheusClient | None:
        """Return the door to the history, None where there is none to ask.

        Args:
            history: `auto` (the endpoint if one is given, or the sandbox's), `azure-monitor`, or
                `none`; `prometheus` is refused: a server of one's own is not built yet.
            endpoint: the workspace's query endpoint.

        Raises:
            ConfigError: if the word does not exist, or the endpoint is none of Azure Monitor's,
                to which a token must not be sent.
        """
        _require("history", history, ("auto", "azure-monitor", "none"))
        if not endpoint and self.connection is not None:
            endpoint = str(self.connection["prometheus_endpoint"])
        if history == "none" or (history == "auto" and not endpoint):
            return None
        if not endpoint:
            raise ConfigError(
                f"history is {history!r}: prometheus_endpoint says where; it is empty."
            )
        workspace = urlsplit(self.azure.cloud.prometheus_scope).hostname
        host = urlsplit(endpoint).hostname or ""
        if self.connection is None and not host.endswith(f".{workspace}"):
            raise ConfigError(
                f"prometheus_endpoint is {cut(endpoint, 120)!r}: no token is sent there. Write the "
                f"query endpoint of a workspace, https://<name>.<region>.{workspace}."
            )
        return self.azure.prometheus(endpoint)

    def collect(
        self,
        *,
        subscription_ids: Sequence[str],
        clusters: Sequence[str],
        history: str,
        prometheus_endpoint: str,
        lookback_days: int,
        step_minutes: int,
        owner_label: str,
    ) -> Snapshot:
        """Return quotas, requests and use of the clusters, now and over the lookback."""
        from mnslib.capacity.collect import collect
        from mnslib.resource_ids import ClusterId

        subscriptions = list(subscription_ids)
        if not subscriptions and not clusters and self.connection is not None:
            subscriptions = list(self.connection["subscription_ids"])
        try:
            ids = [ClusterId.parse(text) for text in clusters]
        except ValueError as error:
            raise ConfigError(
                f"clusters: {error}. Write ids, or leave it empty for all."
            ) from error
        return collect(
            self.azure,
            self.kube_for,
            subscription_ids=subscriptions,
            clusters=ids,
            prometheus=self.prometheus(history, prometheus_endpoint),
            lookback_days=lookback_days,
            step_minutes=step_minutes,
            now=utc_now(),
            owner_label=owner_label,
        )

    def save_table(self, name: str, table: pd.DataFrame) -> Path:
        """Return the path of the table, written as `tables/<name>.csv` (cores and bytes)."""
        from mnslib.reporting.capacity import write_csv

        path = self.directory / "tables" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        write_csv(table, path)
        return path

    def hand_over(self, plan: Plan, result: ApplyResult) -> Table:
        """Return where the kubeconfig of each namespace that stands was written (mode 0600)."""
        from mnslib.reporting.displays import Table

        rows: list[list[Cell]] = []
        for change, outcome in zip(plan.changes, result.outcomes, strict=True):
            if change.after is None or outcome in result.unfinished:
                continue
            try:
                place = self._write_kubeconfig(change.id)
            except MnsError as error:  # the namespace stands; only its file is missing
                rows.append([change.id.namespace_name, "not written", cut(str(error))])
                continue
            shown = place.relative_to(self.root)
            rows.append(
                [change.id.namespace_name, str(shown), f"kubectl --kubeconfig {shown} get pods"]
            )
        return Table(
            columns=["Namespace", "Kubeconfig", "Try"],
            rows=rows,
            caption="Handed over",
            note="The file names no secret: it asks `mns token` for one when kubectl needs it.",
            empty="Nothing to hand over: nothing was changed.",
        )

    def _write_kubeconfig(self, target: ManagedNamespaceId) -> Path:
        from mnslib.kube.kubeconfig import namespace_kubeconfig, write_private

        sandbox = os.environ.get("MNS_SANDBOX") or str(self.root / ".mns" / "connection.json")
        is_sandbox = self.connection is not None
        text = namespace_kubeconfig(
            self.azure.managed_namespaces.list_credential(target),
            cluster_name=target.cluster.cluster_name,
            namespace_name=target.namespace_name,
            credential=str(self.parameters.get("credential", "default")),
            cloud=str(self.parameters.get("cloud", "public")),
            target="sandbox" if is_sandbox else "azure",
            environment={"MNS_SANDBOX": sandbox} if is_sandbox else None,
        )
        folder = self.root / "handover" / target.cluster.cluster_name / target.namespace_name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        place = folder / "kubeconfig"
        write_private(place, text)
        return place

    # How the session shows itself

    def _facts(self) -> list[tuple[str, str]]:
        dry_run = self.parameters.get("dry_run")
        writes = "reads only" if dry_run is None else "dry run: writes nothing"
        facts = [
            ("Target", "sandbox" if self.connection is not None else "Azure"),
            ("Endpoint", self.azure.cloud.arm_endpoint),
            ("Mode", writes if dry_run in (None, True) else "writes what is approved"),
            ("Run directory", str(self.directory)),
            ("mnslib", mnslib.__version__),
        ]
        return facts

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._facts())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left;padding:2px 16px 2px 0">{escape(name)}'
            f'</th><td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self._facts()
        )
        return f"<table>{rows}</table>"


def azure_client(
    connection: Mapping[str, Any] | None, *, cloud: str, credential: str
) -> AzureClient:
    """Return the door to Azure, or to the sandbox that `connection` describes; asks nothing yet.

    Raises:
        ConfigError: if cloud or credential is a word that does not exist.
    """
    from mnslib.azure.client import AzureClient
    from mnslib.azure.clouds import CLOUDS, sandbox_cloud
    from mnslib.azure.credentials import make_credential, sandbox_credential
    from mnslib.azure.throttle import NO_LIMITS

    if connection is not None:
        # The sandbox has no limits unless told so, and then its 429s are learned from.
        return AzureClient(
            sandbox_cloud(connection), sandbox_credential(connection), limits=NO_LIMITS
        )
    chosen = CLOUDS[_require("cloud", cloud, tuple(CLOUDS))]
    return AzureClient(chosen, make_credential(credential, cloud=chosen))


def sandbox_connection(root: Path) -> dict[str, Any]:
    """Return the connection of the sandbox that `MNS_SANDBOX` names, else of this project's own.

    Raises:
        ConfigError: if `MNS_SANDBOX` names a file that cannot be read.
    """
    named = os.environ.get("MNS_SANDBOX")
    if not named:
        from mnslib.sandbox.server import ensure_running

        return dict(ensure_running(root / ".mns"))
    try:
        connection = json.loads(Path(named).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"MNS_SANDBOX names {named}, which cannot be read ({error}). Start a sandbox with "
            f"`mns sandbox serve --connection {named}`, or unset MNS_SANDBOX."
        ) from error
    return dict(connection)


def _is_dry_run(result: ApplyResult) -> bool:
    return {item.reason for item in result.unfinished} == {"dry run"}


def _status(result: ApplyResult, plan: Plan, left: Plan | None) -> RunStatus:
    if result.interrupted_by_signal is not None:
        return RunStatus.INTERRUPTED
    if _is_dry_run(result):
        return RunStatus.FINDINGS
    if not result.unfinished:
        return RunStatus.PARTLY if left is not None and left.to_do else RunStatus.DONE
    all_open = len(result.unfinished) == len(plan.to_do)
    return RunStatus.FAILED if all_open else RunStatus.PARTLY


def _require(name: str, value: object, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}: write one of {', '.join(known)}.")
    return str(value)


# Progress


def _progress_text(progress: Progress) -> str:
    text = (
        f"{progress.done} of {progress.total} done, {progress.running} running, "
        f"{progress.waiting} waiting, {progress.failed} failed"
    )
    left = progress.total - progress.done
    if progress.done and left and progress.elapsed_seconds > SECONDS_BETWEEN_LINES:
        seconds = progress.elapsed_seconds / progress.done * left
        text += f", about {seconds:.0f} s left"
    return text


def _lines() -> Callable[[Progress], None]:
    """Return an observer that prints a line now and then."""
    last = {"at": float("-inf"), "done": -1}

    def show(progress: Progress) -> None:
        now = time.monotonic()
        is_last = progress.done == progress.total
        if progress.done != last["done"] and (is_last or now - last["at"] >= SECONDS_BETWEEN_LINES):
            last.update(at=now, done=progress.done)
            sys.stderr.write(_progress_text(progress) + "\n")
            sys.stderr.flush()

    return show


def _bar() -> Callable[[Progress], None]:
    """Return an observer that moves one bar in the notebook."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)  # type: ignore[no-untyped-call]
    last = {"text": ""}

    def show(progress: Progress) -> None:
        text = _progress_text(progress)
        if text == last["text"] or handle is None:
            return
        last["text"] = text
        share = 100 * progress.done / max(progress.total, 1)
        handle.update(
            HTML(  # type: ignore[no-untyped-call]
                '<div style="background:#E3E8ED;height:14px;max-width:640px">'
                f'<div style="background:#1F66B0;height:14px;width:{share:.0f}%"></div></div>'
                f"<div>{escape(text)}</div>"
            )
        )

    return show
