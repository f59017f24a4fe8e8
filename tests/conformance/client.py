"""The Azure CLI as a foreign client: a folder of settings per identity; nothing gets out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 120  # one call takes 1 to 3 s on two quiet cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one call of `az` left behind."""

    rc: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.rc == 0, self.err
        return json.loads(self.out)


class Az:
    """Calls `az` as one of the sandbox's identities; each is signed in on its first call."""

    def __init__(self, program: str, connection: dict[str, Any], home: Path, proxy: str) -> None:
        self.program, self.connection, self.home, self.proxy = program, connection, home, proxy
        self._fresh = home / "fresh"
        self._lock = threading.Lock()
        register = ["cloud", "register", "-n", "Emulator"]
        register += ["--endpoint-resource-manager", connection["arm_endpoint"]]
        for words in (register, ["cloud", "set", "-n", "Emulator"]):
            done = self._run(self._fresh, words)
            assert done.rc == 0, done.err

    def __call__(self, identity: str, line: str, *words: str) -> Result:
        """Run one command; `line` is split as a shell would, `words` are taken as they are."""
        return self._run(self._signed_in(identity), [*shlex.split(line), *words])

    def together(self, identity: str, lines: Iterable[str]) -> list[Result]:
        """Run commands that do not depend on each other, two at a time; results in order."""
        self._signed_in(identity)
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda line: self(identity, line), lines))

    def login(self, identity: str, folder: Path, **changes: str) -> Result:
        """Sign in with a folder of one's own."""
        who = self.connection["identities"][identity] | changes
        shutil.copytree(self._fresh, folder, dirs_exist_ok=True)
        line = "login --service-principal"
        words = ["-u", who["client_id"], "-p", who["client_secret"]]
        words += ["--tenant", who.get("tenant_id", self.connection["tenant_id"])]
        words += ["--allow-no-subscriptions"]
        return self._run(folder, [*line.split(), *words])

    def object_id(self, identity: str) -> str:
        return str(self.connection["identities"][identity]["object_id"])

    def _signed_in(self, identity: str) -> Path:
        folder = self.home / identity
        with self._lock:
            if not folder.exists():
                done = self.login(identity, folder)
                assert done.rc == 0, done.err
        return folder

    def _run(self, folder: Path, words: list[str]) -> Result:
        done = subprocess.run(
            [self.program, *words],
            env=self._environment(folder),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Result(rc=done.returncode, out=done.stdout, err=done.stderr)

    def _environment(self, folder: Path) -> dict[str, str]:
        """Return the settings that let `az` speak to another cloud, and to nobody else."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "AZURE_CONFIG_DIR": str(folder),
            "AZURE_EXTENSION_DIR": str(folder / "ext"),
            "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_SURVEY_MESSAGE": "no",
            "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_ONLY_SHOW_ERRORS": "yes",
            "REQUESTS_CA_BUNDLE": self.connection["ca_file"],
            "HTTPS_PROXY": self.proxy,
            "HTTP_PROXY": self.proxy,
            "NO_PROXY": "localhost,127.0.0.1",
        }
