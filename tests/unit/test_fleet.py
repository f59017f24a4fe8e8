"""The library of a blank notebook, on the sandbox: reading, planning, applying, its runs."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

import mnslib as mns
from mnslib.cli import main
from mnslib.errors import ApplyError, ConfigError, SpecError, StalePlanError, UnsafePlanError
from mnslib.fleet import OLDEST_READING
from mnslib.provisioning import apply as applying
from mnslib.results import utc_now

CLUSTER = "aks-prod-weu-1"
GROUP = "group:00000000-0000-4000-9000-000000000001"
OTHER_GROUP = "group:00000000-0000-4000-9000-000000000009"


@pytest.fixture
def connect(sandbox, sandbox_file, monkeypatch, tmp_path):
    """Connect from a folder that is not the project's; what was opened is closed at the end."""
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    monkeypatch.chdir(tmp_path)
    opened = []

    def connect(*args, **settings):
        opened.append(mns.connect(*args, **settings))
        return opened[-1]

    yield connect
    for fleet in opened:
        fleet.close()


@pytest.fixture
def fleet(connect):
    return connect()


@pytest.fixture
def namespace(fleet):
    first = fleet.namespaces()
    name = first[first["cluster_name"] == CLUSTER]["namespace_name"].iloc[0]
    return fleet.namespace(CLUSTER, name)


def _applied(plan):
    return plan.apply(approve=plan.digest, allow=sorted(set(plan.risks["risk"])))


def writes(sandbox):
    return [r for r in sandbox.requests() if r["method"] in ("PUT", "DELETE", "PATCH")]


class TestReading:
    def test_clusters_are_rows_with_what_they_promise_or_why_they_cannot_be_read(
        self, fleet, sandbox, tmp_path
    ):
        found = fleet.clusters()
        assert set(found["cluster_name"]) == {c["name"] for c in sandbox.connection["clusters"]}
        read = found[found["reason"] == ""]
        assert (read["cpu_allocatable"] > 0).all()
        assert (found[found["reason"] != ""]["cpu_allocatable"].isna()).all()
        assert not (tmp_path / "runs").exists()

    def test_namespaces_have_amounts_in_cores_and_bytes(self, fleet):
        found = fleet.namespaces()
        assert found["is_managed"].all()
        assert found["memory_request"].dropna().min() >= 2**20
        assert "kube-system" not in set(found["namespace_name"])

    def test_all_shows_the_namespaces_that_nobody_manages_too(self, fleet):
        found = fleet.namespaces(all=True)
        others = found[found["is_managed"] == False]  # noqa: E712
        assert "kube-system" in set(others["namespace_name"])

    def test_a_cluster_that_cannot_be_read_is_a_row_and_if_none_can_it_raises(
        self, connect, sandbox
    ):
        there = str(sandbox.cluster(CLUSTER))
        gone = there.replace(CLUSTER, "aks-gone")
        found = connect(clusters=[there, gone]).clusters().set_index("cluster_name")
        assert found["reason"][CLUSTER] == ""
        assert "aks-gone" in found["reason"]["aks-gone"]
        with pytest.raises(mns.MnsError, match="None of 1 clusters can be read"):
            connect(clusters=[gone]).namespaces()

    def test_unknown_names_are_refused_with_the_candidates(self, fleet, namespace):
        with pytest.raises(ConfigError, match=f"no cluster 'nope' here. There are: .*{CLUSTER}"):
            fleet.namespace("nope", "x")
        with pytest.raises(ConfigError, match=f"There are: .*{namespace.id.namespace_name}"):
            fleet.namespace(CLUSTER, "nope")

    def test_a_misspelled_cluster_is_told_which_was_meant(self, fleet):
        with pytest.raises(ConfigError, match="Did you mean aks-prod-weu-1"):
            fleet.namespace("aks-prod-weu1", "x")

    def test_what_is_printed_shows_amounts_before_ids(self, fleet):
        with pd.option_context("display.width", 100, "display.max_columns", 0):
            heading = repr(fleet.clusters()).splitlines()[0]
        assert "cpu_allocatable" in heading
        assert "subscription_id" not in heading

    def test_after_it_was_closed_it_says_how_to_go_on(self, fleet, namespace):
        plan = namespace.change(labels={"stage": "test"})
        fleet.close()
        for call in (fleet.clusters, namespace.access, lambda: plan.apply(approve=plan.digest)):
            with pytest.raises(ConfigError, match=r"closed: mns.connect\(...\) opens it again"):
                call()
        fleet.close()

    def test_azure_without_a_scope_is_told_what_to_write(self, connect):
        with pytest.raises(ConfigError, match="write subscription_ids as a list of ids, which"):
            connect("azure")

    def test_a_cluster_is_found_by_its_id_too(self, fleet, namespace):
        by_id = fleet.namespace(str(namespace.id.cluster), namespace.id.namespace_name)
        assert by_id.id == namespace.id

    def test_kubeconfigs_hold_no_secret_and_are_the_owners_own(self, namespace, tmp_path):
        text = namespace.kubeconfig()
        assert "token:" not in text
        assert namespace.id.namespace_name in text
        file = namespace.kubeconfig("own.yaml")
        assert file == tmp_path / "own.yaml"
        assert file.stat().st_mode & 0o777 == 0o600

    def test_nothing_is_asked_before_it_is_connected_rightly(self, connect):
        for wrong in ({"target": "moon"}, {"clusters": "one"}, {"max_commitment": "much"}):
            with pytest.raises(ConfigError):
                connect(**wrong)
        with pytest.raises(ConfigError, match=f"A relative path is taken from {Path.cwd()}"):
            connect(tiers_file="none.yaml")
        with pytest.raises(ConfigError, match=r"owner_label: .* U\+200B .* Write owner\."):
            connect(owner_label="own\u200ber")

    def test_a_change_holds_nothing_that_nobody_sees(self, namespace):
        with pytest.raises(SpecError, match=r"labels: the key holds U\+00A0 .*\. Write stage\."):
            namespace.change(labels={"stage\u00a0": "test"})


