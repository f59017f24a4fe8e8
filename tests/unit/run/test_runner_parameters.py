"""Parameters: read without running, refused all at once, never holding a secret."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mnslib.errors import ConfigError
from mnslib.results import RunStatus
from mnslib.run import start
from mnslib.run.parameters import (
    Parameter,
    check_parameters,
    filled,
    parse_assignment,
    read_parameter_file,
    read_parameters,
    refused_values,
)
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.run.runner import run_notebook

SOURCE = """target: str = "sandbox"  # sandbox or azure; "ä" too
dry_run: bool = True  # true: nothing is written
team: str = "007"
pods: int = -3  # how many
share: float = 0.5
allow: list[str] = []  # named risks
labels: dict = {
    "owner": "payments",  # not this
}  # set on the namespace
"""


def declared_in(source: str, folder: Path) -> tuple[Parameter, ...]:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [source]}
    notebook = folder / "30_x.ipynb"
    notebook.write_text(json.dumps({"cells": [cell]}))
    return read_parameters(notebook)


@pytest.fixture
def declared(tmp_path: Path) -> tuple[Parameter, ...]:
    return declared_in(SOURCE, tmp_path)


def test_values_are_put_in_place_and_comments_stay(tmp_path: Path) -> None:
    given = {"target": "azü're", "dry_run": False, "labels": {"a": None}}
    text = filled(SOURCE, given)
    changed = {p.name: p.default for p in declared_in(text, tmp_path)}
    kept = {p.name: p.default for p in declared_in(SOURCE, tmp_path)}
    assert changed == kept | given
    assert '# sandbox or azure; "ä" too\n' in text
    assert text.endswith("}  # set on the namespace\n")


def test_names_types_and_defaults_are_read(declared: tuple[Parameter, ...]) -> None:
    assert [(p.name, p.type_name, p.default) for p in declared] == [
        ("target", "str", "sandbox"),
        ("dry_run", "bool", True),
        ("team", "str", "007"),
        ("pods", "int", -3),
        ("share", "float", 0.5),
        ("allow", "list", []),
        ("labels", "dict", {"owner": "payments"}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import os", "write `name: type = literal`"),
        ("x: str", "write `name: type = literal`"),
        ("x: str = f()", "not a plain parameter"),
        ("x: str | None = None", "type str | None is none of"),
        ("x = (", "was never closed"),
        ("a = b = 1", "write `name: type = literal`"),
    ],
)
def test_a_line_that_is_no_literal_is_refused_with_its_place(
    tmp_path: Path, line: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match="parameters cell, line 2") as caught:
        declared_in(f"ok: int = 1\n{line}", tmp_path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("count", [0, 2])
def test_a_notebook_has_exactly_one_parameters_cell(tmp_path: Path, count: int) -> None:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": ["x: int = 1"]}
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [cell] * count}))
    with pytest.raises(ConfigError, match=f"has {count} cells with the tag"):
        read_parameters(notebook)


@pytest.mark.parametrize("content", [None, "not json"])
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | None) -> None:
    notebook = tmp_path / "a.ipynb"
    if content is not None:
        notebook.write_text(content)
    with pytest.raises(ConfigError, match="cannot be read as a notebook"):
        read_parameters(notebook)


def test_all_mistakes_are_named_at_once(declared: tuple[Parameter, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_parameters(
            declared,
            {"dry_rum": False, "pods": "3", "allow": "x", "team": 7, "zzz": 1, "dry_run": "no"},
        )
    assert str(caught.value).splitlines() == [
        "6 parameters are refused; nothing was begun:",
        "  dry_rum: the notebook has no such parameter; did you mean dry_run?",
        "  pods: '3' is not a whole number. Write it without quotes; for papermill with -p, "
        "not -r.",
        "  allow: 'x' is not a list. Write a list, such as [a, b].",
        "  team: 7 is not a text. Put it in quotes; for papermill write -r NAME VALUE, not -p.",
        "  zzz: the notebook has no such parameter; it knows target, dry_run, team, pods, share, "
        "allow, labels.",
        "  dry_run: 'no' is not true or false. Write true or false, in small letters.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("pods", True, False),
        ("pods", 1.0, False),
        ("share", 1, True),
        ("share", True, False),
        ("dry_run", 0, False),
        ("labels", None, False),
        ("labels", {"a": None}, True),
        ("labels", {"a": 1}, False),
        ("labels", {"a": {"b": "c"}}, False),
        ("labels", {date(2026, 1, 1): "a"}, False),
        ("allow", ["a", None], False),
        ("allow", [["a"]], False),
        ("team", date(2026, 1, 1), False),
        ("team", None, False),
    ],
)
def test_types_are_those_declared(
    declared: tuple[Parameter, ...], name: str, value: Any, fits: bool
) -> None:
    if fits:
        assert check_parameters(declared, {name: value}) == {name: value}
    else:
        with pytest.raises(ConfigError, match=name):
            check_parameters(declared, {name: value})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team=007", ("team", "007")),
        ("team=", ("team", "")),
        ("team=a=b", ("team", "a=b")),
        ("pods=010", ("pods", 10)),
        ("pods=-2", ("pods", -2)),
        ("share=0.25", ("share", 0.25)),
        ("dry_run=false", ("dry_run", False)),
        ("allow=[adoption, deletion]", ("allow", ["adoption", "deletion"])),
        ("labels={owner: web, old: null}", ("labels", {"owner": "web", "old": None})),
        ("dry_rum=false", ("dry_rum", "false")),
    ],
)
def test_a_value_of_the_command_line_has_the_declared_type(
    declared: tuple[Parameter, ...], text: str, expected: tuple[str, Any]
) -> None:
    assert parse_assignment(text, declared) == expected


@pytest.mark.parametrize("text", ["dry_run", "=x", "allow=[a"])
def test_what_is_no_assignment_is_refused(declared: tuple[Parameter, ...], text: str) -> None:
    with pytest.raises(ConfigError):
        parse_assignment(text, declared)


def test_a_parameter_file_is_a_mapping(declared: tuple[Parameter, ...], tmp_path: Path) -> None:
    path = tmp_path / "30_x.prod.yaml"
    path.write_text("dry_run: false\nallow: [adoption]\n")
    assert read_parameter_file(path, declared) == {"dry_run": False, "allow": ["adoption"]}
    path.write_text("# nothing\n")
    assert read_parameter_file(path, declared) == {}
    for wrong in ("- a\n", "a\n", "a: [\n"):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match="prod"):
            read_parameter_file(path, declared)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_parameter_file(tmp_path / "none.yaml", declared)


def test_a_secret_is_refused_and_not_repeated(declared: tuple[Parameter, ...]) -> None:
    with pytest.raises(ConfigError, match="looks like a secret") as caught:
        check_parameters(declared, {"labels": {"client_secret": "hunter2hunter2"}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "user", ["hunter2", "hunter2:", "u:hunter2", "u:hun/hunter2", "u:@hunter2"]
)
def test_a_url_that_signs_in_is_refused_and_not_repeated(
    declared: tuple[Parameter, ...], user: str
) -> None:
    with pytest.raises(ConfigError, match="looks like a secret") as caught:
        check_parameters(declared, {"target": f"https://{user}@prometheus.example:9090"})
    assert "hunter2" not in str(caught.value)
    check_parameters(declared, {"target": "https://prometheus.example:9090/tenant"})


def test_what_is_no_yaml_is_named_by_its_line_and_not_repeated(
    declared: tuple[Parameter, ...], tmp_path: Path
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text('dry_run: true\nrequest_file: "password=hunter22\n  x: [\n')
    with pytest.raises(ConfigError, match=r"broken\.yaml, line 4: the file is no") as from_file:
        read_parameter_file(file, declared)
    name = next(known.name for known in declared if known.type_name == "list")
    with pytest.raises(ConfigError, match=f"{name}: the file is no YAML") as from_line:
        parse_assignment(f"{name}=[password=hunter22", declared)
    assert "hunter22" not in f"{from_file.value} {from_line.value}"


WRONG = {
    "target": "azur",
    "cloud": "mars",
    "credential": "me",
    "request_file": "nowhere.csv",
    "tiers_file": "nowhere.yaml",
    "approval": "yes",
    "allow": ["adoptoin"],
    "max_commitment": "0",
    "max_changes": "many",
    "max_deletions": "101%",
    "max_failures": "5.5",
    "max_parallel_per_cluster": 0,
    "resume_run": "nowhere",
    "notify_format": "fax",
}


def test_a_bulk_notebook_tells_all_its_mistakes_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the setup cell, and without a kernel where the runner starts it."""
    asked = {name: value for name, value in WRONG.items() if name != "request_file"}
    outcome = run_notebook("30", parameters=asked, environment="x", runs_dir=tmp_path)
    assert (outcome.exit_code, outcome.status) == (6, RunStatus.REFUSED)
    assert not (outcome.directory / "notebook.ipynb").exists()
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        start("30_provision_in_bulk", asked)
    for told in (outcome.message, str(caught.value)):
        assert told.startswith(f"{len(asked)} parameters are refused; nothing was begun:")
        assert [name for name in asked if f"\n  {name}" not in told] == []


