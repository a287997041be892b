"""Where runs are forked, and where not: what has to hold of Dagster and of the helper."""

import logging
import os
import sys
import time
from types import ModuleType
from types import SimpleNamespace as Fake

import pytest
from dagster._grpc.server import DagsterApiServer

from clickstream_assets.orchestration import forking
from clickstream_assets.orchestration.forking import RunContext, fork_runs

pytestmark = pytest.mark.slow


@pytest.fixture
def server(monkeypatch):
    """Dagster's module of the code server, with a class that may be changed."""
    module = ModuleType("dagster._grpc.server")
    module.DagsterApiServer = type("Server", (), {"StartRun": DagsterApiServer.StartRun})
    monkeypatch.setitem(sys.modules, "dagster._grpc.server", module)
    return module


@pytest.fixture
def helper(monkeypatch):
    """A helper of this test's, that has imported little."""
    monkeypatch.setattr(forking, "_helper", fresh := forking.Helper())
    forking.forkserver.set_forkserver_preload(["json"])
    yield fresh
    fresh.leave()


def started(target=os.getpid, *args):
    process = RunContext().Process(target=target, args=args)
    process.start()
    return process


def test_dagsters_code_server_makes_a_runs_process_the_way_this_rests_on(server):
    fork_runs()
    assert isinstance(server.DagsterApiServer()._mp_ctx, RunContext)


def test_a_code_server_that_has_set_its_own_way_before_forks_all_the_same(server):
    early = server.DagsterApiServer()
    early.__dict__["_mp_ctx"] = "spawn"
    fork_runs()
    late = server.DagsterApiServer()
    late._mp_ctx = "spawn"
    assert isinstance(early._mp_ctx, RunContext)
    assert isinstance(late._mp_ctx, RunContext)


def renamed(self, request, context):
    return self._context.Process(request, context)


@pytest.mark.parametrize("change", [Fake(StartRun=renamed), Fake()])
def test_a_dagster_that_starts_runs_otherwise_is_left_to_do_so_with_a_warning(server, caplog, change):
    server.DagsterApiServer = change
    fork_runs()
    assert not hasattr(change, "_mp_ctx")
    assert "they are not forked, and start slower" in caplog.text


def test_where_there_is_no_code_server_nothing_changes(monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "dagster._grpc.server", raising=False)
    fork_runs()
    assert caplog.text == ""


def test_another_state_of_the_code_has_another_helper_and_a_run_of_the_former_goes_on(helper, monkeypatch):
    under_way = started(time.sleep, 3)
    before = helper.pid
    monkeypatch.setattr(forking, "shared_session_id", lambda: "changed")
    later = started()
    assert helper.pid not in (None, before)
    later.join(20)
    assert (later.exitcode, under_way.is_alive()) == (0, True)
    under_way.join(20)
    assert not under_way.is_alive()


@pytest.mark.parametrize("says", ["raise RuntimeError", "import os; os._exit(1)"])
def test_where_what_a_run_needs_cannot_be_imported_it_starts_as_a_new_process_with_a_warning(
    helper, tmp_path, monkeypatch, caplog, says
):
    (tmp_path / "broken.py").write_text(says)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    forking.forkserver.set_forkserver_preload(["broken"])
    with caplog.at_level(logging.WARNING):
        process = started()
    process.join(60)
    assert process.exitcode == 0
    assert "A run could not be forked, and starts as a new process" in caplog.text


def test_a_part_of_python_that_was_renamed_makes_it_a_new_process_too(helper, monkeypatch, caplog):
    monkeypatch.delattr(forking.forkserver, "ensure_running")
    process = started()
    process.join(60)
    assert process.exitcode == 0
    assert "ensure_running" in caplog.text
