"""The house in order: what is public is documented, and each module is an attribute."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import hierclf

PACKAGE = Path(hierclf.__file__).parent
DOCS = PACKAGE.parent / "docs"


def documented() -> set[str]:
    """Return the names on the API page. A module is there with all of its ``__all__``."""
    lines = (DOCS / "api.rst").read_text("utf-8").splitlines()
    return {line.strip() for line in lines if re.fullmatch(r"   hierclf\.\w+", line)}


def public_rooms() -> set[str]:
    rooms = {p.stem for p in PACKAGE.iterdir() if not p.name.startswith(("_", "py."))}
    # Hierarchy and the classifiers are imported from the top.
    return rooms - {"hierarchy", "classifiers"}


@pytest.mark.skipif(not DOCS.exists(), reason="needs the repository, not the package alone")
def test_what_is_public_is_on_the_api_page():
    assert documented() == {f"hierclf.{name}" for name in hierclf.__all__}
    assert public_rooms() <= set(hierclf.__all__)


def test_every_public_module_is_an_attribute():
    for room in public_rooms():
        assert getattr(hierclf, room) is importlib.import_module(f"hierclf.{room}")
    assert set(hierclf.__all__) <= set(dir(hierclf))
    with pytest.raises(AttributeError, match="'hierclf' has no attribute 'nonsense'"):
        _ = hierclf.nonsense


def test_no_two_public_modules_have_a_class_of_one_name():
    owners: dict[str, str] = {}
    for room in sorted(public_rooms()):
        for name in importlib.import_module(f"hierclf.{room}").__all__:
            assert owners.setdefault(name, room) == room, name
