"""Clickstream: Kafka clicks to checked hourly metrics, as Dagster assets. docs/architecture.md says what is where."""

import warnings

# Backfill policies and partitioned checks are marked beta and preview; versions are pinned, so it is no news.
warnings.filterwarnings("ignore", message=r".* is currently in (beta|preview), and may have breaking changes")
