"""Coding trees: a graph's nodes in nested groups, few of whose edges lead outside."""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.nn._options import check_option

_Indices = NDArray[np.intp]
Criterion = Literal["combine", "merge"]

CRITERIA = ("combine", "merge")
# Changes that differ by less are equal, whatever the order in which terms were added up.
_DECIMALS = 9


def coding_tree(
    n_nodes: int, edges: ArrayLike, height: int = 2, *, criterion: Criterion = "combine"
) -> tuple[_Indices, ...]:
    r"""Group the nodes of a graph so that its structural entropy is small.

    All nodes of the graph are leaves of the coding tree, at depth ``height``. The tree of height
    2 is found as in [1]_, by three operators. *Combine* puts a pair of neighbours that have the
    same parent, the root, under a new node. It takes the pair with the least change, until no two
    are neighbours. *Compress* removes an inner node, whose children go to its parent. It takes
    the node with the least change of those with a leaf that is still too deep. *Pad* puts a node
    above a leaf that is not deep enough, which changes nothing. For a greater height, levels are
    added one by one: next to the leaves, where each lowest group is divided by itself, or under
    the root. The one that lowers the entropy more for each node that it divides is taken. Of
    equal choices the one of the nodes that come first is taken, so that the tree does not depend
    on chance.

    Parameters
    ----------
    n_nodes : int
        Number N of nodes of the graph.
    edges : array-like of shape (2, n_edges), int
        The two ends of each edge, in any direction. An edge that is given twice counts twice.
    height : int
        Height k of the tree, at least 1. A tree of height 1 has all nodes under its root.
    criterion : {"combine", "merge"}
        How a pair is rated: by the change of the entropy when it is put under a new node, or by
        the change if the children of the new node were those of the two, as the reference code
        of [1]_ does. They are equal for pairs of leaves.

    Returns
    -------
    tuple of ``height`` ndarrays of dtype intp
        Item i holds the parent of each node of level i, as a position in level i + 1. Level 0
        holds the nodes of the graph, and the last level is the root alone.

    Raises
    ------
    ValueError
        If there is no node, the height is less than 1, an edge does not join two nodes, or
        ``criterion`` is none of these.

    References
    ----------
    .. [1] H. Zhu et al., "HiTIN: Hierarchy-aware Tree Isomorphism Network for Hierarchical Text
       Classification", ACL 2023, section 4.1.

    Examples
    --------
    Two triangles that are joined by an edge are two groups:

    >>> from hierclf.nn.coding_tree import coding_tree
    >>> edges = [[0, 0, 1, 3, 3, 4, 2], [1, 2, 2, 4, 5, 5, 3]]
    >>> coding_tree(6, edges)
    (array([0, 0, 0, 1, 1, 1]), array([0, 0]))
    """
    check_option("criterion", criterion, CRITERIA)
    if n_nodes < 1 or height < 1:
        raise ValueError(
            f"a coding tree needs a node and a height of 1 or more: n_nodes={n_nodes}, "
            f"height={height}"
        )
    ends = np.asarray(edges, dtype=np.intp).reshape(2, -1)
    outside = (ends < 0) | (ends >= n_nodes) | (ends[0] == ends[1])
    if outside.any():
        wrong = ends[:, outside.any(axis=0)][:, 0].tolist()
        raise ValueError(f"an edge joins two of the nodes 0 to {n_nodes - 1}, got {wrong}")
    tree: tuple[_Indices, ...] = (np.zeros(n_nodes, dtype=np.intp),)
    if height > 1:
        tree = _under_root(tree, ends, criterion)
    while len(tree) < height:
        options = (_above_leaves(tree, ends, criterion), _under_root(tree, ends, criterion))
        divided = n_nodes, len(tree[-1])
        before = structural_entropy(tree, ends)
        lower, upper = (
            round((before - structural_entropy(option, ends)) / n, _DECIMALS)
            for option, n in zip(options, divided, strict=True)
        )
        tree = options[0] if lower >= upper else options[1]
    return tree


def structural_entropy(tree: tuple[_Indices, ...], edges: ArrayLike) -> float:
    r"""Compute the structural entropy of a graph by a coding tree, in bits.

    .. math:: H = -\sum_{\alpha \ne \mathrm{root}} \frac{g_\alpha}{\mathrm{vol}(G)}
        \log_2 \frac{\mathrm{vol}_\alpha}{\mathrm{vol}_{\mathrm{parent}(\alpha)}},

    where the volume is the sum of the degrees of the leaves below a node of the tree, and
    :math:`g` the number of edges that have one end among them.

    Parameters
    ----------
    tree : tuple of ndarrays
        As :func:`coding_tree` returns it.
    edges : array-like of shape (2, n_edges), int
        The two ends of each edge of the graph.

    Returns
    -------
    float
        The entropy; 0 for a graph without edges.
    """
    ends = np.asarray(edges, dtype=np.intp).reshape(2, -1)
    total, entropy = ends.size, 0.0
    volume = np.bincount(ends.ravel(), minlength=len(tree[0]))
    for parents in tree:
        crossing = ends[:, ends[0] != ends[1]]
        cut = np.bincount(crossing.ravel(), minlength=len(parents))
        above = np.bincount(parents, weights=volume)
        some = cut > 0
        ratio = volume[some] / above[parents[some]]
        entropy -= float(cut[some] @ np.log2(ratio)) / max(total, 1)
        volume, ends = above, parents[ends]
    return entropy


