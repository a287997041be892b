"""What Dagster's instance remembers of runs and of an hour's checks."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from clickstream_assets.events.hours import rfc3339
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance


def find_instance(configured: Settings) -> "DagsterInstance | None":
    """The instance of ``DAGSTER_HOME``, else that of ``clickstream run`` in this folder; None if there is neither."""
    from dagster import DagsterInstance

    embedded = configured.home.expanduser().absolute() / "dagster"
    if not os.environ.get("DAGSTER_HOME"):
        if not (embedded / "dagster.yaml").is_file():
            return None
        os.environ["DAGSTER_HOME"] = str(embedded)  # its dagster.yaml refers to it
    return DagsterInstance.get()


def runs(instance: "DagsterInstance", run_ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Of the runs that the instance knows, by id: status, when each started, and why."""
    from dagster import RunsFilter

    wanted = sorted(set(run_ids))
    records = instance.get_run_records(RunsFilter(run_ids=wanted)) if wanted else []
    return {
        record.dagster_run.run_id: {
            "status": record.dagster_run.status.value,
            "started": rfc3339(int(record.start_time * 1000)) if record.start_time else None,
            "why": record.dagster_run.tags.get("clickstream/why"),
        }
        for record in records
    }


def failed_checks(instance: "DagsterInstance", partition: str) -> list[dict[str, str]]:
    """Every check whose last evaluation of a partition failed, by asset and name, and its words."""
    from clickstream_assets.dagster_internals import AssetCheckExecutionRecordStatus, PartitionKeyFilter
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
                failed.append({"asset": key.asset_key.to_user_string(), "check": key.name, "words": words or ""})
    return failed
