"""Which run is meant, where it goes on, and who may write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from mnslib.cli import main
from mnslib.errors import ConfigError, LockedError
from mnslib.provisioning.journal import Journal, read_events
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import ChangeKind, ItemOutcome, OutcomeKind, RunRecord, RunStatus, utc_text
from mnslib.run.locks import LOCKS_VARIABLE, locks_folder, only_writer
from mnslib.run.project import find_project_root, write_result
from mnslib.run.runs import continue_journal, find_run, runs_until, write_index

CLUSTER = ClusterId("00000000-0000-4000-8000-000000000001", "rg", "aks-1")
OTHER = ClusterId("00000000-0000-4000-8000-000000000001", "rg", "aks-2")
HOLD = """
import sys, pathlib
from mnslib.resource_ids import ClusterId
from mnslib.run.locks import only_writer
cluster = ClusterId("00000000-0000-4000-8000-000000000001", "rg", "aks-1")
about = {"endpoint": "x", "run_directory": pathlib.Path(sys.argv[1])}
with only_writer([cluster], **about):
    print("held", flush=True)
    sys.stdin.read()
"""


def now():
    return datetime(2026, 11, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    folder = tmp_path / "locks"
    monkeypatch.setenv(LOCKS_VARIABLE, str(folder))
    return folder


@pytest.fixture
def holder(tmp_path):
    """A process that writes to CLUSTER, for a run of another folder of runs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "other" / "first")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def about(tmp_path, endpoint="x"):
    return {"endpoint": endpoint, "run_directory": tmp_path / "second"}


def hold(tmp_path, *clusters):
    return only_writer(clusters, **about(tmp_path))


def write_record(folder, **ended):
    record = RunRecord(
        notebook="30_provision_in_bulk",
        environment="prod",
        target="azure",
        started_utc=utc_text(now()),
        finished_utc=utc_text(now()),
        **ended,
    )
    write_result(folder, record.to_json())


def test_a_cluster_has_one_writer_and_others_are_free(tmp_path, holder):
    with pytest.raises(
        LockedError, match=f"process {holder.pid} on .*, which runs .*other/first since"
    ):
        hold(tmp_path, OTHER, CLUSTER).__enter__()
    with pytest.raises(LockedError):  # Azure ignores the case of a name
        hold(tmp_path, replace(CLUSTER, cluster_name="AKS-1")).__enter__()
    with hold(tmp_path, OTHER), only_writer([CLUSTER], **about(tmp_path, "another sandbox")):
        pass


def test_a_writer_that_was_killed_holds_nothing(tmp_path, holder, locks):
    with pytest.raises(LockedError):
        hold(tmp_path, CLUSTER).__enter__()
    holder.kill()
    holder.wait()
    with hold(tmp_path, CLUSTER):
        (note,) = locks.glob("*.json")
        assert json.loads(note.read_text())["process"] == os.getpid()


def test_the_end_of_a_surviving_writer_is_waited_for(tmp_path, holder):
    told = []

    def tell(sentence):
        told.append(sentence)
        holder.stdin.close()  # it ends

    with only_writer([CLUSTER], tell=tell, **about(tmp_path)):
        pass
    assert holder.wait() == 0
    assert "other/first since" in told[0]


def test_the_locks_of_a_user_lie_in_one_place_which_is_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.delenv(LOCKS_VARIABLE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert locks_folder() == tmp_path / "state/mnslib/locks"
    assert locks_folder().stat().st_mode & 0o777 == 0o700
    named = tmp_path / "shared"
    named.mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(named)
    monkeypatch.setenv(LOCKS_VARIABLE, str(tmp_path / "link"))  # whoever names it knows
    assert locks_folder() == tmp_path / "link"
    assert named.stat().st_mode & 0o777 == 0o755


def test_a_folder_for_locks_is_the_same_wherever_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(LOCKS_VARIABLE, "~/shared")  # as it stands in a file that no shell reads
    assert locks_folder() == tmp_path / "shared"


def test_a_lock_that_cannot_be_taken_is_refused_in_words(tmp_path, locks):
    with hold(tmp_path, CLUSTER):
        [lock] = locks.glob("*.lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(ConfigError, match="cannot be locked: Is a directory"):
        hold(tmp_path, CLUSTER).__enter__()


@pytest.mark.parametrize("note", ["[]", "{}", "null"])
def test_who_holds_a_lock_may_be_noted_in_any_way(tmp_path, locks, holder, note):
    [noted] = locks.glob("*.json")
    noted.write_text(note)
    with pytest.raises(LockedError, match="Nothing was written: another process is writing"):
        hold(tmp_path, CLUSTER).__enter__()


@pytest.mark.parametrize("state", ["file", "no-path", "link", "read only", "another's"])
def test_where_locks_cannot_lie_nothing_is_written_and_no_other_place_is_taken(
    tmp_path, monkeypatch, state
):
    monkeypatch.delenv(LOCKS_VARIABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state) if state != "no-path" else state)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    folder, theirs = tmp_path / state / "mnslib" / "locks", tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    if state == "file":
        (tmp_path / "file").write_text("")
    elif state != "no-path":
        folder.parent.mkdir(parents=True)
        folder.symlink_to(theirs) if state == "link" else folder.mkdir()
    if state == "read only":  # access is asked for, as the tests may run as root
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    elif state == "another's":
        monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="Name a folder of your own in MNS_LOCKS_DIR"):
        hold(tmp_path, CLUSTER).__enter__()
    assert (theirs.stat().st_mode & 0o777, list(theirs.iterdir())) == (0o755, [])
    assert not (tmp_path / "temporary").exists()


