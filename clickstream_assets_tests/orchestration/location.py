"""A small code location, whose runs are forked as those of the real one."""

import os
import sys
import time
from pathlib import Path

import dagster as dg

from clickstream_assets.orchestration.forking import fork_runs


def report(context: dg.OpExecutionContext) -> None:
    """Leave, in a file of the run's name, the process, its parent, and the modules that it has imported."""
    path = Path(os.environ["REPORTS"]) / context.run_id
    path.with_suffix(".new").write_text(" ".join([str(os.getpid()), str(os.getppid()), *sys.modules]))
    path.with_suffix(".new").rename(path)


@dg.op
def quick(context: dg.OpExecutionContext) -> None:
    report(context)
    print(f"printed by {context.run_id}")


@dg.op
def slow(context: dg.OpExecutionContext) -> None:
    report(context)
    time.sleep(60)


@dg.job(executor_def=dg.in_process_executor)
def quick_job() -> None:
    quick()


@dg.job(executor_def=dg.in_process_executor)
def slow_job() -> None:
    slow()


defs = dg.Definitions(jobs=[quick_job, slow_job])
fork_runs()
