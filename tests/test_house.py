"""The house in order: what imports what, and what is public is documented."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hierclf

PACKAGE = Path(hierclf.__file__).parent
DOCS = PACKAGE.parent / "docs"
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"


def entry(module: str) -> str:
    """Return the file or folder of hierclf/ that a module is in: hierclf.nn.text is in nn/."""
    name = module.split(".")[1]
    return f"{name}/" if (PACKAGE / name).is_dir() else f"{name}.py"


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hierclf":
            if node.module == "hierclf":
                yield from (f"hierclf.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("hierclf."))


@pytest.mark.skipif(not CONTRIBUTING.exists(), reason="needs the repository, not the package alone")
def test_imports_point_down():
    rows = re.findall(r"^\| (`.*?) \|", CONTRIBUTING.read_text("utf-8"), flags=re.MULTILINE)
    floors = {
        name.removeprefix("hierclf/"): -number
        for number, row in enumerate(rows)
        for name in re.findall(r"`(.*?)`", row)
    }
    here = {f"{p.name}/" if p.is_dir() else p.name for p in PACKAGE.iterdir()}
    assert set(floors) == here - {"__init__.py", "__pycache__/", "py.typed"}
    for file in PACKAGE.rglob("*.py"):
        mine = file.relative_to(PACKAGE).parts[0]
        mine += "/" if (PACKAGE / mine).is_dir() else ""
        for module in imported(file) if mine != "__init__.py" else ():
            other = entry(module)
            assert other == mine or floors[other] < floors[mine], f"{file.name} imports {module}"


def documented() -> dict[str, set[str]]:
    """Return the names on the API page, by module."""
    found: dict[str, set[str]] = {}
    for line in (DOCS / "api.rst").read_text("utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.removeprefix(".. currentmodule:: ")
        elif re.fullmatch(r"   \w+", line):
            found.setdefault(module, set()).add(line.strip())
    return found


@pytest.mark.skipif(not DOCS.exists(), reason="needs the repository, not the package alone")
def test_what_is_public_is_on_the_api_page():
    rooms = {f"hierclf.{p.stem}" for p in PACKAGE.iterdir() if not p.name.startswith(("_", "py."))}
    # Hierarchy and the classifiers are imported from the top.
    assert set(documented()) == {"hierclf"} | rooms - {"hierclf.hierarchy", "hierclf.classifiers"}
    for module, names in documented().items():
        assert set(importlib.import_module(module).__all__) == names, module
