"""The small form of `make chaos`: bad weather, kills at random moments, the world as requested."""

import sys

import pytest

from tests.chaos.pool import play_all

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the runs are forked")


@pytest.mark.slow
def test_the_world_ends_as_requested_whatever_happens():
    tally = play_all(6, 0)
    assert tally.wrong == []
    assert sum(tally.outcomes.values()) == 6 * 40
    assert tally.kills
    assert sum(tally.faults.values()) > 10
