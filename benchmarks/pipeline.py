"""The assets as Dagster executes them, in the calling process, under names of their own, timed step by step."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
import happybase

from clickstream_assets.definitions import build, resources
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.resources.kafka import KafkaResource
from clickstream_assets.settings import Settings

STAGES = {"raw_clicks": "ingest", "enriched_clicks": "enrich", "url_country_metrics": "metrics", "es_index": "index"}
"""What the step of each asset is called here, in the order of the steps."""
_WRITTEN_WITH = {"raw_clicks": ("dead_letters",)}
_QUIET = {"console": {"config": {"log_level": "WARNING"}}}


@dataclass(frozen=True, slots=True)
class Ran:
    """Seconds that the steps of one run took: the asset's own, and those of its checks."""

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
            resources=found._asdict(),
            executor=made.executor,
        )
        self._job = defs.resolve_implicit_global_asset_job_def()
        self._instance = dg.DagsterInstance.ephemeral()

    def run(self, asset: str, hour: int, until: Mapping[int, int] | None = None) -> Ran:
        """One asset's hour with its checks. Ingestion reads up to ``until``; without it, it reads the hour again."""
        result = self._job.execute_in_process(
            instance=self._instance,
            partition_key=key_of_hour(hour),
            asset_selection=[dg.AssetKey(name) for name in (asset, *_WRITTEN_WITH.get(asset, ()))],
            run_config={"loggers": _QUIET, **({} if until is None else ingest_config(until))},
        )
        seconds = {
            event.step_key: event.step_success_data.duration_ms / 1000
            for event in result.all_events
            if event.event_type is dg.DagsterEventType.STEP_SUCCESS
        }
        return Ran(seconds.pop(asset), sum(seconds.values()))

    def drop(self) -> None:
        """Delete tables and indices: what is left in the servers slows down what follows."""
        connection = happybase.Connection(self.settings.hbase_host, self.settings.hbase_port, timeout=60_000)
        for table in connection.tables():
            if table.startswith(self.settings.name_prefix.encode()):
                connection.delete_table(table, disable=True)
        connection.close()
        with self.elasticsearch.client() as es:
            if es.indices.exists_alias(name=self.settings.alias):
                es.indices.delete(index=",".join(es.indices.get_alias(name=self.settings.alias)))