def test_files_that_are_not_there_are_told_with_the_rest_unless_a_run_is_resumed() -> None:
    assert {"request_file", "tiers_file"} <= refused_values(WRONG | {"resume_run": ""}).keys()
    assert "request_file" not in refused_values(WRONG)


def test_the_mistakes_of_one_request_are_told_with_those_of_its_approval(tmp_path: Path) -> None:
    asked = {"namespace_name": "Refunds", "cpu_request": "4", "cpu_limit": "3"}
    asked |= {"approval": "yes", "kubectl_login": "me", "max_commitment": "lots"}
    outcome = run_notebook("20", parameters=asked, environment="x", runs_dir=tmp_path)
    assert outcome.status is RunStatus.REFUSED
    names = ("namespace_name", "cpu_limit", "approval", "kubectl_login", "max_commitment")
    assert [name for name in names if f"\n  {name}" not in outcome.message] == []


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("adoption, deletion", "Write [adoption, deletion]."),
        ("adoptoin", "Write [adoption]."),
        ("deletion: yes", "Write [deletion]."),
        ("]", "Write a list, such as [a, b]."),
    ],
)
def test_a_list_that_is_suggested_would_be_accepted(value: str, hint: str) -> None:
    declared = [Parameter(name="allow", type_name="list", default=[])]
    with pytest.raises(ConfigError) as caught:
        check_parameters(declared, {"allow": value})
    assert str(caught.value).endswith(hint)
