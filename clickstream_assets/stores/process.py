"""What a process does once, before it works on a pipeline: importing alone changes nothing."""

import gc
import os
import select
import signal
import threading
from functools import cache

NEW_OBJECTS = 100_000
"""So many more objects than before are worth a look of Python's collector of cyclic garbage."""
MARK = "CLICKSTREAM_STACK_ID"
"""Environment variable that every process below a stack inherits: the stack's process id, ``-``, an id of its own."""


@cache
def prepare_process() -> None:
    """Keep Python's collector of garbage from looking through every answer, and end with the stack that runs it."""
    collect_rarely()
    _end_with_the_stack()


def collect_rarely() -> None:
    """Have this process look for cyclic garbage when it has :data:`NEW_OBJECTS` more objects, not 700 as by default.

    An answer of a scan is tens of thousands of objects in one list: none is garbage while it is read, none is in a
    cycle, and all of them are gone with the list. Looking through them was most of the time it took to read them.
    """
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def _end_with_the_stack() -> None:
    """Kill this process as soon as the stack below which it runs has died, by whatever signal; else do nothing.

    The kernel ties only children to the stack's life, and Dagster's runs are grandchildren: one that outlived it would
    go on writing, to the servers of the next.
    """
    mark = os.environ.get(MARK)
    if mark is None:
        return
    try:
        stack = os.pidfd_open(int(mark.partition("-")[0]))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    threading.Thread(target=_die_after, args=(stack,), name="lifeline", daemon=True).start()


def _die_after(process: int) -> None:
    select.select([process], [], [])
    os.kill(os.getpid(), signal.SIGKILL)
