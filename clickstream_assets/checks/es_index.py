"""Checks on ``es_index``: Elasticsearch holds exactly the metrics, as Elasticsearch itself says."""

from collections.abc import Mapping, Sequence

import dagster as dg

from clickstream_assets.checks.reporting import (
    Finding,
    Findings,
    HourCheck,
    Reported,
    held_back,
    held_findings,
    look,
    record,
    report,
)
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource

ASSET = "es_index"
CHECKS = (
    held_back(ASSET),
    HourCheck(
        "documents_match",
        "For each country of the hour, and each run that computed some of it, the documents are as many as the "
        "metrics, and their clicks, users, measured views and time spent add up to the same, as added up by "
        "Elasticsearch itself.",
    ),
    HourCheck("mapping_as_declared", "The indices have the declared mapping and stand behind the alias."),
)


def findings(
    hours: Sequence[int], hbase: HBaseResource, elasticsearch: ElasticsearchResource
) -> Mapping[str, Findings]:
    """Compare documents with metrics."""
    from clickstream_assets.domain.documents import GROUPED, of_hour, totals, undeclared
    from clickstream_assets.domain.hour_counts import metric_totals
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import LEDGER, METRICS

    alias = elasticsearch.alias
    with hbase.client() as client, elasticsearch.client() as es:
        before = HourStates(client, hbase.table(LEDGER.name)).read(hours)

        def documents_match() -> Findings:
            wanted, found = metric_totals(client, hbase.table(METRICS.name), hours), totals(es, alias, hours)
            findings = {}
            for hour in hours:
                want, has = of_hour(wanted[hour]), of_hour(found[hour])
                differ = [
                    f"{field} {value}"
                    for field in GROUPED
                    for value in sorted(wanted[hour][field].keys() | found[hour][field].keys())
                    if wanted[hour][field].get(value) != found[hour][field].get(value)
                ]
                words = f"documents: {has.in_words()}; metrics: {want.in_words()}"
                if differ:
                    words += f"; they differ in {', '.join(differ[:20])}"
                figures = {"documents": has.rows, "metrics": want.rows}
                findings[hour] = Finding(not differ, words, figures)
            return findings

        def mapping_as_declared() -> Findings:
            wrong = undeclared(es, alias)
            return dict.fromkeys(
                hours, Finding(not wrong, "; ".join(wrong) or "as declared", {"differences": len(wrong)})
            )

        return look(
            hours,
            {
                "held_back": lambda: held_findings(ASSET, before),
                "documents_match": documents_match,
                "mapping_as_declared": mapping_as_declared,
            },
        )


@dg.multi_asset_check(name="check_es_index", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_es_index(
    context: dg.AssetCheckExecutionContext, hbase: HBaseResource, elasticsearch: ElasticsearchResource
) -> Reported:
    """Look at the hours of the run."""
    yield from report(context, ASSET, CHECKS, findings(hours_of(context), hbase, elasticsearch))


def evaluate(context: dg.AssetExecutionContext, hbase: HBaseResource, elasticsearch: ElasticsearchResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, ASSET, CHECKS, lambda: findings(hours_of(context), hbase, elasticsearch))
