"""Each of the charts with a given number of rows, for what all of them must keep to."""

from __future__ import annotations

from contextlib import contextmanager

from mnslib.azure.throttle import BucketKey, Pace, Rate
from mnslib.provisioning.journal import Stretch
from mnslib.resource_ids import ClusterId
from mnslib.results import OutcomeKind
from mnslib.show.charts import (
    bulk_outcome,
    bulk_timeline,
    cluster_commitment,
    commitment_before_after,
    layers_over_time,
    quadrant,
    state_grid,
    three_layers,
    utilization_now,
)
from mnslib.show.charts.picture import FAMILY


@contextmanager
def drawn_in(family):
    """Charts that are made and measured here are in this font; None: in the first of the pages."""
    token = FAMILY.set(family or "")
    yield
    FAMILY.reset(token)


def charts(frames, count, family=None):
    """Each of the charts with `count` rows."""
    with drawn_in(family):
        return _charts(frames, count)


def _charts(frames, count):
    look = {"moment": frames.moment}
    before = {
        f"aks-{n}": {key: frames.commitment(key) for key in ("cpu", "memory")} for n in range(count)
    }
    after = {
        name: {key: frames.commitment(key, committed=655 + 30 * n) for key in ("cpu", "memory")}
        for n, name in enumerate(before)
    }
    clusters = [ClusterId("s1", "rg", f"aks-{n}") for n in range(3)]
    stretches = [
        Stretch(
            id=clusters[n % 3].namespace(f"{frames.long_name[:-4]}{n:04}"),
            outcome=OutcomeKind.FAILED if n % 9 == 8 else OutcomeKind.CREATED,
            started=n * 0.5,
            ended=n * 0.5 + 4,
            writes=(n * 0.5,),
        )
        for n in range(count)
    ]
    bucket = BucketKey("s1", "westeurope", "other")
    paces = {cluster: Pace(bucket, Rate(60, 1)) for cluster in clusters}
    return {
        "timeline": bulk_timeline(stretches, paces=paces, **look),
        "room": state_grid(frames.room(count), **look),
        "now": utilization_now(frames.utilization(count), **look),
        "commitment": cluster_commitment(frames.commitments(count), **look),
        "before_after": commitment_before_after(
            before,
            after,
            changes={name: [frames.long_name] for name in before},
            moment=frames.moment,
        ),
        "layers": three_layers(frames.layers(count), **look),
        "by_day": layers_over_time(
            frames.by_day(count), frames.layers(count), moment=frames.moment
        ),
        "quadrant": quadrant(frames.layers(count), **look),
        "outcome": bulk_outcome(
            frames.result(count, clusters=min(count, 40)), moment=frames.moment
        ),
    }
