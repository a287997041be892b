"""``spark.read.format("hbase")``, on happybase, and the way back: batches of rows as mutations.

Options: ``host``, ``port``, ``table``, ``columns`` (JSON: column name to ``family:qualifier``), ``ranges`` (JSON: for
each Spark partition a list of ``[start, stop]`` row keys in hex, stop not included), ``batch_rows`` (asked for at a
time: so many of the largest rows that there may be fit into one call). The column ``row_key`` (binary) is the row's
key. Cells hold UTF-8 text, binary columns raw bytes; a missing cell is null, and a null is not written. HBase leaves
out a row that has none of the columns asked for: name one that all have.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json import dumps, loads

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from clickstream_assets.stores.hbase.client import SCANNED_PER_CALL, HBaseClient, Row, RowMutation

ROW_KEY = "row_key"


def options(
    host: str,
    port: int,
    table: str,
    columns: dict[str, str],
    ranges: Sequence[Sequence[tuple[bytes, bytes]]] = (),
    batch_rows: int = SCANNED_PER_CALL,
) -> dict[str, str]:
    """The options of a read, spelled as Spark wants them."""
    hexed = [[(start.hex(), stop.hex()) for start, stop in part] for part in ranges if part]
    where = {"host": host, "port": str(port), "table": table}
    return where | {"columns": dumps(columns), "ranges": dumps(hexed), "batch_rows": str(batch_rows)}


class HBaseDataSource(DataSource):
    @classmethod
    def name(cls) -> str:
        return "hbase"

    def reader(self, schema: StructType) -> DataSourceReader:
        return HBaseReader(schema, dict(self.options))


@dataclass
class KeyRanges(InputPartition):
    """What one Spark partition scans."""

    ranges: list[tuple[str, str]]


class HBaseReader(DataSourceReader):
    def __init__(self, schema: StructType, options: dict[str, str]) -> None:
        self._schema, self._options = schema, options

    def partitions(self) -> Sequence[InputPartition]:
        return [KeyRanges([tuple(pair) for pair in part]) for part in loads(self._options["ranges"])] or [KeyRanges([])]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, KeyRanges)
        schema = to_arrow_schema(self._schema)
        cells = loads(self._options["columns"])
        keys = [None if field.name == ROW_KEY else cells[field.name].encode() for field in schema]
        wanted = [key for key in keys if key is not None]
        table, batch_rows = self._options["table"], int(self._options["batch_rows"])
        with HBaseClient(self._options["host"], int(self._options["port"])) as hbase:
            for start, stop in partition.ranges:
                first, end = bytes.fromhex(start), bytes.fromhex(stop)
                for rows in hbase.scan_batches(table, first, end, wanted, batch_rows=batch_rows):
                    arrays = [_array(rows, key, field.type) for key, field in zip(keys, schema, strict=True)]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(rows: list[Row], key: bytes | None, kind: pa.DataType) -> pa.Array:
    values: list[bytes | None]
    if key is None:
        values = [row.row for row in rows]
    else:
        values = [cell.value if (cell := row.columns.get(key)) is not None else None for row in rows]
    array = pa.array(values, pa.binary())
    return array if pa.types.is_binary(kind) else array.cast(pa.string()).cast(kind)


def mutations(batch: pa.RecordBatch, cells: Mapping[str, bytes]) -> Iterator[RowMutation]:
    """What puts the rows of a batch into a table: ``cells`` has the cell of each column but ``row_key``."""
    keys = batch.column(ROW_KEY).to_pylist()
    names = [name for name in batch.schema.names if name != ROW_KEY]
    columns = [_values(batch.column(name)) for name in names]
    cell_names = [cells[name] for name in names]
    for key, *values in zip(keys, *columns, strict=True):
        yield RowMutation(
            bytes(key), {cell: value for cell, value in zip(cell_names, values, strict=True) if value is not None}
        )


def _values(array: pa.Array) -> list[bytes | None]:
    if not pa.types.is_binary(array.type) and not pa.types.is_large_binary(array.type):
        if pa.types.is_floating(array.type):
            # Arrow's own text of a double is short, Python's is exact both ways.
            return [None if value is None else repr(value).encode() for value in array.to_pylist()]
        array = array.cast(pa.string()).cast(pa.binary())
    return [None if value is None else bytes(value) for value in array.to_pylist()]
