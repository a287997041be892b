"""The bill of materials names all that is locked."""

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from clickstream_assets.local.stack.jars_lock import all_locked
from supply_chain import sbom

LOCK = (sbom.ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    target = tmp_path_factory.mktemp("sbom") / "folder" / "sbom.cdx.json"
    sbom.main(str(target))
    return target.read_text()


@pytest.fixture(scope="module")
def hashes(text):
    """The hashes of each component, by its package URL."""
    components = json.loads(text)["components"]
    return {part["purl"]: {digest["content"] for digest in part["hashes"]} for part in components}


def test_it_is_valid_cyclonedx(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_lists_every_locked_package_with_all_its_hashes(hashes):
    packages = re.findall(r"^([a-z0-9-]+)==([\w.]+)", LOCK, re.MULTILINE)
    assert len(packages) == LOCK.count("==") - LOCK.count(" == ") - LOCK.count("=='")
    for name, version in packages:
        assert hashes[f"pkg:pypi/{name}@{version}"], name
    listed = set().union(*(found for url, found in hashes.items() if url.startswith("pkg:pypi/")))
    assert listed == set(re.findall("sha256:([0-9a-f]{64})", LOCK))


def test_it_lists_every_jar(hashes):
    for file in all_locked():
        kind = "" if file.type == "jar" else f"?type={file.type}"
        assert hashes[f"pkg:maven/{file.group}/{file.artifact}@{file.version}{kind}"] == {file.sha256}
    assert sum(url.startswith("pkg:maven/") for url in hashes) == len({file.path for file in all_locked()})


def test_it_says_what_it_is_of(text):
    whole = json.loads(text)["metadata"]["component"]
    assert (whole["name"], whole["type"]) == ("clickstream-assets", "application")


def test_no_file_of_the_repository_names_a_registry():
    """Where packages come from is the installer's business."""
    for name in ("requirements.lock", "clickstream_assets/local/stack/jars.lock", "Dockerfile", "pyproject.toml"):
        assert not re.search(r"https?://", re.sub(r"#.*", "", Path(sbom.ROOT, name).read_text())), name
