"""Spark, through Spark Connect: no Java in the process that Dagster runs."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import dagster as dg
from pydantic import PrivateAttr

import clickstream_assets

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_QUOTING = ("MASTER", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE")
"""Variables that pyspark takes for another address, and says so quoting ours, with its token."""
_BATCHES = "spark.sql.execution.arrow.maxBytesPerBatch", str(8 << 20)
"""What Spark hands to Python at a time: 10,000 rows, as it would, are 10 GB where rows have a megabyte."""


def shared_session_id() -> str:
    """The id of the Spark session that all runs of this code share.

    The server starts Python anew for each session, which takes seconds; runs that share one find it warm. Another
    state of the code is another session, because warm workers keep the modules they have imported.
    """
    package = Path(clickstream_assets.__file__).parent
    state = "|".join(f"{path}:{path.stat().st_mtime_ns}" for path in sorted(package.rglob("*.py")))
    return str(uuid5(NAMESPACE_URL, state))


class SparkResource(dg.ConfigurableResource):
    """Spark Connect's address, like ``sc://localhost:15002``."""

    remote: str
    _session: "SparkSession | None" = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Import, before the run's first step, what joining the session takes: a second or two of processor time.

        Behind ``raw_clicks`` every event of the run would wait for it.
        """
        import dagster_pyspark  # noqa: F401
        import pyspark.sql.connect.session  # noqa: F401

    @property
    def session(self) -> "SparkSession":
        """The shared session, joined on first use through dagster-pyspark."""
        if self._session is None:
            from pyspark.errors import PySparkException

            session = self._join(shared_session_id())
            try:
                session.range(1).count()
            except PySparkException as error:
                if "SESSION_CLOSED" not in str(error):
                    raise
                session.stop()  # left idle for so long that the server has closed it: its id cannot come back
                session = self._join(str(uuid4()))
            self._session = session
        return self._session

    @contextmanager
    def alone(self, written: str) -> "Iterator[SparkSession]":
        """The session, for a job that replaces what ``written`` (a table, an alias) holds.

        The job of a run that was killed may still be at work, and would put what it has computed in the place of ours:
        it is interrupted. A pool lets no other run be at this.
        """
        session = self.session
        session.interruptTag(written)
        session.addTag(written)
        try:
            yield session
        finally:
            session.removeTag(written)

    def _join(self, session_id: str) -> "SparkSession":
        # Imported here: dagster-pyspark imports pyspark, which definitions must not.
        from dagster_pyspark import LazyPySparkResource

        from clickstream_assets.stores.spark.channel import signed_in_address

        remote = f"{signed_in_address(self.remote)};session_id={session_id}"
        for name in _QUOTING:
            os.environ.pop(name, None)
        session: Any = LazyPySparkResource(spark_config={"spark.remote": remote}).spark_session
        session.conf.set(*_BATCHES)
        # pyspark cleans its machine-learning cache, which we do not use, at exit: with the server gone, for minutes.
        atexit.unregister(session.client._cleanup_ml_cache)
        return session
