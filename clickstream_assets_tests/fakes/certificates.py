"""Certificates of every kind that a client has to tell apart: good, of another authority, expired, of another host."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

GOOD, OTHER_AUTHORITY, EXPIRED, WRONG_HOST = "good", "other authority", "expired", "wrong host"
KINDS = (GOOD, OTHER_AUTHORITY, EXPIRED, WRONG_HOST)
HERE = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority, whose own certificate is the file ``ca``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._authority = trustme.CA(organization_name=name)
        self._folder, self._name = folder, name
        self.ca = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *hosts: str, expired: bool = False) -> Path:
        """A certificate for hosts, or without any for a client of that name: a PEM file that begins with its key."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        path = self._folder / f"{self._name} {name}.pem"
        names = hosts or ("client@localhost",)  # Java believes no certificate without
        issued = self._authority.issue_cert(*names, common_name=name, not_after=yesterday if expired else None)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


class Certificates:
    """An authority that clients believe, its certificates by kind for a server here, and one for a client."""

    def __init__(self, folder: Path) -> None:
        authority, other = Authority(folder, "believed"), Authority(folder, "unknown")
        self.ca, self.other_ca = authority.ca, other.ca
        self.server = {
            GOOD: authority.issue(GOOD, *HERE),
            OTHER_AUTHORITY: other.issue(OTHER_AUTHORITY, *HERE),
            EXPIRED: authority.issue(EXPIRED, *HERE, expired=True),
            WRONG_HOST: authority.issue(WRONG_HOST, "elsewhere.example"),
        }
        self.client = authority.issue("a client")
        self.unknown_client = other.issue("a client")
