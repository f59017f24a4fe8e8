from __future__ import annotations

import pytest

from mnslib.errors import PreflightError
from mnslib.models import NAMESPACE_USER
from mnslib.provisioning.preflight import preflight, require_passed
from mnslib.results import CheckStatus

from .factories import make_cluster, make_grant, make_observed, make_spec, make_view


@pytest.mark.parametrize(
    ("role", "warned"), [("Azure Kubernetes Service RBAC Writer", True), (NAMESPACE_USER, False)]
)
def test_only_roles_that_act_inside_the_cluster_need_azure_rbac(role, warned):
    observed = make_observed(cluster=make_cluster(has_azure_rbac=False))
    checks = preflight([make_spec(access=(make_grant(role),))], observed)
    warnings = [check.detail for check in checks if check.status is CheckStatus.WARNING]
    assert any("Azure RBAC is off" in detail for detail in warnings) == warned


def test_a_stopped_cluster_stops_the_run_and_the_error_says_how_to_start_it():
    stopped = make_cluster(power_state="Stopped", network_policy_engine=None)
    checks = preflight([make_spec()], make_observed(cluster=stopped, unknown="it is stopped"))
    order = [CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING]
    assert [check.status for check in checks] == order
    with pytest.raises(PreflightError) as caught:
        require_passed(checks)
    message = str(caught.value)
    assert message.startswith("Nothing was written. aks-1: runs: Power state Stopped")
    assert message.endswith("Start it: az aks start -g rg -n aks-1")


def test_what_only_warns_or_is_unknown_stops_nothing():
    cluster = make_cluster(network_policy_engine=None)
    checks = preflight([make_spec()], make_observed(cluster=cluster, unknown="no way there"))
    assert {check.status for check in checks} > {CheckStatus.UNKNOWN, CheckStatus.WARNING}
    require_passed(checks)


def test_objects_that_could_not_be_read_are_named():
    odd = "Pod web/odd ('?' is not a quantity)"
    checks = preflight([make_spec()], make_observed(view=make_view(set_apart=(odd,))))
    (found,) = [check for check in checks if check.status is CheckStatus.WARNING]
    assert found.detail == f"Not read, and counted nowhere: {odd}."
    assert not any(odd in c.detail for c in preflight([make_spec()], make_observed()))
