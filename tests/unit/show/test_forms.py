"""What the form's widgets hold and tell; how they look in JupyterLab: `tests/notebooks`."""

from __future__ import annotations

import pytest

import mnslib as mns
from mnslib.models import Principal, PrincipalType
from mnslib.run.guided import Guided
from mnslib.show.forms import Form

ONE, TWO = (f"00000000-0000-4000-9000-00000000000{n}" for n in (1, 2))


@pytest.fixture
def behind(sandbox_file, tmp_path, monkeypatch):
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    run = mns.start("20_onboard_namespace", {"runs_dir": str(tmp_path)})
    yield Guided(run, start=lambda job: job())
    run.target.close()
    run.close()


def group(number):
    return Principal(kind=PrincipalType.GROUP, id=number, name="grp-a&b"), ["Ada"]


def test_the_one_who_is_found_is_added_and_of_several_the_chosen_one(behind):
    form = Form(behind)
    behind.found = [group(ONE)]
    form.refresh()
    form._buttons["grant"].click()
    assert behind.values["access"] == [f"group:{ONE}=namespace-user", f"group:{ONE}=writer"]
    behind.found = [group(ONE), group(TWO)]
    form.refresh()
    form._buttons["grant"].click()
    assert len(behind.values["access"]) == 2
    form._hits.value = f"group:{TWO}"
    form._role.value = "reader"
    form._buttons["grant"].click()
    assert behind.values["access"][2:] == [f"group:{TWO}=namespace-user", f"group:{TWO}=reader"]
    assert "grp-a&b" in form._hits.options[1][0]
    form._grants.children[0].children[1].click()
    assert all(TWO in one for one in behind.values["access"])


def test_what_is_written_is_checked_at_its_field_and_other_fields_follow(behind):
    form = Form(behind)
    form._fields["namespace_name"].value = "<b>Team</b>"
    assert "mns-state-invalid" in form.root._dom_classes
    assert "mns-bad" in form._fields["namespace_name"]._dom_classes
    assert "&lt;b&gt;" in form._notes["namespace_name"].value
    form._fields["namespace_name"].value = "team"
    assert form._fields["namespace_name"]._dom_classes == ()
    form._fields["tier"].value = "small"
    assert form._fields["memory_limit"].value == "2Gi"
    form._fields["memory_limit"].value = "4Gi"
    assert form._fields["tier"].value == ""
    form._fields["labels"].value = "a=b;"
    assert (form._fields["labels"].value, behind.values["labels"]) == ("a=b;", {"a": "b"})
