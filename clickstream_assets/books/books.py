"""The books of a pipeline on one connection: what was read, how far each hour is, how far event time has come."""

from dataclasses import dataclass

from clickstream_assets.books import table_schemas
from clickstream_assets.books.day_states import DayStates
from clickstream_assets.books.hour_states import HourStates
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.log_cuts import Cuts
from clickstream_assets.books.watermarks import Watermarks
from clickstream_assets.stores.hbase.client import HBaseClient


@dataclass(frozen=True, slots=True)
class TableNames:
    """The HBase tables of one pipeline."""

    clicks: str
    dead_letters: str
    ledger: str
    metrics: str
    blocks: str
    daily: str

    @classmethod
    def of(cls, prefix: str = "") -> "TableNames":
        """The tables that the contract names, behind a prefix."""
        return cls(*(prefix + table.name for table in table_schemas.TABLES))


class Books:
    """Ledger, states of hours and days, watermarks, cuts, and the connection that they and the tables are read by."""

    def __init__(self, hbase: HBaseClient, tables: TableNames) -> None:
        self.hbase, self.tables = hbase, tables
        self.ledger = Ledger(hbase, tables.ledger)
        self.hours = HourStates(hbase, tables.ledger)
        self.days = DayStates(hbase, tables.ledger)
        self.watermarks = Watermarks(hbase, tables.ledger)
        self.cuts = Cuts(hbase, tables.ledger)
