"""Writes GeoIP databases of any shape.

No fake: real files of the format, with networks and places of our own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


class _Writer(MMDBWriter):
    """A writer that says when the database was built; the library takes the time of writing."""

    built = 0

    def _build_meta(self) -> dict[str, Any]:
        return super()._build_meta() | {"build_epoch": self.built}


def write_database(
    path: Path, records: Mapping[str, Any], *, ip_version: int = 6, kind: str = "GeoLite2-City", built: int = 7
) -> Path:
    """A database with a record for each network, put in the place of what is there as one should: by renaming."""
    writer = _Writer(ip_version, kind, languages=["en"], ipv4_compatible=ip_version == 6)
    writer.built = built
    for network, record in records.items():
        if ip_version == 6 or ":" not in network:
            writer.insert_network(IPSet([network]), record)
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    new.replace(path)
    return path
