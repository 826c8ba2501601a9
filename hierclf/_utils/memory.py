"""Results that are too large for the machine, refused before any work."""

from __future__ import annotations

import os

# What is taken for the memory of a machine that does not tell.
_UNKNOWN = 16 << 30


def physical_memory() -> int:
    """Return the bytes of memory of the machine, 16 GiB where it does not tell."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows has no such function
        return _UNKNOWN


def check_fits(n_rows: int, n_columns: int, itemsize: int, *, what: str, cure: str) -> None:
    """Refuse an array that takes more than half of the memory: it is joined from parts.

    Parameters
    ----------
    n_rows, n_columns, itemsize : int
        Its shape, and the bytes of a value.
    what : str
        What it is, for the error.
    cure : str
        What to do instead.

    Raises
    ------
    MemoryError
        If it is too large.
    """
    size, memory = n_rows * n_columns * itemsize, physical_memory()
    if size > memory // 2:
        raise MemoryError(
            f"{what} is {n_rows:,} rows x {n_columns:,} columns x {itemsize} bytes = "
            f"{size / 1e9:,.1f} GB, and this machine has {memory / 1e9:,.1f} GB, of which it may "
            f"take half: {cure}"
        )
