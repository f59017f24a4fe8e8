"""What a person in a notebook sees where a cell is refused, and the report of a run there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import papermill
import pytest
from jupyter_client.manager import start_new_kernel

from mnslib.run.runner import run_notebook

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks/20_onboard_namespace.ipynb"
RAISING = """
import mnslib.errors as e
from mnslib.run.cells import watch_cells
watch_cells()
mistakes = [e.Problem(file="a.csv", row=r, column="owner", message="empty.") for r in (2, 3)]
"""


@pytest.fixture
def kernel(sandbox_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (tmp_path / "work").mkdir()
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path / "work"))

    def run(cell: str, *, is_looked_at: bool = True) -> list[Mapping[str, Any]]:
        """Run a cell as JupyterLab does, or as a program does; return its outputs."""
        outputs = []

        def keep(message: Mapping[str, Any]) -> None:
            kind = message["header"]["msg_type"]
            if kind in ("display_data", "execute_result", "error", "stream"):
                outputs.append({"output_type": kind, **message["content"]})

        client.execute_interactive(cell, timeout=120, output_hook=keep, allow_stdin=is_looked_at)
        return outputs

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def parameters(sandbox: Any, tmp_path: Path, **given: object) -> dict[str, Any]:
    cluster = sandbox.cluster("aks-prod-weu-2")
    return {
        "subscription_id": cluster.subscription_id,
        "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name,
        "namespace_name": "cards",
        **dict.fromkeys(("cpu_request", "cpu_limit"), "100m"),
        **dict.fromkeys(("memory_request", "memory_limit"), "64Mi"),
        "runs_dir": str(tmp_path / "runs"),
    } | given


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def assigned(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in values.items())


@pytest.mark.parametrize(
    ("error", "title", "told"),
    [
        ("e.PreflightError('aks-1 is stopped <b>')", "A check failed before", "stopped &lt;b&gt;"),
        ("e.SpecError(mistakes)", "Mistakes in what was asked for", "a.csv, row 3, column owner"),
        ("e.StalePlanError('Nothing was written.')", "The plan was not applied", "Nothing was"),
        ("e.ArmError('403 at x', remedy='Ask Jo.')", "Azure refused", "403 at x Ask Jo."),
        ("e.ApplyError('1 of 2.', result=3)", "Not everything is as requested", "1 of 2."),
        ("KeyboardInterrupt", "Stopped by somebody", "what is done is not repeated"),
    ],
)
def test_a_refusal_is_a_card_without_frames_and_tb_has_them(
    kernel, error: str, title: str, told: str
) -> None:
    assert kernel(RAISING) == []
    card, failed = kernel(f"raise {error}")
    html = card["data"]["text/html"]
    assert title in html
    assert told in html
    assert title in card["data"]["text/plain"]
    assert failed["ename"] == re.split(r"[.(]", error.removeprefix("e."))[0]
    assert failed["traceback"] == ["%tb shows where in the code it came up."]
    (whole,) = kernel("%tb")
    assert "Traceback" in "".join(whole["traceback"])


def test_who_reads_a_log_finds_the_card_as_text(kernel) -> None:
    kernel(RAISING)
    _, failed = kernel("raise e.SpecError(mistakes)", is_looked_at=False)
    (text,) = failed["traceback"]
    assert text.startswith("Mistakes in what was asked for")
    assert "a.csv, row 3, column owner: empty." in text


def test_other_errors_stay_as_they_are(kernel) -> None:
    kernel(RAISING)
    (failed,) = kernel("1 / 0")
    assert "ZeroDivisionError" in "".join(failed["traceback"])


def test_a_run_in_jupyterlab_ends_with_its_report_and_a_link_to_it(
    kernel, sandbox, tmp_path: Path
) -> None:
    own, *cells = code_of(NOTEBOOK)
    shown = [kernel(cell) for cell in (own, assigned(parameters(sandbox, tmp_path)), *cells)]
    link = shown[-1][-1]["data"]
    address = re.search(r'href="([^"]+)"', link["text/html"])[1]
    report = Path(os.path.normpath(tmp_path / "work" / address))
    assert report.parts[-1] == "report.html"
    assert link["text/plain"] == f"Report: {report}"
    html = report.read_text(encoding="utf-8")
    headings = ("What is asked", "What changes", "Decision", "About this notebook")
    assert all(heading in html for heading in headings)  # the story is the file's
    assert "<svg" in html
    assert "dry_run = False\napproved_digest = &#34;sha256:" in html
    assert "dry_run: false\napproved_digest: &#34;sha256:" in html
    record = json.loads((report.parent / "result.json").read_text(encoding="utf-8"))
    assert "report.html" in record["artifacts"]
    index = (tmp_path / "runs/index.html").read_text(encoding="utf-8")
    assert f"{report.parent.name}/report.html" in index
    assert kernel("run.changes()")[-1]["output_type"] == "execute_result"  # and makes no other


def test_a_report_follows_the_notebook_that_is_open_and_the_cell_that_failed(
    kernel, sandbox, tmp_path: Path
) -> None:
    """Its own words and cells are in it, saved or not; what was shown before stays away."""
    story = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    old = {"output_type": "stream", "name": "stdout", "text": "of yesterday"}
    for cell in story["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 7, "outputs": [old]}
    (heading,) = (one for one in story["cells"] if one["source"][0].startswith("## What is asked"))
    heading["source"] = "## What Jo asks"
    mine = tmp_path / "mine.ipynb"
    mine.write_text(json.dumps(story), encoding="utf-8")
    kernel(f"import os; os.environ['JPY_SESSION_NAME'] = {str(mine)!r}")
    _, setup, requests, observe, *_ = code_of(NOTEBOOK)
    kernel(assigned(parameters(sandbox, tmp_path)))
    for cell in (setup, requests, "import pandas; pandas.DataFrame({'of mine': [1]})", observe):
        kernel(cell)
    card, _, link = kernel("from mnslib.errors import ArmError; raise ArmError('No <answer>.')")
    assert "No &lt;answer&gt;." in card["data"]["text/html"]
    html = Path(link["data"]["text/plain"].removeprefix("Report: ")).read_text(encoding="utf-8")
    for told in ("What Jo asks", "of mine", "1 request from parameters", "Azure refused"):
        assert html.count(told) == 1
    assert "of yesterday" not in html


def test_plain_papermill_fails_as_before_with_the_card_as_text(
    sandbox_file, sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = parameters(sandbox, tmp_path, cpu_request="much")
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            NOTEBOOK, tmp_path / "out.ipynb", given, progress_bar=False, kernel_name="python3"
        )
    assert caught.value.ename == "SpecError"
    assert "parameter cpu_request: 'much' is not an amount of CPU" in str(caught.value)
    assert "changing.py" not in str(caught.value)


def test_the_report_of_mns_run_shows_the_card_and_shows_it_once(
    sandbox_file, sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    given = parameters(sandbox, tmp_path, cpu_request="much")
    outcome = run_notebook("20", parameters=given, environment="unit", runs_dir=tmp_path / "runs")
    assert (outcome.status, outcome.exit_code) == ("refused", 6)
    html = (outcome.directory / "report.html").read_text(encoding="utf-8")
    assert html.count("Mistakes in what was asked for") == 1
    assert "Correct what is named" in html
    assert "Traceback" not in html
