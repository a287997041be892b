"""For processes that a child of the stack starts: the kernel ties only children to the stack's life."""

import os
import select
import signal
import threading

MARK = "CLICKSTREAM_STACK_ID"
"""Environment variable that every process below a stack inherits: the stack's process id, ``-``, an id of its own."""


def end_with_the_stack() -> None:
    """Kill this process as soon as the stack below which it runs has died, by whatever signal; else do nothing.

    Dagster's runs are grandchildren of the stack: one that outlived it would go on writing, to the servers of the next.
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