class TestPlanning:
    def test_a_plan_says_which_rows_of_its_sheet_nobody_sees(self, namespace, fleet, tmp_path):
        book = openpyxl.Workbook()
        row = {**namespace.id.columns, "labels": "stage=test"}
        book.active.append([*row])
        book.active.append([*row.values()])
        book.active.row_dimensions[2].hidden = True
        book.create_sheet("notes").sheet_state = "hidden"
        book.save(tmp_path / "requests.xlsx")
        plan = fleet.plan("requests.xlsx")
        told = "Row 2 is hidden in the sheet, and planned like the others. Not read: sheet 'notes'"
        assert told in repr(plan)
        result = plan.apply(approve=plan.digest, allow=["foreign-owner"])
        assert told in json.loads((result.directory / "result.json").read_text())["headline"]

    def test_a_number_is_exact_and_its_text_may_mean_two(self, fleet, namespace):
        with pytest.raises(SpecError, match=r"'1.000' may mean 1 or 1000"):
            namespace.change(cpu_limit="1.000")
        row = {**namespace.id.columns, "cpu_limit": 29.125}
        for plan in (namespace.change(cpu_limit=29.125), fleet.plan(pd.DataFrame([row]))):
            assert [*plan.changes["after"]] == ["29125m"]
        result = plan.apply(approve=plan.digest, allow=["foreign-owner", "quota-below-use"])
        again = fleet.plan(result.directory / "requests.csv")  # which a resumed run reads
        assert [*again.changes["change"]] == ["NoChange"]

    def test_a_change_names_its_fields_and_writes_nothing(self, namespace, sandbox, tmp_path):
        plan = namespace.change(labels={"stage": "test"})
        row = plan.changes.iloc[0]
        assert (row["change"], row["field"], row["after"]) == ("Update", "labels[stage]", "test")
        assert plan.digest.startswith("sha256:")
        assert plan.digest in repr(plan)
        assert plan.digest in plan._repr_html_()
        assert writes(sandbox) == []
        assert not (tmp_path / "runs").exists()

    def test_files_frames_and_lists_make_the_same_plan(self, fleet, namespace, tmp_path):
        cluster = namespace.id.cluster
        row = {
            "subscription_id": cluster.subscription_id,
            "resource_group": cluster.resource_group,
            "cluster_name": cluster.cluster_name,
            "namespace_name": namespace.id.namespace_name,
            "labels": "stage=test",
        }
        frame = pd.DataFrame([row | {"cpu_request": None, "memory_limit": float("nan")}])
        pd.DataFrame([row]).to_csv(tmp_path / "r.csv", index=False)
        digests = {fleet.plan(one).digest for one in ("r.csv", frame, [row])}
        assert len(digests) == 1

    def test_cells_of_numpy_are_values_like_others_and_rows_may_be_series(self, fleet, namespace):
        cluster = namespace.id.cluster
        row = {
            "subscription_id": cluster.subscription_id,
            "resource_group": cluster.resource_group,
            "cluster_name": cluster.cluster_name,
            "namespace_name": namespace.id.namespace_name,
        }
        plain = fleet.plan([row | {"cpu_limit": 64, "access": [f"{GROUP}=reader"]}])
        cells = {"cpu_limit": np.int64(64), "access": np.array([f"{GROUP}=reader"])}
        empty = {"memory_limit": np.nan, "tier": pd.NA}
        for odd in ([row | cells | empty], [pd.Series(row | cells | empty)]):
            assert fleet.plan(odd).digest == plain.digest

    @pytest.mark.parametrize(
        "wrong", [pd.Series({"namespace_name": "x"}), [7], ["x"], None, {"namespace_name": "x"}]
    )
    def test_what_is_no_request_is_refused_with_what_to_write(self, fleet, wrong):
        with pytest.raises(ConfigError, match="write a file's path, a DataFrame, or a list of"):
            fleet.plan(wrong)

    def test_columns_that_have_no_text_as_name_are_refused_as_unknown(self, fleet):
        with pytest.raises(SpecError, match="there is no column '7'"):
            fleet.plan(pd.DataFrame([["x", "y"]], columns=["cluster_name", 7]))

    def test_a_column_that_does_not_exist_is_told_which_are_meant(self, namespace):
        with pytest.raises(SpecError, match="Write cpu_request or cpu_limit"):
            namespace.change(cpu="2")

    @pytest.mark.parametrize("nothing", [[], pd.DataFrame(), pd.DataFrame(columns=["cpu_limit"])])
    def test_of_no_advice_there_is_a_plan_without_changes(self, fleet, sandbox, nothing):
        plan = fleet.plan(nothing)
        assert (len(plan.changes), len(plan.risks)) == (0, 0)
        assert "Nothing to do" in repr(plan)
        assert plan.apply(approve=plan.digest).status == "done"
        assert writes(sandbox) == []

    @pytest.mark.parametrize("user", ["someone:hunter2", "hunter2hunter2"])
    def test_an_endpoint_that_signs_in_is_refused_and_not_repeated(self, connect, user):
        for history in ("auto", "prometheus"):
            with pytest.raises(ConfigError, match=r"prometheus_endpoint: .* secret") as raised:
                connect(history=history, prometheus_endpoint=f"https://{user}@metrics.example")
            assert "hunter2" not in str(raised.value)

    def test_the_identity_is_not_changed_and_mistakes_are_told_together(self, fleet, namespace):
        with pytest.raises(ConfigError, match="cluster_name"):
            namespace.change(cluster_name="other")
        with pytest.raises(SpecError) as raised:
            namespace.change(cpu_request="much", labels={"a b": "c"})
        assert len(raised.value.problems) == 2


