"""A bucket may be slow, or out of reach, for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from raytl.remote_files import is_denied

Found = TypeVar("Found")
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)


def patiently(call: Callable[[], Found]) -> Found:
    """Return what a call returns; call again, later each time, where it raises OSError. What is not
    there will not come, and who may not will not be let: that is raised at once."""
    for delay in DELAYS_S:
        try:
            return call()
        except OSError as error:
            if isinstance(error, FileNotFoundError) or is_denied(error):
                raise
            time.sleep(delay)
    return call()
