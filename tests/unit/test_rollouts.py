"""How many pods a rolling update wants beside those that are there, by hand."""

from __future__ import annotations

import pytest

from mnslib.kube_models import Pod, Workload
from mnslib.rollouts import at_once, missing, needed, replaces

POD = Pod(namespace_name="shop", name="web", phase="Pending")


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        # surge 1, none may stop: the new pod comes first
        ({"replicas": 4, "running": 4, "surge": 1, "unavailable": 0}, (0, 1, 1)),
        # one may stop: its room is enough, so nothing more is needed
        ({"replicas": 4, "running": 4, "surge": 1, "unavailable": 1}, (0, 1, 0)),
        # two may stop first: one more goes than comes
        ({"replicas": 4, "running": 4, "surge": 0, "unavailable": 2}, (0, 0, -1)),
        # one is missing, which counts as the one that may be: 1 + 1 - 1
        ({"replicas": 4, "running": 3, "surge": 1, "unavailable": 1}, (1, 2, 1)),
        # a StatefulSet makes its missing pods before it replaces any
        ({"kind": "StatefulSet", "replicas": 3, "running": 1, "unavailable": 1}, (2, 2, 2)),
        # a run of before did not read what may stop
        ({"replicas": 4, "running": 2, "surge": 1}, (0, 1, 1)),
        ({"replicas": 4, "running": 2}, (0, 0, 0)),
    ],
)
def test_what_an_update_wants_beside_what_is_there(workload, expected):
    found = Workload(**{"kind": "Deployment", "namespace_name": "shop", "name": "web",
                        "template": POD, **workload})  # fmt: skip
    assert (missing(found), at_once(found), needed(found)) == expected


def test_what_has_no_pods_or_may_neither_start_nor_stop_one_replaces_none():
    asked = {"kind": "Deployment", "namespace_name": "shop", "name": "web", "template": POD}
    assert replaces(Workload(**asked, replicas=1, surge=1, unavailable=0))
    assert replaces(Workload(**asked, replicas=1, unavailable=1))
    assert not replaces(Workload(**asked, replicas=1, unavailable=0))
    assert not replaces(Workload(**asked, replicas=0, surge=1))
