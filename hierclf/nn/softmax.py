"""Softmaxes over a hierarchy: hidden state -> log-probability of every node.

Two heads with the same methods: ``forward`` gives every node, ``leaf_log_proba`` the
leaves, ``leaf_scores`` no more than it takes to choose among them, and
``path_log_proba`` the steps to a target, which is what training needs. All arithmetic
is in log space and runs over real children only. The hierarchical one holds logits
node by row: a group of siblings is then a block of contiguous rows, and a softmax over
the first axis runs at the full width of the processor however small the group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.linear import CSRRows, Linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy

    _Indices = NDArray[np.intp]

# Path tables up to this many entries are looked up, larger ones worked out per batch.
_TABLE_ENTRIES = 1 << 16


class HierarchicalSoftmax(nn.Module):
    r"""One softmax at every inner node, trained together.

    .. math::

        P(m \mid p) = \frac{\exp(w_{pm} \cdot h)}{\sum_j \exp(w_{pj} \cdot h)},
        \qquad P(n) = \prod_{(p, m) \text{ on the path to } n} P(m \mid p),

    equations 1 to 3 of [1]_, with :math:`h` the hidden state with a 1 appended.
    It has one row of weights for each node but the root, which is
    :math:`(P - 1)(d + 1)` parameters more than a flat softmax for :math:`P` inner
    nodes (the root included) and hidden states of size :math:`d`.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree.
    linear : type
        Class of the affine map to logits: :class:`Linear`, or :class:`FeatureLinear`
        where the hidden state is the features themselves.
    **kwargs
        Passed to ``linear``.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.

    Examples
    --------
    Zero weights give each of the children of a node the same probability:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> softmax = HierarchicalSoftmax(4, tree)
    >>> for parameter in softmax.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> log_proba = softmax(torch.randn(1, 4))
    >>> print(dict(zip(tree.nodes, log_proba.exp()[0].tolist())))  # doctest: +ELLIPSIS
    {'a': 0.5, 'b': 0.5, 'c': 0.16..., 'd': 0.16..., 'e': 0.16...}
    """

    leaf_indices: Tensor
    parents: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        _check_tree(hierarchy)
        self.linear = linear(in_features, len(hierarchy), **kwargs)
        nodes = np.arange(len(hierarchy))
        self.siblings = _Groups(np.split(nodes, hierarchy.group_offsets[1:-1]))
        self.steps = _PathSteps(hierarchy)
        # Nodes come level by level, so every level is a slice.
        levels = np.arange(1, hierarchy.depth + 2)
        self.level_offsets = np.searchsorted(hierarchy.depths, levels).tolist()
        _buffer(self, "leaf_indices", hierarchy.leaf_indices)
        _buffer(self, "parents", hierarchy.edge_parents)

    def forward(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every node.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """
        return self._node_log_proba(hidden).t()

    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every leaf.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        return self._node_log_proba(hidden).index_select(0, self.leaf_indices).t()

    def leaf_scores(self, hidden: Tensor | CSRRows) -> Tensor:
        """Rank the leaves of each row: :meth:`leaf_log_proba`, up to a constant per row.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        return self.leaf_log_proba(hidden)

    def path_log_proba(self, hidden: Tensor | CSRRows, target: Tensor) -> Tensor:
        """Compute the log-probability of each step on the path to a target.

        Only the groups on the path of each row are normalised.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.
        target : Tensor of shape (batch,), int64
            Node of each row, as a position in ``hierarchy.nodes``.

        Returns
        -------
        Tensor of shape (batch, depth)
            ``log P(child | parent)`` for each step, 0 below the target; its sum over
            a row is ``log P(target)``. The order of the columns is the same for all
            rows and follows the widths of the groups, not the depth.
        """
        steps: Tensor = self.steps(self.linear(hidden).t(), target)
        return steps

    def _node_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:
        steps = self.siblings.log_softmax(self.linear(hidden).t())
        levels = [steps[: self.level_offsets[1]]]
        for depth in range(1, len(self.level_offsets) - 1):
            start, stop = self.level_offsets[depth : depth + 2]
            above = self.parents[start:stop] - self.level_offsets[depth - 1]
            levels.append(steps[start:stop] + levels[-1].index_select(0, above))
        return torch.cat(levels) if len(levels) > 1 else levels[0]


class FlatSoftmax(nn.Module):
    """One softmax over all leaves; an inner node is the sum of its leaves.

    The baseline of :class:`HierarchicalSoftmax`, with the same methods: it knows the
    hierarchy only to add up probabilities.

    Parameters
    ----------
    in_features, hierarchy, linear, **kwargs
        As for :class:`HierarchicalSoftmax`.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.leaves``.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> softmax = FlatSoftmax(4, tree)
    >>> for parameter in softmax.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> log_proba = softmax(torch.randn(1, 4))
    >>> print({node: round(p, 2) for node, p in zip(tree.nodes, log_proba.exp()[0].tolist())})
    {'a': 0.25, 'b': 0.75, 'c': 0.25, 'd': 0.25, 'e': 0.25}
    """

    leaf_column: Tensor
    node_order: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        _check_tree(hierarchy)
        leaves, inner = hierarchy.leaf_indices, hierarchy.inner_indices[1:]
        self.linear = linear(in_features, len(leaves), **kwargs)
        self.leaves_under = _Groups(_leaves_under(hierarchy))
        leaf_column = np.full(len(hierarchy), -1)
        leaf_column[leaves] = np.arange(len(leaves))
        _buffer(self, "leaf_column", leaf_column)
        _buffer(self, "node_order", np.argsort(np.concatenate([leaves, inner])))

    def forward(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every node.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """
        leaves = self.leaf_log_proba(hidden).t()
        nodes = torch.cat([leaves, self.leaves_under.logsumexp(leaves)])
        return nodes.index_select(0, self.node_order).t()

    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every leaf.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        log_proba: Tensor = self.linear(hidden).log_softmax(1)
        return log_proba

    def leaf_scores(self, hidden: Tensor | CSRRows) -> Tensor:
        """Rank the leaves of each row: :meth:`leaf_log_proba`, up to a constant per row.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            The logits; columns in the order of ``hierarchy.leaves``.
        """
        logits: Tensor = self.linear(hidden)
        return logits

    def path_log_proba(self, hidden: Tensor | CSRRows, target: Tensor) -> Tensor:
        """Compute the log-probability of the one step to a target leaf.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.
        target : Tensor of shape (batch,), int64
            Leaf of each row, as a position in ``hierarchy.nodes``.

        Returns
        -------
        Tensor of shape (batch, 1)
            ``log P(target)``.
        """
        leaf = self.leaf_column.index_select(0, target)
        return self.leaf_log_proba(hidden).gather(1, leaf.unsqueeze(1))


