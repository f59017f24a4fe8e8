"""Who gets in, and in which form the others are refused."""

from __future__ import annotations

import time

import jwt
import pytest

from mnslib.sandbox.runtime import Runtime
from mnslib.sandbox.server import open_state
from mnslib.sandbox.tokens import Verifier
from mnslib.sandbox.wire import Call
from tests.sandbox.client import AKS_SERVER_ID, PROMETHEUS, Client, cluster_id
from tests.sandbox.in_process import ORIGIN, Clock, bearer


def test_token_names_tenant_object_and_audience_for_an_hour(sandbox: Client) -> None:
    claims = jwt.decode(sandbox.token(AKS_SERVER_ID), options={"verify_signature": False})
    who = sandbox.connection["identities"]["admin"]
    assert (claims["aud"], claims["oid"], claims["appid"]) == (
        AKS_SERVER_ID,
        who["object_id"],
        who["client_id"],
    )
    assert claims["tid"] == sandbox.connection["tenant_id"]
    assert claims["exp"] - claims["iat"] == 3600


def test_token_is_signed_with_the_published_key(sandbox: Client) -> None:
    base = f"{sandbox.connection['authority_host']}/{sandbox.connection['tenant_id']}"
    found = sandbox.session.get(f"{base}/v2.0/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(sandbox.session.get(found["jwks_uri"]).json())
    token = sandbox.token(PROMETHEUS)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience=PROMETHEUS, issuer=found["issuer"]
    )
    assert claims["aud"] == PROMETHEUS


