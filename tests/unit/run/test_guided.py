"""What the guided form stands on: its states, without a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import mnslib as mns
from mnslib.run import guided
from mnslib.run.guided import Guided, Onboarding, State
from mnslib.run.parameters import check_parameters, read_parameter_file, read_parameters
from mnslib.run.project import find_project_root

DONE = "team-a is as requested: created."
GROUP = "group:00000000-0000-4000-9000-000000000001"


@pytest.fixture
def begin(sandbox, sandbox_file, tmp_path, monkeypatch):
    """Begins a run of notebook 20 and its form, whose jobs are done at once."""
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))

    def call(load=True, **given):
        run = mns.start("20_onboard_namespace", {"runs_dir": str(tmp_path), **given})
        form = Guided(run, start=lambda job: job())
        begun.append(run)
        if load:
            form.load()
        return form

    begun = []
    pack = find_project_root() / "handover" / "aks-prod-weu-2" / "team-a"
    yield call
    shutil.rmtree(pack, ignore_errors=True)
    for run in begun:
        run.target.close()
        run.close()


@pytest.fixture
def form(begin):
    return begin()


def fill(form, name="team-a", cluster="aks-prod-weu-2"):
    form.choose(next(str(one) for one in form.clusters if one.cluster_name == cluster))
    form.change(namespace_name=name)
    form.size("small")
    return form


def written(sandbox):
    return [one for one in sandbox.requests("PUT") if "managedNamespaces" in one["path"]]


def test_an_untouched_form_names_what_is_needed_and_nothing_as_wrong(form):
    assert (form.state, form.stage) == (State.EDITING, "where")
    assert form.problems == {}
    assert {"cluster_name", "namespace_name"} <= set(form.needed)
    assert not form.may_plan


def test_each_mistake_stands_at_its_field_and_goes_away(form):
    fill(form)
    form.change(namespace_name="Team_A", cpu_limit="1 core", labels="a b")
    assert form.state is State.INVALID
    assert set(form.problems) == {"namespace_name", "cpu_limit", "labels"}
    assert "Write team-a." in form.problems["namespace_name"]
    form.change(namespace_name="team-a")
    form.change(cpu_limit="1")
    form.change(labels="a=b")
    assert (form.state, form.problems, form.may_plan) == (State.EDITING, {}, True)
    assert form.values["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("name", "cluster", "is_what"),
    [("team-a", "aks-prod-weu-2", "free"), ("payments-api", "aks-prod-weu-1", "managed"),
     ("legacy-crm", "aks-prod-weu-1", "unmanaged")],
)  # fmt: skip
def test_says_what_a_name_is_on_that_cluster(form, name, cluster, is_what):
    assert fill(form, name, cluster).name_is == is_what


def test_names_a_cluster_that_is_not_there(begin):
    place = {"subscription_id": "00000000-0000-4000-8000-00000000a001"}
    form = begin(**place, resource_group="rg-platform", cluster_name="aks-prod-weu-9")
    assert form.state is State.INVALID
    assert "aks-prod-weu-9 was not found" in form.problems["cluster_name"]


def test_tells_how_many_pods_start_and_raises_the_quota_at_a_click(form):
    fill(form)
    assert (form.fit.starts, form.fit.short) == (2, ["cpu_request", "cpu_limit"])
    form.raise_quota()
    assert (form.fit.starts, form.fit.short) == (3, [])
    four = [form.values[name] for name in ("cpu_request", "cpu_limit", "memory_request")]
    assert four == ["750m", "1500m", "1Gi"]


def test_what_is_filled_in_shows_beside_what_the_cluster_has_committed(form):
    fill(form)
    before, after = form.rooms["cpu"]
    assert float(after.committed - before.committed) == 0.5


def test_access_comes_with_the_role_that_fetches_the_kubeconfig(form):
    fill(form).grant(GROUP, "writer")
    assert form.values["access"] == [f"{GROUP}=namespace-user", f"{GROUP}=writer"]
    form.grant(GROUP, "writer")
    assert len(form.values["access"]) == 2
    form.ungrant(GROUP)
    assert form.values["access"] == []


def test_finds_whom_it_may_be_by_the_begin_of_a_name_or_an_id(form):
    form.search("grp-pay")
    [(found, _)] = form.found
    assert f"group:{found.id}" == GROUP
    form.search("grp-reporting")
    assert len({one.id for one, _ in form.found}) == 2
    form.search("nobody at all")
    assert (form.found, "has nobody" in form.message) == ([], True)
    form.search(GROUP.removeprefix("group:"))
    assert (form.message, form.found[0][0].name) == ("", "grp-payments")


def test_any_edit_makes_the_plan_stale_and_it_cannot_be_approved(form, sandbox):
    fill(form).plan()
    assert (form.state, form.stage, form.may_approve) == (State.PLANNED, "approve", True)
    form.change(owner="crm")
    assert (form.state, form.may_approve) == (State.STALE, False)
    form.approve()
    assert written(sandbox) == []
    form.plan()
    assert form.state is State.PLANNED


def test_each_risk_is_ticked_before_it_may_be_approved(form):
    fill(form, "legacy-crm", "aks-prod-weu-1").change(adoption_policy="Always")
    form.plan()
    assert form.message == ""
    assert "adoption" in form.risks
    for name in form.risks:
        assert not form.may_approve
        form.tick(name, is_accepted=True)
    assert form.may_approve


def test_writes_what_was_approved_in_a_run_of_its_own(form, sandbox, tmp_path):
    fill(form).grant(GROUP, "writer")
    form.plan()
    digest = form.planned.digest
    form.approve()
    assert (form.state, form.stage, form.message) == (State.DONE, "done", DONE)
    assert len(written(sandbox)) == 3
    record = json.loads((tmp_path / form.directory / "result.json").read_text())
    assert (record["status"], record["parameters"]["approved_digest"]) == ("done", digest)
    assert list(form.told) == ["apply", "read_back", "prove", "hand_over", "record"]
    assert form.name_is == "managed"


def test_refuses_another_plan_than_was_read(form, begin, sandbox):
    fill(form).plan()
    other = fill(begin())
    other.plan()
    other.approve()
    form.approve()
    assert form.state is State.PLANNED
    assert "is another plan now" in form.message
    assert len(written(sandbox)) == 1
    assert not form._digest


def test_a_stop_before_the_first_write_starts_nothing(form, sandbox, monkeypatch):
    fill(form).plan()
    monkeypatch.setattr(form, "_start", lambda job: (form.stop(), job()))
    form.approve()
    assert "started nothing new" in form.message
    assert (form.state, written(sandbox)) == (State.PLANNED, [])


def test_a_stop_while_it_writes_awaits_what_runs(form, sandbox, tmp_path):
    fill(form).plan()
    form.watch.append(lambda: form.state is State.WRITING and not form.is_stopping and form.stop())
    form.approve()
    record = json.loads((tmp_path / form.directory / "result.json").read_text())
    assert (form.state, record["status"]) == (State.PARTLY, "interrupted")
    assert written(sandbox) == []


def test_a_later_kernel_finds_where_the_form_was_and_has_no_approval(form, begin):
    fill(form).plan()
    later = begin()
    assert later.taken_from == form.run.directory.name
    assert later.values == form.values
    assert (later.state, later.allow, later._digest) == (State.PLANNED, set(), "")
    later.approve()
    again = begin()
    assert (again.state, again.message) == (State.DONE, DONE)
    again.reset()
    assert (again.state, again.values["namespace_name"]) == (State.EDITING, "")


def test_other_parameters_are_not_overridden_by_an_earlier_form(form, begin):
    fill(form)
    assert begin(namespace_name="team-b").values["namespace_name"] == "team-b"


def test_what_is_saved_is_a_dry_run_that_fits_the_notebook(form, tmp_path):
    fill(form).change(labels="team=crm")
    form.plan()
    file = tmp_path / "team-a.yaml"
    form.save(str(file))
    assert (form.message, form.saved) == ("", str(file))
    declared = read_parameters(find_project_root() / "notebooks" / "20_onboard_namespace.ipynb")
    given = read_parameter_file(file, declared)
    check_parameters(declared, given)
    assert given == yaml.safe_load(file.read_text())
    assert (given["dry_run"], given["approved_digest"], given["allow"]) == (True, "", [])
    assert (given["namespace_name"], given["labels"]) == ("team-a", {"team": "crm"})
    form.save(str(file))
    assert "is there already" in form.message
    form.save("parameters/20_onboard_namespace.sandbox.yaml")
    assert "tracked by git" in form.message
    form.save(str(Path.home() / "elsewhere.yaml"))
    assert "below parameters/" in form.message


def test_is_a_line_where_nobody_looks_on(form, monkeypatch):
    assert isinstance(form.run, Onboarding)
    assert repr(form.run.form()) == (
        "The form is shown in JupyterLab alone. This run works from the parameters."
    )
    kernel = SimpleNamespace(get_parent=lambda _: {"metadata": {"cellId": "a"}})
    monkeypatch.setattr(guided, "ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(guided, "is_notebook", lambda: True)
    assert guided.is_attended()
