"""What changed for an owner since the run before, in plain words.

Pure: frames in, words out. What changed is judged in `capacity.changed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from mnslib.capacity.changed import QUOTA_CHANGED, Earlier
from mnslib.capacity.decide import Place, Row, place, records
from mnslib.capacity.quota_values import FULL, TIGHT
from mnslib.requests.sheets import plain
from mnslib.show import wording
from mnslib.verdicts import UNKNOWN

CHANGE_WORDS = {
    FULL: ("Newly at quota", "newly at quota"),
    TIGHT: ("Newly near the quota, 90 % or above", "newly near the quota"),
    UNKNOWN: ("Nothing is known any more of", "unknown now"),
    "known again": ("Known again", "known again"),
    "eased": ("Further from the quota than before", "eased"),
    QUOTA_CHANGED: ("Another quota than before", "with another quota"),
    "new": ("Not there before", "new"),
    "gone": ("Not there any more", "gone"),
}
"""What changed, before the names of namespaces and behind their number."""

NOT_COMPARED = "There is no earlier run to compare with."


def changes_by_owner(
    spaces: Sequence[Row], tables: Mapping[str, pd.DataFrame], earlier: Earlier
) -> dict[str, list[Row]]:
    """Return by owner what changed; of what is gone the owner is who it was then, if it is known.

    Without a run to compare with nothing changed.
    """
    if earlier.table is None or "changed" not in tables:
        return {}
    owners: dict[Place, str] = {}
    if "owner" in earlier.table:
        owners = {place(row): plain(row["owner"]) for row in records(earlier.table)}
    owners |= {place(row): row["owner"] for row in spaces}
    found: dict[str, list[Row]] = {}
    for row in records(tables["changed"]):
        if place(row) in owners:
            found.setdefault(owners[place(row)], []).append(row)
    return found


def since_words(earlier: Earlier) -> str:
    """Return when the earlier run began, which its name begins with; else its name."""
    if earlier.table is None:
        return ""
    try:
        began = datetime.strptime(earlier.run.partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError:
        return earlier.run
    return wording.moment(began.replace(tzinfo=UTC))


def changed_names(changes: Sequence[Row]) -> dict[str, list[str]]:
    """Return the namespaces of each change, with the limits that are other than they were."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in changes:
        limits = found.setdefault(row["change"], {}).setdefault(row["namespace_name"], [])
        if row["change"] == QUOTA_CHANGED:
            words = wording.RESOURCE_WORDS[row["resource"]]
            limits.append(f"{words} from {row['before']} to {row['after']}")
    return {
        change: [
            f"{name} ({'; '.join(limits)})".removesuffix(" ()") for name, limits in own.items()
        ]
        for change, own in found.items()
    }


def change_counts(changes: Sequence[Row]) -> str:
    """Return how many namespaces changed in which way, a line each: `2 newly full`, `1 gone`."""
    return "\n".join(
        f"{len(names):,} {CHANGE_WORDS[change][1]}"
        for change, names in changed_names(changes).items()
    )
