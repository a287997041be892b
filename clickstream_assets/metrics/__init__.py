"""From enriched clicks to clicks, users and time spent by hour, url and country."""
