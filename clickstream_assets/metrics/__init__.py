"""From enriched clicks to clicks, users and time spent by hour, url and country. No Dagster, and no other step."""
