"""``clickstream dead-letters replay --here`` in a process that kills itself with SIGKILL behind one of its writes.

python -m clickstream_assets_tests.integration.killed_replay rows|ledger|touched
"""

import os
import signal
import sys

from clickstream_assets.books.hour_states import HourStates
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.cli.main import main
from clickstream_assets.stores.hbase.client import HBaseClient

mutate = HBaseClient.mutate


def kill(*arguments: object) -> None:
    """In the place of a write: die."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_if_letters_go(self: HBaseClient, table: str, rows) -> int:
    """In the place of a replay's last write: die."""
    rows = list(rows)
    if any(b"letter" in row.deletes for row in rows):
        kill()
    return mutate(self, table, rows)


NEXT_WRITE = {
    "rows": (Ledger, "write", kill),
    "ledger": (HourStates, "touch", kill),
    "touched": (HBaseClient, "mutate", kill_if_letters_go),
}
"""What a replay writes next behind each of the gaps."""


if __name__ == "__main__":
    setattr(*NEXT_WRITE[sys.argv[1]])
    main(["dead-letters", "replay", "--here"])
