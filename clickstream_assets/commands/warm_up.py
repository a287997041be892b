"""Makes Spark's Python warm: ``clickstream run`` has this done while Dagster starts, so that the first run need not.

python -m clickstream_assets.commands.warm_up
"""

from clickstream_assets.definitions import Resources, resources
from clickstream_assets.domain import enrichment, metrics, replacing, table_schemas
from clickstream_assets.domain.row_keys import key_ranges
from clickstream_assets.settings import settings

NO_HOURS = [0]
"""An hour that holds nothing: 1970, before any first partition."""


def warm_up(servers: Resources) -> None:
    """Send every kind of Spark job through once, over an hour that holds nothing; changes nothing anywhere."""
    hbase, session, geoip, elasticsearch = servers.hbase, servers.spark.session, servers.geoip, servers.elasticsearch
    clicks, ranges = table_schemas.CLICKS, key_ranges(NO_HOURS)
    with hbase.books() as books:
        enrichment.enrich(session, books, ranges, geoip.versions(), geoip.database, geoip.trusted)
        computed = metrics.compute(hbase.read(session, clicks, metrics.INPUT, ranges), NO_HOURS, 0, "")
        replacing.replace(computed, books, NO_HOURS, 0)
    stored = hbase.read(session, table_schemas.METRICS, ranges=[[metrics.metrics_key_range(0, 0)]])
    elasticsearch.write(metrics.documents(stored, elasticsearch.alias))


if __name__ == "__main__":
    warm_up(resources(settings()))
