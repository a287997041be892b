"""Work beside watching, with real signals and no servers."""

import os
import signal
import threading
import time

import pytest

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.watching import beside

pytestmark = pytest.mark.slow


def _signal_soon(number, seconds=0.3):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.start()
    return timer


def test_the_work_is_done_in_another_thread_and_watched_from_this_one():
    watchers, workers = [], []

    def work(_):
        workers.append(threading.current_thread())
        time.sleep(0.6)
        return 17

    assert beside(lambda: watchers.append(threading.current_thread()), work) == 17
    assert len(watchers) >= 2
    assert set(watchers) == {threading.current_thread()}
    assert workers != [threading.current_thread()]


def test_an_error_of_the_work_is_raised():
    def work(_):
        raise ValueError("no such message")

    with pytest.raises(ValueError, match="no such message"):
        beside(lambda: None, work)


def test_a_death_that_the_work_noticed_first_is_the_better_reason():
    died = threading.Event()

    def watch():
        if died.is_set():
            raise StackError("kafka ended by SIGKILL.")

    def work(_):
        died.set()
        raise ValueError("nobody answers")

    with pytest.raises(StackError, match="kafka ended"):
        beside(watch, work)


def test_a_death_ends_it_at_once_however_long_the_work_would_take():
    begun, stopped = time.monotonic(), []

    def watch():
        if time.monotonic() - begun > 0.3:
            raise StackError("kafka ended by SIGKILL.")

    def work(stop):
        stopped.append(stop)
        time.sleep(20)

    with pytest.raises(StackError):
        beside(watch, work, finish_seconds=20)
    assert time.monotonic() - begun < 5
    assert stopped[0].is_set()


def _works_on(seconds, ends):
    def work(stop):
        stop.wait()
        time.sleep(seconds)
        ends.append("confirmed")

    return work


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_lets_the_work_come_to_its_end_and_says_so(number, error, monkeypatch):
    def end(*_):
        raise error

    before = signal.signal(number, end)
    ends = []
    try:
        _signal_soon(number)
        with pytest.raises(error):
            beside(lambda: None, _works_on(0.6, ends), finish_seconds=10, waiting=lambda: ends.append("waiting"))
    finally:
        signal.signal(number, before)
    assert ends == ["waiting", "confirmed"]


def test_a_signal_waits_for_nothing_where_the_work_is_of_no_more_use():
    begun, ends = time.monotonic(), []
    _signal_soon(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        beside(lambda: None, _works_on(20, ends))
    assert time.monotonic() - begun < 5
    assert ends == []


def test_a_second_ctrl_c_does_not_wait_for_the_work():
    begun, ends = time.monotonic(), []
    _signal_soon(signal.SIGINT)
    _signal_soon(signal.SIGINT, 1.5)
    with pytest.raises(KeyboardInterrupt):
        beside(lambda: None, _works_on(20, ends), finish_seconds=20)
    assert 1 < time.monotonic() - begun < 6
    assert ends == []
