"""What Dagster's instance remembers of runs and of an hour's checks."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check whose last evaluation of the hour failed, and its words."""

    asset: str
    check: str
    words: str


def find_instance(configured: Settings) -> "DagsterInstance | None":
    """The instance of ``DAGSTER_HOME``, else that of ``clickstream run`` in this folder; None if there is neither."""
    from dagster import DagsterInstance

    embedded = configured.home.expanduser().absolute() / "dagster"
    if not os.environ.get("DAGSTER_HOME"):
        if not (embedded / "dagster.yaml").is_file():
            return None
        os.environ["DAGSTER_HOME"] = str(embedded)  # its dagster.yaml refers to it
    return DagsterInstance.get()


def runs(instance: "DagsterInstance", run_ids: Iterable[str]) -> "dict[str, RunRecord]":
    """The runs of these ids that the instance knows."""
    from dagster import RunsFilter

    wanted = sorted(set(run_ids))
    records = instance.get_run_records(RunsFilter(run_ids=wanted)) if wanted else []
    return {record.dagster_run.run_id: record for record in records}


def failed_checks(instance: "DagsterInstance", partition: str) -> list[FailedCheck]:
    """Every check whose last evaluation of a partition failed, by asset and name."""
    from dagster._core.event_api import PartitionKeyFilter
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    from clickstream_assets.definitions import defs

    # Planned ones are left out: a run under way does not hide what the last one found.
    evaluated = {AssetCheckExecutionRecordStatus.FAILED, AssetCheckExecutionRecordStatus.SUCCEEDED}
    failed = []
    for key in sorted(defs.resolve_asset_graph().asset_check_keys):
        for record in instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1, status=evaluated, partition_filter=PartitionKeyFilter(key=partition)
        ):
            if record.status == AssetCheckExecutionRecordStatus.FAILED:
                words = record.evaluation.description if record.evaluation else None
                failed.append(FailedCheck(key.asset_key.to_user_string(), key.name, words or ""))
    return failed
