"""A snapshot comes back from its files as it was written, or with an error that says why not."""

from __future__ import annotations

import json
import resource
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.snapshot import QUOTA_SERIES, Snapshot, wide_frame
from mnslib.capacity.store import FRAMES, read_snapshot, write_snapshot
from mnslib.commitment import commitments
from mnslib.errors import ConfigError
from mnslib.kube_models import Autoscaler, Event, LimitRange, Workload
from mnslib.quantities import read_quantity
from tests.tables import utilization_of

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "=cmd|' /C calc'!A0\n\u202e<b>ö\"\\\x00"


@pytest.fixture
def snapshot(make_snapshot, make_quota, make_pod, make_node):
    quotas = {"aks-1": [make_quota("web", {"requests.cpu": "0.1000"}, {"requests.cpu": "1E-3"})]}
    cpu = ("aks-1", "web", "requests.cpu")
    pods, nodes = [make_pod("web")], [make_node()]
    return make_snapshot(
        quotas,
        more_namespaces=[("aks-2", HOSTILE)],
        used={cpu: [0.1, float("nan"), 3.7]},
        hard={cpu: [4, 4, 8]},
        usage_cpu={("aks-1", "web"): [0.5, 0.25, float("nan")]},
        commitments={"aks-1": commitments(nodes=nodes, quotas=quotas["aks-1"], pods=pods)},
        pods={"aks-1": pods},
        nodes={"aks-1": nodes},
        limit_ranges={
            "aks-1": [
                LimitRange(namespace_name="web", name="d", least={"cpu": read_quantity("10m")})
            ]
        },
        workloads={
            "aks-1": [
                Workload(
                    kind="Deployment", namespace_name="web", name="w", replicas=2, template=pods[0]
                )
            ]
        },
        autoscalers={
            "aks-1": [
                Autoscaler(
                    namespace_name="web", name="h", workload_kind="Deployment", workload_name="w",
                    least=1, most=9, current=2,
                )
            ]
        },
        events={
            "aks-1": [
                Event(
                    namespace_name="web", reason="FailedCreate", message=HOSTILE, count=3,
                    object_kind="ReplicaSet", object_name="w-1", last_utc=MADE,
                )
            ]
        },
        unread={("aks-1", "events"): "no permission"},
        created={("aks-1", "web"): MADE},
        unreachable={"aks-2": "cluster not reachable"},
        errors={"aks-2": HOSTILE},
        history_note="2 days",
        remembered={"aks-2"},
    )  # fmt: skip


def assert_same(one: Snapshot, other: Snapshot) -> None:
    for field in fields(Snapshot):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in FRAMES:
            assert_frame_equal(mine, theirs, check_freq=False, check_exact=True)
        elif field.name == "remembered":
            assert set(mine) == set(theirs)
        else:
            assert mine == theirs, field.name


def written(snapshot, folder):
    write_snapshot(snapshot, folder, written_by="0.1.0")
    return read_snapshot(folder)


def test_every_field_comes_back_as_it_was(snapshot, tmp_path):
    again = written(snapshot, tmp_path)
    assert_same(again, snapshot)
    # 0.1000 is not 0.1 to whoever counts digits
    assert str(again.quotas["aks-1"][0].hard["requests.cpu"]) == "0.1000"


def test_the_same_tables_are_made_of_what_was_read_back(snapshot, tmp_path):
    assert_frame_equal(utilization_of(written(snapshot, tmp_path)), utilization_of(snapshot))


names = st.text(min_size=1, max_size=70)
numbers = st.one_of(st.just(float("nan")), st.floats(width=32, allow_infinity=True))
amounts = st.decimals(allow_nan=False, allow_infinity=False)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    series=st.lists(st.tuples(names, names, names), unique=True, max_size=4),
    step=st.integers(1, 1440),
    count=st.integers(0, 5),
    data=st.data(),
    words=st.dictionaries(names, names, max_size=3),
    amount=amounts,
)  # fmt: skip
def test_any_names_times_and_samples_come_back(
    series, step, count, data, words, amount, make_snapshot, make_quota, tmp_path
):
    times = pd.date_range("2024-02-29", periods=count, freq=f"{step}min", tz="UTC").as_unit("ns")
    size = count * len(series)
    values = np.array(data.draw(st.lists(numbers, min_size=size, max_size=size)), dtype=np.float32)
    frame = wide_frame(times, series, values.reshape(count, len(series)), names=QUOTA_SERIES)
    quota = replace(make_quota("web", {}, {}), hard={"requests.cpu": amount})
    given_ = replace(
        make_snapshot({"aks-1": [quota]}), used=frame, errors=words, history_note="".join(words)
    )
    assert_same(written(given_, tmp_path), given_)


