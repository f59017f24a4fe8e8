"""No token, client secret or kubeconfig content in anything a run leaves behind."""

from __future__ import annotations

import base64
import os
import re
import shutil
from pathlib import Path

from .conftest import ROOT

TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
KUBECONFIG = ("certificate-authority-data", "client-certificate-data", "client-key-data")


def test_no_file_under_runs_holds_a_secret(run_notebook, analyzed, provisioned, sandbox, tmp_path):
    name = f"e2e-secrets-{os.getpid()}"
    try:
        assert run_notebook("20", namespace_name=name).code == 0
    finally:
        shutil.rmtree(ROOT / "handover/aks-prod-weu-2" / name, ignore_errors=True)
    assert provisioned.first.code == 0
    connection = sandbox.connection
    secrets = [who["client_secret"] for who in connection["identities"].values()]
    secrets.append(connection["control_token"])
    ca = base64.b64encode(Path(connection["ca_file"]).read_bytes()).decode()
    secrets.append(ca[40:120])
    left = (tmp_path / "runs", analyzed.directory.parent, provisioned.first.directory.parent)
    files = [path for runs in left for path in runs.rglob("*") if path.is_file()]
    assert {"notebook.ipynb", "report.html", "result.json", "plan.json", "journal.jsonl"} <= {
        path.name for path in files
    }
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
        assert not TOKEN.search(text), path
        assert not [word for word in KUBECONFIG if word in text], path


def test_a_parameter_that_looks_like_a_secret_is_refused_and_written_nowhere(
    run_notebook, tmp_path
):
    secret = "AbC8Q~" + "x1Y2z3W4" * 4 + "ab"
    done = run_notebook("30", request_file=f"client_secret={secret}")
    assert done.code == 6
    assert "looks like a secret" in done.output
    left = [p.read_text(errors="replace") for p in (tmp_path / "runs").rglob("*") if p.is_file()]
    assert left
    assert not [text for text in left if secret in text]
    assert secret not in done.output
