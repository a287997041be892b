"""Dagster's door: puts the pieces together, and imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from clickstream_assets.assets.clickstream_topic import clickstream_topic
from clickstream_assets.assets.daily_metrics import daily_metrics
from clickstream_assets.assets.enriched_clicks import enriched_clicks
from clickstream_assets.assets.es_daily_index import es_daily_index
from clickstream_assets.assets.es_dimensions_index import es_dimensions_index
from clickstream_assets.assets.es_index import es_index
from clickstream_assets.assets.raw_clicks import raw_clicks
from clickstream_assets.assets.url_country_metrics import url_country_metrics
from clickstream_assets.checks.clickstream_topic import no_log_cut_back, nothing_lost_unread
from clickstream_assets.orchestration.forking import fork_runs
from clickstream_assets.orchestration.jobs import (
    CHECKS,
    DAY_CHECKS,
    check_jobs,
    clickstream_days,
    clickstream_hours,
    schedules,
)
from clickstream_assets.orchestration.kafka_offsets import kafka_offsets
from clickstream_assets.orchestration.repairs import rebuild_hours, replay_dead_letters
from clickstream_assets.orchestration.run_failure import run_failure
from clickstream_assets.orchestration.stale_days import stale_days
from clickstream_assets.partitions import daily, hourly
from clickstream_assets.settings import Settings, settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource
from clickstream_assets.stores.spark.resource import SparkResource


class Resources(NamedTuple):
    """What assets, checks and the sensor ask for, by the names of their arguments."""

    kafka: KafkaResource
    hbase: HBaseResource
    spark: SparkResource
    elasticsearch: ElasticsearchResource
    geoip: GeoIPResource
    configured: Settings
    """Limits, and when checks warn."""


def resources(configured: Settings) -> Resources:
    return Resources(
        kafka=KafkaResource(
            bootstrap_servers=configured.kafka_bootstrap_servers,
            topic=configured.topic,
            consumer_group=configured.consumer_group,
        ),
        hbase=HBaseResource(
            host=configured.hbase_host,
            port=configured.hbase_port,
            name_prefix=configured.name_prefix,
            request_data_ttl_days=configured.request_data_ttl_days,
            zookeeper=configured.hbase_zookeeper,
            jars=str(configured.hbase_jars),
        ),
        spark=SparkResource(remote=configured.spark_remote),
        elasticsearch=ElasticsearchResource(url=configured.elasticsearch_url, alias=configured.alias),
        geoip=GeoIPResource(database=str(configured.geoip_database), trusted_proxies=configured.trusted_proxies),
        configured=configured,
    )


def _with_code_references(assets: list[dg.AssetsDefinition | dg.AssetSpec], configured: Settings) -> Sequence[Any]:
    """The assets, each with a link to its code: to files, or to the repository if it is set."""
    here = dg.with_source_code_references(assets)
    if not configured.repository_url:
        return here
    return dg.link_code_references_to_git(
        here,
        git_url=configured.repository_url,
        git_branch=configured.repository_branch,
        file_path_mapping=dg.AnchorBasedFilePathMapping(Path(__file__).parents[1], ""),
    )


def build(configured: Settings) -> dg.Definitions:
    """Assets, checks, jobs and sensors, on the servers and under the names of ``configured``."""
    hours = (clickstream_topic, raw_clicks, enriched_clicks, url_country_metrics, es_index)
    assets = (*hours, daily_metrics, es_daily_index, es_dimensions_index)
    partitions, days = hourly(configured.first_hour), daily(configured.first_hour)
    return dg.Definitions(
        assets=_with_code_references([asset(configured) for asset in assets], configured),
        asset_checks=[
            nothing_lost_unread,
            no_log_cut_back,
            *(checks.definition(partitions) for checks in CHECKS),
            *(checks.definition(days) for checks in DAY_CHECKS),
        ],
        jobs=[clickstream_hours, clickstream_days, *check_jobs(configured), replay_dead_letters, rebuild_hours],
        schedules=schedules(configured),
        sensors=[kafka_offsets(configured), stale_days(configured), run_failure],
        resources=resources(configured)._asdict(),
        # Steps are short and run one after the other: a process for each would cost more than it does.
        executor=dg.in_process_executor,
    )


defs = build(settings())
fork_runs()