class TestWhatIsGivenAndShown:
    def test_what_is_no_id_is_refused_with_what_it_should_be(self, connect):
        with pytest.raises(ConfigError, match="subscription_ids: 'prod' is not a ") as raised:
            connect("azure", subscription_ids=["prod"], cloud="mars", max_commitment="0")
        assert all(f"{name} is " in str(raised.value) for name in ("cloud", "max_commitment"))

    def test_no_rows_are_told_and_mistakes_are_those_of_the_requests(self, fleet, namespace):
        empty = fleet.namespaces()[["cluster_name", "namespace_name"]].head(0)
        assert "Nothing to do: there are no rows." in repr(fleet.plan(empty))
        with pytest.raises(SpecError, match="1 mistake in the requests; nothing was written"):
            namespace.change(cpu_request="much")
        shown = repr(namespace.change(labels={"stage": "test"}))
        assert "Exact to the field: plan.changes." in shown
        assert "plan.json" not in shown

    def test_text_of_tables_has_every_column_and_all_of_each_cell(self, fleet, namespace):
        for table in (fleet.clusters(), fleet.namespaces(), namespace.access()):
            assert "..." not in repr(table)
            assert [name for name in table.columns if name not in repr(table)] == []
        assert type(fleet.clusters().head(1)) is pd.DataFrame


