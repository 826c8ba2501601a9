"""Rows around the means of the leaves of a tree, whose means are around those of their parents.

It needs numpy alone, so that peers in an environment of their own draw the same rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hierclf import Hierarchy

N_FEATURES = 64
# Standard deviation of a node's mean around that of its parent; rows have 1 around their class.
# Then each row has the length 1, as embeddings do: all contestants learn better so.
SPREAD = 0.4
# Rows that are drawn at once, to need no second copy of the data.
BLOCK = 1 << 16


class Rows(NamedTuple):
    """y holds the positions of the classes among ``hierarchy.leaves``."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def draw(
    hierarchy: Hierarchy, n_rows: int, n_test: int, *, is_skewed: bool = False, seed: int = 0
) -> Rows:
    """Draw rows; each class has one in training at least.

    Classes are equally frequent, or else the r-th in a random order has a share of about 1 / r.
    """
    rng = np.random.default_rng(seed)
    means = _leaf_means(hierarchy, rng)
    n_classes = len(means)
    shares = np.full(n_classes, 1 / n_classes)
    if is_skewed:
        shares = 1 / rng.permutation(np.arange(10, n_classes + 10))
        shares /= shares.sum()
    more = np.floor(shares * (n_rows - n_classes)).astype(np.int64)
    y = np.repeat(np.arange(n_classes), 1 + more)
    y = np.append(y, rng.choice(n_classes, max(0, n_rows - len(y)), p=shares))
    rng.shuffle(y)
    y_test = rng.choice(n_classes, n_test, p=shares)
    return Rows(_around(means, y, rng), y, _around(means, y_test, rng), y_test)


def _leaf_means(hierarchy: Hierarchy, rng: np.random.Generator) -> np.ndarray:
    arrays = hierarchy.arrays
    means = rng.standard_normal((len(hierarchy), N_FEATURES), dtype=np.float32)
    means *= np.float32(SPREAD)
    bounds = arrays.depth_offsets
    for start, stop in pairwise(bounds[1:]):  # below the top level
        means[start:stop] += means[arrays.edge_parents[start:stop]]
    return means[hierarchy.leaf_indices]


def _around(means: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    X = np.empty((len(y), means.shape[1]), dtype=np.float32)
    for start in range(0, len(y), BLOCK):
        block = X[start : start + BLOCK]
        rng.standard_normal(block.shape, dtype=np.float32, out=block)
        block += means[y[start : start + BLOCK]]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return X
