"""What a process does once, before it works on a pipeline: importing alone changes nothing."""

from functools import cache


@cache
def prepare_process() -> None:
    """Keep Python's collector of garbage from looking through every answer, and end with the stack that runs it."""
    from clickstream_assets.stores.garbage import collect_rarely
    from clickstream_assets.stores.lifeline import end_with_the_stack

    collect_rarely()
    end_with_the_stack()
