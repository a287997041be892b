"""Where the GeoIP database is, as an asset asks for it. Looking an address up is in ``enrich``."""
