"""The roles that the first cell of a notebook names: with them it works, without one it says so."""

from __future__ import annotations

import json
import re

import pytest

from mnslib.models import BUILT_IN_ROLES, AccessGrant, PrincipalType
from mnslib.run.targets import open_target

from .conftest import ROOT, writes

ROLE_GUIDS = BUILT_IN_ROLES | {
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Azure Kubernetes Service RBAC Cluster Admin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
    "Azure Kubernetes Service RBAC Reader": "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
    "Azure Kubernetes Service Cluster User Role": "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
    "Monitoring Data Reader": "b0d8363b-8ddd-447d-831f-62ca05bff136",
}
CLUSTER = "aks-prod-weu-2"
GROUP = "00000000-0000-4000-9000-000000000001"


def roles_needed(number):
    """Return the roles that the notebook's first cell names, in its order."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    first = "".join(json.loads(path.read_text())["cells"][0]["source"])
    (line,) = re.findall(r"\*\*Roles needed:\*\* (.*)", first)
    return re.findall(r"\*([A-Z][^*]+)\*", line)


@pytest.fixture
def grant(sandbox, sandbox_file, environment, monkeypatch, tmp_path):
    """Have `mns` run as an identity that holds nothing but the roles that are given here."""
    cluster = sandbox.cluster(CLUSTER)
    who = sandbox.connection["identities"]["namespace_user"]
    file = tmp_path / "newcomer.json"
    file.write_text(json.dumps(sandbox.connection | {"identities": {"admin": who}}))
    environment["MNS_SANDBOX"] = str(file)

    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))

    def give(*roles):
        with open_target("sandbox", cloud="public", credential="default").azure as azure:
            for role in roles:
                is_wide = role in ("Reader", "Monitoring Data Reader")
                scope = f"/subscriptions/{cluster.subscription_id}" if is_wide else str(cluster)
                azure.role_assignments.create(
                    scope,
                    AccessGrant(
                        principal_type=PrincipalType.SERVICE_PRINCIPAL,
                        principal_id=who["object_id"],
                        role=role,
                        role_guid=ROLE_GUIDS[role],
                    ),
                    subscription_id=cluster.subscription_id,
                )

    return give


def test_the_roles_of_notebook_20_suffice_to_onboard_with_access(run_notebook, grant, tmp_path):
    grant(*roles_needed("20"))
    unread = run_notebook("20", namespace_name="e2e-roles")
    assert unread.code == 4
    assert "Entra role Directory Readers" in unread.output
    assert "set `verify_principals` to false" in unread.output
    given = {"namespace_name": "e2e-roles", "kubeconfig": tmp_path / "config"}
    access = f"[group:{GROUP}=namespace-user, group:{GROUP}=writer]"
    done = run_notebook("20", **given, access=access, verify_principals="false")
    assert done.code == 0, done.output
    assert "1 principal: not verified" in done.report
    assert done.result["items"][0]["outcome"] == "created"
    assert "was not read" not in done.report.lower()  # but for the directory, as asked
    assert (tmp_path / "config").exists()


def test_the_roles_of_notebook_30_are_those_of_20():
    assert roles_needed("30") == roles_needed("20")
    assert len(roles_needed("20")) == 4


def test_the_roles_of_notebook_40_suffice_to_read_everything(run_notebook, grant, sandbox):
    grant(*roles_needed("40"))
    done = run_notebook("40", clusters=[str(sandbox.cluster(CLUSTER))])
    assert done.code == 0, done.output
    assert "no permission" not in done.report
    assert "Not everything was read" not in done.report


def test_without_the_role_for_nodes_one_sentence_says_so(run_notebook, grant, sandbox):
    reads = "Azure Kubernetes Service RBAC Reader", "Azure Kubernetes Service Cluster User Role"
    grant("Reader", "Monitoring Data Reader", *reads)
    done = run_notebook("40", clusters=[str(sandbox.cluster(CLUSTER))])
    before, _, rest = done.report.partition(">Blocked now</h2>")  # there pods meet nodes
    assert "no permission" not in before  # quotas and pods were read
    assert "no permission" in rest
    assert done.report.count("cannot list resource") == 1
    assert "(RBAC Reader covers no nodes)" in done.report


@pytest.mark.parametrize("number", ["20", "40"])
def test_without_a_way_into_the_cluster_one_sentence_names_the_role(
    run_notebook, grant, sandbox, number
):
    grant("Reader", "Monitoring Data Reader")
    given = {"clusters": [str(sandbox.cluster(CLUSTER))]}
    if number == "20":
        given = {"dry_run": "true", "access": "[]"}
    report = run_notebook(number, **given).report
    assert report.count("such as Azure Kubernetes Service Cluster User Role") == 1


def test_with_namespace_contributor_only_each_step_that_will_be_refused_is_said_before_a_write(
    run_notebook, grant, sandbox
):
    grant("Azure Kubernetes Service Namespace Contributor")
    sandbox.control("DELETE", "requests")
    done = run_notebook("20", namespace_name="e2e-contributor")
    assert done.code == 4, done.output
    for step, role in (
        (f"Will be refused on cluster {CLUSTER}: managedClusters/read", "Reader"),
        ("nodes/read", "Azure Kubernetes Service RBAC Cluster Admin"),
        (
            "Microsoft.Authorization/roleAssignments/write",
            "Role Based Access Control Administrator",
        ),
    ):
        assert step in done.result["headline"]
        assert f"The role {role} has it." in done.result["headline"]
        assert f"--role &#34;{role}&#34;" in done.report
    assert "managedNamespaces/write" not in done.result["headline"]
    assert "Directory Readers" in done.result["headline"]
    assert "may give roles on the namespace" in done.report
    assert writes(sandbox.requests()) == []


def test_a_lacking_role_for_access_alone_is_said_with_the_plan(run_notebook, grant):
    grant(*roles_needed("20")[:3])
    access = f"[group:{GROUP}=writer]"
    given = {"access": access, "verify_principals": "false", "dry_run": "true"}
    done = run_notebook("20", namespace_name="e2e-no-access", **given)
    assert done.code == 0, done.output
    (said,) = done.result["warnings"]
    assert said.startswith(f"{CLUSTER}: Will be refused on cluster {CLUSTER}: ")
    assert said.endswith("Microsoft.Authorization/roleAssignments/write.")