def _under_root(
    tree: tuple[_Indices, ...], ends: _Indices, criterion: Criterion
) -> tuple[_Indices, ...]:
    """Add a level under the root, which groups its children."""
    degree = np.bincount(ends.ravel(), minlength=len(tree[0]))
    for parents in tree[:-1]:
        degree, ends = np.bincount(parents, weights=degree).astype(np.intp), parents[ends]
    crossing = ends[:, ends[0] != ends[1]]
    cut = np.bincount(crossing.ravel(), minlength=len(degree))
    group = _two_levels(degree, cut, crossing, criterion)
    return (*tree[:-1], group, np.zeros(group.max() + 1, dtype=np.intp))


def _above_leaves(
    tree: tuple[_Indices, ...], ends: _Indices, criterion: Criterion
) -> tuple[_Indices, ...]:
    """Add a level above the leaves, which divides each of the groups that they are in."""
    groups = tree[0]
    degree = np.bincount(ends.ravel(), minlength=len(groups))
    inside = ends[:, groups[ends[0]] == groups[ends[1]]]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    by_group = inside[:, np.argsort(groups[inside[0]], kind="stable")]
    edge_starts = np.searchsorted(groups[by_group[0]], np.arange(groups.max() + 2))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))  # where each leaf stands in `order`
    division = np.empty_like(groups)
    above: list[int] = []
    for i, (start, stop) in enumerate(pairwise(starts.tolist())):
        members = order[start:stop]
        own = place[by_group[:, edge_starts[i] : edge_starts[i + 1]]] - start
        parts = _two_levels(degree[members], degree[members], own, criterion)
        division[members] = parts + len(above)
        above += [i] * int(parts.max() + 1)
    return (division, np.array(above, dtype=np.intp), *tree[1:])


def _two_levels(volume: _Indices, cut: _Indices, ends: _Indices, criterion: Criterion) -> _Indices:
    """Group items that have the same parent: combine, compress to height 2, pad."""
    growing = Growing(volume, cut, ends, criterion)
    growing.combine_all()
    growing.compress_all()
    return growing.groups()


