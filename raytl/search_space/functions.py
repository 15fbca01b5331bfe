"""Spaces that are functions of the user's own: `module:function`."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from raytl.errors import ConfigError
from raytl.search_space.checks import Params


def load_function(name: str) -> Callable[[Any], Params | None]:
    """Import `module:function`; modules beside the working directory are found as well. Raises
    ConfigError where that is no function."""
    module, _, function = name.partition(":")
    with _working_directory_on_path():
        try:
            loaded = getattr(importlib.import_module(module), function)
        except Exception as error:  # the user's own code runs
            raise ConfigError(
                f"space: cannot load '{name}' as module:function: {what_failed(error)}; a module "
                "is looked up in the working directory and on PYTHONPATH"
            ) from None
    if not callable(loaded):
        raise ConfigError(f"space: '{name}' is no function but {loaded!r:.80}; name a function")
    return cast("Callable[[Any], Params | None]", loaded)


def what_failed(error: Exception) -> str:
    """Return an error of the user's own code in a line, with its innermost place."""
    text = f"{type(error).__name__}: {str(error)[:200]}"
    if isinstance(error, ImportError | AttributeError | SyntaxError):
        return text  # which say themselves where they are
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({Path(frame.filename).name}:{frame.lineno})"


class _working_directory_on_path:  # noqa: N801 (a context manager, used like a function)
    def __enter__(self) -> None:
        sys.path.insert(0, os.getcwd())

    def __exit__(self, *_: object) -> None:
        sys.path.remove(os.getcwd())
