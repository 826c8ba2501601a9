"""Parameters that are one of a few words."""

from __future__ import annotations

from collections.abc import Iterable


def check_option(name: str, value: object, options: Iterable[str]) -> None:
    """Refuse what is not one of the options, naming the parameter."""
    options = tuple(options)
    if value not in options:
        words = ", ".join(map(repr, options[:-1]))
        raise ValueError(f"{name} must be {words} or {options[-1]!r}, got {value!r}")
