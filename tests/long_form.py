"""Whether the fuzzers run in their long form: set ERNIE_LONG_TESTS=1."""
import os

LONG = os.environ.get("ERNIE_LONG_TESTS", "") not in ("", "0")
