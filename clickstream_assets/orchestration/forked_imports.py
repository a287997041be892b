"""Imported by the process that runs are forked from (``forking.py``), and nowhere else: all that a run imports.

Settings, definitions and the job are made here as well. Connections and threads are not, for a fork would share the one
and lose the other: not the native threads either that numpy and Arrow start, unless they are told.
"""

import gc
import os
import pkgutil
from importlib import import_module

import clickstream_assets

_DAGSTER = """
    dagster._core.execution.plan.active dagster._core.execution.plan.execute_plan dagster._core.executor.in_process
    dagster._core.instance.factory dagster._core.secrets.env_file dagster._core.storage.event_log
    dagster._core.storage.legacy_storage dagster._core.storage.local_compute_log_manager
    dagster._core.storage.migration.utils dagster._core.storage.noop_compute_log_manager dagster._core.storage.root
    dagster._core.storage.sqlite_storage dagster._core.system_config.composite_descent
    dagster._core.workspace.autodiscovery dagster._grpc.impl dagster._utils.test.definitions
"""
_OTHERS = """
    alembic.config alembic.runtime.migration alembic.script dagster_pyspark elasticsearch.helpers
    fsspec.implementations.local happybase kafka.admin multiprocessing.queues multiprocessing.synchronize pandas
    pyarrow.compute pyspark.sql.connect.session sqlalchemy.dialects.sqlite upath.implementations.local
"""
_NOT_OF_RUNS = "clickstream_assets.cli", "clickstream_assets.local"
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def import_all() -> None:
    for name in (*_DAGSTER.split(), *_OTHERS.split()):
        import_module(name)
    for module in pkgutil.walk_packages(clickstream_assets.__path__, "clickstream_assets."):
        if not module.name.startswith(_NOT_OF_RUNS):
            import_module(module.name)
    definitions = import_module("clickstream_assets.definitions")
    definitions.defs.resolve_job_def("clickstream_hours")


was = {name: os.environ.get(name) for name in _NO_THREADS}
os.environ |= _NO_THREADS
try:
    import_all()
except ImportError as error:
    # Who imports this passes over it: runs would be forked from a process that has nothing.
    raise RuntimeError("what a run needs could not be imported") from error
finally:
    for name, value in was.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
gc.collect()
gc.freeze()  # no fork is to look through all that, and to copy its pages by it
