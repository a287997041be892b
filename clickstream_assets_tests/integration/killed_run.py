"""One sensor tick and its run, in a process that kills itself with SIGKILL behind one of ingestion's writes.

python -m clickstream_assets_tests.integration.killed_run rows|touched|ledger RECORD
"""

import os
import signal
import sys
from pathlib import Path

from clickstream_assets.books.hour_states import HourStates
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.ingest.ingestion import Ingestion
from clickstream_assets.settings import settings
from clickstream_assets_tests.integration.pipeline import Pipeline


def kill(*arguments: object) -> None:
    """In the place of a write: die, unless there is nothing to write (the sensor touches no hour, and says so)."""
    if any(arguments[1:]):
        os.kill(os.getpid(), signal.SIGKILL)


NEXT_WRITE = {"rows": (HourStates, "touch"), "touched": (Ledger, "write"), "ledger": (Ingestion, "_commit")}
"""What ingestion writes next behind each of the gaps."""


if __name__ == "__main__":
    gap, record = sys.argv[1:]
    setattr(*NEXT_WRITE[gap], kill)
    Pipeline(settings(), settings().name_prefix.removesuffix("-"), Path(record)).tick()
