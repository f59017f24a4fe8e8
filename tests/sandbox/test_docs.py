"""docs/sandbox.md names every route and every switch, with its default, and no other."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import yaml

from mnslib.sandbox.app import ROUTES
from mnslib.sandbox.faults import check_script
from mnslib.sandbox.switches import Switches
from mnslib.sandbox.throttle import load_limits
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


def test_limits_table_has_the_documented_figures() -> None:
    documented = {}
    for cell, burst, per_minute, _ in rows("Limits"):
        names = re.findall(r"`([^`]+)`", cell)
        first = names[0].removesuffix("-reads")
        names = [f"{first}{name}" if name.startswith("-") else name for name in names]
        for at, name in enumerate(names):
            if "times" in burst:
                continue  # checked below
            figures = [
                int(text.split(", ")[at % len(text.split(", "))]) for text in (burst, per_minute)
            ]
            documented[name] = dict(zip(("burst", "per_minute"), figures, strict=True))
    limits = load_limits("documented")
    for kind in ("reads", "writes", "deletes"):
        single = documented[f"subscription-{kind}"]
        documented[f"subscription-global-{kind}"] = {k: 15 * v for k, v in single.items()}
    documented["writes_per_cluster"] = 1
    assert "`writes_per_cluster`, 1" in PAGE
    assert documented == limits


def test_example_of_faults_is_sound() -> None:
    section = PAGE.split("\n## Faults\n")[1].split("\n## ")[0]
    example = section.split("```yaml\n")[1].split("```")[0]
    script = check_script(yaml.safe_load(example))
    assert len(script["faults"]) == 2
    listed = {word for row in rows("Faults") for word in re.findall(r"`{(\w+)", row[0])}
    plain = {"status", "drop", "hang", "slow", "operation", "list_trails", "token"}
    assert listed == plain | {"policy_tags", "body", "inflated"}
