"""Lists of neighbours, all in one array: how to read several at once, and what they lead to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Adjacency(NamedTuple):
    """The neighbours of each row, one row's after another's.

    Attributes
    ----------
    offsets : ndarray of shape (n_rows + 1,), dtype intp
        The neighbours of row i are ``targets[offsets[i] : offsets[i + 1]]``.
    targets : ndarray of shape (n_neighbours,), dtype intp
        Rows.
    """

    offsets: NDArray[np.intp]
    targets: NDArray[np.intp]

    def of(self, row: int) -> list[int]:
        """Return the neighbours of one row."""
        found: list[int] = self.targets[self.offsets[row] : self.offsets[row + 1]].tolist()
        return found


def gather(
    offsets: NDArray[np.intp], targets: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the targets of several rows of an adjacency, and how many each row has."""
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    shift = starts - (np.cumsum(counts) - counts)
    return targets[np.repeat(shift, counts) + np.arange(counts.sum())], counts


def closure(adjacency: Adjacency, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the mask of what can be reached from `rows`, themselves included."""
    mask = np.zeros(len(adjacency.offsets) - 1, dtype=bool)
    mask[rows] = True
    while len(rows):
        reached, _ = gather(*adjacency, rows)
        rows = np.unique(reached[~mask[reached]])
        mask[rows] = True
    return mask
