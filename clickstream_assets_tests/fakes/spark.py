"""What the steps ask of a Spark session, on Arrow tables in this process; tasks may run more than once.

Not faked: processes of workers, executors that die, Spark's own SQL beyond what the steps use.
"""

import pickle
import re
import zlib

import pyarrow as pa
import pyarrow.compute as pc

_TYPES = {
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "byte": pa.int8(),
    "int": pa.int32(),
    "long": pa.int64(),
    "string": pa.string(),
}


def _schema(ddl):
    return pa.schema([(name, _TYPES[kind]) for name, kind in (field.split() for field in ddl.split(","))])


class TaskLost(Exception):
    """An executor is gone: its task runs once more."""


class FakeSpark:
    """A session whose tasks each run ``attempts`` times: the last one's answer counts."""

    def __init__(self, attempts=1):
        self.attempts = attempts
        self.jobs = 0

    def range(self, start, end, step=1, partitions=None):
        assert (start, step) == (0, 1)
        assert partitions in (None, end)
        self.jobs += 1
        return Frame(self, [pa.table({"id": pa.array([at], pa.int64())}) for at in range(end)])


class Frame:
    def __init__(self, spark, parts):
        self.spark, self.parts = spark, parts

    def mapInArrow(self, function, schema):
        fields = _schema(schema)

        def attempt(part):
            while True:
                try:
                    return list(function(iter(part.to_batches(max_chunksize=3))))
                except TaskLost:
                    continue

        def task(part):
            for _ in range(self.spark.attempts):
                batches = attempt(part)
            return pa.Table.from_batches(batches, fields)

        return Frame(self.spark, [task(part) for part in self.parts])

    def selectExpr(self, expression):
        (name,) = re.fullmatch(r"cast\(id as int\) as (\w+)", expression).groups()
        return Frame(self.spark, [pa.table({name: part.column("id").cast(pa.int32())}) for part in self.parts])

    def unionByName(self, other, *, allowMissingColumns):
        assert allowMissingColumns
        fields = self.parts[0].schema
        more = [
            pa.table(
                [part.column(f.name) if f.name in part.schema.names else pa.nulls(len(part), f.type) for f in fields],
                fields,
            )
            for part in other.parts
        ]
        return Frame(self.spark, [*self.parts, *more])

    def repartition(self, count, *columns):
        table = pa.concat_tables(self.parts)
        values = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
        owner = [zlib.crc32(pickle.dumps(value)) % count for value in values]
        return Frame(
            self.spark, [table.filter(pa.array([at == own for own in owner], pa.bool_())) for at in range(count)]
        )

    def sortWithinPartitions(self, *columns):
        keys = [(name, "ascending", "at_start") for name in columns]  # as Spark puts nulls
        return Frame(self.spark, [part.take(pc.sort_indices(part, keys)) for part in self.parts])

    def toArrow(self):
        return pa.concat_tables(self.parts)
