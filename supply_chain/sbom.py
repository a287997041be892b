"""Write the bill of materials: each Python package of ``requirements.lock`` and each file of ``jars.lock``.

It is a CycloneDX file for scanners and for whoever has to know what is inside.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from clickstream_assets.local.stack.jars_lock import all_locked

ROOT = Path(__file__).parent.parent
PACKAGE = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)(.*(?:\n +.*)*)", re.MULTILINE)
"""A package of ``requirements.lock``: its name, its version, and the rest, on lines that go on."""


def _component(kind: ComponentType, url: PackageURL, hashes: list[str]) -> Component:
    return Component(
        type=kind,
        group=url.namespace,
        name=url.name,
        version=url.version,
        purl=url,
        bom_ref=url.to_string(),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes],
    )


def python_packages(lock: str) -> Iterator[Component]:
    """The packages of a requirements file; each has the hashes of all its wheels and archives."""
    for name, version, rest in PACKAGE.findall(lock):
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)
        yield _component(ComponentType.LIBRARY, PackageURL("pypi", None, name, version), hashes)


def jars() -> Iterator[Component]:
    """What is fetched for the servers. A jar that two servers have is one component."""
    for file in {(file.group, file.artifact, file.version): file for file in all_locked()}.values():
        qualifiers = {} if file.type == "jar" else {"type": file.type}
        url = PackageURL("maven", file.group, file.artifact, file.version, qualifiers)
        yield _component(ComponentType.LIBRARY, url, [file.sha256])


def bill_of_materials() -> Bom:
    """All of it, as parts of this project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    whole = _component(ComponentType.APPLICATION, PackageURL("pypi", None, project["name"], project["version"]), [])
    parts = [*python_packages((ROOT / "requirements.lock").read_text()), *jars()]
    bom = Bom(components=parts)
    bom.metadata.component = whole
    bom.register_dependency(whole, parts)
    return bom


def main(target: str) -> None:
    """Write it to a file."""
    bom = bill_of_materials()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(bom).output_to_file(target, allow_overwrite=True, indent=2)
    print(f"{len(bom.components)} components are listed in {target}")


if __name__ == "__main__":
    main(sys.argv[1])
