"""Whether the documents that were benchmarked are right, by the independent computation of the acceptance tests."""

import subprocess
import sys
from pathlib import Path

from clickstream_assets.settings import Settings

_COMMAND = (sys.executable, "-m", "clickstream_assets_tests.acceptance.golden")


def differences(sent: Path, configured: Settings, *, daily: bool = False) -> list[str]:
    """What differs between the metrics of all messages ``sent`` (envelopes) and the alias; empty if nothing does.

    With ``daily``, the totals of days too.

    In processes of their own: expecting an hour takes gigabytes where it has millions of events.
    """
    day, clock = configured.first_hour[:10], configured.first_hour[11:13]
    expected = sent.with_suffix(".expected.json")
    with expected.open("w") as output:
        subprocess.run(
            [*_COMMAND, "expect", sent, "--geoip", configured.geoip_database, "--first-hour", f"{day}T{clock}"],
            stdout=output,
            check=True,
        )
    found: list[str] = []
    for options in ([configured.alias], [configured.daily_alias, "--daily"])[: 2 if daily else 1]:
        compared = subprocess.run(
            [*_COMMAND, "compare", expected, "--es", configured.elasticsearch_url, "--alias", *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if compared.returncode:
            found += compared.stdout.splitlines() or compared.stderr.splitlines()[-1:]
    expected.unlink()
    return found
