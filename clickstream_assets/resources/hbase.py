"""HBase: connections to the Thrift server, and the tables."""

from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.domain.table_schemas import TABLES, Table, families

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import DataFrame, SparkSession

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

    def read(
        self,
        spark: "SparkSession",
        table: Table,
        columns: "Sequence[str]" = (),
        ranges: "Iterable[Sequence[tuple[bytes, bytes]]]" = (),
    ) -> "DataFrame":
        """Columns (all by default) of a table's rows in some key ranges, and ``row_key``; see the source ``hbase``."""
        rows = spark.read.format("hbase").schema(table.spark_schema(*columns))
        return rows.options(**self._source_options(table, columns, ranges)).load()

    def write(self, rows: "DataFrame", table: Table, columns: "Sequence[str]" = ()) -> None:
        """Put columns (all by default) of rows into a table, by their ``row_key``."""
        rows.write.format("hbase").options(**self._source_options(table, columns)).mode("append").save()

    def _source_options(
        self, table: Table, columns: "Sequence[str]", ranges: "Iterable[Sequence[tuple[bytes, bytes]]]" = ()
    ) -> dict[str, str]:
        from clickstream_assets.spark_sources.hbase import options

        return options(self.host, self.port, self.table(table.name), table.cell_of(*columns), list(ranges))
