"""The assets as the sensor's runs execute them, in the calling process, under names of their own, timed by step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from unittest import mock

import dagster as dg
import happybase

from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.definitions import build, resources
from clickstream_assets.orchestration.jobs import clickstream_hours
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.kafka.resource import KafkaResource

STAGES = {"raw_clicks": "ingest", "enriched_clicks": "enrich", "url_country_metrics": "metrics", "es_index": "index"}
"""What the step of each asset is called here, in the order of the steps."""
_WRITTEN_WITH = {"raw_clicks": ("dead_letters",)}
_QUIET = {"console": {"config": {"log_level": "WARNING"}}}


@dataclass(frozen=True, slots=True)
class Ran:
    """Seconds that the step of one run took: for its asset, and for the checks behind it."""

    asset: float
    checks: float


def ingest_config(until: Mapping[int, int]) -> dict[str, object]:
    """Run configuration that has ingestion read up to some offsets, by Kafka partition."""
    return {"ops": {"raw_clicks": {"config": {"until": {str(p): end for p, end in until.items()}}}}}


class Pipeline:
    """Tables, consumer group and index under a prefix; the topic may be another's, so that many can read the same."""

    def __init__(self, configured: Settings, prefix: str, topic: str | None = None) -> None:
        self.settings = configured.model_copy(update={"name_prefix": prefix})
        self.kafka = KafkaResource(
            bootstrap_servers=configured.kafka_bootstrap_servers,
            topic=topic or self.settings.topic,
            consumer_group=self.settings.consumer_group,
        )
        made, found = build(self.settings), resources(self.settings)._replace(kafka=self.kafka)
        self.hbase, self.spark, self.elasticsearch = found.hbase, found.spark, found.elasticsearch
        defs = dg.Definitions(
            assets=made.assets,
            asset_checks=made.asset_checks,
            jobs=[clickstream_hours],
            resources=found._asdict(),
            executor=made.executor,
        )
        self._job = defs.resolve_job_def(clickstream_hours.name)
        self._instance = dg.DagsterInstance.ephemeral()

    def run(self, asset: str, hour: int, until: Mapping[int, int] | None = None) -> Ran:
        """One asset's hour with its checks. Ingestion reads up to ``until``; without it, it reads the hour again."""
        selected = {dg.AssetKey(name) for name in (asset, *_WRITTEN_WITH.get(asset, ()))}
        job = self._job.get_subset(
            asset_selection=selected, asset_check_selection=set()
        )  # the step looks at its checks
        with _checks_timed() as checks:
            result = job.execute_in_process(
                instance=self._instance,
                tags=tags_of(hour, hour),
                run_config={"loggers": _QUIET, **({} if until is None else ingest_config(until))},
            )
        (step,) = (event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_SUCCESS)
        seconds = step.step_success_data.duration_ms / 1000
        return Ran(seconds - sum(checks), sum(checks))

    def run_hours(self, first: int, last: int, until: Mapping[int, int]) -> None:
        """All assets of some hours in one run, which reads up to ``until``."""
        config = {"loggers": _QUIET, **ingest_config(until)}
        self._job.execute_in_process(instance=self._instance, tags=tags_of(first, last), run_config=config)

    def drop(self) -> None:
        """Delete tables and indices: what is left in the servers slows down what follows."""
        connection = happybase.Connection(self.settings.hbase_host, self.settings.hbase_port, timeout=60_000)
        for table in connection.tables():
            if table.startswith(self.settings.name_prefix.encode()):
                connection.delete_table(table, disable=True)
        connection.close()
        with self.elasticsearch.client() as es:
            for alias in (self.settings.alias, self.settings.hours_alias):
                if es.indices.exists_alias(name=alias):
                    es.indices.delete(index=",".join(es.indices.get_alias(name=alias)))


@contextmanager
def _checks_timed() -> Iterator[list[float]]:
    """Seconds that checks take while the block lasts; they are part of their asset's step."""
    seconds: list[float] = []
    evaluate = HourChecks.evaluate

    def timed(*arguments: Any) -> None:
        begun = perf_counter()
        evaluate(*arguments)
        seconds.append(perf_counter() - begun)

    with mock.patch.object(HourChecks, "evaluate", timed):
        yield seconds
