"""Checks on ``es_index``: Elasticsearch holds exactly the metrics."""

import dagster as dg

from clickstream_assets.checks.reporting import Finding, report
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource


@dg.asset_check(
    asset="es_index",
    name="documents_match",
    partitions_def=hourly,
    description="The hour's documents are as many as its metrics, and their clicks, measured views and time spent "
    "add up to the same, as added up by Elasticsearch itself.",
)
def documents_match(
    context: dg.AssetCheckExecutionContext, hbase: HBaseResource, elasticsearch: ElasticsearchResource
) -> dg.AssetCheckResult:
    """Compare documents with metrics."""
    from clickstream_assets.domain.documents import HourTotals, totals
    from clickstream_assets.domain.hour_counts import metric_totals
    from clickstream_assets.domain.table_schemas import METRICS

    hours = hours_of(context)
    with hbase.client() as client, elasticsearch.client() as es:
        wanted = metric_totals(client, hbase.table(METRICS.name), hours)
        found = totals(es, elasticsearch.alias, hours)
    findings = {}
    for hour in hours:
        want, has = wanted.get(hour, HourTotals()), found.get(hour, HourTotals())
        findings[hour] = Finding(
            passed=want == has,
            words="documents, clicks, measured views, time spent (ms): "
            f"{has.rows}, {has.clicks}, {has.measured_views}, "
            f"{has.time_spent_ms} in Elasticsearch; {want.rows}, {want.clicks}, {want.measured_views}, "
            f"{want.time_spent_ms} in the metrics",
            figures={"documents": has.rows, "metrics": want.rows, "clicks": has.clicks, "metrics_clicks": want.clicks},
        )
    return report(context, "es_index", "documents_match", findings)
