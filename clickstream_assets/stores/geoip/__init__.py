"""The GeoIP database as an asset asks for it."""
