"""What is used of Dagster that its public interface lacks: all of it here, so that an upgrade has one place to look at.

Five modules have more of their own: ``orchestration/event_log.py`` (a storage class), ``orchestration/forking.py`` (how
runs start), ``orchestration/forked_imports.py`` (modules by name, imported before runs are forked),
``webserver/dagsters.py`` (the class that its webserver's command makes) and ``local/dagster_processes.py`` (the
daemon's command). Tests fail where Dagster has changed.
"""

# A check's result counts in the UI only if it names the materialization that it looked at.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

# The job of runs that people start from the page of an asset.
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME

# What `define_asset_job` returns: for types alone.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

# Asks for what a check said of one hour.
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

__all__ = [
    "IMPLICIT_ASSET_JOB_NAME",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionRecordStatus",
    "PartitionKeyFilter",
    "UnresolvedAssetJobDefinition",
]
