"""YAML requests: every value is the text that was written, each mistake has its line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from mnslib.errors import SpecError
from mnslib.requests.spec import parse_requests

HEAD = """\
- subscription_id: 00000000-0000-4000-8000-00000000a001
  resource_group: rg
  cluster_name: aks-1
  namespace_name: web
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_text(text: str) -> Path:
        path = tmp_path / "requests.yaml"
        path.write_text(text, "utf-8")
        return path

    return write_text


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_null_in_a_quota_cell_is_refused(write: Callable[[str], Path]) -> None:
    told = mistakes(write(HEAD + "  cpu_request: 2\n  cpu_limit: null\n  memory_request:\n"))
    assert len(told) == 2
    assert all("cannot be removed: the service demands all four" in one for one in told)


def test_values_are_what_was_written(write: Callable[[str], Path]) -> None:
    (spec,) = parse_requests(
        write(
            HEAD + "  cpu_request: 2\n"
            "  labels: {version: 1.10, norway: no, day: 2026-01-31, number: 0123, gone: null}\n"
            "  annotations: {note: 'a; b = c', eq: =}\n"
            "  access:\n    - group:00000000-0000-4000-9000-000000000001=writer\n"
        )
    )
    assert spec.quota == {"cpu_request": Decimal(2)}
    assert spec.labels == {
        "version": "1.10",
        "norway": "no",
        "day": "2026-01-31",
        "number": "0123",
        "gone": None,
    }
    assert spec.annotations == {"note": "a; b = c", "eq": "="}
    assert [grant.role for grant in spec.access] == ["Azure Kubernetes Service RBAC Writer"]
    assert spec.origin.row == 1


def test_every_mistake_is_told_at_once_with_its_line(write: Callable[[str], Path]) -> None:
    second = HEAD.replace("web", "api")
    found = mistakes(
        write(
            "# two requests\n" + HEAD + "  cpu_request: 1x\n  cpu_limt: 2\n" + second
            + "  owner: a\n  owner: b\n- just text\n" + HEAD.replace("web", "Api")
        )
    )  # fmt: skip
    assert [text.removeprefix("requests.yaml, ") for text in found] == [
        "row 2, column cpu_request: '1x' is not an amount of CPU. "
        "Write cores, such as 0.5, or millicores, such as 500m.",
        "row 2, column cpu_limt: there is no column 'cpu_limt'. Write cpu_limit.",
        "row 13: the file is no YAML that is taken: the key 'owner' is written twice.",
        "row 14: the entry is no mapping of columns to values. Write cluster_name: <its name>.",
        "row 15, column namespace_name: 'Api' is not a namespace name: 1 to 63 lower-case letters, "
        "digits and hyphens, a letter or digit first and last. Write api.",
        "row 15, column namespace_name: the same managed namespace is in row 8 already. "
        "Write one row for each namespace.",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\n", "row 1: the file is no list of requests"),
        ("", "the file is no list of requests"),
        ("[]", "the file holds no request"),
        ("- a: &x 1\n  b: *x\n", "anchors and aliases are not taken"),
        ("- a: [\n", "the file is no YAML"),
        ("- a: 1\n---\n- b: 2\n", "the file is no YAML"),
        ("- !!python/object/apply:os.system [x]\n", "row 1: the file is no YAML that is taken"),
        ("- ~: 1\n", "a key is no text"),
        ("[" * 50_000, "the file is"),
        ("- " * 30 + "x", "row 1: the file is nested too deeply"),
        ("- {a: !!int 5}", "row 1: the file is no YAML that is taken: the tag"),
        ("- {}\n" * 20_001, "the file has more than 20,000 requests"),
    ],
)
def test_what_is_not_taken_is_said(write: Callable[[str], Path], text: str, words: str) -> None:
    assert words in mistakes(write(text))[0]


def test_many_references_to_much_are_refused_before_they_grow(
    write: Callable[[str], Path],
) -> None:
    bomb = "- a: &a0 [x, x]\n" + "".join(
        f"- a: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    assert "anchors and aliases are not taken" in mistakes(write(bomb))[0]
