"""Checks on ``daily_metrics``: days are their hours put together."""

from clickstream_assets.checks.day_checks import DayChecks, DayEvidence, Findings
from clickstream_assets.checks.evidence import Finding

checks = DayChecks("daily_metrics")


@checks.add("In each scope, the clicks of the day's totals add up to those of its hours.")
def clicks_add_up(evidence: DayEvidence) -> Findings:
    findings = {}
    for day, by_scope in evidence.rows.items():
        of_hours = sum(state.clicks or 0 for state in evidence.hours[day].values())
        clicks = {scope: totals.clicks for scope, totals in by_scope.items()}
        differ = [f"{scope}: {count}" for scope, count in clicks.items() if count != of_hours]
        words = f"{of_hours} clicks in the hours; in the day by {', '.join(differ) or 'each scope the same'}"
        if of_hours and not by_scope:
            differ, words = ["no rows"], f"{of_hours} clicks in the hours, and no totals of the day"
        findings[day] = evidence.unless_computed_since(day, Finding(not differ, words, {"clicks": of_hours}))
    return findings


@checks.add(
    "The day's unique users are as many as there are among its events, counted anew from the events by column. Looked "
    "at once the day has ended."
)
def people_are_those_of_the_events(evidence: DayEvidence) -> Findings:
    findings = {}
    for day, by_scope in evidence.rows.items():
        if day not in evidence.ended:
            findings[day] = Finding(True, "the day has not ended: looked at when it has")
            continue
        counted = evidence.people_among_events(day)
        users = by_scope["all"].unique_users if "all" in by_scope else 0
        words = f"{users} unique users in the day, {counted} among its events"
        findings[day] = evidence.unless_computed_since(day, Finding(users == counted, words, {"users": users}))
    return findings
