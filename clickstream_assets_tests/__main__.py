"""``python -m clickstream_assets_tests``: what ``make test`` runs, every test, in two processes of pytest.

Those that start servers or processes take turns in one of them, and leave a core idle most of the time; all others run
beside them, and are shown behind them. Options are pytest's, and whoever gives any has one process.
"""

import subprocess
import sys
import tempfile

_PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    if options := sys.argv[1:]:
        return subprocess.run([*_PYTEST, *options], check=False).returncode
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        beside = subprocess.Popen([*_PYTEST, "-m", "not starts"], stdout=output, stderr=subprocess.STDOUT)
        try:
            code = subprocess.run([*_PYTEST, "-m", "starts"], check=False).returncode
            code_beside = beside.wait()
        finally:
            beside.terminate()
            beside.wait()
        output.seek(0)
        sys.stdout.write(output.read())
    return code or code_beside


if __name__ == "__main__":
    sys.exit(main())
