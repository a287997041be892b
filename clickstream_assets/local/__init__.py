"""One machine's own servers, Dagster and demo clicks. Nothing but the command line imports it."""
