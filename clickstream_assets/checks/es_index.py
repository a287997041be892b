"""Checks on ``es_index``: Elasticsearch holds exactly the metrics, as Elasticsearch itself says."""

from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.checks.hour_checks import HourChecks

checks = HourChecks("es_index")


@checks.add(
    "For each country of the hour the documents are as many as the metrics, and their clicks, users, measured views "
    "and time spent add up to the same, as added up by Elasticsearch itself. Runs of the sensor compare with the sums "
    "of the computation, all others with the rows, by run too; the audit compares each document with its row.",
    audited=True,
)
def documents_match(evidence: Evidence) -> Findings:
    from clickstream_assets.evidence.metric_counts import computed_totals, metric_totals
    from clickstream_assets.index.documents import GROUPED, of_hour, totals

    computed = computed_totals(evidence.books, evidence.new)
    wanted = computed | metric_totals(evidence.books, [hour for hour in evidence.hours if hour not in computed])
    with evidence.elasticsearch.client() as es:
        stored = totals(es, evidence.elasticsearch.alias, evidence.hours)
    findings = {}
    for hour in evidence.hours:
        want, has = of_hour(wanted[hour]), of_hour(stored[hour])
        differ = []
        for field in GROUPED[:1] if hour in computed else GROUPED:
            ours, theirs = wanted[hour][field], stored[hour][field]
            values = sorted(ours.keys() | theirs.keys())
            differ += [f"{field} {value}" for value in values if ours.get(value) != theirs.get(value)]
        words = f"documents: {has.in_words()}; metrics: {want.in_words()}"
        if differ:
            words += f"; they differ in {', '.join(differ[:20])}"
        findings[hour] = Finding(not differ, words, {"documents": has.rows, "metrics": want.rows})
    return findings


@checks.add("The indices, those of the hours too, have the declared mapping and stand behind their alias.")
def mapping_as_declared(evidence: Evidence) -> Findings:
    from clickstream_assets.index.document_fields import INDEX_MAPPING
    from clickstream_assets.index.documents import undeclared
    from clickstream_assets.index.hour_fields import HOURS_MAPPING

    with evidence.elasticsearch.client() as es:
        wrong = undeclared(es, evidence.elasticsearch.alias, INDEX_MAPPING)
        wrong += undeclared(es, evidence.limits.hours_alias, HOURS_MAPPING)
    finding = Finding(not wrong, "; ".join(wrong) or "as declared", {"differences": len(wrong)})
    return dict.fromkeys(evidence.hours, finding)
