"""The GeoIP database, and which addresses are not a client's."""

from pathlib import Path

import dagster as dg


class GeoIPResource(dg.ConfigurableResource):
    """Path of the database, the same on every Spark worker, and trusted networks, comma-separated."""

    database: str
    trusted_proxies: str

    @property
    def trusted(self) -> tuple[str, ...]:
        return tuple(text.strip() for text in self.trusted_proxies.split(",") if text.strip())

    def versions(self) -> tuple[str, str]:
        """Versions of the database and of the user-agent rules that enrichment uses now.

        Raises ``dg.Failure`` if the database is not there or is none.
        """
        from clickstream_assets.enrich.enrichment import user_agent_version
        from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit

        try:
            return GeoIPDatabase(Path(self.database)).version, user_agent_version()
        except GeoIPUnfit as unfit:
            raise dg.Failure(str(unfit)) from unfit