class Growing:
    """A coding tree of some items while it is made.

    The items, their nodes and then the root are numbered from 0 in the order in which they come
    to be. Volumes and cuts are whole numbers. Changes of the entropy come times the volume of the
    whole graph, which is the same for all.
    """

    def __init__(
        self, volume: _Indices, cut: _Indices, ends: _Indices, criterion: Criterion
    ) -> None:
        self.n_items, self.criterion = len(volume), criterion
        # There will be as many nodes as items, less one, and a root. The edges that leave an item
        # may leave the parent of the items, too, and join no pair.
        self.volume = np.append(volume, np.zeros_like(volume))
        self.cut = np.append(cut, np.zeros_like(cut))
        self.parent = [-1] * self.n_items
        self.below = [0] * self.n_items  # the sum of the cuts of the children
        self.total = int(volume.sum())
        # The neighbours of what is under the root, by slot: a new node takes over the slot of
        # that of its two which has more of them, so that few entries change.
        self.slot = list(range(self.n_items))
        self.node = np.arange(self.n_items)
        self.weights: list[dict[int, int]] = [{} for _ in self.node]
        pairs, counts = np.unique(np.sort(ends, axis=0), axis=1, return_counts=True)
        for a, b, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            self.weights[a][b] = self.weights[b][a] = count

    # -- combine ------------------------------------------------------------------------------

    def combine_all(self) -> None:
        """Combine pairs until no two are neighbours, and put what is left under a root."""
        # A pair belongs to that of its two which is newer, and what a node has no longer is older
        # than it. So the best pair of a node only becomes worse, and is looked up anew when its
        # turn comes.
        queue = [best for b in range(self.n_items) if (best := self._best_pair(b))]
        heapq.heapify(queue)
        while queue:
            _, a, b = heapq.heappop(queue)
            if self.parent[b] >= 0:
                continue
            if self.parent[a] < 0:
                b = self.combine(a, b)
            if best := self._best_pair(b):
                heapq.heappush(queue, best)
        tops = [i for i, parent in enumerate(self.parent) if parent < 0]
        if len(tops) > 1 or tops[0] < self.n_items:  # an item is not the root
            self._add(self.total, 0, tops)
        self.root = len(self.parent) - 1

    def combine(self, a: int, b: int) -> int:
        """Put two neighbours under a new node, and return it."""
        if len(self.weights[self.slot[a]]) < len(self.weights[self.slot[b]]):
            kept, gone = self.slot[b], self.slot[a]
        else:
            kept, gone = self.slot[a], self.slot[b]
        weight = self.weights[kept].pop(gone)
        volume = self.volume[a] + self.volume[b]
        new = self._add(volume, self.cut[a] + self.cut[b] - 2 * weight, [a, b])
        self.slot.append(kept)
        self.node[kept] = new
        for slot, more in self.weights[gone].items():
            if slot != kept:
                neighbours = self.weights[slot]
                del neighbours[gone]
                neighbours[kept] = self.weights[kept][slot] = neighbours.get(kept, 0) + more
        self.weights[gone] = {}
        return new

    def _best_pair(self, b: int) -> tuple[float, int, int] | None:
        """Return change, older and newer node of the best pair with an older one."""
        weights = self.weights[self.slot[b]]
        slots = np.fromiter(weights.keys(), dtype=np.intp, count=len(weights))
        weight = np.fromiter(weights.values(), dtype=np.intp, count=len(weights))
        older = self.node[slots]
        weight, older = weight[older < b], older[older < b]
        if not len(older):
            return None
        changes = self.combine_change(older, b, weight).round(_DECIMALS)
        least = changes.min()
        return float(least), int(older[changes == least].min()), b

    def combine_change(self, a: _Indices, b: int, weight: _Indices) -> NDArray[Any]:
        """Rate the pairs of some nodes with another one, whose edges have these weights."""
        volumes, own = self.volume[a], self.volume[b]
        together = volumes + own
        change: NDArray[Any] = -2.0 * weight * np.log2(self.total / together)
        if self.criterion == "combine":
            return change
        a_term = (volumes - self.cut[a]) * np.log2(together / volumes)
        change += a_term + (own - self.cut[b]) * np.log2(together / own)
        return change

    def _add(self, volume: int, cut: int, children: list[int]) -> int:
        new = len(self.parent)
        self.volume[new], self.cut[new] = volume, cut
        self.parent.append(-1)
        self.below.append(int(self.cut[children].sum()))
        for child in children:
            self.parent[child] = new
        return new

    # -- compress -----------------------------------------------------------------------------

    def compress_all(self) -> None:
        """Compress nodes until no item is deeper than 2."""
        first, last, depth = self._spans()
        queue = [(self.compress_change(node), node) for node in range(self.n_items, self.root)]
        heapq.heapify(queue)
        while queue:
            change, node = heapq.heappop(queue)
            span = slice(first[node], last[node])
            if depth[span].max() <= 2:
                continue  # for good, since no item becomes deeper
            now = self.compress_change(node)
            if now > change:  # its parent or a child was compressed: it does not become cheaper
                heapq.heappush(queue, (now, node))
                continue
            self.compress(node)
            depth[span] -= 1

    def compress(self, node: int) -> None:
        """Give the children of a node to its parent."""
        parent = self.parent_of(node)
        self.below[parent] += self.below[node] - int(self.cut[node])
        self.below[node] = -1  # it is no more

    def compress_change(self, node: int) -> float:
        """Return the change of the entropy when a node is compressed."""
        ratio = np.log2(self.volume[self.parent_of(node)] / self.volume[node])
        return round(float((self.below[node] - self.cut[node]) * ratio), _DECIMALS)

    def parent_of(self, node: int) -> int:
        """Return the parent of a node, past those that were compressed."""
        parents, above = self.parent, self.parent[node]
        while self.below[above] < 0:
            parents[node] = above = parents[above]
        return above

    def _spans(self) -> tuple[list[int], list[int], _Indices]:
        """Return where the items of each node start and end in a walk, and their depths."""
        n = len(self.parent)
        size = [1] * self.n_items + [0] * (n - self.n_items)
        for node in range(self.root):  # children come before their parents
            size[self.parent[node]] += size[node]
        first, used, depth = [0] * n, [0] * n, [0] * n
        for node in reversed(range(self.root)):
            parent = self.parent[node]
            first[node] = first[parent] + used[parent]
            used[parent] += size[node]
            depth[node] = depth[parent] + 1
        in_walk = np.empty(self.n_items, dtype=np.intp)
        in_walk[first[: self.n_items]] = depth[: self.n_items]
        return first, [start + length for start, length in zip(first, size, strict=True)], in_walk

    # -- pad ----------------------------------------------------------------------------------

    def groups(self) -> _Indices:
        """Give each item its group, counted from 0; an item under the root is one by itself."""
        above = [self.parent_of(item) for item in range(self.n_items)]
        keys = [item if node == self.root else node for item, node in enumerate(above)]
        numbers: dict[int, int] = {}
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
