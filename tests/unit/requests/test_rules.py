"""What one value may be, and what is offered instead."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.models import NetworkRule
from mnslib.packaged import packaged
from mnslib.quantities import format_cpu, format_memory
from mnslib.requests import rules
from mnslib.requests.rules import CellError


def finding(refused: pytest.ExceptionInfo[CellError]) -> tuple[str, str]:
    (only,) = refused.value.findings
    return only


@pytest.mark.parametrize("name", ["a", "0", "web-1", "a" * 63])
def test_a_dns_label_is_a_namespace_name(name: str) -> None:
    assert rules.name("namespace_name", name) == name


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("Team_A", "team-a"),
        ("web.shop", "web-shop"),
        ("-web-", "web"),
        ("a" * 64, "a" * 63),
        ("web\n", "web"),
        ("=HYPERLINK(1)", "hyperlink-1"),
        ("Kube_System", ""),
        ("Küche", ""),
        ("!!", ""),
    ],
)
def test_another_name_is_refused_with_the_nearest(name: str, offered: str) -> None:
    with pytest.raises(CellError, match="is not a namespace name") as refused:
        rules.name("namespace_name", name)
    assert finding(refused)[1] == offered


def test_of_the_words_that_begin_so_none_is_chosen_for_the_reader() -> None:
    with pytest.raises(CellError) as refused:
        rules.one_of("allow", NetworkRule)
    assert finding(refused)[1] == "AllowAll or AllowSameNamespace"


@pytest.mark.parametrize("name", sorted(rules.SYSTEM_NAMESPACES))
def test_system_namespaces_are_refused(name: str) -> None:
    with pytest.raises(CellError, match="is a system namespace"):
        rules.name("namespace_name", name)


@pytest.mark.parametrize(
    ("text", "cores"), [("500m", "0.5"), ("0.25", "0.25"), (".5", "0.5"), ("2", "2"), ("0", "0")]
)
def test_cpu_is_read_in_cores(text: str, cores: str) -> None:
    assert rules.amount("cpu_limit", text) == Decimal(cores)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("0.0005", "a whole number of millicores"),
        ("1.2345", "a whole number of millicores"),
        ("0.5m", "a whole number of millicores"),
        ("0,5", "0.5"),
        ("0,125", "0.125"),
        ("1,5", "1.5"),
        ("1234,567", "1234.567"),
        ("500 m", "500m"),
        ("500 millicores", "500m"),
        ("2 cores", "2"),
        ("2vCPU", "2"),
        ("500M", "cores, such as 0.5, or millicores, such as 500m"),
        ("2000000u", "cores, such as 0.5, or millicores, such as 500m"),
        ("1 000", "cores, such as 0.5, or millicores, such as 500m"),
        ("1.234,5", "cores, such as 0.5, or millicores, such as 500m"),
        ("+1", "cores, such as 0.5, or millicores, such as 500m"),
        ("1E", "cores, such as 0.5, or millicores, such as 500m"),
        ("1Gi", "cores, such as 0.5, or millicores, such as 500m"),
        ("512Mi", "cores, such as 0.5, or millicores, such as 500m"),
        ("-1", "cores, such as 0.5, or millicores, such as 500m"),
        ("1e3", "cores, such as 0.5, or millicores, such as 500m"),
        ("٣", "cores, such as 0.5, or millicores, such as 500m"),
    ],
)
def test_other_cpu_is_refused_with_what_to_write(text: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        rules.amount("cpu_limit", text)
    assert finding(refused)[1] == offered


@pytest.mark.parametrize(
    ("text", "amount"), [("512Mi", 2**29), ("1.5Gi", 3 * 2**29), ("0Mi", 0), ("1Ki", 1024)]
)
def test_memory_is_read_in_bytes(text: str, amount: int) -> None:
    assert rules.amount("memory_limit", text) == amount


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("512M", "500000Ki"),
        ("1073741824", "1Gi"),
        ("512mi", "512Mi"),
        ("2GiB", "2Gi"),
        ("2Zi", "a number with a unit, such as 512Mi or 2Gi"),
        ("1 xib", "a number with a unit, such as 512Mi or 2Gi"),
        ("0,5Gi", "0.5Gi"),
        ("1 Gi", "1Gi"),
        ("1G", "a number with a unit, such as 512Mi or 2Gi"),
        ("4GB", "a number with a unit, such as 512Mi or 2Gi"),
        ("4", "a number with a unit, such as 512Mi or 2Gi"),
        ("512m", "a number with a unit, such as 512Mi or 2Gi"),
        ("1.5Ki", "a whole number of KiB"),
        ("0.3Gi", "a whole number of KiB"),
        ("lots", "a number with a unit, such as 512Mi or 2Gi"),
        ("5 apples", "a number with a unit, such as 512Mi or 2Gi"),
    ],
)
def test_other_memory_is_refused_with_what_to_write(text: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        rules.amount("memory_limit", text)
    assert finding(refused)[1] == offered


NO_SIGN = "the amount without a point or comma, in a smaller unit if need be"


@pytest.mark.parametrize(
    ("column", "text", "meant", "offered"),
    [
        ("cpu_limit", "1.000m", "1m or 1000m", "1m or 1000m"),
        ("cpu_limit", "1.000", "1 or 1000", "1 or 1000"),
        ("cpu_limit", "1,000", "1 or 1000", "1 or 1000"),
        ("cpu_limit", "12.125", "12.125 or 12125", "12125m or 12125"),
        ("cpu_limit", "1.000 cores", "1cores or 1000cores", "1 or 1000"),
        ("cpu_limit", "1.500m", "1.5m or 1500m", NO_SIGN),
        ("memory_limit", "1.000Mi", "1Mi or 1000Mi", "1Mi or 1000Mi"),
        ("memory_limit", "1,500 Gi", "1.5Gi or 1500Gi", "1.5Gi or 1500Gi"),
        ("memory_limit", "1.125Gi", "1.125Gi or 1125Gi", "1152Mi or 1125Gi"),
        ("memory_limit", "1.024Mi", "1.024Mi or 1024Mi", NO_SIGN),
        ("memory_limit", "1,000", "1 or 1000", NO_SIGN),
    ],
)
def test_what_regions_read_in_two_ways_is_refused_with_both(
    column: str, text: str, meant: str, offered: str
) -> None:
    with pytest.raises(CellError, match=f"may mean {meant}: a point or comma") as refused:
        rules.amount(column, text)
    assert finding(refused)[1] == offered


@pytest.mark.parametrize("text", ["0.125", "00.125", ".125", "1.25", "1.1250", "1000.125", "1000"])
def test_what_can_be_read_in_one_way_holds(text: str) -> None:
    assert rules.amount("cpu_limit", text) == Decimal(text)


def test_the_text_of_a_number_is_exact() -> None:
    assert rules.amount("cpu_limit", "1.125", is_exact=True) == Decimal("1.125")


UNITS = {
    **{word: Decimal(1) for word in ("", "c", "core", "cores", "cpu", "CPUs", "vCPU", "vcores")},
    **{word: Decimal("0.001") for word in ("m", "mcpu", "mCores", "millicore", "millicores")},
    **dict.fromkeys(("M", "u", "n", "Gi", "apples"), Decimal(0)),
}
BYTES = {
    **{f"{sign}{end}": Decimal(1024) ** power for power, sign in enumerate("KMGTPE", 1)
       for end in ("i", "iB", "I")},
    **{sign: Decimal(1000) ** power for power, sign in enumerate("kMGTPE", 1)},
    **{"ki": Decimal(1024), "mi": Decimal(2**20), "": Decimal(1)},
    **dict.fromkeys(("GB", "kB", "m", "K", "B", "g", "apples"), Decimal(0)),
}  # fmt: skip
"""What a unit people write stands for; 0 where nobody can know."""

NUMBERS = st.from_regex(r"\A[0-9]{0,6}([.,][0-9]{0,4}){0,2}\Z")


@given(NUMBERS, st.sampled_from(["", " ", "  "]), st.data())
def test_an_offered_amount_is_accepted_and_of_the_very_size(
    number: str, blank: str, data: st.DataObject
) -> None:
    column = data.draw(st.sampled_from(["cpu_request", "memory_limit"]))
    units = UNITS if column == "cpu_request" else BYTES
    unit = data.draw(st.sampled_from(sorted(units)))
    try:
        rules.amount(column, f"{number}{blank}{unit}")
    except CellError as error:
        ((message, offered),) = error.findings
    else:
        return
    if " " in offered.replace(" or ", ""):  # in words, which name no amount but examples
        assert "such as" in offered or offered == NO_SIGN or "a whole number of" in offered
        return
    said = {Decimal(number.replace(",", "."))}
    if "may mean" in message:
        said.add(Decimal(number.replace(",", "").replace(".", "")))
    sizes = {rules.amount(column, one) for one in filter(None, offered.split(" or "))}
    assert sizes in (set(), {amount * units[unit] for amount in said})


def test_an_amount_beyond_64_bits_is_refused() -> None:
    for column, text in (("cpu_limit", "9" * 20), ("memory_limit", "8Ei")):
        with pytest.raises(CellError, match="larger than"):
            rules.amount(column, text)


@given(st.integers(min_value=0, max_value=10**9))
def test_what_arm_writes_can_be_written_in_a_file(number: int) -> None:
    assert rules.amount("cpu_limit", format_cpu(Decimal(number) / 1000)) == Decimal(number) / 1000
    assert rules.amount("memory_limit", format_memory(Decimal(number * 1024))) == number * 1024


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_a_finding(text: str) -> None:
    for column in ("cpu_limit", "memory_limit"):
        with contextlib.suppress(CellError):
            assert rules.amount(column, text) >= 0


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("denyall", "DenyAll"),
        ("AllowSame", "AllowSameNamespace"),
        ("zzz", "AllowAll, AllowSameNamespace or DenyAll"),
    ],
)
def test_policies_are_spelled_exactly(word: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        rules.one_of(word, NetworkRule)
    assert finding(refused)[1] == offered
    assert rules.one_of("DenyAll", NetworkRule) is NetworkRule.DENY_ALL


@pytest.mark.parametrize("group", ["rg-platform", "RG_1.(x)", "Größe", "a" * 90])
def test_resource_groups_as_azure_names_them(group: str) -> None:
    assert rules.name("resource_group", group) == group


@pytest.mark.parametrize(
    ("group", "offered"),
    [("rg.", "rg"), ("/subscriptions/x/resourceGroups/rg", "the bare name, not an id")],
)
def test_other_resource_groups_are_refused(group: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        rules.name("resource_group", group)
    assert finding(refused)[1] == offered


@pytest.mark.parametrize("name", ["-aks", "aks.1", "a" * 64, "a/b"])
def test_other_cluster_names_are_refused(name: str) -> None:
    with pytest.raises(CellError, match="is not the name of a cluster"):
        rules.name("cluster_name", name)
    assert rules.name("cluster_name", "a" * 63) == "a" * 63


def test_a_subscription_is_named_by_its_id() -> None:
    guid = "00000000-0000-4000-8000-00000000a001"
    assert rules.name("subscription_id", guid) == guid
    with pytest.raises(CellError, match="is not a subscription id"):
        rules.name("subscription_id", "Production")


@pytest.mark.parametrize(
    "key", ["owner", "app.kubernetes.io/name", "a", "A_b.c-1", "x" * 63, f"{'a' * 253}/b"]
)
def test_keys_that_kubernetes_takes(key: str) -> None:
    assert list(rules.label_findings({key: None})) == []


@pytest.mark.parametrize(
    "key", ["", "-a", "a-", "a b", "x" * 64, "/a", "a/", "Upper.io/a", f"{'a' * 254}/b", "a/b/c"]
)
def test_keys_that_kubernetes_refuses(key: str) -> None:
    assert len(list(rules.annotation_findings({key: None}))) == 1


@pytest.mark.parametrize(
    "key", ["kubernetes.io/metadata.name", "kubernetes.azure.com/managedByArm"]
)
def test_keys_of_the_service_are_not_ours(key: str) -> None:
    ((message, _),) = rules.label_findings({key: None})
    assert "belongs to the service" in message


@pytest.mark.parametrize(
    ("value", "offered"),
    [("two words", "two-words"), ("Zürich", ""), ("-x", "x"), ("y" * 64, "y" * 63)],
)
def test_label_values_that_kubernetes_refuses(value: str, offered: str) -> None:
    ((_, suggestion),) = rules.label_findings({"key": value})
    assert suggestion == offered
    assert list(rules.label_findings({"key": "", "other": None})) == []


def test_tags_have_azures_limits() -> None:
    assert list(rules.tag_findings({"cost center": "any <text>", "n" * 512: "v" * 256})) == []
    assert len(list(rules.tag_findings({"n" * 513: "v" * 257}))) == 2
    assert len(list(rules.tag_findings({"": None}))) == 1
    for character in "<>%&\\?/":
        ((message, offered),) = rules.tag_findings({f"a{character}b": "v"})
        assert message.endswith(f"holds {character}")
        assert offered == "a-b"  # words of a key that run together would be another key


def offers(findings: Iterable[rules.Finding]) -> set[str]:
    return {offered for _, offered in findings if offered}


@given(st.text(max_size=80))
def test_an_offered_name_or_key_is_accepted(text: str) -> None:
    for column in ("namespace_name", "resource_group", "cluster_name"):
        with contextlib.suppress(CellError):
            rules.name(column, text)
            continue
        with pytest.raises(CellError) as refused:
            rules.name(column, text)
        for offered in offers(refused.value.findings) - {"the bare name, not an id"}:
            assert rules.name(column, offered) == offered
    for offered in offers(rules.label_findings({text: None})):
        assert not [*rules.label_findings({offered: None})]
    for offered in offers(rules.label_findings({"key": text})):
        assert not [*rules.label_findings({"key": offered})]
    for offered in offers(rules.tag_findings({text: "value"})):
        assert not [*rules.tag_findings({offered: "value"})]


def test_what_is_offered_keeps_the_whole_key_and_repeats_no_bad_sign() -> None:
    assert offers(rules.label_findings({"Team.io/Owner": "x"})) == {"team.io/Owner"}
    for key in ("team_a.io/owner", "Team_A.io/owner", f"{'A' * 254}/b", "Up.io/-b"):
        assert offers(rules.label_findings({key: "x"})) == set()
    with pytest.raises(CellError) as refused:
        rules.name("resource_group", "rg!platform")
    assert finding(refused)[1] == ""


def test_foreign_text_is_shown_short_and_without_control_characters() -> None:
    shown = rules.show("a\x1b[31m\n" + "b" * 100)
    assert len(shown) < 80
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["9" * 26 + "u", "9" * 200 + "n", "9" * 200 + "cores"])
def test_an_absurd_number_is_refused_in_its_cell(text: str) -> None:
    for column in ("cpu_limit", "memory_limit"):
        with pytest.raises(CellError, match="is not an amount"):
            rules.amount(column, text)


def test_every_message_is_told_somewhere_and_none_is_missing() -> None:
    room = Path(rules.__file__).parent
    source = "".join(path.read_text("utf-8") for path in sorted(room.glob("*.py")))
    messages = set(packaged("mnslib.requests", "messages"))
    assert set(re.findall(r'say\(\s*"(\w+)"', source)) <= messages
    assert {name for name in messages if f'"{name}"' not in source} == set()
