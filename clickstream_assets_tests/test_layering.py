"""Arrows between packages point down, and Dagster's door stays light."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import clickstream_assets

ROOT = Path(clickstream_assets.__file__).parent
LAYERS = (
    "events",  # what a message is
    "connection_settings",
    "settings",
    "stores",  # clients: they know nothing of clicks
    "books",
    "ingest",
    "enrich",
    "metrics",
    "index",
    "evidence",
    "resources",  # `resource.py` of each store, and whether stores are fit: Dagster's way to clients and books
    "dagster_internals",
    "partitions",
    "checks",
    "assets",
    "orchestration",
    "definitions",
    "webserver",  # Dagster's pages, and who may ask for them
    "page",  # the analysts' page
    "local and cli",  # servers of one machine; the command line starts them
)
"""From the bottom up: a module imports from its own layer and from those below."""
ABOVE_CLIENTS = {"resource", "preflight"}
"""Modules of ``stores`` that belong to the layer of resources."""
WITHOUT_DAGSTER = LAYERS[: LAYERS.index("resources")]
PURE = {
    "events",
    "books/offsets",
    "books/column_types",
    "books/row_keys",
    "books/table_schemas",
    "enrich/geoip",
    "evidence/lineage",
    "evidence/pictures",
    "evidence/volume",
    "index/daily_document_fields",
    "index/dimension_document_fields",
    "index/document_fields",
    "index/hour_fields",
    "ingest/offset_plan",
    "orchestration/run_plan",
    "metrics/dimension_totals",
    "metrics/time_spent",
    "page/charts",
    "page/figures",
    "page/lineage_picture",
    "page/view",
    "page/words",
}
"""Rules alone: whoever reads or tests them needs no server's client."""
STEPS = ("ingest", "enrich", "metrics", "index")
NAMING_MODULES = ("Dockerfile", "compose.yaml", "compose-dagster.yaml", "pyproject.toml", "workspace.yaml", "Makefile")
CLIENTS = {"kafka", "happybase", "thriftpy2", "elasticsearch", "pyspark", "dagster", "clickstream_assets.stores"}
HEAVY = {"pyspark", "kafka", "happybase"}
NAMED_TWICE = {"client", "resource", "__init__"}
ASSETS = {"raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index", "clickstream_topic"}
ASSETS |= {"daily_metrics", "es_daily_index", "es_dimensions_index"}


@cache
def all_modules():
    """Each module by its path, without a suffix."""
    return {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path, root=None):
    """Every module that a file imports, wherever in the file; relative imports made absolute."""
    package = ("clickstream_assets", *path.relative_to(root or ROOT).parent.parts)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer_of(module):
    """The layer of a module by its path."""
    package, *rest = module.split("/")
    if package in ("local", "cli"):
        return "local and cli"
    return "resources" if package == "stores" and rest and rest[-1] in ABOVE_CLIENTS else package


def own_modules_imported(path):
    known = all_modules()
    for name in imports(path):
        module = name.removeprefix("clickstream_assets.").replace(".", "/")
        if not name.startswith("clickstream_assets."):
            continue
        while module and module not in known:
            module = module.rpartition("/")[0]
        if module:
            yield module


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_from_itself_and_from_those_below(layer):
    modules = {module: path for module, path in all_modules().items() if layer_of(module) == layer}
    assert modules, "each layer has modules"
    upwards = {
        f"{module} -> {other}"
        for module, path in modules.items()
        for other in own_modules_imported(path)
        if LAYERS.index(layer_of(other)) > LAYERS.index(layer)
    }
    assert upwards == set()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_no_other(step):
    others = {
        f"{module} -> {other}"
        for module, path in all_modules().items()
        for other in own_modules_imported(path)
        if module.partition("/")[0] == step and other.partition("/")[0] in STEPS and not other.startswith(f"{step}/")
    }
    assert others == set()


