"""Spark's own Python daemon, with what tasks need imported before it forks.

Each task runs in a fork of it. Imported once here, pandas, Arrow and the clients cost each fork nothing, instead
of about a second. Set as ``spark.python.daemon.module``.
"""

import gc

import elasticsearch.helpers
import pandas as pd
import pyarrow.compute
from pyspark import daemon
from pyspark.sql.pandas import types

from clickstream_assets.stores.hbase import client as hbase
from clickstream_assets.stores.kafka import client as kafka
from clickstream_assets.stores.process import collect_rarely

__all__ = ["daemon", "elasticsearch", "hbase", "kafka", "pd", "pyarrow", "types"]

if __name__ == "__main__":
    collect_rarely()
    gc.freeze()  # no fork is to look through what was imported here, and to copy its pages by that
    daemon.manager()
