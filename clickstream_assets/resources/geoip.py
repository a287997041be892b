"""The GeoIP database, and which addresses are not a client's."""

from pathlib import Path

import dagster as dg


class GeoIPResource(dg.ConfigurableResource):
    """Path of the database, the same on every Spark worker, and trusted networks, comma-separated."""

    database: str
    trusted_proxies: str

    @property
    def trusted(self) -> tuple[str, ...]:
        """The trusted networks, one by one."""
        return tuple(text.strip() for text in self.trusted_proxies.split(",") if text.strip())

    def versions(self) -> tuple[str, str]:
        """Versions of the database and of the user-agent rules that enrichment uses now."""
        from clickstream_assets.domain.enrichment import geoip_version, user_agent_version

        if not Path(self.database).is_file():
            raise dg.Failure(
                f"no GeoIP database at {self.database}: set CLICKSTREAM_GEOIP_DATABASE to a GeoLite2 or GeoIP2 city "
                "database, or run `clickstream stack up` once, which fetches one"
            )
        return geoip_version(Path(self.database)), user_agent_version()
