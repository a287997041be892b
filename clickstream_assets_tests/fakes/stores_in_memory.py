"""In the place of resources: books in memory, and stores that are fit whatever is asked of them.

Not faked: connections, retries, whether a store is fit.
"""

from contextlib import contextmanager

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets_tests.fakes.hbase import FakeHBase
from clickstream_assets_tests.fakes.servers import FakeTopic


class HBaseInMemory:
    """HBaseResource with its books in memory."""

    def __init__(self):
        self.hbase = FakeHBase()

    @contextmanager
    def books(self):
        yield Books(self.hbase, TableNames.of())

    def misfits(self):
        return []

    @property
    def hours(self):
        """The states of hours."""
        return Books(self.hbase, TableNames.of()).hours


class KafkaInMemory:
    """KafkaResource with a topic in memory."""

    def __init__(self, topic=None):
        self.topic = topic or FakeTopic()

    def client(self, **_):
        return self.topic

    def misfits(self):
        return []


class ElasticsearchInMemory:
    """ElasticsearchResource that leads nowhere."""

    alias, url = "clickstream-metrics", "http://localhost:9200"

    @contextmanager
    def client(self):
        yield None

    def misfits(self):
        return []
