"""What was asked for by a name that nothing has: a label, a region. Frames in, words out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mnslib.results import CheckResult, CheckStatus


def labels_sentence(absent: Sequence[str]) -> str:
    """Return that no namespace has those labels; empty without any."""
    if not absent:
        return ""
    return f"No namespace has a label {' or '.join(absent)}: see group_by."


def region_sentence(placement: pd.DataFrame) -> str:
    """Return that no cluster is in the region asked for; empty where one is, or none is known.

    Args:
        placement: from `capacity.placement.placement_table`.
    """
    there = sorted({*placement["location"]} - {""})
    asked = next(iter(placement["new_region"]), "")
    if not there or not asked or asked.casefold() in map(str.casefold, there):
        return ""
    return f"No cluster is in the region {asked} (new_region); they are in {', '.join(there)}."


def asked_checks(absent: Sequence[str], placement: pd.DataFrame) -> list[CheckResult]:
    """Return a warning for each name that nothing has.

    Args:
        absent: from `capacity.layers.absent_labels`.
        placement: from `capacity.placement.placement_table`.
    """
    said = {"group_by": labels_sentence(absent), "new_region": region_sentence(placement)}
    return [
        CheckResult(name=name, status=CheckStatus.WARNING, detail=sentence)
        for name, sentence in said.items()
        if sentence
    ]