class _PathSteps(nn.Module):
    """The softmaxes on the path to a node, over the groups on that path alone.

    Levels of the tree share a bucket if their widest groups round up to the same
    power of two: one wide group does not pad the levels that have none.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        ancestors = _ancestors(hierarchy)
        sizes = np.diff(hierarchy.group_offsets)
        group = np.repeat(np.arange(len(sizes)), sizes)[ancestors]
        # Below a node nothing is left to choose: a group of one, of probability 1.
        on_path = np.arange(1, hierarchy.depth + 1)[:, None] <= hierarchy.depths
        start = np.where(on_path, hierarchy.group_offsets[group], ancestors)
        size = np.where(on_path, sizes[group], 1)
        self.buckets = nn.ModuleList(
            _StepBucket(start[levels], size[levels], (ancestors - start)[levels])
            for levels in _buckets(size.max(axis=1))
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Map logits (nodes, batch) and targets (batch,) to steps (batch, depth)."""
        steps = [bucket(logits, target) for bucket in self.buckets]
        return (steps[0] if len(steps) == 1 else torch.cat(steps)).t()


class _StepBucket(nn.Module):
    """Some levels of all paths: where the group of each step starts and ends.

    ``start``, ``size`` and ``slot`` (the chosen member) have shape (levels, nodes).
    """

    index: Tensor
    padding: Tensor
    start: Tensor
    size: Tensor
    slot: Tensor

    def __init__(self, start: _Indices, size: _Indices, slot: _Indices) -> None:
        super().__init__()
        self.levels, self.width = len(size), int(size.max())
        self.tabulated = self.width * size.size <= _TABLE_ENTRIES
        if self.tabulated:
            index, padding = self._members(*map(torch.from_numpy, (start, size, slot)))
            _buffer(self, "index", index.t().contiguous())  # a row of the table per node
            _buffer(self, "padding", padding.t().contiguous())
        else:
            _buffer(self, "start", start)
            _buffer(self, "size", size)
            _buffer(self, "slot", slot)

    def _members(self, start: Tensor, size: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """List the members of the groups of each column, the chosen one of each first.

        The second tensor, added to their logits, takes what lies beyond a group's
        end out of its softmax.
        """
        position = torch.arange(self.width, device=start.device).view(-1, 1, 1)
        padding = torch.where(position < size, 0.0, -math.inf)
        return (start + (slot + position) % size).flatten(0, 1), padding.flatten(0, 1)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Map logits (nodes, batch) and targets (batch,) to steps (levels, batch)."""
        if self.tabulated:
            index = self.index.index_select(0, target).t()
            padding = self.padding.index_select(0, target).t()
        else:
            index, padding = self._members(
                *(part.index_select(1, target) for part in (self.start, self.size, self.slot))
            )
        members = (logits.gather(0, index) + padding).view(self.width, self.levels, -1)
        return members.log_softmax(0)[0]


class _Groups(nn.Module):
    """Ragged groups of rows, gathered into blocks of groups of about the same size."""

    row_order: Tensor
    group_order: Tensor

    def __init__(self, groups: list[_Indices]) -> None:
        super().__init__()
        sizes = np.array([len(group) for group in groups], dtype=np.intp)
        chosen = _buckets(sizes)
        blocks = [_Block([groups[number] for number in numbers]) for numbers in chosen]
        self.blocks = nn.ModuleList(blocks)
        rows = np.concatenate([block.rows for block in blocks] or [np.zeros(0, np.intp)])
        # Where each row, and each group, stands in the blocks put one after another.
        _buffer(self, "row_order", np.flatnonzero(rows >= 0)[np.argsort(rows[rows >= 0])])
        numbers = np.concatenate(chosen or [np.zeros(0, np.intp)])
        _buffer(self, "group_order", np.argsort(numbers))

    def log_softmax(self, values: Tensor) -> Tensor:
        """Normalise each group of a partition of the rows (rows, batch) in log space."""
        if len(self.group_order) == 1:
            return values.t().log_softmax(1).t()  # as the linear map left them
        parts = [block(values).log_softmax(0).flatten(0, 1) for block in self.blocks]
        return torch.cat(parts).index_select(0, self.row_order)

    def logsumexp(self, values: Tensor) -> Tensor:
        """Add the rows (rows, batch) of each group in log space: (groups, batch)."""
        if not self.blocks:
            return values[:0]
        sums = torch.cat([block(values).logsumexp(0) for block in self.blocks])
        return sums.index_select(0, self.group_order)


class _Block(nn.Module):
    """Groups of rows side by side, padded to the largest of them."""

    members: Tensor
    padding: Tensor

    def __init__(self, groups: list[_Indices]) -> None:
        super().__init__()
        width = max(len(group) for group in groups)
        rows = np.full((width, len(groups)), -1)
        for column, group in enumerate(groups):
            rows[: len(group), column] = group
        self.shape = rows.shape
        self.rows = rows.ravel()  # -1 where there is none
        _buffer(self, "members", self.rows.clip(0))
        _buffer(self, "padding", torch.where(torch.tensor(rows) >= 0, 0.0, -math.inf).unsqueeze(2))

    def forward(self, values: Tensor) -> Tensor:
        """Gather rows (rows, batch) as (width, groups, batch), -inf where there is none."""
        return values.index_select(0, self.members).view(*self.shape, -1) + self.padding


def _buckets(sizes: _Indices) -> list[_Indices]:
    """Sort groups by size: the numbers of those that share their next power of two."""
    exponents = np.frexp(np.maximum(sizes, 1) - 0.5)[1]
    return [np.flatnonzero(exponents == exponent) for exponent in np.unique(exponents)]


def _ancestors(hierarchy: Hierarchy) -> _Indices:
    """Return the ancestor of each node at each level (levels, nodes), itself from its own on."""
    depth, n_nodes = hierarchy.depth, len(hierarchy)
    ancestors = np.tile(np.arange(n_nodes), (depth, 1))
    for level in range(depth - 2, -1, -1):
        below = ancestors[level + 1]
        is_deeper = hierarchy.depths[below] > level + 1
        ancestors[level] = np.where(is_deeper, hierarchy.edge_parents[below], below)
    return ancestors


def _leaves_under(hierarchy: Hierarchy) -> list[_Indices]:
    """List, for each inner node but the root, the columns of its leaves."""
    ancestors = _ancestors(hierarchy)[:, hierarchy.leaf_indices]
    level, leaf = np.nonzero(ancestors != hierarchy.leaf_indices)
    node = ancestors[level, leaf]
    by_node = np.argsort(node, kind="stable")
    starts = np.searchsorted(node[by_node], hierarchy.inner_indices[1:])
    return np.split(leaf[by_node], starts)[1:]


def _buffer(module: nn.Module, name: str, values: _Indices | Tensor) -> None:
    """Keep values derived from the hierarchy: moved with the module, not saved as weights."""
    tensor = values if isinstance(values, Tensor) else torch.tensor(values)
    module.register_buffer(name, tensor, persistent=False)


def _check_tree(hierarchy: Hierarchy) -> None:
    if not hierarchy.is_tree:
        raise ValueError(
            "the softmax needs a tree, and this hierarchy is a DAG: a node has several parents"
        )