def test_wrong_secret_is_refused_as_entra_does(sandbox: Client) -> None:
    answer = sandbox.sign_in(AKS_SERVER_ID, client_secret="wrong")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.json()["error_description"].startswith("AADSTS7000215: Invalid client secret")


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"client_id": "00000000-0000-4000-b000-00000000ffff"}, "unauthorized_client", 700016),
        ({"grant_type": "password"}, "unsupported_grant_type", 70003),
        ({"scope": "https://elsewhere.example/.default"}, "invalid_resource", 500011),
        ({"scope": AKS_SERVER_ID}, "invalid_scope", 1002012),
        ({"scope": ""}, "invalid_request", 900144),
    ],
)
def test_other_sign_in_mistakes(
    sandbox: Client, changes: dict[str, str], error: str, number: int
) -> None:
    answer = sandbox.sign_in(AKS_SERVER_ID, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_codes"] == [number]


@pytest.mark.parametrize(
    "audience",
    ["{}", "{}/", "{}//", "https://management.azure.com/", "https://management.core.windows.net/"],
)
def test_every_spelling_of_arms_audience_opens_arm(sandbox: Client, audience: str) -> None:
    endpoint = sandbox.connection["arm_endpoint"]
    url = f"{endpoint}{cluster_id()}?api-version=2026-08-01"
    assert sandbox.call("GET", url, audience.format(endpoint)).status_code == 200


def test_all_four_identities_get_in(sandbox: Client) -> None:
    for identity in ("admin", "contributor", "namespace_user", "reader"):
        client = Client(sandbox.connection, identity)
        assert client.arm("GET", "/subscriptions", version="2022-12-01").status_code == 200
        client.session.close()
    seen = [entry["identity"] for entry in sandbox.control("GET", "requests").json()["value"]]
    assert {"admin", "contributor", "namespace_user", "reader"} <= set(seen)


def test_a_token_for_another_audience_is_refused_in_the_form_of_each_surface(
    sandbox: Client,
) -> None:
    c = sandbox.connection
    arm = sandbox.call("GET", f"{c['arm_endpoint']}{cluster_id()}?api-version=x", PROMETHEUS)
    kube = sandbox.call("GET", f"{c['clusters'][0]['kubernetes_endpoint']}/api", PROMETHEUS)
    metrics = sandbox.call("GET", f"{c['prometheus_endpoint']}/api/v1/query_range", AKS_SERVER_ID)
    control = sandbox.call("GET", f"{c['control_endpoint']}/health", AKS_SERVER_ID)
    assert [a.status_code for a in (arm, kube, metrics, control)] == [401] * 4
    assert arm.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert (kube.json()["kind"], kube.json()["reason"]) == ("Status", "Unauthorized")
    assert metrics.json()["status"] == "error"


def test_no_token_and_nonsense_are_refused(sandbox: Client) -> None:
    url = f"{sandbox.connection['arm_endpoint']}{cluster_id()}?api-version=2026-08-01"
    assert sandbox.session.get(url).json()["error"]["code"] == "AuthenticationFailed"
    answer = sandbox.session.get(url, headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401


OTHER_TENANT = "00000000-0000-4000-8000-000000000002"


@pytest.mark.parametrize("surface", ["arm", "graph", "kubernetes", "prometheus"])
def test_a_token_of_another_tenant_opens_nothing(sandbox: Client, surface: str) -> None:
    c = sandbox.connection
    where = {
        "arm": (c["arm_endpoint"], f"{c['arm_endpoint']}/subscriptions?api-version=2022-12-01"),
        "graph": (c["graph_endpoint"], f"{c['graph_endpoint']}/v1.0/users"),
        "kubernetes": (AKS_SERVER_ID, f"{c['clusters'][0]['kubernetes_endpoint']}/version"),
        "prometheus": (PROMETHEUS, f"{c['prometheus_endpoint']}/api/v1/query_range"),
    }
    audience, url = where[surface]
    stranger = Client(c | {"tenant_id": OTHER_TENANT})
    answer = stranger.call("GET", url, audience)
    stranger.session.close()
    assert answer.status_code == 401
    if surface == "arm":
        error = answer.json()["error"]
        assert error["code"] == "InvalidAuthenticationTokenTenant"
        assert f"wrong issuer 'https://sts.windows.net/{OTHER_TENANT}/'" in error["message"]
        assert c["tenant_id"] in answer.headers["WWW-Authenticate"]


def test_a_tenant_that_does_not_exist_is_named(sandbox: Client) -> None:
    nowhere = "00000000-0000-4000-8000-00000000dead"
    url = f"{sandbox.connection['authority_host']}/{nowhere}/v2.0/.well-known/openid-configuration"
    body = sandbox.session.get(url).json()
    assert (body["error"], body["error_codes"]) == ("invalid_tenant", [90002])
    assert body["error_description"].startswith(f"AADSTS90002: Tenant '{nowhere}' not found.")


def test_graphs_tokens_do_not_open_arm_nor_arms_graph(sandbox: Client) -> None:
    arm, graph = sandbox.connection["arm_endpoint"], sandbox.connection["graph_endpoint"]
    url = f"{arm}/subscriptions?api-version=2022-12-01"
    assert sandbox.call("GET", url, f"{graph}/").status_code == 401
    assert sandbox.call("GET", f"{graph}/v1.0/users", f"{arm}/").status_code == 401


def test_cli_asks_with_two_slashes_and_claims(sandbox: Client) -> None:
    """The CLI's audience ends in a slash, and it announces that it understands challenges."""
    claims = '{"access_token":{"xms_cc":{"values":["CP1"]}}}'
    audience = f"{sandbox.connection['arm_endpoint']}/"
    answer = sandbox.sign_in(audience, client_info="1", claims=claims)
    assert answer.status_code == 200
    token = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert token["aud"] == audience


def test_no_host_header_makes_a_token_open_another_surface(sandbox: Client) -> None:
    endpoint = sandbox.connection["arm_endpoint"]
    headers = {"Authorization": f"Bearer {sandbox.token(f'{endpoint}/graph')}"}
    headers["Host"] = f"{endpoint.removeprefix('https://')}/graph"
    url = f"{endpoint}{cluster_id()}?api-version=2026-08-01"
    assert sandbox.session.get(url, headers=headers).status_code == 401


def test_a_token_that_was_good_once_still_expires() -> None:
    state, clock = open_state(":memory:", world="default", latency="fast"), Clock()
    clock.time = time.time()
    verifier = Verifier(state, clock=clock)
    call = Call(
        state=state,
        runtime=Runtime(state),
        method="GET",
        origin=ORIGIN,
        path="/",
        raw_query="",
        query={},
        headers={},
        body=b"",
    )
    token = bearer(state, "reader", "arm")
    assert verifier.identity(token, "arm", call) == "reader"
    clock.time += 3601
    assert verifier.identity(token, "arm", call) is None
    state.close()
