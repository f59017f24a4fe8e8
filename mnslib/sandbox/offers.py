"""What Azure offers whatever the world: regions, providers, features, api-versions (azure.yaml)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mnslib.sandbox.wire import Handler, Json, Route


@cache
def offers() -> Json:
    """Return the content of azure.yaml."""
    import yaml

    found: Json = yaml.safe_load(Path(__file__).with_name("azure.yaml").read_text("utf-8"))
    return found


def api_versions(name: str) -> frozenset[str]:
    """Return a list of api-versions by its name."""
    return frozenset(offers()["api_versions"][name])


@cache
def cluster_members() -> dict[str, dict[str, str]]:
    """Return the kind of value of each member, by the part of a managed cluster that holds it."""
    return {
        part: {name: kind or "text" for name, _, kind in (w.partition(":") for w in words.split())}
        for part, words in offers()["cluster_members"].items()
    }


def arm_routes(
    versions: str, table: Iterable[tuple[str, str, Handler, str]], *, prefix: str = ""
) -> list[Route]:
    """Return the routes of Azure Resource Manager that a table lists.

    Args:
        versions: the name of their list of api-versions.
        table: method, template, handler, and action; without an action the handler shortens.
        prefix: of every action.
    """
    return [
        Route(
            surface="arm",
            method=method,
            template=template,
            handler=handler,
            api_versions=api_versions(versions),
            action=f"{prefix}{action}" if action else "",
        )
        for method, template, handler, action in table
    ]
