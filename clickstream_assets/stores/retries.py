"""The one retry policy: how long a lost server is waited for, everywhere."""

import logging
from collections.abc import Callable

from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_delay, wait_exponential_jitter

PATIENCE_SECONDS = 60
"""A server that is away for longer fails the step that needs it; the next run begins again."""

_log = logging.getLogger("clickstream_assets")


def retrying(is_passing: Callable[[BaseException], bool], patience_seconds: float = PATIENCE_SECONDS) -> Retrying:
    """Retry while ``is_passing(error)``, with growing pauses, for ``patience_seconds``; then raise what it was."""
    return Retrying(
        stop=stop_after_delay(patience_seconds),
        wait=wait_exponential_jitter(multiplier=0.2, max=5),
        retry=retry_if_exception(is_passing),
        before_sleep=before_sleep_log(_log, logging.WARNING),
        reraise=True,
    )
