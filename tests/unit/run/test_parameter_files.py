"""Parameter files mean what is written: each value is its text, converted by the declared type."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mnslib.cli import main
from mnslib.errors import ConfigError
from mnslib.provisioning.journal import Journal, read_events
from mnslib.results import utc_now
from mnslib.run.parameters import (
    check_parameters,
    read_parameter_file,
    read_parameters,
    recordable,
)
from mnslib.run.project import write_result
from mnslib.run.runner import find_notebook
from mnslib.run.runs import refused

BULK = "target: sandbox\nrequest_file: parameters/requests.sample.csv\n"


def run(number: str, content: str | bytes, folder: Path, *words: str) -> Result:
    """Run a notebook with a parameter file, as the command line does."""
    file = folder / "x.test.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    runs = ("--runs", str(folder / "runs"))
    return CliRunner().invoke(main, ["run", number, "-f", str(file), *runs, *words])


def refusal(number: str, content: str | bytes, folder: Path, *words: str) -> str:
    """Return what is said of parameters with which no kernel is started."""
    done = run(number, content, folder, *words)
    assert done.exit_code == 6, done.output
    assert not list(folder.glob("runs/*/notebook.ipynb"))
    return done.stderr


def given(number: str, content: str, folder: Path) -> dict[str, Any]:
    file = folder / "x.test.yaml"
    file.write_text(content)
    return read_parameter_file(file, read_parameters(find_notebook(number)))


@pytest.mark.parametrize(
    "text",
    ["010", "1:30", "on", "no", "2026-01-01", "1_000", "0x1F", "0o17", "1e3", ".inf", "1.10", "+1"],
)
def test_a_text_is_what_was_written(text: str, tmp_path: Path) -> None:
    content = f"namespace_name: {text}\nlabels: {{a: {text}}}\naccess: [{text}]\n"
    assert given("20", content, tmp_path) == {
        "namespace_name": text,
        "labels": {"a": text},
        "access": [text],
    }


@pytest.mark.parametrize(("text", "number"), [("010", 10), ("+7", 7), ("-3", -3), ("0", 0)])
def test_a_number_is_its_digits_in_a_file_and_on_the_command_line(
    text: str, number: int, tmp_path: Path
) -> None:
    found = given("40", f"lookback_days: {text}\n", tmp_path)["lookback_days"]
    assert (type(found), found) == (int, number)


@pytest.mark.parametrize(
    "text",
    ["1_000", "0x1F", "0o17", "1:30", "1e1", "3.0", ".inf", "yes", '"3"', "\u0663", "9" * 5000],
)
def test_what_is_no_number_is_refused_by_name(text: str, tmp_path: Path) -> None:
    assert "lookback_days: " in refusal("40", f"lookback_days: {text}\n", tmp_path)
    assert "lookback_days: " in refusal("40", "", tmp_path, "-p", f"lookback_days={text}")


@pytest.mark.parametrize(
    "text", ["on", "yes", "no", "True", "FALSE", "1", "y", '"true"', "!!bool yes"]
)
def test_only_true_and_false_are_true_or_false(text: str, tmp_path: Path) -> None:
    said = refusal("30", f"{BULK}dry_run: {text}\n", tmp_path)
    assert "dry_run" in said or "the tag" in said


@pytest.mark.parametrize("text", ["~", "null", ""])
def test_nothing_is_refused_but_for_a_key_that_goes(text: str, tmp_path: Path) -> None:
    assert "owner: None is not a text." in refusal("20", f"owner: {text}\n", tmp_path)
    assert "allow: None in it is not" in refusal("20", f"allow: [{text or '~'}, a]\n", tmp_path)
    assert given("20", f"labels:\n  a: {text}\n", tmp_path) == {"labels": {"a": None}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("allow: []\ndry_run: true\nallow: [adoption]\n", "line 3: .* 'allow' is written twice"),
        ("labels:\n  a: b\n  a: c\n", "line 3: .* 'a' is written twice"),
        ("labels: {x: {a: b, a: c}}\n", "line 1: .* 'a' is written twice"),
        ("owner: &a x\n", "anchors and aliases are not taken"),
        ("owner: &a x\ntier: *a\n", "anchors and aliases are not taken"),
        ("labels:\n  <<: {a: b}\n", "line 2: .*merge keys are not taken"),
        ("owner: !!str 5\n", "line 1: .*tag"),
        ("owner: !!python/name:os.system x\n", "line 1: .*tag"),
        ("owner: a\n---\nowner: b\n", "only one document"),
        ("- owner: a\n", "line 1: the file is no mapping"),
        ("owner:\n\ta: b\n", "line 2: the file is no YAML"),
        ("owner: Müller\n".encode("latin-1"), "line 1: the file is not UTF-8"),
        ("owner: a\n".encode("utf-16-le"), "the file holds zero bytes"),
        ("? [a]\n: b\n", "line 1: .*a key is no text"),
    ],
)
def test_what_changes_or_hides_a_value_is_refused_with_its_line(
    content: str | bytes, said: str, tmp_path: Path
) -> None:
    found = refusal("20", content, tmp_path)
    assert found.startswith("Error: The parameters cannot be read:\n  x.test.yaml")
    assert re.search(said, found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_at_the_beginning_is_no_part_of_the_first_name(
    encoding: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.test.yaml"
    file.write_text("max_changes: 010\n", encoding)
    declared = read_parameters(find_notebook("30"))
    assert read_parameter_file(file, declared) == {"max_changes": "010"}


@pytest.mark.parametrize(
    ("number", "content", "said"),
    [
        ("30", "allow: [on, no]\n", "allow: 'on' is not known here. Write"),
        ("30", "allow: {on: no}\n", "allow: {'on': 'no'} is not a list."),
        (
            "40",
            "clusters: [0012]\n",
            "clusters: '0012' is not the ARM id of a managed cluster, /subscriptions/ID/",
        ),
        ("40", "subscription_ids: [007]\n", "subscription_ids: '007' is not a subscription id."),
        ("40", "group_by: [[a]]\n", "group_by: ['a'] in it is not a text."),
        ("20", "labels: {a b: c}\n", "labels: 'a b' is not a key"),
        ("20", "tags: {a: [b]}\n", "tags: ['b'] in it is not a text."),
        ("20", "access: [2026-01-01]\n", "access: '2026-01-01' is not a grant."),
    ],
)
def test_lists_and_mappings_are_looked_into_before_a_kernel_starts(
    number: str, content: str, said: str, tmp_path: Path
) -> None:
    assert said in refusal(number, content, tmp_path)


OWN = "history: prometheus\nprometheus_endpoint: https://prometheus.example.org\n"


@pytest.mark.parametrize(
    "variable", ["AWS_SECRET_ACCESS_KEY", "PATH", "mns_hook", "MNS_", "XMNS_A"]
)
@pytest.mark.parametrize(
    ("number", "content"),
    [("30", f"{BULK}notify_url_env"), ("40", f"{OWN}prometheus_token_env")],
    ids=["webhook", "prometheus"],
)
def test_no_variable_of_another_program_is_sent_anywhere(
    number: str, content: str, variable: str, tmp_path: Path
) -> None:
    said = refusal(number, f"{content}: {variable}\n", tmp_path)
    assert "names no environment variable whose name begins with MNS_. Put the" in said
    assert variable not in said.replace("MNS_. Put", "").replace("MNS_NOTIFY_URL", "").replace(
        "MNS_PROMETHEUS_TOKEN", ""
    )


def in_itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def keyed_by_itself() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = found
    return found


def nested(width: int, depth: int) -> list[Any]:
    """Return lists of the same list: few of them, and no memory holds them all written out."""
    found = ["x"]
    for _ in range(depth):
        found = [found] * width
    return found


@pytest.mark.parametrize(
    "value",
    [in_itself(), keyed_by_itself(), nested(10, 40), nested(1, 100_000)],
    ids=["list", "mapping", "bomb", "deep"],
)
@pytest.mark.parametrize("name", ["labels", "access", "namespace_name", "subscription_id"])
def test_a_value_that_is_in_itself_or_endless_is_refused_at_once(
    name: str, value: Any, tmp_path: Path
) -> None:
    declared = read_parameters(find_notebook("20"))
    asked = {known.name: known.default for known in declared} | {name: value}
    others = refused(asked, notebook="20_onboard_namespace", runs_dir=tmp_path)
    with pytest.raises(ConfigError, match=f"1 parameter is refused.*\n  {name}: ") as caught:
        check_parameters(declared, asked, refused=others)
    assert len(str(caught.value)) < 1_000
    assert name not in recordable(asked)


@pytest.mark.parametrize(
    ("number", "content", "said"),
    [
        ("40", "lookback_days: 36500\n", "lookback_days is 36500; write 1 to 548."),
        ("40", "step_minutes: 1441\n", "step_minutes is 1441; write 1 to 1440."),
        (
            "40",
            "lookback_days: 548\nstep_minutes: 1\n",
            "step_minutes is 1; write 8 or more for 548 days.",
        ),
        ("30", "max_parallel_per_cluster: 65\n", "max_parallel_per_cluster is 65; write 1 to 64."),
        ("30", "max_parallel_per_cluster: 0\n", "max_parallel_per_cluster is 0; write 1 to 64."),
    ],
)
def test_a_number_has_bounds(number: str, content: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(number, content, tmp_path)


def test_what_papermill_made_of_a_text_is_refused_with_the_way_to_keep_it() -> None:
    declared = read_parameters(find_notebook("20"))
    made = {
        "namespace_name": date(2026, 1, 1),
        "owner": True,
        "cluster_name": 7,
        "labels": {"a": 8},
    }
    with pytest.raises(ConfigError) as caught:
        check_parameters(declared, made)
    told = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in told] == list(made)
    assert all("papermill write -r NAME VALUE, not -p." in line for line in told)


def test_a_record_is_written_with_what_can_be_written(tmp_path: Path) -> None:
    odd = {"day": date(2026, 1, 1), "labels": {("a", 1): "b", "kept": "c"}, "file": "may\udce9.csv"}
    write_result(tmp_path, {"status": "done", "exit_code": 0, "parameters": odd})
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert record["status"] == "done"
    assert record["parameters"] == {
        "day": "2026-01-01",
        "labels": {"['a', 1]": "b", "kept": "c"},
        "file": "may\udce9.csv",
    }


def test_a_journal_goes_on_where_a_service_answers_half_a_character(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", now=utc_now)
    journal.write("finished", reason="half \ud83d")
    assert read_events(journal.path)[0][0]["reason"] == "half \ud83d"


@pytest.mark.parametrize(
    ("number", "name", "value", "said"),
    [
        ("20", "namespace_name", "\u200bhc-one", "holds U+200B ZERO WIDTH SPACE. Write hc-one."),
        ("20", "cluster_name", "aks\u2011one", "holds U+2011 NON-BREAKING HYPHEN. Write aks-one."),
        ("20", "cpu_request", "5\u00a000m", "holds U+00A0 NO-BREAK SPACE."),
        ("20", "owner", "p\u0430yments", "holds U+0430 CYRILLIC SMALL LETTER A. Write payments."),
        ("20", "labels", "{own\u200ber: a}", "holds U+200B ZERO WIDTH SPACE"),
        ("20", "tags", "{note: a\u202eb}", "holds U+202E RIGHT-TO-LEFT OVERRIDE. Write ab."),
        ("20", "access", "[gr\u00adoup:x=reader]", "holds U+00AD SOFT HYPHEN"),
        ("30", "allow", "[adop\u200btion]", "holds U+200B ZERO WIDTH SPACE. Write adoption."),
        ("30", "request_file", "re\u200bquests.csv", "holds U+200B ZERO WIDTH SPACE. Write req"),
        ("40", "owner_label", "own\u00a0er", "holds U+00A0 NO-BREAK SPACE. Write own er."),
        ("40", "group_by", "[cost\u2011center]", "holds U+2011 NON-BREAKING HYPHEN. Write cost-"),
    ],
)
def test_what_nobody_sees_is_refused_in_a_file_and_on_the_command_line(
    number: str, name: str, value: str, said: str, tmp_path: Path
) -> None:
    assert said in refusal(number, f"{name}: {value}\n", tmp_path)
    assert said in refusal(number, "", tmp_path, "-p", f"{name}={value}")


def test_a_name_with_what_nobody_sees_is_refused_with_its_line(tmp_path: Path) -> None:
    said = refusal("30", f"{BULK}\u200bdry_run: false\n", tmp_path)
    assert "line 3: the name holds U+200B ZERO WIDTH SPACE. Write dry_run." in said
