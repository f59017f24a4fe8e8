"""What one value may be, and what is offered instead."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.models import NetworkRule
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
        ("!!", ""),
    ],
)
def test_another_name_is_refused_with_the_nearest(name: str, offered: str) -> None:
    with pytest.raises(CellError, match="is not a namespace name") as refused:
        rules.name("namespace_name", name)
    assert finding(refused)[1] == offered


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
        ("0.0005", "1m"),
        ("0.0004", "1m"),
        ("1.2345", "1234m"),
        ("0.5m", "1m"),
        ("0,5", "0.5"),
        ("500M", "500m"),
        ("500 m", "500m"),
        ("2 cores", "2"),
        ("2vCPU", "2"),
        ("2000000u", "2000m"),
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
        ("1G", "954Mi for that amount, or 1Gi"),
        ("512M", "489Mi for that amount, or 512Mi"),
        ("1073741824", "1Gi"),
        ("4", "4Gi or 4Mi"),
        ("512m", "512Mi"),
        ("1GB", "1Gi"),
        ("512mi", "512Mi"),
        ("0,5Gi", "0.5Gi"),
        ("1 Gi", "1Gi"),
        ("1.5Ki", "2Ki"),
        ("0.1Ki", "1Ki"),
        ("0.3Gi", "314573Ki"),
        ("lots", "a number with a unit, such as 512Mi or 2Gi"),
        ("5 apples", "a number with a unit, such as 512Mi or 2Gi"),
    ],
)
def test_other_memory_is_refused_with_what_to_write(text: str, offered: str) -> None:
    with pytest.raises(CellError) as refused:
        rules.amount("memory_limit", text)
    assert finding(refused)[1] == offered


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
    ("value", "offered"), [("two words", "two-words"), ("-x", "x"), ("y" * 64, "y" * 63)]
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
        assert offered == "'ab'"


def test_foreign_text_is_shown_short_and_without_control_characters() -> None:
    shown = rules.show("a\x1b[31m\n" + "b" * 100)
    assert len(shown) < 80
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["9" * 26 + "u", "9" * 200 + "n", "9" * 200 + "cores"])
def test_an_absurd_number_is_refused_in_its_cell(text: str) -> None:
    for column in ("cpu_limit", "memory_limit"):
        with pytest.raises(CellError, match="is not an amount"):
            rules.amount(column, text)
