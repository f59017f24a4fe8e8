"""The other commands, and what they say when they are used wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import ROOT


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "99"],
        ["run", "30", "-f", "absent.yaml"],
        ["run", "30", "-p", "dry_run"],
        ["nonsense"],
        ["sandbox", "serve", "--latency", "slow", "--connection", "x"],
    ],
)
def test_bad_usage_ends_with_six_and_says_why(mns, words):
    done = mns(*words)
    assert done.returncode == 6
    assert done.stderr.startswith(("Error:", "Usage:"))
    assert "Traceback" not in done.stderr


def test_token_prints_an_exec_credential(mns):
    done = mns("token", "--target", "sandbox")
    credential = json.loads(done.stdout)
    assert credential["kind"] == "ExecCredential"
    assert credential["status"]["token"].count(".") == 2
    assert credential["status"]["expirationTimestamp"].endswith("Z")


def test_open_makes_a_copy_and_leaves_the_notebook_alone(mns, tmp_path):
    tracked = (ROOT / "notebooks/30_provision_in_bulk.ipynb").read_text()
    done = mns("open", "30", "-p", "max_changes=7", "--runs", str(tmp_path / "r"), "--no-lab")
    copy = json.loads(Path(done.stdout.strip()).read_text())
    sources = ["".join(cell["source"]) for cell in copy["cells"]]
    assert any('max_changes = "7"' in text for text in sources)
    assert (ROOT / "notebooks/30_provision_in_bulk.ipynb").read_text() == tracked


def test_runs_writes_an_index_even_over_nothing(mns, tmp_path):
    done = mns("runs", "--runs", str(tmp_path / "none"))
    assert done.returncode == 0
    assert "<html" in (tmp_path / "none/index.html").read_text()


def test_a_sandbox_that_is_gone_is_named_with_what_to_do(mns, environment, tmp_path):
    environment["MNS_SANDBOX"] = str(tmp_path / "gone.json")
    done = mns("token", "--target", "sandbox")
    assert done.returncode == 6
    assert "MNS_SANDBOX names" in done.stderr
    assert "mns sandbox serve --connection" in done.stderr
