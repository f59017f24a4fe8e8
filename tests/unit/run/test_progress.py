"""How far an apply is, in a log and in a notebook."""

from __future__ import annotations

from dataclasses import replace

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mnslib.provisioning.apply import Progress
from mnslib.run import progress
from mnslib.run.progress import apply_progress, watched


def at(seconds: float, done: int, *, total: int = 10, failed: int = 0) -> Progress:
    return Progress(
        total=total,
        done=done,
        running=min(1, total - done),
        waiting=max(0, total - done - 1),
        failed=failed,
        elapsed_seconds=seconds,
        rate_per_second=0.8 if done < total else 0.0,
        left_seconds=(total - done) / 0.8,
    )


def test_a_log_gets_a_line_now_and_then_and_always_the_last_one(capsys) -> None:
    show = apply_progress()
    for seconds, done in ((0.0, 0), (0.5, 1), (1.0, 2), (2.5, 2), (3.0, 2), (3.5, 10)):
        show(at(seconds, done))
    assert capsys.readouterr().err.splitlines() == [
        "0 of 10 done, 1 running, 9 waiting, 0 failed",
        "2 of 10 done, 1 running, 7 waiting, 0 failed; 0.8 a second, about 10 s left",
        "10 of 10 done, 0 running, 0 waiting, 0 failed",
    ]


def test_what_a_stop_left_out_is_not_called_done(capsys) -> None:
    show = apply_progress()
    show(at(0.0, 0, total=300))
    stopped = replace(at(1.0, 40, total=300), running=0, waiting=0, not_attempted=260)
    for _ in range(2):
        show(stopped)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "40 of 300 done, 0 running, 0 waiting, 0 failed, 260 not attempted",
    ]


def test_a_stop_is_told_at_once(capsys) -> None:
    show = apply_progress()
    show(at(0.0, 0))
    for seconds in (0.5, 0.6):
        show(replace(at(seconds, 1), stops_in_minutes=12))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "1 of 10 done, 1 running, 8 waiting, 0 failed; stopping, for 12 min at most"
    ]


def test_nothing_left_is_said_in_words(capsys) -> None:
    apply_progress()(at(0.0, 0, total=0))
    assert capsys.readouterr().err == "Nothing was left to do.\n"


@pytest.fixture
def screen():
    """A notebook's output, kept as the messages that made it."""
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)
    shell.kernel = None
    shell.display_pub = CapturingDisplayPublisher()
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()


def test_a_notebook_gets_one_bar_that_moves(screen) -> None:
    show = apply_progress()
    for seconds, done in ((0.0, 0), (0.5, 0), (3.0, 5)):
        show(at(seconds, done))
    first, *updates = screen
    assert [message["update"] for message in screen] == [False, True, True]
    assert {message["transient"]["display_id"] for message in updates} == {
        first["transient"]["display_id"]
    }
    last = updates[-1]["data"]["text/html"]
    assert '<progress value="5" max="10"' in last
    assert "5 of 10 done, 1 running, 4 waiting, 0 failed; 0.8 a second, about 6 s left" in last


@pytest.mark.parametrize("seconds", [0.0, 2.5])
def test_reading_many_clusters_tells_how_far_it_is_where_it_takes_long(
    capsys, monkeypatch, seconds
) -> None:
    moment = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moment) * seconds)
    assert list(watched(iter("abcd"), 4)) == ["a", "b", "c", "d"]
    said = capsys.readouterr().err.splitlines()
    assert said[-1:] == ["4 of 4 clusters read"] * bool(seconds)
    assert len(said) <= 4
