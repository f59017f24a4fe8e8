"""What a scheduler sees of a run: its exit code and its log."""

from __future__ import annotations

import pytest

from mnslib.resource_ids import ClusterId
from mnslib.run.locks import LOCKS_VARIABLE, only_writer

from .conftest import writes


@pytest.fixture
def held(environment, sandbox_connection, tmp_path, monkeypatch):
    """One of the clusters, to which somebody else writes."""
    monkeypatch.setenv(LOCKS_VARIABLE, environment[LOCKS_VARIABLE])
    found = next(one for one in sandbox_connection["clusters"] if one["name"] == "aks-prod-weu-1")
    cluster = ClusterId(found["subscription_id"], found["resource_group"], found["name"])
    endpoint = sandbox_connection["arm_endpoint"]
    with only_writer([cluster], endpoint=endpoint, run_directory=tmp_path / "the-other"):
        yield


@pytest.mark.usefixtures("held")
def test_a_run_beside_another_writer_ends_with_a_code_of_its_own(run_notebook, sandbox):
    done = run_notebook("30")
    assert done.code == 7, done.output
    assert (done.result["status"], done.result["exit_code"]) == ("failed", 7)
    assert "the-other since" in done.result["headline"]
    assert not writes(sandbox.requests())
