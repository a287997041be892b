"""Checks on ``es_daily_index``: Elasticsearch holds exactly the days' totals, as Elasticsearch itself says."""

from clickstream_assets.checks.day_checks import DayChecks, DayEvidence, Findings
from clickstream_assets.checks.evidence import Finding

checks = DayChecks("es_daily_index")


@checks.add(
    "In each scope of the day the documents are as many as the totals, and their clicks, users, measured views and "
    "time spent add up to the same, as added up by Elasticsearch itself."
)
def documents_match(evidence: DayEvidence) -> Findings:
    from clickstream_assets.index.daily_documents import document_totals
    from clickstream_assets.index.documents import Totals

    with evidence.elasticsearch.client() as es:
        stored = document_totals(es, evidence.limits.daily_alias, evidence.days)
    findings = {}
    for day, wanted in evidence.rows.items():
        has = stored[day]
        differ = sorted(scope for scope in wanted.keys() | has.keys() if wanted.get(scope) != has.get(scope))
        ours, theirs = (sum(of.values(), Totals()) for of in (wanted, has))
        words = f"documents: {theirs.rows}; totals: {ours.rows}"
        if differ:
            words += f"; they differ in {', '.join(differ)}"
        findings[day] = Finding(not differ, words, {"documents": theirs.rows, "totals": ours.rows})
    return findings
