"""The control routes: every body is checked, and answered with a sentence where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnslib.sandbox import world
from tests.sandbox.client import Client, cluster_id, make_body, namespace_id

SMALL = yaml.safe_load((Path(world.__file__).parent / "worlds" / "default.yaml").read_text())
SMALL["clusters"] = [SMALL["clusters"][0] | {"name": "aks-only"}]


@pytest.fixture
def control(sandbox: Client) -> Iterator[Client]:
    """A sandbox that shows its default world, without limits and faults, afterwards."""
    yield sandbox
    sandbox.control("POST", "world", {"name": "default"})
    sandbox.control("POST", "reset", {"clear": ["limits", "faults"]})


def refusal(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("reset", {"clear": ["clock"]}, "clear must be a list of limits and faults"),
        ("reset", {"clear": "faults"}, "clear must be a list"),
        ("reset", {"clean": []}, "unknown 'clean'; there are clear"),
        ("world", {}, "the body needs either name or world"),
        ("world", {"name": "default", "world": {}}, "the body needs either"),
        ("world", {"name": "../default"}, "no world named '../default'; there are bare, default"),
        ("world", {"name": []}, "no world named []"),
        ("clock", {"seconds": -1}, "seconds must be a number from 0"),
        ("clock", {"seconds": 1e30}, "the clock ends in the year 2200"),
        ("clock", {"hours": 1}, "unknown 'hours'; there are seconds"),
        ("limits", {}, "the body needs either name or limits"),
        ("limits", {"name": "/etc/passwd"}, "name must be none or documented"),
        ("limits", {"limits": {"all": 1}}, "'all' is no row"),
        ("faults", {"faults": [{"name": "a"}]}, "faults[0] (a) needs effect"),
        ("switches", {"if_match": "maybe"}, "if_match"),
        ("switches", {"no_such": 1}, "no_such"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(
    control: Client, name: str, body: Any, sentence: str
) -> None:
    assert sentence in refusal(control.control("POST", name, body))
    assert control.arm("GET", namespace_id("payments-api")).status_code == 200


def test_reset_keeps_limits_and_faults_unless_asked(control: Client) -> None:
    control.control("POST", "limits", {"name": "documented"})
    script = {"faults": [{"name": "a", "match": {"path": "/never"}, "effect": {"slow": 1}}]}
    control.control("POST", "faults", script)
    control.control("POST", "reset")
    assert control.control("GET", "limits").json()["limits"]["other"]["burst"] == 60
    assert len(control.control("GET", "faults").json()["faults"]) == 1
    control.control("POST", "reset", {"clear": ["limits"]})
    assert control.control("GET", "limits").json()["limits"] == {}
    assert len(control.control("GET", "faults").json()["faults"]) == 1
    control.control("POST", "reset", {"clear": ["faults"]})
    assert control.control("GET", "faults").json()["faults"] == []


def test_limits_tell_what_is_left(control: Client) -> None:
    control.control("POST", "limits", {"name": "documented"})
    control.arm("GET", namespace_id("payments-api"))
    buckets = control.control("GET", "limits").json()["buckets"]
    assert {bucket["row"] for bucket in buckets} == {
        "subscription-reads",
        "subscription-global-reads",
        "other",
    }


def test_a_world_can_be_given_inline(control: Client) -> None:
    control.put("new-team", make_body())
    assert control.control("POST", "world", {"world": SMALL}).json()["world"] == "inline"
    assert control.arm("GET", cluster_id()).status_code == 404
    assert control.arm("GET", cluster_id("aks-only")).status_code == 200  # the token still holds
    control.put("new-team", make_body(), cluster="aks-only")
    control.control("POST", "reset")
    assert control.arm("GET", namespace_id("new-team", "aks-only")).status_code == 404
    assert control.arm("GET", cluster_id("aks-only")).status_code == 200
    assert control.control("POST", "world", {"name": "default"}).json()["world"] == "default"
    assert control.arm("GET", cluster_id()).status_code == 200


@pytest.mark.parametrize(
    "broken",
    [
        {"resource_group": 7},
        {"resource_groups": []},
        {"clusters": [{"name": "x"}]},
        {"clusters": [SMALL["clusters"][0] | {"nodes": 3}]},
        {"clusters": [SMALL["clusters"][0] | {"nodes": {"Standard_None": 1}}]},
        {"subscriptions": "all"},
        {"clusters": [SMALL["clusters"][0] | {"managed": {"a": {"quota": "1/2 3/x"}}}]},
        {"groups": []},
    ],
)
def test_an_unsound_world_changes_nothing(control: Client, broken: dict[str, Any]) -> None:
    assert "world" in refusal(control.control("POST", "world", {"world": SMALL | broken}))
    assert control.arm("GET", namespace_id("payments-api")).status_code == 200
    assert control.arm("GET", cluster_id("aks-only")).status_code == 404


def test_the_log_is_filtered(control: Client) -> None:
    control.put("new-team", make_body())
    control.arm("GET", namespace_id("payments-api"))
    control.finish(100)
    now = control.control("GET", "health").json()["now_utc"]
    control.arm("GET", namespace_id("new-team"))

    def paths(query: str) -> list[str]:
        entries = control.control("GET", f"requests?{query}").json()["value"]
        return [entry["path"].rsplit("/", 1)[1] for entry in entries if entry["surface"] == "arm"]

    assert paths("method=put") == ["new-team"]
    assert paths("path=payments-.*$") == ["payments-api"]
    assert paths(f"since={now}") == ["new-team"]
    assert paths("path=new&method=GET") == ["new-team"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("paths=x", "unknown 'paths'; there are method, path, since"),
        ("path=(", "path must be a regular expression"),
        ("since=yesterday", "since must be a time as in the log, not 'yesterday'"),
    ],
)
def test_mistakes_in_the_logs_filter_are_named(control: Client, query: str, sentence: str) -> None:
    assert sentence in refusal(control.control("GET", f"requests?{query}"))
