import subprocess

import pytest

from clickstream_assets.stores.java import write_java_home


@pytest.mark.parametrize("flag", ["--add-modules=jdk.incubator.vector", "-Dkept=1"])
def test_our_java_home_drops_the_module_that_is_missing(tmp_path, flag):
    home = write_java_home(tmp_path / "java home")
    done = subprocess.run([home / "bin" / "java", flag, "-version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
