"""What Azure offers whatever the world: regions, providers, features, api-versions (azure.yaml).

Also how data is read: `packaged` for ours, `read` for files that somebody names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from mnslib.sandbox.wire import Handler, Json, Route


@cache
def packaged(name: str) -> Json:
    """Return the content of a YAML file that lies beside this one; nobody changes it."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
    found: Json = yaml.load((Path(__file__).parent / name).read_bytes(), loader)
    return found


def read(file: Path, check: Callable[[Any], Json]) -> Json:
    """Return the checked content of a YAML or JSON file.

    Raises:
        ValueError: if there is none, or with a sentence for each mistake.
    """
    import yaml

    if not file.is_file():
        raise ValueError(f"no file at {file}, and nothing of that name")
    try:
        return check(yaml.safe_load(file.read_text("utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: {error}") from None


def offers() -> Json:
    """Return the content of azure.yaml."""
    return packaged("azure.yaml")


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
