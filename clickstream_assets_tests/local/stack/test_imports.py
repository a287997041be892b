import subprocess
import sys

import pytest

HEAVY = {
    "pyspark",
    "kafka",
    "happybase",
    "elasticsearch",
    "grpc",
    "pandas",
    "pyarrow",
    "dagster",
    "cryptography",
    "psutil",
}


@pytest.mark.slow
def test_importing_the_stack_is_light():
    modules = "commands, background, supervisor"
    code = f"import sys; from clickstream_assets.local.stack import {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
