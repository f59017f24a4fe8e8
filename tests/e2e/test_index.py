"""The page over all runs, made by `mns run`: what closes a run that somebody has to look at."""

from __future__ import annotations

import re

import pytest

from .conftest import ROOT

SAMPLE = ROOT / "parameters/30_provision_in_bulk.sandbox.yaml"


@pytest.fixture
def refused_once(sandbox):
    match = {"surface": "arm", "method": "PUT", "path": "/zz-refused$"}
    effect = {"status": 403, "code": "RequestDisallowedByPolicy"}
    fault = {"name": "policy", "match": match, "effect": effect, "times": 1}
    sandbox.control("POST", "faults", {"faults": [fault]})
    yield
    sandbox.control("POST", "reset", {"clear": ["faults"]})


def part_of(run):
    """Return the part of the index that lists a run."""
    index = (run.directory.parent / "index.html").read_text(encoding="utf-8")
    (before,) = re.findall(rf"(.*?){run.directory.name}/report\.html", index, re.DOTALL)[:1]
    return re.findall(r"<h2>(.*?)</h2>", before)[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("refused_once")
def test_only_the_same_apply_of_the_same_requests_closes_one_that_was_partly_done(
    run_notebook, sandbox, tmp_path
):
    cluster = sandbox.cluster("aks-prod-weu-1")
    where = (
        f"subscription_id: {cluster.subscription_id}, resource_group: {cluster.resource_group}, "
        f"cluster_name: {cluster.cluster_name}, cpu_request: 100m, cpu_limit: 100m, "
        "memory_request: 64Mi, memory_limit: 64Mi"
    )
    rows = [f"- {{{where}, namespace_name: {name}}}\n" for name in ("zz-made", "zz-refused")]
    file, other = tmp_path / "requests.yaml", tmp_path / "30_provision_in_bulk.elsewhere.yaml"
    other.write_text(SAMPLE.read_text().replace(": parameters/", f": {ROOT}/parameters/"))
    caps = {"request_file": file, "max_failures": "100%", "max_changes": "100%"}

    file.write_text("".join(rows))
    first = run_notebook("30", **caps)
    assert (first.code, part_of(first)) == (3, "Needs attention"), first.output
    later = {"a dry run": run_notebook("30", **caps, dry_run="true")}
    file.write_text(rows[0])
    later["other requests at that path"] = run_notebook("30", **caps)
    file.write_text("".join(rows))
    later["another environment"] = run_notebook("30", **caps, file=other)
    for what, run in later.items():
        assert run.code == 0, run.output
        assert part_of(first) == "Needs attention", what

    assert run_notebook("30", **caps).code == 0
    assert part_of(first) == "Closed by a later run"
