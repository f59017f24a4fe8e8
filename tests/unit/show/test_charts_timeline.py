from __future__ import annotations

import pytest

from mnslib.azure.throttle import BucketKey, Pace, Rate
from mnslib.provisioning.journal import Stretch
from mnslib.resource_ids import ClusterId
from mnslib.results import OutcomeKind
from mnslib.show.charts import bulk_timeline
from tests.unit.show.conftest import areas
from tests.unit.show.gallery import drawn_in
from tests.unit.show.palette import CRITICAL, GOOD

DOCUMENTED = Rate(60, 1)


def stretches(count, *, apart=0.0, lasting=1.0, failed=()):
    """Changes on three clusters in turn, begun `apart` seconds from each other."""
    clusters = [ClusterId("s1", "rg", f"aks-{n}") for n in range(3)]
    return [
        Stretch(
            id=clusters[n % 3].namespace("a" * 63 if n == 0 else f"ns-{n}"),
            outcome=OutcomeKind.FAILED if n in failed else OutcomeKind.CREATED,
            started=n * apart,
            ended=n * apart + lasting,
            writes=(n * apart,),
        )
        for n in range(count)
    ]


@pytest.fixture
def draw(frames):
    def call(found, *, limit=DOCUMENTED, **known):
        pace = Pace(bucket=BucketKey("s1", "westeurope", "other"), rate=limit, **known)
        paces = dict.fromkeys({one.id.cluster for one in found}, pace)
        return bulk_timeline(found, moment=frames.moment, paces=paces)

    return call


def test_the_title_says_what_took_the_time(draw):
    paced = [*stretches(60), *stretches(300, apart=1.0)[60:]]
    assert draw(paced).title == "300 changes in 5 min 0 s: Azure's limit on writes set the pace"
    assert draw(stretches(5, apart=1, lasting=90)).title.startswith(
        "5 changes in 1 min 34 s: the slow"
    )
    even = draw(stretches(40, apart=1, lasting=2.5), limit=None)
    assert even.title == "40 changes in 42 s: at most 3 ran side by side"
    assert draw([]).title == "Nothing was written, so there is no time to show"


def test_the_limit_is_drawn_only_where_it_was_felt(draw, ruler):
    words = "limit in each subscription and region, documented: 60 at once, then 1 a second"
    assert words in ruler(draw(stretches(70, apart=0.5))).texts
    assert words not in ruler(draw(stretches(60, apart=0.5))).texts
    assert words not in ruler(draw(stretches(70, apart=0.5), limit=None)).texts


def test_a_limit_that_was_learned_is_drawn_as_such_and_where_it_was(draw, ruler):
    found = stretches(70, apart=0.5)
    chart = draw(found, limit=Rate(29.1, 0.485), is_learned=True, refused=3)
    words = "learned from 429s: 29.1 at once, then 0.485 a second"
    assert any(words in text for text in ruler(chart).texts)
    assert any("Answered with 429: 3 calls." in text for text in ruler(chart).texts)


def test_buckets_that_gave_differently_are_each_told(frames, ruler):
    found = stretches(70, apart=0.5)
    paces = {
        cluster: Pace(
            bucket=BucketKey("s1", cluster.cluster_name, "other"),
            rate=Rate(10 * number, number),
            is_learned=number == 1,
        )
        for number, cluster in enumerate(sorted({one.id.cluster for one in found}, key=str), 1)
    }
    chart = bulk_timeline(found, moment=frames.moment, paces=paces)
    assert ruler(chart).complaints() == []
    words = (
        "Limit, learned from 429s in 1, else documented: 10 to 30 at once, then 1 to 3"
        " a second; 3 buckets."
    )
    assert any(words in " ".join(text.split()) for text in ruler(chart).texts)


def test_each_change_has_its_outcome_beside_its_name(draw, ruler):
    found = ruler(draw(stretches(6, failed=[4])))
    assert CRITICAL in found.fills_beside("ns-4")
    assert GOOD in found.fills_beside("ns-5")
    assert "1 not done" in found.texts


def test_above_200_lines_are_left_out_but_none_that_failed(draw, ruler):
    found = ruler(draw(stretches(1001, apart=0.1, failed=[7, 500])))
    assert "One line in 6 is drawn, and all that are not as requested." in found.texts
    lines = [p for p in areas(found.figure) if p.get_height() == pytest.approx(3)]
    assert 167 <= len(lines) <= 170


@pytest.mark.parametrize("family", [None, "DejaVu Sans"])
@pytest.mark.parametrize("count", [0, 1, 5, 36, 150, 500])
def test_no_text_meets_another(draw, ruler, count, family):
    with drawn_in(family):
        chart = draw(stretches(count, apart=0.3, failed=[1]))
        assert ruler(chart).complaints() == []
