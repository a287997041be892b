"""The GeoIP database, and which addresses are not a client's."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from clickstream_assets.enrich.enrichment import EnrichmentRules


class GeoIPResource(dg.ConfigurableResource):
    """Path of the database, the same on every Spark worker, and trusted networks, comma-separated."""

    database: str
    trusted_proxies: str

    def rules(self) -> "EnrichmentRules":
        """What enriches now, with the versions of the database and of the user-agent rules.

        Raises ``dg.Failure`` if the database is not there or is none.
        """
        from clickstream_assets.enrich.enrichment import EnrichmentRules, user_agent_version
        from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit

        try:
            versions = GeoIPDatabase(Path(self.database)).version, user_agent_version()
        except GeoIPUnfit as unfit:
            raise dg.Failure(str(unfit)) from unfit
        trusted = tuple(text.strip() for text in self.trusted_proxies.split(",") if text.strip())
        return EnrichmentRules(self.database, trusted, versions)
