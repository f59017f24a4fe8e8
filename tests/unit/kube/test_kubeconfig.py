"""Kubeconfigs: one namespace's own names, no secret, and merges that touch nothing else."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import SoftFileLock

from mnslib.errors import ConfigError, KubeError
from mnslib.kube.kubeconfig import (
    exec_credential_json,
    namespace_kubeconfig,
    read_server,
)
from mnslib.run.handover import merge_into

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KUBELOGIN_ARGS = [
    "get-token", "--environment", "AzurePublicCloud", "--server-id", "server", "--client-id",
    "client", "--tenant-id", "tenant", "--login", "devicecode",
]  # fmt: skip
FOREIGN = """\
# mine
apiVersion: v1
kind: Config
preferences: {}
users:
- name: old
  user:
    token: 0123
    extra: 1e3
contexts:
- name: old
  context: {cluster: old, user: old, namespace: "yes"}
clusters:
- name: old
  cluster: {server: "https://old.example"}
current-context: old
x-own: [b, a]
"""


def make_kubeconfig(
    *, server: str = "https://aks-1.example:443", user: dict[str, Any] | None = None
) -> str:
    """Return a kubeconfig as `listCredential` gives it."""
    signed_in = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": KUBELOGIN_ARGS,
        "env": None,
        "provideClusterInfo": False,
    }
    data = base64.b64encode(PEM.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "aks-1",
        "clusters": [
            {"name": "aks-1", "cluster": {"certificate-authority-data": data, "server": server}}
        ],
        "contexts": [{"name": "aks-1", "context": {"cluster": "aks-1", "user": "clusterUser"}}],
        "users": [{"name": "clusterUser", "user": user or {"exec": signed_in}}],
    }
    return yaml.safe_dump(document)


def make_own(namespace: str = "web", *, server: str = "https://aks-1.example:443") -> str:
    return namespace_kubeconfig(
        make_kubeconfig(server=server), cluster_name="aks-1", namespace_name=namespace
    )


def test_the_access_of_a_cluster_is_read() -> None:
    assert read_server(make_kubeconfig()) == ("https://aks-1.example:443", PEM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("hello", "is no kubeconfig"),
        ("kind: List", "is no kubeconfig"),
        ("kind: Config", "names no cluster"),
        ("kind: Config\nclusters: [7]", "names no cluster"),
        (make_kubeconfig(server="http://plain.example"), "no https server"),
        ("kind: Config\nclusters: [{name: a, cluster: {server: 'https://x'}}]", "no https server"),
        (
            "kind: Config\nclusters: [{name: a, cluster: {certificate-authority-data: '!'}}]",
            "holds no certificate",
        ),
    ],
)
def test_an_answer_that_is_no_access_is_refused(text: str, message: str) -> None:
    with pytest.raises(KubeError, match=message):
        read_server(text)


def test_a_namespaces_kubeconfig_has_names_of_its_own_and_the_namespace_set() -> None:
    own = yaml.safe_load(make_own())
    assert own["current-context"] == "aks-1-web"
    assert own["contexts"] == [
        {
            "name": "aks-1-web",
            "context": {"cluster": "aks-1-web", "user": "aks-1-web", "namespace": "web"},
        }
    ]
    assert own["clusters"][0]["name"] == "aks-1-web"
    assert own["clusters"][0]["cluster"]["server"] == "https://aks-1.example:443"
    assert own["users"][0]["name"] == "aks-1-web"


def sign_in(**options: Any) -> dict[str, Any]:
    text = namespace_kubeconfig(
        make_kubeconfig(), cluster_name="aks-1", namespace_name="web", **options
    )
    found: dict[str, Any] = yaml.safe_load(text)["users"][0]["user"]["exec"]
    return found


def test_a_team_needs_mns_and_nothing_of_the_machine_it_was_made_on() -> None:
    asked = sign_in(cloud="usgov")
    assert asked.pop("installHint").startswith("mns fetches your token. Install mnslib")
    assert asked == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "mns",
        "args": ["token", "--cloud", "usgov"],
        "env": None,
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }


def test_that_of_a_sandbox_is_for_this_installation_and_says_so() -> None:
    asked = sign_in(sandbox_environment={"MNS_SANDBOX": "connection.json"}, login="kubelogin")
    assert asked["command"] == sys.executable
    assert asked["args"] == ["-m", "mnslib", "token", "--target", "sandbox"]
    assert asked["env"] == [{"name": "MNS_SANDBOX", "value": "connection.json"}]
    assert "only on the machine that it was made on" in asked["installHint"]


def test_kubelogin_signs_in_as_whoever_uses_it() -> None:
    asked = sign_in(login="kubelogin")
    assert asked["command"] == "kubelogin"
    assert "az aks install-cli" in asked["installHint"]
    assert asked["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert asked["args"] == [
        "get-token", "--environment", "AzurePublicCloud", "--server-id", "server",
        "--tenant-id", "tenant", "--login", "azurecli",
    ]  # fmt: skip


def test_another_login_is_refused() -> None:
    with pytest.raises(ConfigError, match="write one of mns, kubelogin"):
        sign_in(login="gcloud")


def test_kubelogin_without_arguments_gets_those_it_needs() -> None:
    text = namespace_kubeconfig(
        make_kubeconfig(user={"exec": {"command": "kubelogin"}}),
        cluster_name="aks-1",
        namespace_name="web",
        login="kubelogin",
    )
    asked = yaml.safe_load(text)["users"][0]["user"]["exec"]
    assert (asked["command"], asked["args"]) == ("kubelogin", ["get-token", "--login", "azurecli"])


def test_a_certificate_is_a_secret_and_is_not_written() -> None:
    certificate = {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}
    with pytest.raises(KubeError, match="has no Entra sign-in") as caught:
        namespace_kubeconfig(
            make_kubeconfig(user=certificate), cluster_name="aks-1", namespace_name="web"
        )
    assert "S0VZ" not in str(caught.value)


def test_a_token_is_printed_as_kubectl_expects_it() -> None:
    assert json.loads(exec_credential_json("t0ken", 1_800_000_000)) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t0ken", "expirationTimestamp": "2027-01-15T08:00:00Z"},
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def merge(path: Path, text: str) -> None:
    """Merge a kubeconfig into a file, as the hand-over does; the pack lies in a folder apart."""
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "kubeconfig"
        pack.write_text(text)
        merge_into(str(path), pack)


def test_merging_into_nothing_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    merge(path, make_own())
    assert path.read_text() == make_own()
    assert mode(path) == 0o600


def test_merging_touches_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN)
    merge(path, make_own())
    merged = path.read_text()
    before = yaml.load(FOREIGN, yaml.BaseLoader)
    after = yaml.load(merged, yaml.BaseLoader)
    assert list(after) == list(before)
    assert after["current-context"] == "old"
    assert after["x-own"] == ["b", "a"]
    for section in ("users", "contexts", "clusters"):
        assert after[section][0] == before[section][0]
        assert [entry["name"] for entry in after[section]] == ["old", "aks-1-web"]
    assert merged.startswith("# mine\napiVersion: v1\n")
    assert "token: 0123\n" in merged
    assert 'namespace: "yes"' in merged
    assert mode(path) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["config"]


def test_a_text_stays_one_that_looks_like_a_number_but_for_its_tag(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("kind: Config\nusers: [{name: old, user: {token: !!str 123}}]\n")
    merge(path, make_own())
    assert yaml.safe_load(path.read_text())["users"][0]["user"]["token"] == "123"


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(FOREIGN)
    merge(path, make_own())
    first = path.read_text()
    merge(path, make_own())
    assert path.read_text() == first


def test_two_namespaces_of_a_cluster_live_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "config"
    for namespace in ("web", "data"):
        merge(path, make_own(namespace))
    document = yaml.safe_load(path.read_text())
    assert [c["context"]["namespace"] for c in document["contexts"]] == ["web", "data"]
    assert document["current-context"] == "aks-1-web"


def test_empty_parts_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text('kind: Config\nclusters: null\ncurrent-context: ""\n')
    merge(path, make_own())
    document = yaml.safe_load(path.read_text())
    assert document["current-context"] == "aks-1-web"
    assert [entry["name"] for entry in document["clusters"]] == ["aks-1-web"]


def test_an_entry_for_another_server_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path, make_own())
    with pytest.raises(ConfigError, match=r"another server \(https://aks-1\.example:443\)"):
        merge(path, make_own(server="https://other.example:443"))
    assert path.read_text() == make_own()


AS_KUBECTL_READS = {
    "empty preferences": "apiVersion: v1\nkind: Config\npreferences: {}\n",
    "a user without a name": (
        "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers:\n- user: {token: abc}\n"
    ),
    "no kind": "apiVersion: v1\npreferences: {}\n",
    "no version either": '{"clusters": [{"name": "j", "cluster": {"server": "https://j"}}]}',
    "an empty kind": 'kind: ""\nusers: [{name: a, user: {token: "1"}}]\ncurrent-context: a\n',
    "a comment only": "# mine\n",
    "nothing in braces": "{}",
    "a mark at its beginning": "\ufeffkind: Config\nusers: [{name: bom, user: {token: '1'}}]\n",
}


@pytest.mark.parametrize("text", AS_KUBECTL_READS.values(), ids=AS_KUBECTL_READS)
def test_what_kubectl_reads_is_merged_as_it_merges(tmp_path: Path, text: str) -> None:
    path, before, pack = (tmp_path / name for name in ("config", "before", "pack"))
    for file, content in ((path, text), (before, text), (pack, make_own())):
        file.write_text(content, encoding="utf-8")
    merge(path, make_own())
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (document["apiVersion"], document["kind"]) == ("v1", "Config")
    assert document["contexts"][-1]["name"] == "aks-1-web"
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is absent: only our own reading was tried")

    def view(*files: Path) -> str:
        environment = os.environ | {"KUBECONFIG": os.pathsep.join(map(str, files))}
        command = ["kubectl", "config", "view", "--raw"]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert view(path) == view(before, pack)


def test_two_entries_of_a_name_are_left_to_whoever_wrote_them(tmp_path: Path) -> None:
    path, text = tmp_path / "config", "kind: Config\nusers: [{user: {token: a}}, {name: ''}]\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="two of its users are without a name: kubectl reads"):
        merge(path, make_own())
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "shopping: list\n",
        "- a\n",
        "a: [",
        "just text",
        "kind: Pod\n",
        "kind: Config\napiVersion: v2\n",
        "kind: Config\nusers: []\nusers: [{name: a}]\n",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no kubeconfig and is left as it is"):
        merge(path, make_own())
    assert path.read_text() == text


def test_what_a_section_holds_that_is_no_list_is_not_lost(tmp_path: Path) -> None:
    path, text = tmp_path / "config", "kind: Config\nusers: {me: {token: t}}\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="its users are no list"):
        merge(path, make_own())
    assert path.read_text() == text


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path, text = tmp_path / "config", "kind: Config\nclusters: [{name: [a], cluster: {}}]\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="its clusters are no list of entries"):
        merge(path, make_own())
    assert path.read_text() == text


def test_a_user_of_that_name_for_something_else_keeps_its_credential(tmp_path: Path) -> None:
    path, text = tmp_path / "config", "kind: Config\nusers: [{name: aks-1-web, user: {token: t}}]\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="has a user aks-1-web of something else"):
        merge(path, make_own())
    assert path.read_text() == text


def test_what_cannot_be_read_is_refused_as_a_mistake_of_whoever_named_it(tmp_path: Path) -> None:
    binary, folder, circle = (tmp_path / name for name in ("binary", "folder", "circle"))
    binary.write_bytes(b"\xff\xfe\x00")
    folder.mkdir()
    circle.symlink_to(circle)
    for path in (binary, folder, circle, binary / "config"):
        with pytest.raises(ConfigError, match=str(path)):
            merge(path, make_own())
    assert binary.read_bytes() == b"\xff\xfe\x00"


def test_kubectls_lock_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnslib.run.handover.LOCK_SECONDS", 0.05)
    path = tmp_path / "config"
    path.write_text(FOREIGN)
    with SoftFileLock(f"{path}.lock"), pytest.raises(ConfigError, match="is locked by another"):
        merge(path, make_own())
    assert path.read_text() == FOREIGN


def test_a_link_stays_a_link_and_its_file_gets_the_entry(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "config", tmp_path / "config"
    real.write_text(FOREIGN)
    link.symlink_to(real)
    merge(link, make_own())
    assert link.is_symlink()
    assert "aks-1-web" in real.read_text()
