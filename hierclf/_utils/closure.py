"""Sets of nodes as sparse matrices, closed under ancestors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from hierclf.hierarchy import Hierarchy


def close_sets(matrix: sp.csr_array, hierarchy: Hierarchy) -> sp.csr_array:
    """Add the ancestors of the nodes of each row."""
    closed = sp.csr_array(matrix @ closure(hierarchy))
    closed.data[:] = 1  # the product counts the ways to a node
    closed.sort_indices()
    return closed


def closure(hierarchy: Hierarchy) -> sp.csr_array:
    """Return the matrix whose row i holds 1 for node i and each of its ancestors."""
    n = len(hierarchy)
    items, above = hierarchy.ancestor_pairs(np.arange(n))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(items, minlength=n))))
    return sp.csr_array((np.ones(len(above)), above, offsets), shape=(n, n))
