"""Checks on ``es_index``: Elasticsearch holds exactly the metrics, as Elasticsearch itself says."""

from clickstream_assets.checks.evidence import Evidence
from clickstream_assets.checks.findings import Finding, Findings
from clickstream_assets.checks.hour_checks import HourChecks

checks = HourChecks("es_index")


@checks.add(
    "For each country of the hour, and each run that computed some of it, the documents are as many as the metrics, "
    "and their clicks, users, measured views and time spent add up to the same, as added up by Elasticsearch itself."
)
def documents_match(evidence: Evidence) -> Findings:
    from clickstream_assets.domain.documents import GROUPED, of_hour, totals
    from clickstream_assets.domain.hour_counts import metric_totals

    wanted = metric_totals(evidence.books, evidence.hours)
    with evidence.documents() as (es, alias):
        stored = totals(es, alias, evidence.hours)
    findings = {}
    for hour in evidence.hours:
        want, has = of_hour(wanted[hour]), of_hour(stored[hour])
        differ = [
            f"{field} {value}"
            for field in GROUPED
            for value in sorted(wanted[hour][field].keys() | stored[hour][field].keys())
            if wanted[hour][field].get(value) != stored[hour][field].get(value)
        ]
        words = f"documents: {has.in_words()}; metrics: {want.in_words()}"
        if differ:
            words += f"; they differ in {', '.join(differ[:20])}"
        findings[hour] = Finding(not differ, words, {"documents": has.rows, "metrics": want.rows})
    return findings


@checks.add("The indices have the declared mapping and stand behind the alias.")
def mapping_as_declared(evidence: Evidence) -> Findings:
    from clickstream_assets.domain.documents import undeclared

    with evidence.documents() as (es, alias):
        wrong = undeclared(es, alias)
    finding = Finding(not wrong, "; ".join(wrong) or "as declared", {"differences": len(wrong)})
    return dict.fromkeys(evidence.hours, finding)
