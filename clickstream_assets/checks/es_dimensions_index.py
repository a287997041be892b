"""Checks on ``es_dimensions_index``: dimensions add up to the day, hours to their day, and bots to the books."""

from clickstream_assets.checks.day_checks import DayChecks, DayEvidence, Findings
from clickstream_assets.checks.evidence import Finding

checks = DayChecks("es_dimensions_index")
_NAMED = 5


@checks.add(
    "In each dimension of people the clicks of the day's documents, as added up by Elasticsearch itself, are those of "
    "the day in all."
)
def clicks_are_those_of_the_day(evidence: DayEvidence) -> Findings:
    from clickstream_assets.books.audience import DIMENSIONS
    from clickstream_assets.index.daily_documents import whole_day_clicks

    sums, findings = evidence.dimensions, {}
    for day, clicks in whole_day_clicks(evidence.books, evidence.days).items():
        found = {name: sums[day]["day"][name].clicks if name in sums[day]["day"] else 0 for name in DIMENSIONS}
        differ = [f"{name}: {count}" for name, count in found.items() if count != clicks]
        words = f"{clicks} clicks in the day; by {_named(differ) or 'each dimension the same'}"
        findings[day] = _unless_waiting(evidence, day, Finding(not differ, words, {"clicks": clicks}))
    return findings


@checks.add("In each dimension, events and clicks of the hours' documents add up to those of the day's.")
def hours_add_up(evidence: DayEvidence) -> Findings:
    findings = {}
    for day, of_day in evidence.dimensions.items():
        hours, whole = of_day["hour"], of_day["day"]
        differ = sorted(name for name in hours.keys() | whole.keys() if hours.get(name) != whole.get(name))
        words = f"the hours' documents come to other sums than the day's in {_named(differ)}"
        finding = Finding(not differ, words if differ else f"the same in {len(whole)} dimensions")
        findings[day] = _unless_waiting(evidence, day, finding)
    return findings


@checks.add("The events of bots in the day's documents are as many as the books count in its hours.")
def bots_are_those_of_the_books(evidence: DayEvidence) -> Findings:
    from clickstream_assets.events.days import hours_of_day
    from clickstream_assets.evidence.hour_figures import bots_of

    sums, findings = evidence.dimensions, {}
    for day in evidence.days:
        parts = evidence.books.ledger.parts(hours_of_day(day))
        by_hour = [bots_of(of_hour) for of_hour in parts.values()]
        found = sums[day]["day"]["bot"].events if "bot" in sums[day]["day"] else 0
        counted = sum(filter(None, by_hour))
        if None in by_hour:
            findings[day] = Finding(True, "bots of some hour were not counted when it was enriched")
            continue
        words = f"{found} events of bots in the documents, {counted} in the books"
        finding = _unless_waiting(evidence, day, Finding(found == counted, words, {"bots": counted}))
        # Read behind the books: an hour that is computed by now has no more in them than its metrics know of.
        states = evidence.books.hours.read(hours_of_day(day)).values()
        is_ahead = not finding.passed and any(state.touched != state.computed for state in states)
        findings[day] = Finding(True, "some of its hours have yet to be computed") if is_ahead else finding
    return findings


def _named(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _unless_waiting(evidence: DayEvidence, day: int, finding: Finding) -> Finding:
    """A finding; of a day whose documents are of an earlier roll-up, that they are about to be written again."""
    state = evidence.states[day]
    if not finding.passed and state.dimensions_ms != state.rolled_up_ms:
        return Finding(True, "its documents are of an earlier roll-up, and about to be written again")
    return evidence.unless_computed_since(day, finding)
