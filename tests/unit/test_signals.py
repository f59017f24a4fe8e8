"""Waits on threads end when whoever waits for them is interrupted."""

import threading
import time

import pytest

from mnslib.errors import ConfigError
from mnslib.run.parameters import refused_values
from mnslib.signals import Readers, end_pauses, pause, stop_seconds


def test_a_pause_ends_by_itself_or_when_it_is_ended():
    assert pause(0.001) is False
    cut = []
    thread = threading.Thread(target=lambda: cut.append(pause(600)))
    thread.start()
    while not cut:  # it may not have begun to wait
        end_pauses()
        time.sleep(0.001)
    thread.join()
    assert cut == [True]


def test_a_process_that_is_told_to_end_waits_for_little():
    end_pauses(0.001)
    assert pause(600) is True
    assert pause(0.0001) is False
    end_pauses()
    assert pause(0.002) is False


def test_an_interrupt_waits_for_no_reader():
    released, cut, readers = threading.Event(), [], Readers(2)
    hanging = readers.submit(released.wait, 600)
    waiting = readers.submit(lambda: cut.append(pause(600)))
    never = [readers.submit(cut.append, "never") for _ in range(3)]
    readers.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not hanging.done()
    assert all(future.cancelled() for future in never)
    released.set()
    while not waiting.done():  # it may not have begun to wait
        end_pauses()
        time.sleep(0.001)
    assert cut == [True]


def test_without_one_everything_is_waited_for():
    done = []
    with Readers(2) as readers:
        readers.map(done.append, range(5))
    assert sorted(done) == list(range(5))


@pytest.mark.parametrize("text", ["30s", "1.5", "-1", "0", "nan", "9" * 400, "٣٠"])
def test_a_time_that_is_no_number_is_refused_before_anything_begins(monkeypatch, text):
    monkeypatch.setenv("MNS_STOP_SECONDS", text)
    with pytest.raises(ConfigError, match=r"MNS_STOP_SECONDS is .*: write whole seconds"):
        stop_seconds()
    assert [*refused_values({})] == ["MNS_STOP_SECONDS"]


@pytest.mark.parametrize(("text", "seconds"), [("", 900), (" 30 ", 30), ("5", 5)])
def test_a_time_to_end_is_taken_as_it_is_said(monkeypatch, text, seconds):
    monkeypatch.setenv("MNS_STOP_SECONDS", text)
    assert stop_seconds() == seconds
    assert refused_values({}) == {}
