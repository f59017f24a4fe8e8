"""Where things lie: the project folder, relative paths, run directories, notebooks, copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mnslib.errors import ConfigError
from mnslib.results import RunRecord, RunStatus
from mnslib.run.project import (
    find_project_root,
    new_run_directory,
    read_result,
    resolve_path,
    run_directories,
    write_result,
    write_whole,
)
from mnslib.run.runner import environment_name, find_notebook, open_copy
from mnslib.run.runs import prune_runs, write_index

DATA = Path(__file__).parents[2] / "notebooks" / "data"
RECORD = RunRecord(
    notebook="30_x",
    environment="prod",
    target="azure",
    started_utc="2026-11-02T06:12:03Z",
    finished_utc="2026-11-02T06:12:04Z",
    status=RunStatus.DONE,
    exit_code=0,
    parameters={},
).to_json() | {"items": [], "artifacts": []}
STARTED = datetime(2026, 11, 2, 6, 12, 3, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("notebooks", "parameters", "deep/er"):
        (tmp_path / "project" / name).mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], None]:
    """Have the package lie in one folder, and work in another one."""

    def install(package: Path, here: Path) -> None:
        monkeypatch.setattr("mnslib.run.project.PACKAGE", package)
        monkeypatch.chdir(here)

    return install


def test_the_editable_install_wins_over_the_working_directory(
    installed: Callable[[Path, Path], None], project: Path, tmp_path: Path
) -> None:
    for name in ("notebooks", "parameters"):
        (tmp_path / name).mkdir()
    installed(tmp_path / "mnslib", project)
    assert find_project_root() == tmp_path


def test_else_the_nearest_folder_above_the_working_directory(
    installed: Callable[[Path, Path], None], project: Path, tmp_path: Path
) -> None:
    installed(tmp_path / "site-packages" / "mnslib", project / "deep/er")
    assert find_project_root() == project


def test_else_it_is_refused(installed: Callable[[Path, Path], None], tmp_path: Path) -> None:
    installed(tmp_path / "a/mnslib", tmp_path)
    with pytest.raises(ConfigError, match="No folder with notebooks/ and parameters/"):
        find_project_root()


def test_an_absolute_path_needs_no_project(tmp_path: Path) -> None:
    assert resolve_path(str(tmp_path / "x")) == tmp_path / "x"


def test_two_runs_of_one_second_get_two_directories(tmp_path: Path) -> None:
    names = [
        new_run_directory(
            tmp_path / "runs", notebook="30_x", environment="pr od/../", started=STARTED
        ).name
        for _ in range(3)
    ]
    assert names == [f"20261102T061203Z-30_x-pr-od-{end}" for end in ("", ".2", ".3")]


def test_a_result_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    write_result(tmp_path, RECORD)
    assert read_result(tmp_path) == RECORD
    for broken in (b'{"status": ', b"\xff\xfe", b'{"status": "done"}', b'["status"]'):
        (tmp_path / "result.json").write_bytes(broken)
        assert read_result(tmp_path) is None
    write_result(tmp_path, RECORD | {"status": "other"})
    assert read_result(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("what", ["file", "dangling link"])
def test_where_no_directory_can_be_made_is_refused(tmp_path: Path, what: str) -> None:
    runs = tmp_path / "runs"
    if what == "file":
        runs.write_text("")
    else:
        runs.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="No run directory can be made in"):
        new_run_directory(runs, notebook="30_x", environment="prod", started=STARTED)


def test_a_run_with_an_endless_environment_gets_a_directory(tmp_path: Path) -> None:
    made = new_run_directory(tmp_path, notebook="n", environment="e" * 400, started=STARTED)
    assert len(made.name) < 200


def test_a_private_file_is_for_its_owner_only_and_replaces_a_link(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "kubeconfig"
    theirs.write_text("theirs")
    path.symlink_to(theirs)
    write_whole(path, "ours", mode=0o600)
    assert (path.read_text(), path.is_symlink(), path.stat().st_mode & 0o777) == (
        "ours",
        False,
        0o600,
    )
    assert theirs.read_text() == "theirs"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_whole(path, "old")
    with pytest.raises(ZeroDivisionError):
        write_whole(path, (b"%d" % (1 // left) for left in (1, 0)))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["kubeconfig"]


def test_only_run_directories_are_runs(tmp_path: Path) -> None:
    made = new_run_directory(tmp_path, notebook="30_x", environment="prod", started=STARTED)
    (tmp_path / "open").mkdir()
    (tmp_path / "20261102T061203Z-file").write_text("")
    assert run_directories(tmp_path) == [made]
    assert run_directories(tmp_path / "none") == []


@pytest.mark.parametrize(
    "name",
    [
        "30",
        "30_provision_in_bulk",
        "30_provision_in_bulk.ipynb",
        "notebooks/30_provision_in_bulk.ipynb",
    ],
)
def test_a_notebook_is_found_by_number_name_or_path(
    installed: Callable[[Path, Path], None], project: Path, name: str
) -> None:
    installed(project / "mnslib", project)
    for stem in ("20_onboard_namespace", "30_provision_in_bulk", "300_other"):
        (project / "notebooks" / f"{stem}.ipynb").write_text("{}")
    found = find_notebook(name)
    assert found == project / "notebooks" / "30_provision_in_bulk.ipynb"
    with pytest.raises(ConfigError, match="are: 20_onboard_namespace, 300_other, 30_"):
        find_notebook("40")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (Path("parameters/30_x.prod.yaml"), "prod"),
        (Path("my.yaml"), "azure"),
        (None, "azure"),
    ],
)
def test_the_environment_is_in_the_parameter_files_name(file: Path | None, expected: str) -> None:
    assert environment_name(file, "azure") == expected


def test_old_runs_and_copies_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    today = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-30_x-prod"
    old, mine = "20250101T060000Z-30_x-prod", "20250101-notes"
    past = dict.fromkeys(("started_utc", "finished_utc"), "2025-01-01T06:00:00Z")
    for name in (old, mine, today, f"open/{old}", f"open/{today}", "open/20250101T060000Z-mine"):
        (tmp_path / name).mkdir(parents=True)
        write_result(tmp_path / name, RECORD | past) if "open" not in name else None
        (tmp_path / name / "file").write_text("")
    for name in (old, today):
        (tmp_path / "open" / name / "30_x.ipynb").write_text("")
    assert prune_runs(tmp_path, days=30) == 2
    left = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("file")}
    assert left == {mine, today, f"open/{today}", "open/20250101T060000Z-mine"}


def test_a_link_among_old_runs_and_what_it_leads_to_stay(tmp_path: Path) -> None:
    precious, runs = tmp_path / "precious", tmp_path / "runs"
    past = dict.fromkeys(("started_utc", "finished_utc"), "2020-01-01T06:00:00Z")
    for directory in (precious, runs / "20200102T000000Z-n-e"):
        directory.mkdir(parents=True)
        write_result(directory, RECORD | past)
    (runs / "20200101T000000Z-n-e").symlink_to(precious)
    (tmp_path / "20200101T000000Z-n-e").mkdir()
    (tmp_path / "20200101T000000Z-n-e" / "a.ipynb").write_text("")
    (runs / "open").symlink_to(tmp_path)
    assert prune_runs(runs, days=30) == 1
    assert {path.name for path in runs.iterdir()} == {"20200101T000000Z-n-e", "open"}
    assert (precious / "result.json").is_file()
    assert (tmp_path / "20200101T000000Z-n-e").is_dir()


def test_a_target_that_does_not_exist_names_no_directory() -> None:
    assert environment_name(None, "password=hunter22") == "unknown"


def test_a_copy_to_open_has_the_parameters_and_leaves_the_original(tmp_path: Path) -> None:
    original = (DATA / "ok.ipynb").read_text()
    given = {"team": "0'07", "labels": {"a": None}}
    copy = open_copy(DATA / "ok.ipynb", parameters=given, runs_dir=tmp_path)
    cells = json.loads(copy.read_text())["cells"]
    (own,) = [cell for cell in cells if "parameters" in "".join(cell["metadata"].get("tags", []))]
    found: dict[str, object] = {}
    exec("".join(own["source"]), found)
    assert {name: found[name] for name in given} == given
    assert (DATA / "ok.ipynb").read_text() == original
    assert copy.relative_to(tmp_path).parts[0] == "open"
    with pytest.raises(ConfigError, match="did you mean dry_run"):
        open_copy(DATA / "ok.ipynb", parameters={"dry_rum": 1}, runs_dir=tmp_path)


def opened(notebook: Path, tmp_path: Path, **given: object) -> dict[str, object]:
    """Return the parameters of a copy as its cell has them, with which code cells are folded."""
    copy = open_copy(notebook, parameters=given, runs_dir=tmp_path)
    code = [c for c in json.loads(copy.read_text())["cells"] if c["cell_type"] == "code"]
    found: dict[str, object] = {}
    exec("".join(code[0]["source"]), found)
    folded = [cell["metadata"].get("jupyter", {}).get("source_hidden", False) for cell in code]
    return found | {"folded": folded}


def test_a_copy_to_open_is_a_dry_run_that_nobody_approved(tmp_path: Path) -> None:
    """Whatever the file for the demonstration says; what else it says stays."""
    asked = {"dry_run": False, "approval": "unattended", "approved_digest": "sha256:1"}
    notebook = Path("notebooks/20_onboard_namespace.ipynb")
    found = opened(notebook, tmp_path, **asked, allow=["adoption"], owner="payments")
    names = ("dry_run", "approval", "approved_digest", "allow", "owner")
    assert [found[name] for name in names] == [True, "digest", "", [], "payments"]


def test_code_is_folded_and_parameters_only_where_a_form_asks_for_them(tmp_path: Path) -> None:
    notebook = json.loads((DATA / "ok.ipynb").read_text())
    assert opened(DATA / "ok.ipynb", tmp_path)["folded"] == [False, True, True, True]
    notebook["cells"][2]["source"] = "run.form()"
    with_form = tmp_path / "ok.ipynb"
    with_form.write_text(json.dumps(notebook))
    assert opened(with_form, tmp_path)["folded"] == [True] * 4


def test_an_index_is_written_where_there_is_no_run(tmp_path: Path) -> None:
    assert "No run yet" in write_index(tmp_path / "runs").read_text()


def test_the_index_reads_the_newest_runs_only(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr("mnslib.run.runs._as_left", lambda path: read.append(path.name))
    names = [f"20261102T06{n // 60:02}{n % 60:02}Z-40_analyze" for n in range(203)]
    for name in names:
        (tmp_path / name).mkdir()
    write_index(tmp_path)
    assert read == names[3:]
