"""Dagster's event log in one SQLite file, with connections that stay open.

Dagster's own class opens an engine and a connection for each statement. When the last connection closes, SQLite writes
its whole log (WAL) back into the file, and every commit waits for the disk: an event costs tens of milliseconds, and a
run records one for each of its hours and checks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from sqlite3 import Connection as SqliteConnection

import sqlalchemy as db
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS


class KeptSqliteEventLog(ConsolidatedSqliteEventLogStorage):
    """The same file and tables; ``dagster.yaml`` names this class.

    Only checkpoints wait for the disk. So a machine that loses power may lose the last seconds of the log, and no more;
    what is stored of clicks does not depend on it.
    """

    @cached_property
    def _engine(self) -> db.Engine:
        engine = db.create_engine(self._conn_string, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

        def relax(connection: SqliteConnection, _record: object) -> None:
            connection.execute("PRAGMA synchronous=NORMAL")

        db.event.listen(engine, "connect", relax)
        return engine

    @contextmanager
    def _connect(self) -> Iterator[db.Connection]:
        with self._engine.begin() as connection:
            yield connection

    @cached_property
    def _known_tables(self) -> set[str]:
        return set()

    def has_table(self, table_name: str) -> bool:
        """Whether a table exists; a table that does is asked for once."""
        if table_name not in self._known_tables and db.inspect(self._engine).has_table(table_name):
            self._known_tables.add(table_name)
        return table_name in self._known_tables

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()
