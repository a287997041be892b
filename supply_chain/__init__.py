"""What goes into an installation, and that it is what it was: ``make lock-jars`` and ``make sbom``."""
