"""A code location of one asset whose metadata says what a producer has sent, made as the real assets make theirs."""

import json
import os
from pathlib import Path

import dagster as dg

from clickstream_assets.assets.at_a_glance import of_clicks, of_refusals
from clickstream_assets.events.shown_text import inert
from clickstream_assets.evidence.overviews import HourOverview, UrlFigures

TEXTS = "HOSTILE_TEXTS"
"""Names the file that has the texts, as a JSON list."""
DOCUMENTS = "http://localhost:9200/clickstream-metrics/_search?pretty"


@dg.asset(check_specs=[dg.AssetCheckSpec("within_bounds", asset="es_index")])
def es_index(context: dg.AssetExecutionContext):
    texts = json.loads(Path(os.environ[TEXTS]).read_text(encoding="utf-8"))
    seen = HourOverview(
        clicks=9 * len(texts),
        countries=tuple((text, 1) for text in texts),
        urls=tuple(UrlFigures(text, 9, None) for text in texts),
    )
    glance = of_clicks(500_000, seen, DOCUMENTS) | of_refusals(500_000, dict.fromkeys(texts, 1))
    for text in texts:
        context.log.info(inert(text))
    words = "; ".join(map(inert, texts))
    check = dg.AssetCheckResult(passed=False, check_name="within_bounds", description=words)
    yield dg.MaterializeResult(metadata=glance, check_results=[check])


defs = dg.Definitions([es_index])
