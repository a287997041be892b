"""Spark, through Spark Connect: no Java in the process that Dagster runs."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkResource(dg.ConfigurableResource):
    """Spark Connect's address, like ``sc://localhost:15002``."""

    remote: str
    _session: "SparkSession | None" = PrivateAttr(default=None)

    @property
    def session(self) -> "SparkSession":
        """The run's session, made on first use by dagster-pyspark, with the sources ``hbase`` and ``elasticsearch``."""
        if self._session is None:
            # Imported here: dagster-pyspark imports pyspark, which definitions must not.
            from dagster_pyspark import LazyPySparkResource

            from clickstream_assets.spark_sources.elasticsearch import ElasticsearchDataSource
            from clickstream_assets.spark_sources.hbase import HBaseDataSource

            session = LazyPySparkResource(spark_config={"spark.remote": self.remote}).spark_session
            for source in (HBaseDataSource, ElasticsearchDataSource):
                session.dataSource.register(source)
            self._session = session
        return self._session

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the session back to the server."""
        self.stop()

    def stop(self) -> None:
        """Give the session back to the server."""
        session, self._session = self._session, None
        if session is not None:
            session.stop()
