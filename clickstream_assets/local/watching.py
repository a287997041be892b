"""Work in one thread, and an eye on the processes that it needs in another."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")

LOOK_SECONDS = 0.25
CONFIRM_SECONDS = 15.0
"""How long Kafka has, behind a signal, to confirm what it was handed."""


def beside(
    watch: Callable[[], None],
    work: Callable[[threading.Event], Result],
    *,
    finish_seconds: float = 0.0,
    waiting: Callable[[], None] = lambda: None,
) -> Result:
    """What ``work`` returns or raises. It runs in a thread of its own, while ``watch`` is called again and again here.

    Here, because the kernel ties the life of what ``watch`` starts to this thread, and signals arrive in it. Whatever
    ``watch`` raises, and Ctrl-C, sets the event that ``work`` was given and is raised; behind a signal the work has
    ``finish_seconds`` to come to an end first; if it takes more than a moment of them, ``waiting`` is called.
    Where the work fails, a process that it needed may have died: what ``watch`` raises then is the better reason.
    """
    stop = threading.Event()
    outcome: Future[Result] = Future()
    threading.Thread(target=_settle, args=(outcome, work, stop), name="beside", daemon=True).start()
    try:
        while not outcome.done():
            watch()
            wait([outcome], LOOK_SECONDS)
    except (KeyboardInterrupt, SystemExit):
        stop.set()
        if finish_seconds and wait([outcome], LOOK_SECONDS).not_done:
            waiting()
            deadline = time.monotonic() + finish_seconds
            while not outcome.done() and time.monotonic() < deadline:
                watch()
                wait([outcome], LOOK_SECONDS)
        raise
    finally:
        stop.set()
    if outcome.exception():
        time.sleep(LOOK_SECONDS)  # a process that dies closes its port first
        watch()
    return outcome.result()


def _settle(outcome: "Future[Result]", work: Callable[[threading.Event], Result], stop: threading.Event) -> None:
    try:
        outcome.set_result(work(stop))
    except BaseException as error:  # noqa: BLE001  # raised again by whoever waits for it
        outcome.set_exception(error)
