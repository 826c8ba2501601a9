"""Questions about one node or two, answered by following edges one at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy._arrays import HierarchyArrays, closure

# All functions take and return ids; see `HierarchyArrays`.


def steps_up(arrays: HierarchyArrays, i: int) -> dict[int, int]:
    """Return the ids above `i`, itself included, with the fewest steps to each."""
    parents = arrays.up.of
    steps = {i: 0}
    layer = [i]
    while layer:
        following = []
        for child in layer:
            for parent in parents(child):
                if parent not in steps:
                    steps[parent] = steps[child] + 1
                    following.append(parent)
        layer = following
    return steps


def ids_below(arrays: HierarchyArrays, i: int) -> NDArray[np.intp]:
    """Return the ids at or below `i`; ids grow downwards, so `i` itself comes first."""
    return np.flatnonzero(closure(arrays.down, np.array([i])))


def only_path(arrays: HierarchyArrays, i: int) -> list[int] | None:
    """Return the ids from the top level to `i`, or None where there are several ways."""
    if arrays.has_several_paths[i]:
        return None
    ids = []
    while i:
        ids.append(i)
        i = arrays.up.of(i)[0]
    return ids[::-1]


def lowest_common_ancestor(arrays: HierarchyArrays, i: int, j: int) -> int:
    """Return the deepest id at or above both; of equally deep ones the first."""
    common = steps_up(arrays, i).keys() & steps_up(arrays, j).keys()
    depths = arrays.depths
    return max(common, key=lambda k: (depths[k - 1] if k else 0, -k))


def distance(arrays: HierarchyArrays, i: int, j: int) -> int:
    """Return the number of edges on the shortest way up from `i` and down to `j`."""
    up_i, up_j = steps_up(arrays, i), steps_up(arrays, j)
    return min(up_i[k] + up_j[k] for k in up_i.keys() & up_j.keys())
