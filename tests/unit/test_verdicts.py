from __future__ import annotations

import pytest

from mnslib.verdicts import unknown, unknown_reason, word


@pytest.mark.parametrize(
    ("verdict", "kind", "reason"),
    [
        (unknown("no quota"), "unknown", "no quota"),
        ("unknown: cluster: not reachable", "unknown", "cluster: not reachable"),
        ("unknown", "unknown", "no reason given"),
        ("full", "full", None),
        ("unknowable: x", "unknowable", None),
    ],
)
def test_a_verdict_is_a_word_and_an_unknown_one_has_a_reason(verdict, kind, reason):
    assert (word(verdict), unknown_reason(verdict)) == (kind, reason)
