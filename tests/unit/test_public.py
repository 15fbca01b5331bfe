"""Every public name is documented: what it takes, returns and raises, and an example."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import raytl

CALLED = [name for name in raytl.__all__ if name != "__version__"]
FUNCTIONS = [name for name in CALLED if inspect.isfunction(getattr(raytl, name))]
CLASSES = sorted(set(CALLED) - set(FUNCTIONS))
SECTIONS = ("Args", "Returns", "Raises", "Examples", "Attributes")


def sections(text: str) -> dict[str, str]:
    """Return a docstring's sections by their headings, what stands before them under ""."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):$", text, flags=re.M)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[str]:
    return re.findall(r"^    (\w+): \S", section, flags=re.M)


def documented(name: str) -> dict[str, str]:
    text = inspect.getdoc(getattr(raytl, name))
    assert text, f"raytl.{name} has no docstring"
    return sections(text)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    function, said = getattr(raytl, name), documented(name)
    assert entries(said["Args"]) == list(inspect.signature(function).parameters)
    returns = inspect.signature(function).return_annotation not in (None, "None")
    assert ("Returns" in said) == returns
    for error in entries(said["Raises"]):
        found = getattr(raytl.errors, error)
        assert issubclass(found, raytl.RaytlError)
    assert ">>> " in said["Examples"]
    assert "raytl." in said["Examples"]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_an_example_and_all_its_public_parts_are_documented(name: str) -> None:
    of = getattr(raytl, name)
    assert "raytl." in documented(name)["Examples"]
    for part, value in parts_of(of):
        assert inspect.getdoc(value), f"raytl.{name}.{part} has no docstring"


def parts_of(of: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(of).items():
        held = getattr(value, "fget", None) or getattr(value, "func", None) or value
        if not name.startswith("_") and callable(held) and held.__module__.startswith("raytl"):
            yield name, held


def test_the_names_are_there_and_nothing_else_is_meant() -> None:
    assert raytl.__all__ == sorted(raytl.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in raytl.__all__:
        assert hasattr(raytl, name)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*|unknown", raytl.__version__)
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        _ = raytl.swep


def test_importing_it_and_asking_for_its_version_is_light() -> None:
    script = """
import sys
import raytl
assert raytl.__version__ and raytl.sweep and raytl.dataset and raytl.Results
heavy = {"torch", "ray", "pandas", "optuna", "sklearn", "matplotlib", "datasets"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
