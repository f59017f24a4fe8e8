"""The journal on a disk that is full for a while."""

from __future__ import annotations

import resource
import signal

import pytest

from mnslib.errors import ConfigError
from mnslib.provisioning.journal import Journal, read_events

from .factories import now


@pytest.fixture
def room():
    """Limit how large a file of this process may grow; None for no limit."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(
        resource.RLIMIT_FSIZE, (soft if size is None else size, hard)
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_line_that_a_full_disk_cut_off_leaves_a_journal_that_can_be_read(tmp_path, room):
    journal = Journal(tmp_path / "journal.jsonl", now=now)
    journal.write("plan", items=[])
    room(journal.path.stat().st_size + 50)
    with pytest.raises(OSError, match="too large"):
        journal.write("started", before="x" * 100)
    room(None)
    journal.write("finished", outcome="created")
    events, is_torn = read_events(journal.path)
    assert [event["event"] for event in events] == ["plan", "finished"]
    assert not is_torn


@pytest.mark.parametrize("line", ["5", "null", "[]", "{}", "{", "[" * 100_000])
def test_a_line_that_is_no_event_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"event": "plan"}}\n{line}\n{{"event": "end"}}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2: no event of a journal"):
        read_events(path)
