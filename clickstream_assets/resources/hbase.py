"""HBase: connections to the Thrift server, and the tables."""

from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.domain.table_schemas import TABLES, Table, families

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clickstream_assets.clients.hbase import HBaseClient


class HBaseResource(dg.ConfigurableResource):
    """The Thrift server's address, the prefix of table names, and the TTL of personal data."""

    host: str
    port: int
    name_prefix: str = ""
    request_data_ttl_days: int = 30

    def table(self, name: str) -> str:
        """The table that the contract calls ``name``."""
        return self.name_prefix + name

    def client(self) -> "HBaseClient":
        """A connection, to be closed by the caller."""
        from clickstream_assets.clients.hbase import HBaseClient

        return HBaseClient(self.host, self.port)

    def ensure_tables(self) -> None:
        """Make the tables that are missing."""
        with self.client() as hbase:
            there = hbase.tables()
            for table in TABLES:
                name = self.table(table.name)
                if name not in there:
                    hbase.create_table(name, families(table, self.request_data_ttl_days))

    def source_options(
        self, table: Table, columns: "Sequence[str]" = (), ranges: "Iterable[Sequence[tuple[bytes, bytes]]]" = ()
    ) -> dict[str, str]:
        """Options of the Spark source ``hbase`` for columns (all by default) and key ranges of a table."""
        from clickstream_assets.spark_sources.hbase import options

        return options(self.host, self.port, self.table(table.name), table.cell_of(*columns), list(ranges))
