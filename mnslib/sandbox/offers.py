"""What Azure offers whatever the world: regions, providers, features, api-versions (azure.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mnslib.sandbox.wire import Json


@cache
def offers() -> Json:
    """Return the content of azure.yaml."""
    import yaml

    found: Json = yaml.safe_load(Path(__file__).with_name("azure.yaml").read_text("utf-8"))
    return found


def api_versions(name: str) -> frozenset[str]:
    """Return a list of api-versions by its name."""
    return frozenset(offers()["api_versions"][name])
