"""``jars.lock``: each file that is fetched for the servers, by its SHA-256. ``make lock-jars`` writes it.

A file is one line: product, group:artifact:version:type as Maven names it, bytes, SHA-256.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.products import Product

LOCK = Path(__file__).with_name("jars.lock")


@dataclass(frozen=True)
class LockedFile:
    """A file of Maven Central."""

    product: str
    group: str
    artifact: str
    version: str
    type: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where Ivy puts it (:data:`~clickstream_assets.local.stack.ivy.PATTERN`)."""
        return f"{self.group}/{self.artifact}/{self.version}/{self.artifact}-{self.version}.{self.type}"

    @property
    def line(self) -> str:
        """Its line of the lock."""
        return f"{self.product} {self.group}:{self.artifact}:{self.version}:{self.type} {self.size} {self.sha256}\n"

    @classmethod
    def of(cls, product: str, fetched: Path, path: Path) -> "LockedFile":
        """The file that Ivy put there."""
        group, artifact, version, _ = path.relative_to(fetched).parts
        return cls(product, group, artifact, version, path.suffix[1:], path.stat().st_size, sha256(path))


@cache
def all_locked() -> tuple[LockedFile, ...]:
    """All files of the lock."""
    files = []
    for line in LOCK.read_text().splitlines():
        product, coordinates, size, digest = line.split()
        group, artifact, version, kind = coordinates.split(":")
        files.append(LockedFile(product, group, artifact, version, kind, int(size), digest))
    return tuple(files)


def locked(product: Product) -> list[LockedFile]:
    """The files of a product."""
    return [file for file in all_locked() if file.product == product.name]


def lock_of(product: Product) -> str:
    """A product's lines of the lock."""
    return "".join(file.line for file in locked(product))


def sha256(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def verify(product: Product, fetched: Path) -> None:
    """Raise :class:`StackError` unless a folder holds exactly the product's files, as they are locked."""
    wanted = {file.path: f"SHA-256 {file.sha256}" for file in locked(product)}
    found = {str(path.relative_to(fetched)): path for path in fetched.rglob("*") if path.is_file()}
    for name in sorted(wanted.keys() | found.keys()):
        expected = wanted.get(name, "no such file")
        got = f"SHA-256 {sha256(found[name])}" if name in found else "no such file"
        if got != expected:
            raise StackError(
                f"{product.title} was not installed: for {name} expected is {expected}, by {LOCK.name}, and got was "
                f"{got}. Run the same command again; if it says the same, look what a proxy or mirror between here "
                "and Maven Central hands out."
            )
