"""Which runs share a Spark session."""

import os

import clickstream_assets
from clickstream_assets.stores.spark.resource import shared_session_id


def test_another_state_of_any_module_of_the_package_is_another_session(tmp_path, monkeypatch):
    monkeypatch.setattr(clickstream_assets, "__file__", str(tmp_path / "__init__.py"))
    module = tmp_path / "events" / "urls.py"
    module.parent.mkdir()
    module.touch()
    before = shared_session_id()
    assert shared_session_id() == before
    os.utime(module, ns=(1, 1))
    assert shared_session_id() != before