@pytest.fixture
def first(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    Journal(folder / "journal.jsonl", now=now).write("plan", items=[])
    return folder


def test_a_run_that_goes_on_in_another_stands_for_that_one(tmp_path, first):
    second, third = tmp_path / "second", tmp_path / "third"
    assert find_run("first", runs_dir=tmp_path) == first
    for old, new in ((first, second), (second, third)):
        new.mkdir()
        continue_journal(old, new, now=now)
    assert find_run("first", runs_dir=tmp_path) == find_run(str(first), runs_dir=tmp_path) == third
    with pytest.raises(ConfigError, match="was resumed by second"):
        continue_journal(first, third, now=now)
    with pytest.raises(ConfigError, match="no run nowhere"):
        find_run("nowhere", runs_dir=tmp_path)
    (third / "journal.jsonl").unlink()
    third.rmdir()
    with pytest.raises(ConfigError, match="which is gone"):
        find_run("first", runs_dir=tmp_path)


def test_a_torn_line_is_left_out_and_said(tmp_path, first):
    second = tmp_path / "second"
    second.mkdir()
    with (first / "journal.jsonl").open("a") as file:
        file.write('{"event": "sta')
    events, is_torn = read_events(first / "journal.jsonl")
    assert ([e["event"] for e in events], is_torn) == (["plan"], True)
    continue_journal(first, second, now=now)
    assert [e["event"] for e in read_events(first / "journal.jsonl")[0]] == ["plan", "continued"]
    assert read_events(second / "journal.jsonl") == (events, False)
    (second / "journal.jsonl").write_text("nonsense\n")
    with pytest.raises(ConfigError, match="line 1: no event"):
        read_events(second / "journal.jsonl")


def test_runs_that_resumed_each_other_are_undone_together_and_said_so(tmp_path, first):
    second = tmp_path / "second"
    second.mkdir()
    for number in range(300):
        target = {"id": f"{CLUSTER}/managedNamespaces/team-{number}"}
        after = {"delete_policy": "Keep"}
        event = {**target, "change": "Create", "before": None, "after": after}
        Journal(first / "journal.jsonl", now=now).write("started", **event)
    continue_journal(first, second, now=now)
    write_record(second, status=RunStatus.DONE, exit_code=0, parameters={"resume_run": "first"})

    said = CliRunner().invoke(main, ["undo", "first", "--runs", str(tmp_path)])
    assert said.exit_code == 0, said.output
    assert f"300 requests in {second / 'undo.yaml'}" in said.output
    assert "This undoes 2 runs together" in said.output
    assert "each resuming the one before: first, second." in said.output
    lost = [line for line in said.output.splitlines() if "Not restored" in line]
    assert lost == [
        "Not restored: the Kubernetes namespace stays, unmanaged "
        "(300 namespaces, such as team-0 on aks-1, team-1 on aks-1, team-10 on aks-1)"
    ]
    notes = (second / "undo.yaml").read_text().splitlines()
    assert sum(line.startswith("# Not restored: team-") for line in notes) == 300


@pytest.fixture
def demo_run(tmp_path, first, monkeypatch):
    """A run on the demo's sandbox, where runs of now use the project's."""
    monkeypatch.setenv("MNS_SANDBOX", "")
    target = {"id": f"{CLUSTER}/managedNamespaces/team"}
    event = {**target, "change": "Create", "before": None, "after": {"delete_policy": "Keep"}}
    Journal(first / "journal.jsonl", now=now).write("started", **event)
    given = {"target": "sandbox", "resume_run": "", "dry_run": False, "runs_dir": "", "no_such": 1}
    write_record(first, status=RunStatus.STOPPED, exit_code=5, parameters=given, sandbox="demo")
    return find_project_root() / ".mns/demo/connection.json"


def test_undo_plans_on_the_sandbox_of_the_run(tmp_path, demo_run):
    said = CliRunner().invoke(main, ["undo", "first", "--runs", str(tmp_path)])
    assert f"\n  MNS_SANDBOX={demo_run} mns run 30 -p target=sandbox" in said.output


def test_a_run_is_resumed_on_its_sandbox(tmp_path, demo_run):
    said = CliRunner().invoke(main, ["resume", "first", "--runs", str(tmp_path)])
    assert "no_such: the notebook has no such parameter" in said.output  # so no kernel was started
    assert os.environ["MNS_SANDBOX"] == str(demo_run)


def test_the_index_takes_from_the_journal_how_far_a_run_came_whose_process_died(tmp_path):
    run = tmp_path / "20261102T060000Z-30_provision_in_bulk-prod"
    run.mkdir()
    names = [f"{CLUSTER}/managedNamespaces/team-{number}" for number in range(3)]
    item = {"change": "Create", "etag": None, "before": "", "after": "x"}
    moment = iter(range(60))
    journal = Journal(run / "journal.jsonl", now=lambda: now().replace(minute=next(moment)))
    planned = [{"id": name, **item} for name in names]
    journal.write("plan", may_write=True, digest="sha256:1", risks=[], items=planned)
    for name in names[:2]:
        done = ItemOutcome(
            id=ManagedNamespaceId.parse(name),
            change=ChangeKind.CREATE,
            outcome=OutcomeKind.CREATED,
        )
        journal.write("finished", **done.to_json())
    write_record(run, status=RunStatus.STOPPED, exit_code=5, parameters={"approval": "digest"})

    page = write_index(tmp_path).read_text()
    assert ">2 of 3<" in page
    assert ">2 min 0 s<" in page
    assert ">resume it (mns resume)</a>" in page
    journal.path.write_text("no journal\n\n", encoding="utf-8")
    assert ">run again</a>" in write_index(tmp_path).read_text()


@pytest.mark.parametrize("option", ["-f", "--file", "--parameters"])
def test_export_takes_its_parameters_as_the_other_commands_do(tmp_path, option):
    words = ["export", str(tmp_path / "x.yaml"), option, str(tmp_path / "absent.yaml")]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 6
    assert "absent.yaml" in said.output
    assert "No such option" not in said.output


def in_a_circle(runs, *names):
    """Leave runs whose journals and records lead from each to the next, and from the last back."""
    for name, later in zip(names, names[1:] + names[:1], strict=True):
        (runs / name).mkdir(parents=True)
        Journal(runs / name / "journal.jsonl", now=now).write("continued", run=f"../r/{later}")
        parameters = {"resume_run": f"../r/{later}"}
        ended = {"status": RunStatus.STOPPED, "exit_code": 5}
        write_record(runs / name, parameters=parameters, **ended)


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
def test_runs_that_lead_back_to_themselves_are_refused_at_once(tmp_path, names):
    in_a_circle(tmp_path / "r", *names)
    with pytest.raises(ConfigError, match=r"round in a circle, to a again"):
        find_run("a", runs_dir=tmp_path / "r")
    with pytest.raises(ConfigError, match=r"round in a circle, to"):
        runs_until(tmp_path / "r" / "a")
    for command in ("undo", "resume"):
        done = CliRunner().invoke(main, [command, "a", "--runs", str(tmp_path / "r")])
        assert done.exit_code == 6
        assert "tampered with" in done.stderr


def test_runs_are_listed_as_json_with_what_came_of_their_items(tmp_path):
    for name, status in (("20261101T060000Z-30-prod", "partly"), ("20261102T060000Z-30-prod", "x")):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name, status=status, exit_code=3, parameters={"tier": "no"})
    done = CliRunner().invoke(main, ["runs", "--json", "--runs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)
    assert (tmp_path / "index.html").exists()
    assert (first["run"], first["status"], first["exit_code"]) == (
        "20261101T060000Z-30-prod", "partly", 3,
    )  # fmt: skip
    assert first["item_counts"] == dict.fromkeys(OutcomeKind, 0)
    assert "parameters" not in first
    assert (second["run"], second["status"]) == ("20261102T060000Z-30-prod", "unreadable")
