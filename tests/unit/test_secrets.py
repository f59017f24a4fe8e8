"""What looks like a secret is found and hidden; what names a thing is not."""

from __future__ import annotations

import base64

import pytest

from mnslib.errors import ArmError, KubeError
from mnslib.secrets import HIDDEN, hide_secrets, looks_secret, shown


def _random_text() -> str:
    """Return what a base64 key looks like, made so that it is none."""
    return "aB3xK9mQ2wE7rT5yU1iO8pA4sD6fG0hJzX3cV9bN2mL7kJ5h"


HEX = "7c1e04b952f07c1e04b952f07c1e04b9"
BASIC = base64.b64encode(b"deploy:hunter2").decode()


@pytest.mark.parametrize(
    "value",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMII",
        "eyJhbGciOiJSUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.sig",
        "Endpoint=sb://x;SharedAccess" + "Key=abcdefgh12345678",
        "https://x.blob.example/?sv=1&" + "sig=abcdefgh12345678",
        "abc8Q~" + "A" * 34,
        _random_text(),
        {"labels": {"a": [_random_text() + "=="]}},
        {"client_secret": "hunter2hunter2"},
        {"POSTGRES_PASSWORD": "hunter2hunter2"},
        {"labels": {"dbPassword": "hunter2hunter2"}},
        "gh" + "p_" + "aB3x" * 9,
        "AK" + "IA" + "Q3EGRI7V" * 2,
        "AZURE_CLIENT_" + "SECRET=hunter2hunter2",
        '{"password": "hunter2hunter2"}',
        {"password": "hunter2"},
        {"token": "x"},
        {"token": "none-of-yours"},
        {"token": "$ECRET-hunter2"},
        {"DB_PWD": "a1"},
        "labels: pass" + "word=hunter2;team=crm",
        '{"api_key": "k"}',
        "pass" + "word: hunter2",
        "https://deploy:" + "hunter2@git.example.com/crm",
        "https://hunter2hunter2" + ":@git.example.com/crm",
        "DefaultEndpointsProtocol=https;Account" + "Key=abcdefgh12345678==",
        "Ocp-Apim-Subscription-" + f"Key: {HEX}",
        {"annotations": {"openai-" + "key": HEX.upper()}},
        '{"key1": "' + HEX + '"}',
        "Authorization: Basic " + BASIC,
        "curl -H 'authorization: basic " + BASIC + "' ...",
    ],
)
def test_secrets_are_found(value: object) -> None:
    assert looks_secret(value)


@pytest.mark.parametrize(
    "value",
    [
        "sha256:7c1e04b952f07c1e04b952f07c1e04b952f07c1e04b952f07c1e04b952f07c1e",
        "7c1e04b952f07c1e04b952f07c1e04b952f07c1e04b952f07c1e04b952f07c1e",
        "00000000-0000-4000-8000-00000000a001",
        "/subscriptions/00000000-0000-4000-8000-00000000a001/resourceGroups/rg-platform/providers"
        "/Microsoft.ContainerService/managedClusters/aks-prod-weu-1",
        "parameters/requests/2026/PaymentsLedgerQuotaRequest2026-11-PlatformTeamNorth.csv",
        "a" * 63,
        "group:00000000-0000-4000-9000-000000000001=Azure Kubernetes Service RBAC Writer",
        "https://amw-prod.westeurope.prometheus.monitor.azure.com",
        "https://git.example.com:8443/team@crm/docs",
        {"token-budget": "large", "cost-center": "4711"},
        {"password": "", "token": "${CRM_TOKEN}", "secret": "<name of it>", "pwd": "$DB_PWD"},
        {"password": "@Microsoft.KeyVault(SecretUri=x)", "client_secret": "env:SECRET"},
        {"sig": "storage", "bypassword": "x", "secret-name": "crm", "secret": "none"},
        "The access token: expired at noon. used: secrets=5",
        ["adoption", "foreign-owner"],
        50,
        HEX,
        {"checksum": HEX, "cache-key": HEX, "key": HEX, "revision": f"main@{HEX}"},
        {"account-key": "00000000-0000-4000-8000-00000000a001", "key1": f"{HEX}{HEX}"},
        {"plan": "Basic networks", "tier": "basic PlatformTeam2026", "sku": "Basic B1abcd=="},
    ],
)
def test_digests_ids_and_paths_are_no_secrets(value: object) -> None:
    assert not looks_secret(value)


def test_a_value_is_judged_with_its_name() -> None:
    assert shown("password", "hunter2hunter2") == HIDDEN
    assert shown("annotations[password]", "hunter2hunter2") == HIDDEN
    assert shown("labels[team]", "hunter2hunter2") == "hunter2hunter2"


def test_only_the_secret_part_of_a_sentence_is_hidden() -> None:
    text = "The annotation https://deploy:" + "hunter2@git.example.com is too long."
    assert hide_secrets(text) == f"The annotation https{HIDDEN}git.example.com is too long."


def test_a_key_without_a_name_is_hidden_in_a_sentence_and_an_id_is_not() -> None:
    where = "/subscriptions/00000000-0000-4000-8000-00000000a001/resourceGroups/rg-platform"
    text = f"The value '{_random_text()}==' of {where} is not allowed, digest sha256:{HEX}{HEX}."
    assert hide_secrets(text) == text.replace(f"{_random_text()}==", HIDDEN)


def test_only_what_signs_in_is_hidden_of_a_basic_header() -> None:
    text = f"Basic networks refuse Authorization: Basic {BASIC} here"
    assert hide_secrets(text) == f"Basic networks refuse Authorization: {HIDDEN} here"


@pytest.mark.parametrize("error", [ArmError, KubeError])
def test_a_secret_in_a_services_answer_is_in_no_error(error: type[Exception]) -> None:
    said = str(error("refused: Authorization: Bearer abcdefghij0123456789xyz"))
    assert said == f"refused: Authorization: {HIDDEN}"
    assert "hunter" not in str(error("see https://me:hunter2@host/path"))


def test_hiding_twice_hides_once() -> None:
    once = hide_secrets("password=hunter2 and token: abc123")
    assert once == f"{HIDDEN} and {HIDDEN}"
    assert hide_secrets(once) == once