def test_names_of_modules_in_strings_are_names_of_modules():
    known = {"clickstream_assets." + module.replace("/", ".") for module in all_modules()}
    packages = {name.rpartition(".")[0] for name in known} | {"clickstream_assets"}
    files = [
        *all_modules().values(),
        *(ROOT.parent / "k8s").rglob("*.yaml"),
        *map(ROOT.parent.joinpath, NAMING_MODULES),
    ]
    named = {
        name
        for path in files
        for name in re.findall(r"\bclickstream_assets(?:\.[a-z_0-9]+)+", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    # What stands behind the last dot may be a function, or a file.
    assert {
        name for name in named if name not in known | packages and name.rpartition(".")[0] not in known | packages
    } == set()


def test_every_module_has_a_layer():
    assert {layer_of(module) for module in all_modules() if module != "__init__"} == set(LAYERS)


def test_what_lies_below_the_resources_knows_nothing_of_dagster():
    modules = {module: path for module, path in all_modules().items() if layer_of(module) in WITHOUT_DAGSTER}
    importers = {
        f"{module}: {name}" for module, path in modules.items() for name in imports(path) if name.startswith("dagster")
    }
    assert importers == set()


def test_what_dagster_keeps_to_itself_is_imported_in_one_place():
    importers = {
        module for module, path in all_modules().items() for name in imports(path) if name.startswith("dagster._")
    }
    assert importers == {"dagster_internals", "orchestration/event_log"}


def test_modules_and_functions_are_of_one_idea():
    large = {
        module for module, path in all_modules().items() if len(path.read_text(encoding="utf-8").splitlines()) >= 300
    }
    long = {
        f"{module}: {node.name}"
        for module, path in all_modules().items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 39
    }
    assert large == long == set()


def test_markdown_and_links_for_dagster_and_json_for_terminals_are_made_in_one_place():
    made = {
        f"{module}: {node.func.attr}"
        for module, path in all_modules().items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if ast.unparse(node.func) in ("dg.MetadataValue.md", "dg.MetadataValue.url", "json.dumps", "orjson.dumps")
        if module.partition("/")[0] in ("assets", "checks", "cli", "orchestration")
    }
    # What the sensor posts and keeps is no text for people.
    assert made - {"orchestration/run_failure: dumps"} == {"assets/at_a_glance: md", "assets/at_a_glance: url"}


def test_rules_know_no_client():
    assert {name for name in PURE if name not in all_modules() and not (ROOT / name).is_dir()} == set()
    modules = {m: path for m, path in all_modules().items() if m in PURE or m.partition("/")[0] in PURE}
    assert len(modules) > len(PURE)
    importers = {
        f"{module}: {name}"
        for module, path in modules.items()
        for name in imports(path)
        for client in CLIENTS
        if is_of(name, client)
    }
    assert importers == set()


def test_nothing_but_the_command_line_imports_what_is_local():
    importers = {
        module
        for module, path in all_modules().items()
        if module.partition("/")[0] != "local" and any(o.startswith("local/") for o in own_modules_imported(path))
    }
    assert {module.partition("/")[0] for module in importers} <= {"cli"}


def test_no_module_name_stands_twice():
    names = [m.rpartition("/")[2] for m in all_modules()]
    assert {name for name in names if names.count(name) > 1} <= NAMED_TWICE | ASSETS


def test_no_class_name_stands_twice():
    names = [
        node.name for path in all_modules().values() for node in tree_of(path).body if isinstance(node, ast.ClassDef)
    ]
    names = [name.removeprefix("_") for name in names]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def is_of(name, package):
    return name == package or name.startswith(f"{package}.")


def test_an_import_in_a_function_or_by_a_relative_name_would_be_seen(tmp_path):
    (tmp_path / "stores").mkdir()
    path = tmp_path / "stores" / "client.py"
    path.write_text("def f():\n    from dagster.core import x\n    from ..events import hours\n")
    assert set(imports(path, tmp_path)) == {"dagster.core.x", "clickstream_assets.events.hours"}


@pytest.mark.slow
def test_importing_the_definitions_loads_no_client_and_no_spark():
    code = "import sys, clickstream_assets.definitions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    assert "dagster" in loaded
    assert not HEAVY & loaded
