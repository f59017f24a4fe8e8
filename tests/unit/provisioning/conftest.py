from __future__ import annotations

import pytest

from mnslib.provisioning.journal import Journal

from .factories import now


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal.jsonl", now=now)
