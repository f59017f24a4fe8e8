"""Refused pods: what a message says, how often, and the smallest raise that would have helped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from mnslib.capacity.refusals import (
    EXCEEDED,
    MISSING,
    OTHER,
    REFUSALS_COLUMNS,
    read_message,
    refusal_findings,
    refusals_table,
)
from mnslib.kube_models import Container, Event, LimitRange, Pod, Workload

GIB = 2**30
BEGIN = 'Error creating: pods "api-6f9-x2k8p" is forbidden: '
SHORT = "requested: requests.cpu=500m, used: requests.cpu=12, limited: requests.cpu=12"
CPU = f"{BEGIN}exceeded quota: defaultresourcequota, {SHORT}"
BARE = f"{BEGIN}failed quota: defaultresourcequota: must specify "


@pytest.fixture
def make_event(now):
    def make(message=CPU, *, minutes=10, count=1, **more):
        at = now - timedelta(minutes=minutes)
        values = {
            "namespace_name": "shop",
            "reason": "FailedCreate",
            "message": message,
            "object_kind": "ReplicaSet",
            "object_name": "api-6f9",
            "workload_kind": "Deployment",
            "workload_name": "api",
            "count": count,
            "first_utc": at,
            "last_utc": at,
        }
        return Event(**{**values, **more})

    return make


@pytest.fixture
def make_api():
    """The Deployment of the worked example: pods of 0.5/1 cores and 1/2 GiB."""

    def make(*, replicas=20, running=16, kind="Deployment", name="api", **resources):
        asked = {
            "requests": {"cpu": Decimal("0.5"), "memory": Decimal(GIB)},
            "limits": {"cpu": Decimal(1), "memory": Decimal(2 * GIB)},
        }
        template = Pod(
            namespace_name="shop",
            name=name,
            phase="Pending",
            containers=(Container(**{**asked, **resources}),),
        )
        return Workload(
            kind=kind,
            namespace_name="shop",
            name=name,
            replicas=replicas,
            running=running,
            template=template,
        )

    return make


@pytest.fixture
def make_refused(make_snapshot, make_quota):
    def make(*events, workloads=(), quotas=None, **others):
        hard = {"requests.cpu": 12, "limits.cpu": 24}
        hard |= {"requests.memory": 24 * GIB, "limits.memory": 48 * GIB}
        used = {"requests.cpu": 12, "limits.cpu": 22}
        used |= {"requests.memory": 22 * GIB, "limits.memory": 44 * GIB}
        full = [make_quota("shop", hard, used, name="defaultresourcequota")]
        more = {"workloads": {"aks-1": workloads}} if workloads is not None else {}
        return make_snapshot(
            {"aks-1": full if quotas is None else quotas},
            events={"aks-1": events},
            **more,
            **others,
        )

    return make


def test_the_smallest_raise_lets_one_pod_in_and_another_one_all(make_refused, make_event, make_api):
    table = refusals_table(make_refused(make_event(), workloads=[make_api()]))

    assert tuple(table.columns) == REFUSALS_COLUMNS
    found = table.set_index("key")
    assert found["raise_one"].to_dict() == {
        "requests.cpu": 0.5,
        "limits.cpu": 0,
        "requests.memory": 0,
        "limits.memory": 0,
    }
    assert found["raise_all"].to_dict() == {
        "requests.cpu": 2,
        "limits.cpu": 2,
        "requests.memory": 2 * GIB,
        "limits.memory": 4 * GIB,
    }
    assert found["quota_one"]["requests.cpu"] == "12500m"
    assert found["quota_all"].to_dict() == {
        "requests.cpu": "14000m",
        "limits.cpu": "26000m",
        "requests.memory": "26Gi",
        "limits.memory": "52Gi",
    }
    assert list(found["request_column"]) == [
        "cpu_request",
        "cpu_limit",
        "memory_request",
        "memory_limit",
    ]
    assert found.loc["requests.cpu", ["pod_requested", "used", "limited"]].tolist() == [0.5, 12, 12]
    assert (found["missing_pods"] == 4).all()


def test_events_of_one_workload_are_counted_together(make_refused, make_event, make_api, now):
    old = make_event(BARE + "limits.cpu for: api", minutes=50, count=9)
    new = make_event(minutes=5, count=31, first_utc=now - timedelta(hours=5))
    other = make_event(workload_name="web", object_name="web-1", count=3)

    table = refusals_table(make_refused(old, new, other, workloads=[make_api()]))

    once = table.drop_duplicates("workload_name").set_index("workload_name")
    assert once["count"].to_dict() == {"api": 40, "web": 3}
    assert once.loc["api", "first_utc"] == now - timedelta(hours=5)
    assert once.loc["api", "last_utc"] == now - timedelta(minutes=5)
    assert once.loc["api", "problem"] == EXCEEDED  # the newest message says what is short now
    assert once.loc["api", "owner"] == "shop-owner"
    assert refusal_findings(table) == {"refused_workloads": 2, "refused_pods": 43}


def test_values_that_are_missing_name_their_containers(make_refused, make_event):
    message = BARE + "limits.cpu for: app,proxy; limits.memory for: app"
    table = refusals_table(make_refused(make_event(message)))

    assert set(table["problem"]) == {MISSING}
    assert dict(zip(table["key"], table["containers"], strict=True)) == {
        "limits.cpu": "app,proxy",
        "limits.memory": "app",
    }
    assert table[["pod_requested", "raise_one", "raise_all"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "message",
    [
        'Error creating: pods "a" is forbidden: violates PodSecurity "restricted:latest"',
        BEGIN + "exceeded quota: q, requested: cpu=much, used: cpu=1, limited: cpu=1",
        BEGIN + "exceeded quota: q, requested: cpu=1, used: memory=1, limited: cpu=1",
        BEGIN + "exceeded quota: q, requested: cpu=1, used: cpu",
        BEGIN + "failed quota: q: must specify <script>",
        BEGIN + "status unknown for quota: q, resources: limits.cpu",
        "",
    ],
)
def test_a_message_that_says_something_else_is_kept_as_it_is(make_refused, make_event, message):
    assert read_message(message) == [{"problem": OTHER}]
    (row,) = refusals_table(make_refused(make_event(message))).to_dict("records")
    assert (row["problem"], row["message"], row["key"]) == (OTHER, message, "")


@pytest.mark.parametrize(
    "begin",
    [
        "(combined from similar events): " + BEGIN,
        'create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: ',
    ],
)
def test_a_message_is_read_behind_whatever_begins_it(begin):
    (found,) = read_message(f"{begin}exceeded quota: team-quota, {SHORT}")
    assert (found["problem"], found["quota_name"]) == (EXCEEDED, "team-quota")
    assert (found["key"], found["pod_requested"]) == ("requests.cpu", Decimal("0.5"))
    older = read_message(f"{begin}failed quota: q: must specify limits.cpu,limits.memory")
    assert [(part["key"], part["containers"]) for part in older] == [
        ("limits.cpu", ""), ("limits.memory", ""),
    ]  # fmt: skip


def test_a_raise_is_rounded_up_to_what_a_request_file_can_say(make_refused, make_event, make_quota):
    asked = "requested: limits.memory=1500,pods=1,requests.cpu=1500u"
    used = "used: limits.memory=1Gi,pods=7,requests.cpu=1"
    limited = "limited: limits.memory=1Gi,pods=7,requests.cpu=1"
    message = f"{BEGIN}exceeded quota: team-quota, {asked}, {used}, {limited}"
    hard = {"limits.memory": GIB, "pods": 7, "requests.cpu": 1}
    quotas = [make_quota("shop", hard, hard)]
    snapshot = make_refused(make_event(message), workloads=None, quotas=quotas)
    table = refusals_table(snapshot).set_index("key")

    assert table["quota_one"].to_dict() == {
        "limits.memory": "1048578Ki",  # 1 GiB and 1500 bytes
        "pods": "8",
        "requests.cpu": "1002m",  # 1.0015 cores
    }
    assert table["raise_one"].to_dict() == {"limits.memory": 2048, "pods": 1, "requests.cpu": 0.002}
    assert table["raise_all"].isna().all()  # the workload was not read
    assert set(table["quota_all"]) == set(table["request_column"]) == {""}


def test_a_rollout_that_lacks_no_pod_needs_room_for_one(make_refused, make_event, make_api):
    table = refusals_table(make_refused(make_event(lacking=2), workloads=[make_api(running=20)]))
    (row,) = table.to_dict("records")
    assert (row["missing_pods"], row["raise_one"], row["raise_all"]) == (0, 0.5, 0.5)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("event", "workloads"),
    [
        ({}, [{"running": 20}]),  # all its pods run
        ({"lacking": 0}, [{"running": 20}]),
        ({"lacking": 0}, [{"running": 16}]),  # an older ReplicaSet, which wants none any more
        ({}, []),  # the Deployment is gone
        ({"object_kind": "Job", "object_name": "n-1", "workload_kind": "CronJob",
          "workload_name": "api"}, [{"kind": "CronJob", "running": 0}]),  # its run is over
        ({"object_kind": "StatefulSet", "object_name": "db", "workload_kind": ""}, []),
    ],
)  # fmt: skip
def test_pods_that_nobody_wants_any_more_propose_nothing(
    make_refused, make_event, make_api, event, workloads
):
    apis = [make_api(**one) for one in workloads]
    table = refusals_table(make_refused(make_event(**event), workloads=apis))
    assert table["problem"].tolist() == [EXCEEDED]
    assert table[["raise_one", "raise_all"]].to_numpy().tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("change", "raise_one"),
    [
        ({}, 0.5),
        ({"used": {"requests.cpu": Decimal("11.75")}}, 0.25),  # of now, not of the message
        ({"used": {"requests.cpu": Decimal(11)}}, 0),  # there is room by now
        ({"hard": {"requests.cpu": Decimal(13)}}, 0),  # raised
        ({"hard": {"pods": Decimal(13)}}, 0),  # limits CPU no more
        ({"name": "another"}, 0),
        ({"created_utc": HOUR / -12}, 0),  # made anew since, by hours before now
        ({"changed_utc": HOUR / -12}, 0),
        ({"changed_utc": -HOUR}, 0.5),
    ],
)
def test_a_raise_is_what_the_quota_of_now_lacks(
    make_refused, make_event, make_quota, now, change, raise_one
):
    quota = make_quota("shop", {"requests.cpu": 12}, {"requests.cpu": 12}, "defaultresourcequota")
    times = {name: now + value for name, value in change.items() if name.endswith("utc")}
    quotas = [replace(quota, **{**change, **times})]
    table = refusals_table(make_refused(make_event(), workloads=None, quotas=quotas))
    assert table["raise_one"].tolist() == [raise_one]


def test_the_newest_refusal_that_still_lacks_pods_says_what_is_short(
    make_refused, make_event, make_api
):
    over = make_event(minutes=1, lacking=0, object_name="api-old")
    stuck = make_event(BARE + "limits.cpu for: api", minutes=20, lacking=2, count=3)
    table = refusals_table(make_refused(over, stuck, workloads=[make_api()]))
    assert table["problem"].tolist() == [MISSING]
    assert table["count"].tolist() == [4]


def test_nine_events_stand_alone_before_one_counts_and_others_after_it(
    make_refused, make_event, make_api
):
    """40 within ten minutes, a pause of half an hour, and two more."""
    alone = [make_event(minutes=55, message=CPU.replace("x2k8p", str(n))) for n in range(9)]
    combined = make_event(f"(combined from similar events): {CPU}", minutes=48, count=31)
    later = [make_event(minutes=n, lacking=4) for n in (15, 1)]
    table = refusals_table(make_refused(*alone, combined, *later, workloads=[make_api()]))
    once = table.drop_duplicates("workload_name")
    assert once["count"].tolist() == [42]
    assert once["message"].tolist() == [CPU]


def test_each_quota_of_the_namespace_must_have_room_for_all(
    make_refused, make_event, make_api, make_quota
):
    quotas = [
        make_quota("shop", {"requests.cpu": 12}, {"requests.cpu": 12}, name="defaultresourcequota"),
        make_quota("shop", {"pods": 18}, {"pods": 16}, name="count"),
        make_quota("elsewhere", {"pods": 1}, {"pods": 1}, name="count"),
    ]
    table = refusals_table(make_refused(make_event(), workloads=[make_api()], quotas=quotas))
    found = [(row.quota_name, row.key, row.quota_all) for row in table.itertuples()]
    assert found == [("defaultresourcequota", "requests.cpu", "14000m"), ("count", "pods", "20")]


def test_a_limit_range_gives_the_missing_pods_their_limits(make_refused, make_event, make_api):
    ranges = LimitRange(
        namespace_name="shop", name="defaults", default_limits={"cpu": Decimal("0.8")}
    )
    api = make_api(limits={"memory": Decimal(GIB)})
    table = refusals_table(
        make_refused(make_event(), workloads=[api], limit_ranges={"aks-1": [ranges]})
    ).set_index("key")
    assert table["quota_all"]["limits.cpu"] == "25200m"  # 22 + 4 x 0.8 of 24
    assert "limits.memory" not in table.index  # 44 + 4 x 1 of 48 GiB


def test_a_run_of_a_cron_job_is_counted_by_its_job(make_refused, make_event, make_api):
    event = make_event(
        object_kind="Job",
        object_name="night-29",
        workload_kind="CronJob",
        workload_name="night",
    )
    jobs = [
        make_api(kind="CronJob", name="night", replicas=5, running=0),
        make_api(kind="Job", name="night-29", replicas=5, running=3),
    ]
    table = refusals_table(make_refused(event, workloads=jobs))
    assert set(zip(table["workload_kind"], table["workload_name"], strict=True)) == {
        ("CronJob", "night")
    }
    assert set(table["missing_pods"]) == {2}


def test_what_nothing_owns_is_named_itself_and_unknown_times_stay_so(make_refused, make_event):
    bare = {"object_kind": "StatefulSet", "object_name": "db", "workload_kind": ""}
    event = make_event(workload_name="", first_utc=None, last_utc=None, **bare)
    (row,) = refusals_table(make_refused(event)).to_dict("records")
    assert (row["workload_kind"], row["workload_name"]) == ("StatefulSet", "db")
    assert row["first_utc"] is row["last_utc"]
    assert str(row["last_utc"]) == "NaT"


def test_without_refused_pods_the_table_is_empty(make_refused):
    table = refusals_table(make_refused())
    assert tuple(table.columns) == REFUSALS_COLUMNS
    assert refusal_findings(table) == {"refused_workloads": 0, "refused_pods": 0}
