"""`mns undo`: a request file that restores what a bulk run changed, and what it says it cannot."""

from __future__ import annotations

import re


def test_undo_gives_back_every_namespace(provisioned):
    before, after, undone = provisioned.listed
    assert provisioned.first.code == 0, provisioned.first.output
    assert after != before
    assert provisioned.back.code == 0, provisioned.back.output
    assert undone == before


def test_undo_names_what_it_does_not_restore_each_reason_once(provisioned):
    said = provisioned.undo.stderr
    assert provisioned.undo.returncode == 0, said
    assert "what its adoption overwrote on the Kubernetes namespace" in said
    assert re.search(r"Not restored: the Kubernetes namespace stays, unmanaged \(\d+ namesp", said)
    assert "a role" not in said  # it goes with its namespace
    assert len(said.splitlines()) < 10  # one for each reason
    notes = (provisioned.first.directory / "undo.yaml").read_text()
    assert re.search(r"# Not restored: \S+ on \S+: the Kubernetes namespace stays", notes)


def test_the_command_that_undo_gives_plans_first(provisioned):
    planned = provisioned.undo_planned
    assert planned.returncode == 0, planned.stderr
    assert "This was a dry run" in planned.stdout