class TestApplying:
    def test_a_wrong_or_empty_approval_writes_nothing(self, namespace, sandbox, tmp_path):
        plan = namespace.change(labels={"stage": "test"})
        for given in ({}, {"approve": ""}, {"approve": plan.digest[:-1]}):
            with pytest.raises(StalePlanError, match="Nothing was written") as raised:
                plan.apply(**given)
            assert f"apply(approve=plan.digest), which is '{plan.digest}'" in str(raised.value)
        assert writes(sandbox) == []
        assert not (tmp_path / "runs").exists()

    def test_risks_need_their_names(self, namespace, sandbox):
        plan = namespace.delete()
        assert "deletion" in set(plan.risks["risk"])
        with pytest.raises(UnsafePlanError, match="deletion"):
            plan.apply(approve=plan.digest)
        assert writes(sandbox) == []

    def test_each_apply_is_one_run_and_the_second_changes_nothing(
        self, namespace, fleet, tmp_path, capsys
    ):
        plan = namespace.change(labels={"stage": "test"})
        result = plan.apply(approve=plan.digest, allow=["foreign-owner"])
        assert result.status == "done"
        assert list(result.outcomes["outcome"]) == ["updated"]
        assert result.directory.parent == tmp_path / "runs"
        assert re.fullmatch(r"\d{8}T\d{6}Z-library-sandbox", result.directory.name)
        names = {path.name for path in result.directory.iterdir()}
        assert names == {"requests.csv", "plan.json", "journal.jsonl", "result.json"}
        record = json.loads((result.directory / "result.json").read_text())
        assert (record["notebook"], record["status"]) == ("library", "done")
        assert str(result.directory) in repr(result)
        assert namespace.change(labels={"stage": "test"}).changes["change"].tolist() == ["NoChange"]
        again = fleet.plan(result.directory / "requests.csv")
        assert again.apply(approve=again.digest).status == "done"

    def test_a_plan_that_was_applied_is_not_applied_again(self, namespace, sandbox):
        plan = namespace.change(labels={"stage": "test"})
        plan.apply(approve=plan.digest, allow=["foreign-owner"])
        before = len(writes(sandbox))
        with pytest.raises(StalePlanError, match="was applied before"):
            plan.apply(approve=plan.digest, allow=["foreign-owner"])
        assert len(writes(sandbox)) == before

    def test_a_check_that_warns_is_a_finding_as_in_a_notebook(self, fleet):
        found = fleet.namespaces()
        name = found[found["cluster_name"] == "aks-prod-neu-1"]["namespace_name"].iloc[0]
        result = _applied(fleet.namespace("aks-prod-neu-1", name).grant(GROUP, "reader"))
        record = json.loads((result.directory / "result.json").read_text("utf-8"))
        assert result.status == record["status"] == "findings"
        assert "Azure RBAC is off" in record["headline"]
        assert any("Azure RBAC is off" in warning for warning in record["warnings"])

    def test_what_was_read_long_ago_is_read_again_first(self, namespace, sandbox):
        plan = namespace.change(labels={"stage": "test"})
        other = namespace.change(labels={"stage": "prod", "team": "x"})
        other.apply(approve=other.digest, allow=["foreign-owner"])
        before = len(writes(sandbox))
        object.__setattr__(plan, "_read_at", utc_now() - OLDEST_READING - timedelta(seconds=1))
        with pytest.raises(StalePlanError, match="has changed since it was read"):
            plan.apply(approve=plan.digest, allow=["foreign-owner"])
        assert len(writes(sandbox)) == before

    def test_what_is_not_as_requested_raises_with_its_result(self, namespace, sandbox):
        plan = namespace.change(labels={"stage": "test"})
        other = namespace.change(labels={"stage": "prod"})
        other.apply(approve=other.digest, allow=["foreign-owner"])
        with pytest.raises(ApplyError, match="make the plan again, and read it") as raised:
            plan.apply(approve=plan.digest, allow=["foreign-owner"])
        result = raised.value.result
        assert (result.status, list(result.outcomes["outcome"])) == ("failed", ["skipped"])
        record = json.loads((result.directory / "result.json").read_text())
        assert record["status"] == "failed"

    def test_to_resume_what_went_stale_says_to_plan_again(self, fleet, namespace):
        """One of two was written by somebody else after the plan was made."""
        there = fleet.namespaces()
        both = there[there["cluster_name"] == CLUSTER][["namespace_name"]].head(2)
        plan = fleet.plan(both.assign(**namespace.id.cluster.columns, labels="stage=test"))
        other = namespace.change(labels={"stage": "prod"})
        other.apply(approve=other.digest, allow=["foreign-owner"])
        with pytest.raises(ApplyError, match="make the plan again, and read it") as raised:
            plan.apply(approve=plan.digest, allow=sorted(set(plan.risks["risk"])))
        result = raised.value.result
        assert result.status == "partly"
        said = CliRunner().invoke(main, ["resume", str(result.directory)])
        assert said.exit_code == 3, said.output
        assert "make the plan again:\n" in said.output
        assert "   mns run 30 -p target=sandbox" in said.output, "a log's line, then the indent"
        assert "To go on" not in said.output

    def test_an_error_on_the_way_is_in_the_record(self, namespace, tmp_path, monkeypatch):
        def failing(*_, **__):
            raise OSError("disk full")

        monkeypatch.setattr(applying, "apply", failing)
        plan = namespace.change(labels={"stage": "test"})
        with pytest.raises(OSError, match="disk full"):
            plan.apply(approve=plan.digest, allow=["foreign-owner"])
        (directory,) = (p for p in (tmp_path / "runs").iterdir() if "library" in p.name)
        record = json.loads((directory / "result.json").read_text())
        assert (record["status"], record["headline"]) == ("failed", "OSError: disk full")


