"""HBase: connections to the Thrift server, and the tables."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.books.table_schemas import TABLES, families
from clickstream_assets.stores.process import prepare_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickstream_assets.books.books import Books
    from clickstream_assets.books.misfits import Misfit
    from clickstream_assets.stores.hbase.client import HBaseClient
    from clickstream_assets.stores.hbase.new_tables import NewTable


class HBaseResource(dg.ConfigurableResource):
    """The Thrift server's address, the prefix of table names, and the TTL of personal data.

    Tables are split into regions only where ZooKeeper's address is known, with the folder of the Java client's jars.
    """

    host: str
    port: int
    name_prefix: str = ""
    request_data_ttl_days: int = 30
    zookeeper: str = ""
    jars: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """All that runs and ticks do begins with HBase."""
        prepare_process()

    @contextmanager
    def books(self) -> "Iterator[Books]":
        """The books, on a connection that ends with the block; makes tables that are missing, once a minute at most."""
        from clickstream_assets.books.books import Books, TableNames

        self.ensure_tables()
        with self.client() as hbase:
            yield Books(hbase, TableNames.of(self.name_prefix))

    def client(self) -> "HBaseClient":
        """A connection, to be closed by the caller."""
        from clickstream_assets.stores.hbase.client import HBaseClient

        return HBaseClient(self.host, self.port)

    def new_tables(self) -> "list[NewTable]":
        from clickstream_assets.stores.hbase.new_tables import NewTable

        prefix, ttl_days = self.name_prefix, self.request_data_ttl_days
        return [NewTable(prefix + table.name, families(table, ttl_days), table.split_keys) for table in TABLES]

    def misfits(self) -> "list[Misfit]":
        from clickstream_assets.books.misfits import table_misfits

        with self.client() as hbase:
            return table_misfits(hbase, self.new_tables(), hbase.tables())

    def ensure_tables(self) -> None:
        """Make the tables that are missing.

        Raises ``StoresUnfit`` if one that is there cannot be worked with, and ``TablesNotMade`` with what to do if
        ZooKeeper is set and they can't be made by way of it.
        """
        from clickstream_assets.stores.preflight import is_good, now_good, require_fit

        require_fit(self)
        if is_good(tables_of_this := f"tables of {self!r}"):
            return
        with self.client() as hbase:
            existing = hbase.tables()
            missing = [table for table in self.new_tables() if table.name not in existing]
            if self.zookeeper and missing:
                self._create_split(missing, hbase)
                missing = []
            for table in missing:
                hbase.create_table(table.name, table.families)
                if table.split_keys:
                    dg.get_dagster_logger().warning(
                        f"The table {table.name} was made with one region, where {len(table.split_keys) + 1} would "
                        "share its load: set CLICKSTREAM_HBASE_ZOOKEEPER, or make it beforehand with the statements "
                        "that `clickstream tables` prints."
                    )
            now_good(tables_of_this)

    def _create_split(self, tables: "Sequence[NewTable]", hbase: "HBaseClient") -> None:
        from clickstream_assets.stores.hbase.new_tables import TablesNotMade, create_tables
        from clickstream_assets.stores.java import java_binary

        try:
            create_tables(tables, zookeeper=self.zookeeper, jars=Path(self.jars), java=java_binary())
        except TablesNotMade as error:
            raise TablesNotMade(
                f"{error}. Correct CLICKSTREAM_HBASE_ZOOKEEPER and CLICKSTREAM_HBASE_JARS (`clickstream stack up` "
                "fetches the jars), or make the tables in HBase's shell with what `clickstream tables` prints."
            ) from error
        if not {table.name for table in tables} <= hbase.tables():
            raise TablesNotMade(
                f"the HBase of CLICKSTREAM_HBASE_ZOOKEEPER ({self.zookeeper}) is not the one that Thrift at "
                f"{self.host}:{self.port} serves: the tables were made there, and are not here. Correct either address."
            )
