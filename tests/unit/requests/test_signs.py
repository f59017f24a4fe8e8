"""What nobody sees, or looks like another sign, is told with its code point and the clean text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from openpyxl import Workbook

from mnslib.errors import SpecError
from mnslib.fleet import _rows
from mnslib.requests.policy import read_policy
from mnslib.requests.signs import bare, examined
from mnslib.requests.spec import parse_requests, read_tiers, specs_from_rows

ROW = {
    "subscription_id": "00000000-0000-4000-8000-00000000a001",
    "resource_group": "rg-platform",
    "cluster_name": "aks-1",
    "namespace_name": "hc-one",
    "cpu_request": "1",
}
ZERO_WIDTH = "\u200b"
GROUP = "group:00000000-0000-4000-9000-000000000001"


@pytest.mark.parametrize(
    ("text", "clean", "told"),
    [
        ("\u200bhc", "hc", "U+200B ZERO WIDTH SPACE"),
        ("h\u200dc", "hc", "U+200D ZERO WIDTH JOINER"),
        ("hc\ufeff", "hc", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("h\u2060c", "hc", "U+2060 WORD JOINER"),
        ("pay\u00adments", "payments", "U+00AD SOFT HYPHEN"),
        (
            "a\u202eb\u202c",
            "ab",
            "U+202E RIGHT-TO-LEFT OVERRIDE, U+202C POP DIRECTIONAL FORMATTING",
        ),
        ("a\u2066b", "ab", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("a\u3164b", "ab", "U+3164 HANGUL FILLER"),
        ("a\0b", "ab", "U+0000"),
        ("a\ud800b", "ab", "U+D800"),
        (
            "р\u0430yments",
            "payments",
            "U+0440 CYRILLIC SMALL LETTER ER, U+0430 CYRILLIC SMALL LETTER A",
        ),
        ("αpi", "api", "U+03B1 GREEK SMALL LETTER ALPHA"),
        ("Mосква", "Москва", "U+004D LATIN CAPITAL LETTER M"),
        ("SMSка", "", "U+0430 CYRILLIC SMALL LETTER A"),
        ("SMSка²", "", "U+0430 CYRILLIC SMALL LETTER A"),
        ("team-а", "team-a", "U+0430 CYRILLIC SMALL LETTER A"),
        ("х_prod/1", "x_prod/1", "U+0445 CYRILLIC SMALL LETTER HA"),
        ("отдел-T", "отдел-Т", "U+0054 LATIN CAPITAL LETTER T"),
    ],
)
def test_these_are_told_in_values_and_names_alike(text: str, clean: str, told: str) -> None:
    for is_name in (False, True):
        assert examined(text, is_name=is_name) == (clean, f"holds {told}")


@pytest.mark.parametrize(
    ("text", "clean", "told"),
    [
        ("hc\u2011one", "hc-one", "U+2011 NON-BREAKING HYPHEN"),
        ("hc\u2013one", "hc-one", "U+2013 EN DASH"),
        ("cost\u00a0center", "cost center", "U+00A0 NO-BREAK SPACE"),
        ("hc-one\u00a0", "hc-one", "U+00A0 NO-BREAK SPACE"),
        ("cost\u202fcenter", "cost center", "U+202F NARROW NO-BREAK SPACE"),
        ("a\x1bb\u0085", "ab", "U+001B, U+0085"),
        ("ｃpu", "cpu", "U+FF43 FULLWIDTH LATIN SMALL LETTER C"),
        ("соор", "coop", "U+0441 CYRILLIC SMALL LETTER ES, U+043E CYRILLIC SMALL LETTER O, "
         "U+0440 CYRILLIC SMALL LETTER ER"),
        ("a\ufe0f", "a", "U+FE0F VARIATION SELECTOR-16"),
    ],
)  # fmt: skip
def test_these_are_told_in_names_only(text: str, clean: str, told: str) -> None:
    assert examined(text, is_name=True) == (clean, f"holds {told}")
    assert examined(text) == (text, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "Größe",
        "Это русское предложение.",
        "IT-отдел",
        "владелец",
        "Δt",
        "Ελλάδα",
        "日本",
    ],
)
def test_a_text_in_its_own_language_is_fine(text: str) -> None:
    for is_name in (False, True):
        assert examined(text, is_name=is_name) == (text, "")


def test_blanks_around_a_text_go_but_a_no_break_one_is_told() -> None:
    assert bare(" \ta b\r\n") == "a b"
    assert bare("\u00a0a ") == "\u00a0a"
    assert bare(" \u00a0 ") == ""


def mistakes(**cells: Any) -> list[tuple[str | None, str, str]]:
    with pytest.raises(SpecError) as caught:
        specs_from_rows([{**ROW, **cells}], file="requests")
    return [(one.column, one.message, one.suggestion) for one in caught.value.problems]


def told(what: str, sign: str = "U+200B ZERO WIDTH SPACE") -> str:
    return f"{what} holds {sign}."


@pytest.mark.parametrize(
    ("column", "cell", "what", "fix"),
    [
        ("namespace_name", "\u200bhc-one", "the text", "hc-one"),
        ("namespace_name", "hc-one\u200b ", "the text", "hc-one"),
        ("namespace_name", "Hc-\u200bOne", "the text", "hc-one"),
        ("cpu_request", "5\u200b00m", "the text", "500m"),
        ("tier", "sm\u200ball", "the text", "small"),
        ("ensure", "pre\u200bsent", "the text", "present"),
        ("owner", "pay\u200bments", "the text", "payments"),
        ("tags", "\u200bcost center=42", "the key", "cost center"),
        ("tags", {"cost": "4\u200b2"}, "the value of 'cost'", "42"),
        ("tags", {"<\u200b": "42"}, "the key", ""),
        ("labels", {"a": "b\u200bc"}, "the value of 'a'", "bc"),
        ("annotations", {"a.b/c\u200bd": "e"}, "the key", "a.b/cd"),
        ("access", f"{GROUP}\u200b=writer", "the grant", f"{GROUP}=writer"),
        ("access", [f"{GROUP}=writer\u200b-"], "the grant", f"{GROUP}=writer-"),
    ],
)
def test_a_cell_is_refused_with_a_text_that_would_be_taken(
    column: str, cell: Any, what: str, fix: str
) -> None:
    found = mistakes(**{column: cell})
    assert found == [(column, told(what), fix)]
    if isinstance(cell, str) and what != "the key":
        specs_from_rows([{**ROW, column: fix}], file="requests", tiers={"small": _small()})


def _small() -> Any:
    from mnslib.requests.columns import RequestValues

    return RequestValues()


def test_a_sentence_may_be_in_any_language_but_holds_no_twins_in_a_word() -> None:
    (spec,) = specs_from_rows([{**ROW, "tags": {"описание": "Цена: 10\u00a0000 рублей"}}], file="x")
    assert spec.tags == {"описание": "Цена: 10\u00a0000 рублей"}
    assert mistakes(tags={"note": "the сost"}) == [
        ("tags", told("the value of 'note'", "U+0441 CYRILLIC SMALL LETTER ES"), "the cost")
    ]


def test_a_heading_is_refused_once_and_the_rows_are_looked_at(tmp_path: Path) -> None:
    names, cells = list(ROW), list(ROW.values())
    names[0] = ZERO_WIDTH + names[0]
    csv = tmp_path / "r.csv"
    csv.write_text("\n".join([",".join(names), *([",".join(cells)] * 1)]) + "\n", "utf-8")
    book = Workbook()
    book.active.append(names)
    book.active.append(cells)
    book.save(tmp_path / "r.xlsx")
    lines = [f"  {name}: {cell}\n" for name, cell in zip(names, cells, strict=True)]
    (tmp_path / "r.yaml").write_text("-" + "".join(lines)[1:], "utf-8")
    for suffix, row in (("csv", 1), ("xlsx", 1), ("yaml", 1)):
        with pytest.raises(SpecError) as caught:
            parse_requests(tmp_path / f"r.{suffix}")
        (problem,) = caught.value.problems
        assert (problem.row, problem.column) == (row, "subscription_id")
        assert (problem.message, problem.suggestion) == (told("the name"), "subscription_id")


def test_a_table_and_a_mapping_of_a_program_are_looked_at_as_files_are() -> None:
    frame = pd.DataFrame([{**{f"{n}{ZERO_WIDTH}": v for n, v in ROW.items()}}])
    with pytest.raises(SpecError) as caught:
        specs_from_rows(_rows(frame), file="requests")
    assert {one.suggestion for one in caught.value.problems} == set(ROW)


@pytest.mark.parametrize(
    ("content", "place", "what", "fix"),
    [
        ("sm\u200ball:\n  cpu_request: 1\n", "small", "the name", "small"),
        ("small:\n  cpu\u2011request: 1\n", "cpu-request", "the name", "cpu-request"),
        ("small:\n  cpu_request: 1\u200b\n", "small.cpu_request", "the text", "1"),
        ("small:\n  labels: {a: b\u200b}\n", "small.labels", "the value of 'a'", "b"),
    ],
)
def test_tiers_are_looked_at(tmp_path: Path, content: str, place: str, what: str, fix: str) -> None:
    file = tmp_path / "tiers.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(SpecError) as caught:
        read_tiers(file)
    problem = caught.value.problems[0]
    assert (problem.column, problem.suggestion) == (place, fix)
    assert problem.message.startswith(f"{what} holds U+")


@pytest.mark.parametrize(
    "content",
    [
        "allowed_tiers: [sm\u200ball]\n",
        "required_tags: {cost: [4\u200b2]}\n",
        "required_tags: {co\u200bst: [42]}\n",
        "naming: {pattern: '[a-z]\u200b+', example: a}\n",
        "allowed_roles: [rea\u200bder]\n",
        "maximum_quota: {cpu_request: 1\u200b6}\n",
        "required_labels: {owner: [раyments]}\n",
    ],
)
def test_a_policy_is_looked_at(tmp_path: Path, content: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(SpecError, match=r"holds U\+"):
        read_policy(file)


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        ("allowed_roles: [admin, rea\u200bder]", "reader"),
        ("allowed_roles: [rea\u200bdr]", ""),
        ("allowed_principals: [gr\u200bp]", ""),
        ("allowed_policies: {egress_policy: [Deny\u200bAll]}", "DenyAll"),
        ("allowed_policies: {egress_policy: [Deny\u200bNone]}", ""),
        ("naming: {pattern: '[a-z]\u200b+', example: a}", "[a-z]+"),
        ("naming: {pattern: '[a-z\u200b+', example: a}", ""),
        ("naming: {pattern: '[a-z]+', example: a\u200b}", "a"),
        ("naming: {pattern: '[a-z]+', example: A\u200b}", ""),
        ("examples_: a", ""),
        ("naming: {pattern: a, example: a, examples_: b}", "example"),
        ("alowed_tiers: [a]", "allowed_tiers"),
    ],
)
def test_what_a_policy_offers_instead_is_taken_there(
    tmp_path: Path, content: str, fix: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(SpecError, match=r"1 mistake in policy\.yaml; nothing") as caught:
        read_policy(file)
    assert [one.suggestion for one in caught.value.problems] == [fix]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("annotations", "note=pass\u200bword=hunter22hunter"),
        ("annotations", {"note": "pass\u200bword=hunter22hunter"}),
        ("owner", "pass\u00adword=hunter22hunter"),
    ],
)
def test_a_secret_is_not_hidden_by_what_nobody_sees(column: str, cell: Any) -> None:
    found = mistakes(**{column: cell})
    assert "looks like it holds a secret" in found[0][1]
    assert "hunter22" not in str(found)
