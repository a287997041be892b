"""Makes Spark's Python warm: ``clickstream run`` has this done while Dagster starts, so that the first run need not.

python -m clickstream_assets.local.warm_up
"""

from time import time

from clickstream_assets.definitions import Resources, resources
from clickstream_assets.enrich import enriching
from clickstream_assets.index import indexing
from clickstream_assets.metrics import computing
from clickstream_assets.settings import settings

NO_HOURS = [0]
"""An hour that holds nothing: 1970, before any first partition."""


def warm_up(servers: Resources) -> None:
    """Send every kind of Spark job through once, over an hour that holds nothing; changes nothing that counts."""
    hbase, session, geoip, elasticsearch = servers.hbase, servers.spark.session, servers.geoip, servers.elasticsearch
    with hbase.books() as books:
        enriching.warm_up(session, books, geoip.rules())
        computing.compute(session, books, NO_HOURS, "", dry_run=True)
        target = indexing.Target(elasticsearch.url, elasticsearch.alias, int(time() * 1000), dry_run=True)
        indexing.index_whole(session, books, target, NO_HOURS, 0)


if __name__ == "__main__":
    warm_up(resources(settings()))
