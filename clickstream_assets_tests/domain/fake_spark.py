"""What ingestion asks of a Spark session, on Arrow tables in this process; tasks may run more than once."""

import pyarrow as pa

_TYPES = {"binary": pa.binary(), "int": pa.int32(), "long": pa.int64()}


def _schema(ddl):
    return pa.schema([(name, _TYPES[kind]) for name, kind in (field.split() for field in ddl.split(","))])


class FakeSpark:
    """A session whose tasks each run ``attempts`` times: the last one's answer counts."""

    def __init__(self, attempts=1):
        self.attempts = attempts
        self.jobs = 0

    def range(self, start, end, step, partitions):
        assert (start, step) == (0, 1)
        assert end == partitions
        self.jobs += 1
        return Frame(self, [pa.table({"id": pa.array([at], pa.int64())}) for at in range(end)])


class Frame:
    def __init__(self, spark, parts):
        self.spark, self.parts = spark, parts

    def mapInArrow(self, function, schema):
        fields = _schema(schema)

        def task(part):
            for _ in range(self.spark.attempts):
                batches = list(function(iter(part.to_batches(max_chunksize=3))))
            return pa.Table.from_batches(batches, fields)

        return Frame(self.spark, [task(part) for part in self.parts])

    def repartition(self, count, column):
        table = pa.concat_tables(self.parts)
        owner = [hash(value) % count for value in table.column(column).to_pylist()]
        return Frame(self.spark, [table.filter(pa.array([at == one for one in owner])) for at in range(count)])

    def sortWithinPartitions(self, *columns):
        return Frame(self.spark, [part.sort_by([(name, "ascending") for name in columns]) for part in self.parts])

    def toArrow(self):
        return pa.concat_tables(self.parts)