class TestAccess:
    def test_a_grant_is_a_row_of_access_at_its_own_scope(self, namespace):
        plan = namespace.grant(OTHER_GROUP, "reader")
        plan.apply(approve=plan.digest, allow=["access-granted"])
        found = namespace.access()
        own = found[~found["is_inherited"]]
        mine = own[own["principal_id"] == OTHER_GROUP.partition(":")[2]]
        assert list(mine["role"]) == ["Azure Kubernetes Service RBAC Reader"]
        assert list(mine["scope"].str.lower()) == [str(namespace.id).lower()]

    def test_roles_are_named_also_those_that_no_request_can_ask_for(self, namespace):
        roles = namespace.access()["role"]
        assert "Owner" in set(roles)
        assert not roles.str.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}").any()

    def test_no_role_lands_on_a_namespace_that_is_another_by_now(self, connect, namespace):
        plan = namespace.grant(OTHER_GROUP, "reader")
        other = connect().namespace(str(namespace.id.cluster), namespace.id.namespace_name)
        changed = other.change(labels={"stage": "other"})
        changed.apply(approve=changed.digest, allow=["foreign-owner"])
        with pytest.raises(ApplyError) as raised:
            plan.apply(approve=plan.digest, allow=["access-granted"])
        assert list(raised.value.result.outcomes["outcome"]) == ["skipped"]
        assert OTHER_GROUP.partition(":")[2] not in set(namespace.access()["principal_id"])

    def test_what_was_granted_can_be_revoked_and_a_run_says_so(self, namespace, tmp_path):
        plan = namespace.grant(OTHER_GROUP, "reader")
        plan.apply(approve=plan.digest, allow=["access-granted"])
        plan = namespace.revoke(OTHER_GROUP, "reader")
        assert list(plan.risks["risk"]) == ["access-removed"]
        with pytest.raises(mns.MnsError, match="access-removed"):
            plan.apply(approve=plan.digest)
        plan.apply(approve=plan.digest, allow=["access-removed"])
        assert OTHER_GROUP.partition(":")[2] not in set(namespace.access()["principal_id"])
        assert list(namespace.revoke(OTHER_GROUP, "reader").changes["change"]) == ["NoChange"]


