from __future__ import annotations

import pytest

from mnslib.models import NAMESPACE_USER
from mnslib.provisioning.preflight import preflight
from mnslib.results import CheckStatus

from .factories import make_cluster, make_grant, make_observed, make_spec


@pytest.mark.parametrize(
    ("role", "warned"), [("Azure Kubernetes Service RBAC Writer", True), (NAMESPACE_USER, False)]
)
def test_only_roles_that_act_inside_the_cluster_need_azure_rbac(role, warned):
    observed = make_observed(cluster=make_cluster(has_azure_rbac=False))
    checks = preflight([make_spec(access=(make_grant(role),))], observed)
    warnings = [check.detail for check in checks if check.status is CheckStatus.WARNING]
    assert any("Azure RBAC is off" in detail for detail in warnings) == warned
