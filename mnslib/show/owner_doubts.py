"""What is not known of an owner's namespaces, in plain words, and how much of a sum is measured.

Pure: frames in, words out. The words of evidence are those of `capacity.evidence_words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mnslib.capacity.decide import Place, place
from mnslib.capacity.evidence import worst_evidence
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.capacity.quota_values import BARE
from mnslib.show import wording
from mnslib.verdicts import unknown_reason

_PLAIN = {
    "wrong counter": "what counts against its quota is not what its workloads request",
    "dead sensor": "it is measured as zero although workloads run there",
    "all zero": "all that was measured is zero, and nothing says whether that is true",
    "not read": "its cluster could not be read",
    "not counted": "what its workloads request has not been counted yet",
    "stale": "nothing was measured of late",
    "no history": "nothing was measured",
    "gaps": "measurements are missing for a time",
}
_MEND = "whoever runs the cluster has to mend that"


def doubts_of(
    spaces: Sequence[Mapping[str, Any]], tables: Mapping[str, pd.DataFrame]
) -> dict[Place, str]:
    """Return for each namespace of which something is unknown what that is, and why.

    Args:
        spaces: rows of `tightest`.
        tables: by name; `evidence` and `layers` as far as they are there.
    """
    found = {place(row): why for row in _unmeasured(tables) if (why := _use(row))}
    verdicts = ((place(row), unknown_reason(str(row["verdict"]))) for row in spaces)
    found |= {at: reason for at, reason in verdicts if reason is not None}
    return found | {place(row): _mend(row) for row in _evidence(tables)}


def measured_part(sums: Mapping[str, float], name: str) -> str:
    """Return of how many namespaces a sum is, `in 2 of 3`; empty where it is of all or none.

    Args:
        sums: a row of `roll_up`.
        name: its count, `namespaces` (quotas) or `measured` (all other sums).
    """
    total = sum(sums[part] for part in ("namespaces", "left_out", "without_quota"))
    return "" if sums[name] in (0, total) else f"in {sums[name]:,.0f} of {total:,.0f}"


def granted(sums: Mapping[str, float]) -> str:
    """Return the CPU quota that is known; where there is none, that there is none."""
    is_free = not sums["namespaces"] and not sums["left_out"] and sums["without_quota"]
    return "no quota" if is_free else wording.quota_sum("cpu", sums["hard"])


def _unmeasured(tables: Mapping[str, pd.DataFrame]) -> list[Any]:
    if "layers" not in tables:
        return []
    layers = tables["layers"]
    unknown = layers[~layers["reason"].isin(["", BARE])]
    return unknown.sort_values("resource", ascending=False).to_dict("records")  # CPU speaks last


def _use(row: Mapping[Any, Any]) -> str:
    return f"what is really used is unknown, {row['reason']}"


def _evidence(tables: Mapping[str, pd.DataFrame]) -> list[Any]:
    if "evidence" not in tables:
        return []
    worst = worst_evidence(tables["evidence"])
    return worst[worst["evidence"].isin(NEEDS_SOMEBODY)].to_dict("records")


def _mend(row: Mapping[Any, Any]) -> str:
    value = wording.RESOURCE_WORDS[row["resource"]]
    return f"{_PLAIN[row['evidence']]}, {_MEND}: {value}, {row['reason']}"