def test_files_are_what_another_program_reads(snapshot, tmp_path):
    written(snapshot, tmp_path)
    used = pd.read_parquet(tmp_path / "used.parquet")
    assert used.columns.tolist()[:4] == [*QUOTA_SERIES, "2026-11-02T04:00:00+00:00"]
    assert used.iloc[0].tolist()[:3] == ["aks-1", "web", "requests.cpu"]
    assert pyarrow.parquet.read_schema(tmp_path / "used.parquet").field(3).type == "float"
    assert json.loads((tmp_path / "snapshot.json").read_text("utf-8"))["version"] == 1
    assert pd.read_parquet(tmp_path / "usage_cpu.parquet").columns.tolist()[:2] == [*SPACE]


def test_a_file_of_a_later_version_is_refused_by_name(snapshot, tmp_path):
    written(snapshot, tmp_path)
    facts = tmp_path / "snapshot.json"
    facts.write_text(json.dumps({"version": 2, "something": "else"}))
    with pytest.raises(
        ConfigError, match=r"snapshot\.json has version 2; this mnslib reads up to 1"
    ):
        read_snapshot(tmp_path)


def test_an_older_file_lacks_what_has_a_default_since(snapshot, tmp_path):
    written(snapshot, tmp_path)
    facts = tmp_path / "snapshot.json"
    content = json.loads(facts.read_text("utf-8"))
    del content["autoscalers"], content["unread"]
    facts.write_text(json.dumps(content))
    again = read_snapshot(tmp_path)
    assert (again.autoscalers, again.unread) == ({}, {})
    assert again.quotas == snapshot.quotas


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turn_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut_off, turn_a_bit, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["used.parquet", "namespaces.parquet", "hard.parquet"])
def test_a_damaged_frame_is_an_error_that_names_the_file(snapshot, tmp_path, harm, name):
    rng = np.random.default_rng(1)
    series = [("aks-1", f"web-{n}", "requests.cpu") for n in range(3000)]
    times = pd.date_range("2026-11-01", periods=4, freq="h", tz="UTC").as_unit("ns")
    values = rng.random((4, 3000), dtype=np.float32)
    big = wide_frame(times, series, values, names=QUOTA_SERIES)
    write_snapshot(replace(snapshot, used=big, hard=big), tmp_path, written_by="0.1.0")
    harm(tmp_path / name)
    with pytest.raises(ConfigError, match=rf"{name} cannot be read, it is missing or damaged"):
        read_snapshot(tmp_path)


def test_facts_that_are_no_facts_are_an_error(snapshot, tmp_path):
    written(snapshot, tmp_path)
    facts = tmp_path / "snapshot.json"
    whole = facts.read_text("utf-8")
    for wrong in (whole[:-40], "", "[]", whole.replace('"0.1000"', '"many"'), '{"version": 1}'):
        facts.write_text(wrong)
        with pytest.raises(ConfigError, match=r"snapshot\.json cannot be read"):
            read_snapshot(tmp_path)


def test_a_folder_without_facts_is_no_snapshot(snapshot, tmp_path):
    written(snapshot, tmp_path)
    (tmp_path / "snapshot.json").unlink()  # as where the program died while it wrote the frames
    with pytest.raises(ConfigError, match="no whole snapshot"):
        read_snapshot(tmp_path)


def test_facts_that_the_disk_does_not_take_leave_no_snapshot(snapshot, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"[Tt]oo large"):
            written(replace(snapshot, history_note="x" * 200_000), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "snapshot.json").exists()
    with pytest.raises(ConfigError, match="no whole snapshot"):
        read_snapshot(tmp_path)
