"""A shell that acts as somebody on the sandbox: `mns`, a real kubectl, and az where it is."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from .conftest import ROOT

ADA, ADAS_NAME = "00000000-0000-4000-9100-000000000001", "ada.fischer@contoso.example"
BEN = "00000000-0000-4000-9100-000000000002"
CONTEXT = "--context aks-prod-weu-1"
PAYMENTS = "00000000-0000-4000-9000-000000000001"


@pytest.fixture
def shell(environment, tmp_path):
    """Runs lines of a shell, whose home is empty, as somebody."""

    def run(identity, lines, **more):
        mns = f"{shlex.quote(sys.executable)} -m mnslib"
        script = (
            f'mns() {{ {mns} "$@"; }}\neval "$(mns sandbox env --as {shlex.quote(identity)})"\n'
        )
        done = subprocess.run(
            ["sh", "-c", script + lines],
            env={**environment, "HOME": str(tmp_path), **more},
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert not [one for one in tmp_path.iterdir() if one.name in (".azure", ".kube/config")]
        return done

    return run


def who(token):
    claims = jwt.decode(json.loads(token)["status"]["token"], options={"verify_signature": False})
    return claims["oid"]


def test_kubectl_of_that_shell_is_somebody_of_the_team(shell, sandbox):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is absent")
    done = shell(
        ADAS_NAME,
        f"kubectl auth whoami -o json {CONTEXT}\n"
        f"kubectl get pods -n payments-api -o name {CONTEXT} | wc -l >&2\n"
        f"kubectl get pods -n web-checkout {CONTEXT}",
    )
    told = json.loads(done.stdout)["status"]["userInfo"]
    assert (told["username"], PAYMENTS in told["groups"]) == (ADA, True)
    assert f"This shell acts as User Ada Fischer ({ADA})" in done.stderr
    assert "\n24\n" in done.stderr
    assert f'User "{ADA}" cannot list resource "pods"' in done.stderr
    assert done.returncode == 1


def test_settings_lie_beside_the_sandbox_and_for_each_identity(shell, sandbox_file):
    folder = Path(sandbox_file).parent / "as"
    variables = "MNS_SANDBOX MNS_SANDBOX_IDENTITY KUBECONFIG AZURE_CONFIG_DIR REQUESTS_CA_BUNDLE"
    lines = "\n".join(f'echo "${name}"' for name in variables.split())
    for identity, name in (("reader", "reader"), (ADAS_NAME, ADA)):
        done = shell(identity, lines)
        assert done.stdout.splitlines()[:4] == [
            str(sandbox_file),
            name,
            str(folder / name / "kubeconfig"),
            str(folder / name / "azure"),
        ]
    text = (folder / ADA / "kubeconfig").read_text(encoding="utf-8")
    assert "token:" not in text
    assert (folder / ADA / "kubeconfig").stat().st_mode & 0o077 == 0


def test_a_token_is_of_whom_it_is_asked_for_and_of_nobody_else(shell, mns, sandbox):
    own = {name: one["object_id"] for name, one in sandbox.connection["identities"].items()}
    asked = "mns token --target sandbox"
    done = shell(
        ADAS_NAME, f"{asked}; {asked} --as reader; {asked} --as ben.okafor@contoso.example"
    )
    assert [who(line) for line in done.stdout.splitlines()] == [ADA, own["reader"], BEN]
    for name in ("nobody@contoso.example", "grp-payments", "grp-reporting"):
        refused = mns("token", "--target", "sandbox", "--as", name)
        assert (refused.returncode, refused.stdout) == (6, "")
        assert "Nobody was signed in on the sandbox: " in refused.stderr
    gone = shell("admin", f"MNS_SANDBOX_IDENTITY=gone {asked}")
    assert (gone.returncode, gone.stdout) == (6, "")
    refused = mns("token", "--as", "reader")
    assert refused.returncode == 6
    assert "--as is for the sandbox" in refused.stderr


def test_a_group_is_no_shell_and_says_who_is_in_it(shell):
    done = shell("grp-identity", 'echo "$MNS_SANDBOX_IDENTITY"')
    assert done.stdout.strip() == ""
    assert "in it are: app-namespace-user, Ben Okafor" in done.stderr


def test_a_run_acts_as_it_too(shell, sandbox):
    file = shlex.quote(str(ROOT / "parameters" / "20_onboard_namespace.sandbox.yaml"))
    done = shell("reader", f"mns run 20 -f {file} --runs runs -p dry_run=true -p access=[]")
    assert done.returncode in (0, 4), done.stderr
    callers = {one["identity"] for one in sandbox.requests() if one["surface"] == "arm"}
    assert callers == {"reader"}


def test_az_of_that_shell_is_signed_in_as_it(shell, sandbox):
    az = os.environ.get("MNS_AZ") or str(ROOT / ".venv-az" / "bin" / "az")
    if not Path(az).exists():
        pytest.skip("az is absent: make conformance installs it, or MNS_AZ names one")
    path = f"{Path(az).parent}:{os.environ['PATH']}"
    done = shell(
        ADAS_NAME,
        "az aks namespace list --query '[].name' -o json --only-show-errors; "
        "az account show --query user.name -o tsv",
        PATH=path,
    )
    assert done.returncode == 0, done.stderr
    *listed, user = done.stdout.strip().splitlines()
    assert user == ADA
    assert sorted(json.loads("".join(listed))) == [
        "aks-prod-weu-1/payments-api",
        "aks-prod-weu-1/payments-ledger",
    ]
