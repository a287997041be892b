"""Python's collector of cyclic garbage, which is to leave a process alone that makes rows by the million."""

import gc

NEW_OBJECTS = 100_000
"""So many more objects than before are worth a look."""


def collect_rarely() -> None:
    """Have this process look for cyclic garbage when it has :data:`NEW_OBJECTS` more objects, not 700 as by default.

    An answer of a scan is tens of thousands of objects in one list: none is garbage while it is read, none is in a
    cycle, and all of them are gone with the list. Looking through them was most of the time it took to read them.
    """
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
