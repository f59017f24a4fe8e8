"""docs/sandbox.md names every route and every switch, with its default, and no other."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from mnslib.sandbox.app import ROUTES
from mnslib.sandbox.rules import Switches
from tests.sandbox.client import ROOT

PAGE = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [line.split(" | ") for line in table[2:]]


def test_route_table_is_the_one_that_is_served() -> None:
    cluster = "/subscriptions/{subscription}/resourceGroups/{group}/providers"
    cluster += "/Microsoft.ContainerService/managedClusters/{cluster}"
    documented = set()
    for surface, methods, cell in rows("Routes"):
        path = re.sub(r"^C\b", cluster, cell.strip("`"))
        path = re.sub(r"^K\b", "/kubernetes/{subscription}/{group}/{cluster}", path)
        documented |= {(surface, method, path) for method in methods.split(", ")}
    assert documented == {(route.surface, route.method, route.template) for route in ROUTES}


def test_switch_table_has_every_switch_with_its_default() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows("Switches")}
    defaults = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in asdict(Switches()).items()
    }
    assert documented == defaults
