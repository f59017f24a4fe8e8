import threading
import time

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import AzureCliCredential, ManagedIdentityCredential

from mnslib.azure.clouds import CLOUDS
from mnslib.azure.credentials import Tokens, make_credential, sandbox_credential
from mnslib.errors import ArmUnreachableError, AuthError, ConfigError

SCOPE = "https://management.azure.com/.default"


@pytest.fixture
def tokens(credential):
    return Tokens(credential, authority_host="https://login.example", now=lambda: 0.0)


def test_24_cold_threads_sign_in_once(tokens, credential):
    barrier, seen = threading.Barrier(24), []

    def ask():
        barrier.wait()
        seen.append(tokens.get(SCOPE).token)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(credential.calls) == 1
    assert len(set(seen)) == 1


def test_each_scope_has_its_own_token(tokens, credential):
    tokens.get(SCOPE)
    tokens.get("other/.default")
    assert [scope for scope, _ in credential.calls] == [SCOPE, "other/.default"]


def test_a_token_about_to_end_is_renewed(credential):
    credential.lifetime, moment = 3600, [0.0]
    tokens = Tokens(credential, authority_host="", now=lambda: moment[0])
    first = tokens.get(SCOPE).token
    moment[0] = 3200
    assert tokens.get(SCOPE).token == first
    moment[0] = 3301
    assert tokens.get(SCOPE).token != first


def test_threads_refused_with_the_same_token_renew_it_once(tokens, credential):
    refused = tokens.get(SCOPE).token
    renewed = {tokens.renew(SCOPE, refused=refused, claims=None).token for _ in range(8)}
    assert len(renewed) == 1
    assert refused not in renewed
    assert len(credential.calls) == 2
    assert "nbf" in credential.calls[1][1]  # or the credential would answer from its cache


def test_no_token_names_the_credential_and_how_to_choose_another(credential, tokens):
    credential.error = ClientAuthenticationError(message="AADSTS7000215: Invalid client secret.")
    with pytest.raises(AuthError) as caught:
        tokens.get(SCOPE)
    text = str(caught.value)
    assert "FakeCredential" in text
    assert "AADSTS7000215" in text
    assert "`credential`" in text
    assert "managed-identity" in text


CHAIN = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Visit https://a.example
Visit https://a.example/more
\tAzureCliCredential: {cli}
To mitigate this issue, please refer to https://b.example."""


@pytest.mark.parametrize(
    ("cli", "cause"),
    [
        ("Azure CLI not found on path", "none of the 2 ways to sign in is set up on this machine."),
        ("AADSTS70043: The token expired.", "AzureCliCredential: AADSTS70043: The token expired."),
    ],
)
def test_of_a_chain_that_gave_no_token_only_the_cause_is_said(credential, tokens, cli, cause):
    credential.error = ClientAuthenticationError(message=CHAIN.format(cli=cli))
    with pytest.raises(AuthError) as caught:
        tokens.get(SCOPE)
    text = str(caught.value)
    assert text.startswith("Not signed in: FakeCredential got no token for")
    assert f": {cause} Run `az login`" in text
    assert "EnvironmentCredential:" not in text
    assert "EnvironmentCredential:" in str(caught.value.__cause__)  # the notebook has it all


def test_an_unreachable_sign_in_is_not_a_refused_one(credential, tokens):
    credential.error = ServiceRequestError("Failed to resolve: Name or service not known")
    with pytest.raises(ArmUnreachableError, match=r"https://login\.example.*could not be resolved"):
        tokens.get(SCOPE)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'certificate'.*default, environment"):
        make_credential("certificate", cloud=CLOUDS["public"])


def test_workload_identity_without_its_environment_says_so(monkeypatch):
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    with pytest.raises(AuthError, match=r"workload-identity.*`credential`"):
        make_credential("workload-identity", cloud=CLOUDS["public"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cli", AzureCliCredential), ("managed-identity", ManagedIdentityCredential)],
)
def test_the_kind_asked_for_is_the_kind_made(kind, expected):
    assert isinstance(make_credential(kind, cloud=CLOUDS["public"]), expected)


def test_the_sandbox_knows_its_identities():
    with pytest.raises(ConfigError, match=r"'root'.*admin"):
        sandbox_credential({"identities": {"admin": {}}}, identity="root")


def test_tokens_end_by_the_wall_clock(credential):
    credential.lifetime = time.time() + 3600
    tokens = Tokens(credential, authority_host="")
    assert tokens.get(SCOPE) is tokens.get(SCOPE)
