"""Whatever happens to a notebook, its run directory is whole and the exit code says what it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from jupyter_core.utils import run_sync

from mnslib.errors import ConfigError
from mnslib.results import RunStatus
from mnslib.run.runner import RunOutcome, run_notebook
from mnslib.run.runs import UNDER_WAY_NAME, mark_under_way

DATA = Path(__file__).parent / "data"

RUN_IT = """
import sys
from mnslib.run.runner import run_notebook
outcome = run_notebook(sys.argv[1], parameters={}, environment="unit", runs_dir=sys.argv[2])
print(outcome.status.value, flush=True)
raise SystemExit(outcome.exit_code)
"""


@pytest.fixture
def run(tmp_path: Path):
    def run(name: str, **options: Any) -> RunOutcome:
        settings = {"parameters": {}, "environment": "unit", "runs_dir": tmp_path} | options
        return run_notebook(settings.pop("notebook", DATA / f"{name}.ipynb"), **settings)

    return run


def result_of(outcome: RunOutcome) -> dict[str, Any]:
    return json.loads((outcome.directory / "result.json").read_text(encoding="utf-8"))


def assert_whole(outcome: RunOutcome) -> dict[str, Any]:
    """Check that the three files agree with the outcome and that the index knows the run."""
    result = result_of(outcome)
    assert (result["status"], result["exit_code"]) == (outcome.status, outcome.exit_code)
    report = (outcome.directory / "report.html").read_text(encoding="utf-8")
    assert "<h1>" in report
    assert "Traceback" not in report
    index = (outcome.directory.parent / "index.html").read_text(encoding="utf-8")
    assert f"{outcome.directory.name}/report.html" in index
    return result


def test_the_run_of_a_copy_keeps_its_environment(run, tmp_path) -> None:
    """The copy's name is the directory's, the run's own is the original's."""
    notebook = json.loads((DATA / "ok.ipynb").read_text(encoding="utf-8"))
    source = "import mnslib\nmnslib.start('30_provision_in_bulk', {'target': 'nowhere'})"
    notebook["cells"][2] |= {"metadata": {}, "source": source}
    copy = tmp_path / "31_copy.ipynb"
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    result = assert_whole(run("", notebook=copy))
    assert (result["notebook"], result["environment"]) == ("30_provision_in_bulk", "unit")


def test_the_notebook_is_on_disk_while_a_long_cell_runs(run, tmp_path) -> None:
    """So that a run that is killed then has left what came before."""
    notebook = json.loads((DATA / "ok.ipynb").read_text(encoding="utf-8"))
    sources = [
        "print('counted before')",
        "import time\n"
        "from pathlib import Path\n"
        "path, end = Path(os.environ['MNS_RUN_DIR']) / 'notebook.ipynb', time.monotonic() + 30\n"
        "while not path.is_file() and time.monotonic() < end:\n"
        "    pass\n"
        "print('counted before\\\\n' in path.read_text(encoding='utf-8'))",
    ]
    template = notebook["cells"][2] | {"metadata": {}}
    notebook["cells"][3:3] = [
        template | {"id": f"new-{place}", "source": source} for place, source in enumerate(sources)
    ]
    path = tmp_path / "ok.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    outcome = run("ok", notebook=path)
    executed = json.loads((outcome.directory / "notebook.ipynb").read_text(encoding="utf-8"))
    (cell,) = [cell for cell in executed["cells"] if cell["id"] == "new-1"]
    assert cell["outputs"][0]["text"] == ["True\n"]


def test_a_run_leaves_notebook_result_report_and_index(run, capfd) -> None:
    outcome = run("ok", parameters={"pods": 4, "team": "007"})
    result = assert_whole(outcome)
    assert (outcome.exit_code, outcome.message) == (0, "3 pods counted")
    assert result["summary"]["pods"] == 4
    assert result["artifacts"] == ["notebook.ipynb", "report.html", "tables/pods.csv"]
    printed = capfd.readouterr()
    assert "team 007 has 4 pods\n" in printed.out
    assert "What is there ...\nreading 1 of 1\nWhat came of it ...\n" in printed.err
    report = (outcome.directory / "report.html").read_text(encoding="utf-8")
    assert "team 007 has 4 pods" in report
    assert "reading 1 of 1" not in report


def test_a_run_goes_on_when_nobody_reads_its_progress(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    arguments = [sys.executable, "-c", RUN_IT, str(DATA / "bare.ipynb"), str(tmp_path)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=writes, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "done")


def test_a_directory_name_with_braces_is_taken_as_it_is(run, tmp_path: Path) -> None:
    outcome = run("bare", runs_dir=tmp_path / "{team}")
    assert (tmp_path / "{team}" / outcome.directory.name / "notebook.ipynb").is_file()


def test_a_notebook_without_a_session_gets_a_record(run) -> None:
    outcome = run("bare", parameters={"dry_run": False})
    result = assert_whole(outcome)
    assert outcome.exit_code == 0
    assert result["parameters"]["dry_run"] is False
    assert result["parameters"]["team"] == "007"
    assert result["target"] == "sandbox"


def test_the_kernel_is_this_interpreter(run) -> None:
    outcome = run("python")
    notebook = json.loads((outcome.directory / "notebook.ipynb").read_text(encoding="utf-8"))
    shown = notebook["cells"][-1]["outputs"][0]["data"]["text/plain"]
    assert "".join(shown) == repr(sys.executable)


@pytest.mark.parametrize(("detailed", "code"), [(False, 0), (True, 2)])
def test_findings_count_only_when_asked_for(run, detailed: bool, code: int) -> None:
    outcome = run("findings", detailed_exitcode=detailed)
    assert assert_whole(outcome)["headline"] == "2 namespaces are full"
    assert (outcome.status, outcome.exit_code) == (RunStatus.FINDINGS, code)


@pytest.mark.parametrize(
    ("name", "status", "code", "message"),
    [
        ("raises", RunStatus.FAILED, 4, "ValueError: first line"),
        ("refuses", RunStatus.REFUSED, 6, "SpecError: 2 mistakes in the request file"),
        ("partly", RunStatus.PARTLY, 3, "1 of 2 as requested; 1 failed"),
        ("forgets", RunStatus.FAILED, 4, "The notebook ended without recording its result"),
        ("exits", RunStatus.FAILED, 4, "The notebook ended itself early; 1 of its code cells"),
        ("dies", RunStatus.STOPPED, 5, "The notebook's process ended: Kernel died"),
    ],
)
def test_what_ends_a_run_early_is_told(
    run, name: str, status: RunStatus, code: int, message: str
) -> None:
    outcome = run(name)
    result = assert_whole(outcome)
    assert (outcome.status, outcome.exit_code) == (status, code)
    assert outcome.message.startswith(message)
    assert result["headline"] == outcome.message
    report = (outcome.directory / "report.html").read_text(encoding="utf-8")
    assert "Never reached" not in report


def test_an_error_is_readable_in_the_report(run) -> None:
    report = (run("raises").directory / "report.html").read_text(encoding="utf-8")
    assert "<b>Unexpected error: ValueError</b>" in report
    assert "second &lt;b&gt;line&lt;/b&gt;" in report
    assert "\x1b" not in report


def test_a_full_disk_is_told_and_is_no_success(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
    command = [sys.executable, "-c", limited + RUN_IT, str(DATA / "ok.ipynb"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (5, "stopped")
    assert "Traceback" not in done.stderr


def test_a_notebook_that_cannot_be_saved_ends_as_failed_with_a_whole_record(run, tmp_path) -> None:
    notebook = json.loads((DATA / "ok.ipynb").read_text(encoding="utf-8"))
    notebook["cells"][-1]["source"] = "'half a character: \ud83d'"
    odd = tmp_path / "odd.ipynb"
    odd.write_text(json.dumps(notebook), encoding="utf-8")
    outcome = run("", notebook=odd)
    result = assert_whole(outcome)
    assert (result["status"], result["exit_code"]) == ("failed", 4)
    assert "cannot be saved" in result["headline"]


def test_wrong_parameters_start_no_kernel(run) -> None:
    given = {"dry_rum": False, "team": "eyJhbGciOiJI.eyJzdWIiOiIx.x", "request_file": "may.csv"}
    outcome = run("raises", parameters=given | {"cluster_name": given["team"]})
    result = assert_whole(outcome)
    assert (outcome.status, outcome.exit_code) == (RunStatus.REFUSED, 6)
    assert "did you mean dry_run?" in outcome.message
    # by which a later run closes it
    about = {"target": "sandbox", "dry_run": True, "request_file": "may.csv"}
    assert result["parameters"] == about
    files = sorted(path.name for path in outcome.directory.iterdir())
    assert files == ["report.html", "result.json"]
    assert "eyJzdWIi" not in "".join(path.read_text() for path in outcome.directory.iterdir())


def test_a_run_builds_no_grammars_for_addresses(tmp_path: Path) -> None:
    """They are two thirds of the time that papermill takes to import."""
    script = RUN_IT.replace("raise", "print('lark' in sys.modules)\nraise")
    arguments = [sys.executable, "-c", script, str(DATA / "bare.ipynb"), str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_what_is_no_notebook_leaves_no_directory(tmp_path: Path) -> None:
    broken = tmp_path / "a.ipynb"
    broken.write_text("{}")
    with pytest.raises(ConfigError):
        run_notebook(broken, parameters={}, environment="x", runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals between processes are POSIX")
@pytest.mark.parametrize(
    ("name", "number", "lines", "code", "message"),
    [
        ("sleeps", signal.SIGINT, ["sleeping"], 130, "Interrupted by SIGINT"),
        ("sleeps", signal.SIGTERM, ["sleeping"], 143, "Interrupted by SIGTERM"),
        ("awaits", signal.SIGTERM, ["sleeping"], 143, "Stopped after 1 of 2"),
        (
            "deaf",
            signal.SIGINT,
            ["sleeping", "not now"],
            130,
            "Interrupted by SIGINT, then killed by a second signal",
        ),
        (
            "deaf",
            signal.SIGTERM,
            ["sleeping"],
            143,
            "Interrupted by SIGTERM, then killed since it was not done 2 s later",
        ),
    ],
)
def test_a_signal_ends_the_run_with_its_record_whole(
    tmp_path: Path, name: str, number: int, lines: list[str], code: int, message: str
) -> None:
    """Each line that the notebook prints is answered by a signal; a second one kills, and time."""
    arguments = [sys.executable, "-c", RUN_IT, str(DATA / f"{name}.ipynb"), str(tmp_path)]
    own = {"MNS_STOP_SECONDS": "2"} if "2 s later" in message else {}
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | own
    )
    try:
        assert process.stdout is not None
        for line in lines:
            assert process.stdout.readline().strip() == line
            process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert printed.splitlines()[-1] == "interrupted"
    directory = next(path for path in tmp_path.iterdir() if path.is_dir())
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert (result["status"], result["exit_code"]) == ("interrupted", code)
    assert result["headline"] == message
    assert message in (directory / "report.html").read_text(encoding="utf-8")


def test_a_time_limit_ends_a_run_as_sigterm_does(run) -> None:
    outcome = run("sleeps", time_limit_minutes=0.05)
    assert (outcome.status, outcome.exit_code) == (RunStatus.INTERRUPTED, 143)
    assert outcome.message == "It reached its time limit. Interrupted by SIGTERM"
    assert_whole(outcome)


def test_a_run_that_ends_in_time_is_not_limited(run) -> None:
    assert run("ok", time_limit_minutes=60).exit_code == 0
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_what_a_killed_run_left_is_removed_by_the_next(monkeypatch, tmp_path) -> None:
    from mnslib.run.kernel import Kernel

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, at_work, young, other = (tmp_path / f"mns-{name}" for name in
                                   ("kernel-a", "kernel-b", "kernel-c", "other"))  # fmt: skip
    for folder in (left, at_work, young, other):
        folder.mkdir()
        (folder / UNDER_WAY_NAME).touch()
        if folder != young:
            os.utime(folder / UNDER_WAY_NAME, (0, 0))
    with mark_under_way(at_work):
        os.utime(at_work / UNDER_WAY_NAME, (0, 0))
        Kernel({}).stop(is_busy=False)
    assert sorted(tmp_path.iterdir()) == sorted([at_work, young, other])


@pytest.mark.skipif(sys.platform == "win32", reason="signals between processes are POSIX")
def test_an_interrupt_that_finds_the_kernel_idle_stops_the_next_cell() -> None:
    """So that a signal in the first moment of a cell, when nothing of it runs yet, is not lost."""
    from mnslib.run.kernel import Kernel

    async def session(kernel: Kernel) -> list[str]:
        client = kernel.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        heard = []
        for is_interrupted in (False, True, False):
            if is_interrupted:
                await kernel.interrupt_kernel()
            reply = await client.execute_interactive("1", timeout=60)
            heard.append(reply["content"].get("ename", reply["content"]["status"]))
        return heard

    kernel = Kernel({})
    try:
        assert run_sync(session)(kernel) == ["ok", "KeyboardInterrupt", "ok"]
    finally:
        kernel.stop(is_busy=False)
