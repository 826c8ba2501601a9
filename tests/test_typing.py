"""What users see of the types: a script of theirs is checked by mypy and pyright, and then run."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import typing_extensions

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tests" / "typing" / "user_script.py"

CHECKERS = {
    "mypy": ["--strict", str(SCRIPT)],
    "basedpyright": ["--pythonpath", sys.executable],  # pyproject.toml says which files
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_see_the_types(checker):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed; it comes with the extra 'dev'")
    done = subprocess.run(
        [sys.executable, "-m", checker, *CHECKERS[checker]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Each function of the script but `mistakes`, which is for the checkers alone.
@pytest.mark.parametrize(
    "name",
    [
        "hierarchies",
        "datasets",
        "fetchers",
        "classifiers",
        "parts",
        "texts",
        "metrics",
        "pictures",
        "modules",
    ],
)
def test_the_types_are_true(name, monkeypatch):
    if name == "fetchers" and "HIERCLF_DATA" not in os.environ:
        pytest.skip("needs the data sets of HIERCLF_DATA")
    seen = []

    def check(value, expected):
        seen.append(expected)
        assert is_of(value, expected), (value, expected)
        return value

    monkeypatch.setattr(typing_extensions, "assert_type", check)
    runpy.run_path(str(SCRIPT))[name]()
    assert seen


def is_of(value: Any, expected: Any) -> bool:
    """Say whether a value is of a type, as far as the script names types."""
    kind, args = get_origin(expected) or expected, get_args(expected)
    if expected in (Any, None):
        return expected is Any or value is None
    if not isinstance(value, kind):
        return False
    if kind is np.ndarray:
        (scalar,) = get_args(args[1])
        return scalar is Any or issubclass(value.dtype.type, scalar)
    if kind is dict:
        return all(is_of(k, args[0]) and is_of(v, args[1]) for k, v in value.items())
    if kind in (list, tuple):
        return all(is_of(item, args[0]) for item in value)
    return True


@pytest.mark.parametrize(
    ("value", "expected", "is_right"),
    [
        (np.zeros(2), np.ndarray[Any, np.dtype[np.float64]], True),
        (np.zeros(2), np.ndarray[Any, np.dtype[np.str_]], False),
        (np.zeros(2), np.ndarray[Any, np.dtype[Any]], True),
        ([1.0, 2.0], list[float], True),
        ([1.0, "2"], list[float], False),
        (("a",), tuple[str, ...], True),
        ({"a": 1}, dict[str, int], True),
        ({"a": "b"}, dict[str, int], False),
        (None, None, True),
        (0, None, False),
    ],
)
def test_is_of(value, expected, is_right):
    assert is_of(value, expected) is is_right
