"""A side of a benchmark in a process tree of its own."""

import json
import subprocess
import time
from typing import Any


def run_side(command: list[str], name: str) -> tuple[dict[str, Any], float]:
    """Run a side's command; return the figures of its line `RESULT {…}`, and the seconds from its
    start to its exit. Exits with the end of its output where there is no such line."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(found[0].removeprefix("RESULT ")), seconds
