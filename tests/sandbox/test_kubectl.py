"""A real kubectl, 70 commands in order: it sees here what it saw of a real server 1.34.4.

What the server said is data (tests/data/kubernetes-1.34-kubectl.json). The exit code is the same;
so is what stdout shows, as `FORMS` says it may differ; so is stderr but for names. What lists show
depends on what runs in the world: nodes, events, other teams' workloads are compared by their
columns, and there are rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.client import ROOT, Client, Process
from tests.sandbox.kubectl import Kubectl, Result, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
FACTS = json.loads((ROOT / "tests/data/kubernetes-1.34-kubectl.json").read_text("utf-8"))
COMMANDS: dict[str, dict[str, Any]] = {one["name"]: one for one in FACTS["commands"]}
CUT = 2500  # characters after which the recorded stdout ends
PLACES = {"ns": "web-checkout", "dep": "checkout", "evns": "payments-api", "n": "6"}


def run(kubectl: Kubectl, client: Client) -> dict[str, Result]:
    """Run all commands in order; what the recorded server had beside them is made on the way."""
    found, places = {}, dict(PLACES)
    for name, one in COMMANDS.items():
        if name == "describe namespace":
            body = {"metadata": {"name": "q0"}, "spec": {"hard": {"pods": "9"}}}
            client.kube("aks-prod-weu-1", "POST", "/api/v1/namespaces/kc/resourcequotas", body)
        if name == "drain --dry-run":
            kubectl(f"kubectl uncordon {places['node']}")
        if name == "cordon node":
            places["node"] = kubectl.json("kubectl get pod p1 -n kc")["spec"]["nodeName"]
        command = one["command"]
        for word, place in places.items():
            command = command.replace(f"{{{word}}}", place)
        if name == "set resources":
            kubectl(command)  # it was so already
        found[name] = kubectl(command, one.get("stdin", ""))
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    process = Process(tmp_path_factory.mktemp("sandbox"))
    client = Client(process.connection)
    yield run(Kubectl.of_admin(client, tmp_path_factory.mktemp("kubectl")), client)
    client.session.close()
    process.end()


# forms of stdout


def plain(text: str) -> list[str]:
    """Everything, but for names of the world."""
    return [_neutral(line) for line in text.splitlines()]


def _neutral(line: str) -> str:
    line = re.sub(r"https://127.0.0.1:\S+", "SERVER", line)
    line = re.sub(r"\b(small1|aks-[\w-]+-vmss\d+)\b", "NODE", line)
    return re.sub(r"\b(web|checkout)\b", "DEPLOYMENT", line).rstrip()


def table(text: str) -> list[str]:
    """The columns and how many rows there are."""
    lines = text.splitlines()
    return [*re.split(r"\s{2,}", lines[0].strip()), str(len(lines))] if lines else []


def columns(text: str) -> list[str]:
    """The columns, and that there are rows."""
    return [*table(text)[:-1], "rows" if len(text.splitlines()) > 1 else ""]


def words(text: str) -> list[list[str]]:
    """All cells, as far as the recorded text goes."""
    lines = text[:CUT].splitlines()[:-1]
    return [line.split() for line in lines]


def keys(text: str) -> list[str]:
    """What is said, not of what: the words before each colon."""
    text = re.sub("kube-api-access-[a-z0-9]{5}", "kube-api-access", text)
    return re.findall(r"^[\s-]*([^:\n]+):", text, re.MULTILINE)


def key_set(text: str) -> set[str]:
    """The members, wherever they are."""
    return set(keys(text))


def amounts(text: str) -> list[str]:
    """All but the used amounts, of which the recorded server had counted a refused pod."""
    return [re.sub(r"\s+\d+m?(Mi)?(?=\s+\S+$)", " USED", line.rstrip()) for line in plain(text)]


def evictions(text: str) -> list[str]:
    """What happens, once each, whatever the pods are called."""
    return sorted({re.sub(r"pod \S+", "pod POD", _neutral(line)) for line in text.splitlines()})


def member(text: str) -> list[str]:
    """The kind of a JSON document that the recorded text does not hold to its end."""
    return text.splitlines()[:7]


FORMS: dict[str, Callable[[str], Any]] = {
    "api-resources": words,
    "auth whoami": lambda text: table(text)[:-1],  # who it is depends on the sign-in
    "get pods -o yaml": key_set,
    "get pods -o json": member,
    "describe pod": keys,
    "describe namespace": amounts,
    "drain --dry-run": evictions,
    "config view": keys,
    **dict.fromkeys(("get nodes -o wide", "get deploy -o wide", "get events", "events"), columns),
}
TABLES = ("get pods", "get pods --field-selector", "get pods --sort-by", "get pods -w (3 s)")
TABLES += ("get all", "get configmap", "get serviceaccount")
FORMS |= dict.fromkeys(TABLES, table)


def refusal(text: str) -> str:
    """Return stderr without names, used amounts and what the client tells of itself."""
    lines = [line for line in text.splitlines() if "client-side throttling" not in line]
    text = re.sub(r"used: \S+ limited: \S+", "used: AMOUNTS", "\n".join(lines))
    text = re.sub(r"(no controller:|DaemonSet-managed Pods:) [^;\n]+", r"\1 PODS", text)
    warned, _, rest = text.partition("Warning: ")
    return _neutral(warned + "; ".join(sorted(rest.split("; "))))  # in no order


@pytest.mark.parametrize("name", COMMANDS)
def test_kubectl_sees_what_it_sees_of_a_real_server(name: str, results: dict[str, Result]) -> None:
    wanted, found, form = COMMANDS[name], results[name], FORMS.get(name, plain)
    assert found.rc == wanted["exit"], found.err
    assert refusal(found.err) == refusal(wanted.get("stderr", ""))
    assert form(found.out) == form(wanted.get("stdout", ""))
