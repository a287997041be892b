"""Writes the cases to a file, and prints the first hour to run them with."""

import sys
import time
from pathlib import Path

from clickstream_assets_tests.hard_cases import first_hour, write_file

now = int(time.time() * 1000)
write_file(Path(sys.argv[1]), now)
print(first_hour(now))
