"""Random hierarchies for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from hierclf.hierarchy import Hierarchy


@st.composite
def trees(draw, max_leaves=12):
    """Ragged trees with only children, early leaves, and a named or unnamed root."""
    n = draw(st.integers(1, 2 * max_leaves))
    parents = [draw(st.integers(max(0, i - 6), i - 1)) for i in range(1, n + 1)]
    while len(set(range(1, len(parents) + 1)) - set(parents)) > max_leaves:
        parents.pop()  # the last node has no children
    names = _names(draw, len(parents) + 1)
    edges = [(names[p], names[i]) for i, p in enumerate(parents, start=1)]
    return Hierarchy(draw(st.permutations(edges)))


@st.composite
def dags(draw, max_nodes=12):
    """Rooted graphs in which a node may have several parents, at any depths."""
    n = draw(st.integers(1, max_nodes))
    edges = []
    names = _names(draw, n + 1)
    for i in range(1, n + 1):
        above = draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3))
        edges += [(names[p], names[i]) for p in sorted(above)]
    return Hierarchy(draw(st.permutations(edges)))


def _names(draw, n):
    names = draw(st.permutations([f"n{i:02d}" for i in range(n)]))
    return [Hierarchy.ROOT, *names[1:]] if draw(st.booleans()) else names
