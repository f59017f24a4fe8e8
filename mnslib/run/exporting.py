"""What exists, as the content of a request file: what `mns export` writes.

Decides nothing: where to look is given, reading and writing are the rooms' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnslib.errors import ConfigError
from mnslib.run.targets import open_target


def export_requests(given: Mapping[str, Any], *, suffix: str) -> tuple[bytes, int, list[str]]:
    """Return the file's content, the number of its rows, and what it could not say.

    Args:
        given: parameters by the names that notebooks use; others than those that say where to
            look are passed over, so that any notebook's file will do.
        suffix: `.csv`, `.xlsx`, `.yaml` or `.yml`.

    Raises:
        ConfigError: if there is no such format, or nothing says where to look.
        ArmError: if Azure refuses or cannot be reached.
    """
    from mnslib.provisioning.export import read_namespaces
    from mnslib.requests.export import request_file, request_rows
    from mnslib.requests.files import FORMATS

    if suffix not in FORMATS:
        raise ConfigError(f"The file ends in {suffix or 'nothing'}: {', '.join(FORMATS)} can be.")
    target = open_target(
        str(given.get("target", "sandbox")),
        cloud=str(given.get("cloud", "public")),
        credential=str(given.get("credential", "default")),
    )
    subscriptions, clusters = target.scope(*_where(given))
    if not subscriptions and not clusters:
        raise ConfigError("Nothing says where to look: name a --subscription or a --cluster.")
    namespaces, grants, other_roles = read_namespaces(
        target.azure, subscription_ids=subscriptions, clusters=clusters
    )
    rows, left_out = request_rows(namespaces, grants, suffix=suffix)
    return request_file(rows, suffix=suffix), len(rows), left_out + other_roles


def _where(given: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return subscriptions and cluster ids, also from the parameters about one cluster."""
    from mnslib.resource_ids import ClusterId

    subscriptions = [str(one) for one in given.get("subscription_ids") or ()]
    clusters = [str(one) for one in given.get("clusters") or ()]
    one = [str(given.get(n) or "") for n in ("subscription_id", "resource_group", "cluster_name")]
    if not subscriptions and not clusters and all(one):
        clusters = [str(ClusterId(*one))]
    return subscriptions, clusters
