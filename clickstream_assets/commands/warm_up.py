"""Makes Spark's Python warm: ``clickstream run`` has this done while Dagster starts, so that the first run need not.

    python -m clickstream_assets.commands.warm_up
"""

from clickstream_assets.definitions import resources
from clickstream_assets.domain.enrichment import enrich
from clickstream_assets.domain.metrics import INPUT, compute, documents, metrics_key_range
from clickstream_assets.domain.row_keys import key_ranges
from clickstream_assets.domain.table_schemas import CLICKS, METRICS
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.geoip import GeoIPResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource
from clickstream_assets.settings import settings

NO_HOURS = [0]
"""An hour that holds nothing: 1970, before any first partition."""


def warm_up(hbase: HBaseResource, spark: SparkResource, geoip: GeoIPResource, elasticsearch: ElasticsearchResource) -> None:
    """Send every kind of Spark job through once, over an hour that holds nothing; changes nothing anywhere."""
    hbase.ensure_tables()
    ranges = key_ranges(NO_HOURS)
    read = spark.session.read.format("hbase")
    enrich(
        spark.session,
        lambda columns: hbase.source_options(CLICKS, columns, ranges),
        geoip.versions(),
        geoip.database,
        geoip.trusted,
    )
    clicks = read.schema(CLICKS.spark_schema(*INPUT)).options(**hbase.source_options(CLICKS, INPUT, ranges)).load()
    metrics = compute(clicks, NO_HOURS, 0, "")
    metrics.write.format("hbase").options(**hbase.source_options(METRICS)).mode("append").save()
    stored = hbase.source_options(METRICS, ranges=[[metrics_key_range(NO_HOURS[0], NO_HOURS[-1])]])
    rows = spark.session.read.format("hbase").schema(METRICS.spark_schema()).options(**stored).load()
    writer = documents(rows, elasticsearch.alias, "").write.format("elasticsearch")
    writer.options(url=elasticsearch.url).mode("append").save()


if __name__ == "__main__":
    made = resources(settings())
    warm_up(made["hbase"], made["spark"], made["geoip"], made["elasticsearch"])
