"""The errors of failed runs, for the terminal that ``clickstream run`` goes on in."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clickstream_assets.events.shown_text import printable

if TYPE_CHECKING:
    from dagster import DagsterInstance, EventLogRecord

_LINES = 5
_LINE_LENGTH = 400


class FailedRuns:
    """Tells of each run that has failed since this was made, once."""

    def __init__(
        self, instance: "DagsterInstance", link: str, say: Callable[[str], None], look_seconds: float = 2.0
    ) -> None:
        """``link`` is the webserver's address, without a slash at its end."""
        from dagster import DagsterEventType

        self._instance, self._link, self._say = instance, link, say
        newest = instance.fetch_run_status_changes(DagsterEventType.RUN_FAILURE, limit=1).records
        self._told = newest[0].storage_id if newest else 0
        self._look_seconds, self._next_look = look_seconds, 0.0

    def tell(self) -> None:
        """Tell of those that have failed by now. Looks every ``look_seconds``, however often it is called."""
        from sqlalchemy.exc import OperationalError

        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._look_seconds
        try:
            self._tell()
        except OperationalError:  # SQLite is locked by whoever writes: the next look comes soon
            return

    def _tell(self) -> None:
        from dagster import DagsterEventType, RunStatusChangeRecordsFilter

        behind = RunStatusChangeRecordsFilter(DagsterEventType.RUN_FAILURE, after_storage_id=self._told)
        for record in self._instance.fetch_run_status_changes(behind, limit=20, ascending=True).records:
            self._say(self._words(record))
            self._told = record.storage_id

    def _words(self, record: "EventLogRecord") -> str:
        from clickstream_assets.orchestration.run_failure import cause

        reason = cause(self._instance, record.run_id) or record.event_log_entry.user_message
        lines = [printable(line[:_LINE_LENGTH]) for line in reason.splitlines() if line.strip()][:_LINES]
        first = f"Run {record.run_id} of {record.event_log_entry.job_name} failed: {lines[0] if lines else ''}"
        return "\n  ".join([first, *lines[1:], f"{self._link}/runs/{record.run_id}"])
