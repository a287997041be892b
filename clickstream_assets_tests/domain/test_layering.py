"""Arrows between packages point one way, and Dagster's door stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clickstream_assets

ROOT = Path(clickstream_assets.__file__).parent
HEAVY = {"pyspark", "kafka", "happybase"}


def modules(package):
    found = sorted((ROOT / package).rglob("*.py"))
    assert len(found) > 1, package
    return found


def imports(path):
    """Every module that a file imports, wherever in the file; relative imports made absolute."""
    package = ("clickstream_assets", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def importers(package, forbidden):
    """Files of a package that import a forbidden module or one below it, with what they import."""
    return {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules(package)
        for name in imports(path)
        if any(name == module or name.startswith(f"{module}.") for module in forbidden)
    }


@pytest.mark.parametrize("package", ["domain", "clients", "spark_sources"])
def test_knows_nothing_of_dagster(package):
    outside = {
        "dagster",
        *(f"clickstream_assets.{name}" for name in ("assets", "checks", "jobs", "schedules", "sensors", "resources")),
    }
    assert importers(package, outside | {"clickstream_assets.definitions", "clickstream_assets.partitions"}) == set()


@pytest.mark.parametrize("package", ["clients", "spark_sources"])
def test_knows_nothing_of_clicks(package):
    assert importers(package, {"clickstream_assets.domain"}) == set()


def test_an_import_in_a_function_or_by_a_relative_name_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "__init__.py").touch()
    (tmp_path / "clients" / "one.py").write_text(
        "def f():\n    from dagster.core import x\n    from ..domain import hours\n"
    )
    assert importers("clients", {"dagster", "clickstream_assets.domain.hours"}) == {
        "clients/one.py: dagster.core",
        "clients/one.py: dagster.core.x",
        "clients/one.py: clickstream_assets.domain.hours",
    }


def test_importing_the_definitions_loads_no_client_and_no_spark():
    code = "import sys, clickstream_assets.definitions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    assert "dagster" in loaded
    assert not HEAVY & loaded
