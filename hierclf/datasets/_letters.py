"""Texts as the classic benchmarks have them: lower-case words of letters, nothing else."""

import re

_WORD = re.compile("[a-z]+")


def letters_only(text: str) -> str:
    """Return the runs of the letters a to z in lower case, one space between them."""
    return " ".join(_WORD.findall(text.lower()))