class TestUsage:
    def test_tables_are_attributes_and_the_advice_is_a_plan(self, fleet, sandbox, tmp_path):
        usage = fleet.usage(days=2)
        assert usage.utilization is usage.utilization
        assert {"hard", "used", "verdict", "advice"} <= set(usage.utilization.columns)
        assert {"evidence", "daily", "layers", "fit", "commitment", "requests"} <= set(dir(usage))
        with pytest.raises(AttributeError, match="no attribute 'utilisation'"):
            usage.utilisation  # noqa: B018
        assert not hasattr(usage, "_names")
        assert "namespaces" in repr(usage)
        plan = fleet.plan(usage.requests)
        assert set(plan.changes["namespace_name"]) == set(usage.requests["namespace_name"])
        assert writes(sandbox) == []
        assert not (tmp_path / "runs").exists()

    def test_views_answer_one_question_each(self, fleet):
        usage = fleet.usage(days=2)
        assert "refused" in repr(usage.show("blocked"))
        assert "tables/<name>.csv is usage.<name> here" in repr(usage.show("blocked"))
        with pytest.raises(ConfigError, match="There is no view 'nope'"):
            usage.show("nope")

    def test_it_is_asked_what_notebook_40_is_asked(self, fleet):
        usage = fleet.usage(days=1, group_by=["stage"], pod_cpu="500m", pod_memory="1Gi")
        assert "by_stage" in usage.all()
        with pytest.raises(ConfigError, match="takes no size: write days, group_by, new_cpu"):
            fleet.usage(days=1, size="1")

    def test_if_no_cluster_can_be_read_it_raises(self, connect, sandbox):
        gone = str(sandbox.cluster(CLUSTER)).replace(CLUSTER, "aks-gone")
        with pytest.raises(mns.MnsError, match=r"None of 1 clusters can be read.*aks-gone"):
            connect(clusters=[gone]).usage(days=1)
        for days in (0, 10_000, "7", True):
            with pytest.raises(ConfigError, match=r"days is .*: write a whole number, 1 to 548"):
                connect().usage(days=days)

    def test_of_a_namespace_it_is_times_by_resource_and_layer(self, fleet, namespace):
        found = namespace.usage(days=2)
        assert found.shape == (48, 6)
        assert found.columns.names == ["resource", "layer"]
        assert list(found["cpu"].columns) == ["hard", "requested", "usage"]
        assert found["memory", "requested"].max() >= 2**20
        assert (found["cpu", "hard"].dropna() > 0).all()

    def test_of_a_namespace_without_history_it_says_why(self, connect, namespace):
        other = connect(history="none").namespace(CLUSTER, namespace.id.namespace_name)
        with pytest.raises(mns.MnsError, match="No history asked for"):
            other.usage(days=1)


def test_a_table_whose_column_is_there_twice_is_refused(fleet, namespace):
    row = {"cluster_name": CLUSTER, "namespace_name": "new-one", "cpu_limit": "2"}
    doubled = pd.concat([pd.DataFrame([row]), pd.DataFrame({"cpu_limit": ["64"]})], axis=1)
    with pytest.raises(ConfigError, match="the columns cpu_limit are there twice"):
        fleet.plan(doubled)


def test_what_a_caller_does_to_his_mapping_later_is_no_part_of_the_plan(fleet, sandbox):
    id_ = sandbox.cluster(CLUSTER)
    labels = {"stage": "test"}
    row = {
        "subscription_id": id_.subscription_id, "resource_group": id_.resource_group,
        "cluster_name": CLUSTER, "namespace_name": "payments-api", "labels": labels,
    }  # fmt: skip
    plan = fleet.plan([row])
    labels["stage"] = "another"
    assert plan._rows[0]["labels"] == {"stage": "test"}


def test_a_misspelled_cluster_is_told_with_the_other_mistakes(fleet, namespace):
    row = namespace.id.columns
    wrong = [row | {"cpu_limit": "2x"}, row | {"cluster_name": "aks-nowhere"}]
    with pytest.raises(SpecError, match="cluster aks-nowhere was not found") as raised:
        fleet.plan(wrong)
    assert [(p.row, p.column) for p in raised.value.problems] == [
        (1, "cpu_limit"),
        (2, "cluster_name"),
    ]


def test_a_table_whose_columns_are_numbers_is_refused_with_these(fleet):
    with pytest.raises(SpecError, match="there is no column '0'"):
        fleet.plan(pd.DataFrame([["x", "y"], ["z", "u"]]))
