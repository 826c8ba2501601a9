"""Ragged groups of a hierarchy as padded blocks, which softmaxes can be computed over.

Values are held node by row, so that a group is a set of rows; padding lies outside of
every softmax.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy

    _Indices = NDArray[np.intp]

# Path tables up to this many entries are looked up, larger ones worked out per batch.
_TABLE_ENTRIES = 1 << 16
# Trees of more levels than this, unless they are small, have no tables of paths: those take
# depth x nodes.
_SHALLOW = 32
# Groups that are so many times as large, padding included, are one block: a second one has as
# many operations again, which for a few rows take longer than those on the padding.
_PADDED = 1.25
# Trees whose paths have up to this many members, padding included, are not split.
_NARROW = 128


class PathSteps(nn.Module):
    """The softmaxes on the path to a node, over the groups on that path alone.

    Levels on which no node has siblings are left out: their steps have probability 1.
    The other levels share a bucket if their widest groups round up to the same
    power of two: one wide group does not pad the levels that have none. Narrow trees
    have a single bucket, since there a second one costs more than the padding.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree.

    Attributes
    ----------
    levels : Tensor of shape (n_steps,), int64
        The level into which each column of the output is a step. There are as many steps as levels
        on which some node has siblings.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> steps = PathSteps(tree)
    >>> logits, target = torch.zeros(5, 2), torch.tensor(tree.node_indices(["a", "d"]))
    >>> steps(logits, target).exp()  # one of 2 siblings, then nothing, or one of 3
    tensor([[0.5000, 1.0000],
            [0.5000, 0.3333]])
    >>> steps.levels
    tensor([0, 1])
    """

    levels: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        if not hierarchy.is_tree:
            raise ValueError(
                "PathSteps needs a tree, in which a label has one path; this hierarchy is a DAG"
            )
        arrays = hierarchy.arrays
        sizes = np.diff(arrays.group_offsets)
        # The softmax that each node is a part of: where it starts, and its size.
        start, size = np.repeat(arrays.group_offsets[:-1], sizes), np.repeat(sizes, sizes)
        slot = np.arange(len(hierarchy)) - start
        widths = np.maximum.reduceat(size, arrays.depth_offsets[:-1])
        choices = np.flatnonzero(widths > 1)  # an only child is certain: no step
        is_narrow = widths.max() * len(choices) <= _NARROW
        buckets = [choices] if is_narrow else [choices[b] for b in _buckets(widths[choices])]
        levels = np.concatenate(buckets) if len(choices) else choices
        self.paths: _Climb | None = None
        ancestors = None
        if len(choices) > max(_SHALLOW, _TABLE_ENTRIES // len(hierarchy)):
            self.paths = _Climb(hierarchy, levels, start, size, slot)
        else:
            ancestors = ancestors_by_level(hierarchy, levels)
            # Below a node nothing is left to choose: a group of one, of probability 1.
            on_path = levels[:, None] < hierarchy.depths
            start, size = start[ancestors], np.where(on_path, size[ancestors], 1)
            slot = slot[ancestors]
        ends = np.cumsum([0, *map(len, buckets)]).tolist()
        self.buckets = nn.ModuleList(
            _StepBucket(int(widths[bucket].max()), rows, None)
            if ancestors is None
            else _StepBucket(int(widths[bucket].max()), rows, (start[rows], size[rows], slot[rows]))
            for bucket, rows in zip(buckets, map(slice, ends, ends[1:]), strict=False)
            if len(bucket)
        )
        register_derived(self, "levels", levels)

    def forward(self, logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Compute the log-probability of each step on the path to a target.

        Parameters
        ----------
        logits : Tensor of shape (nodes, batch)
            In the order of ``hierarchy.nodes``.
        target : Tensor of shape (batch,), int64
            Node of each row, as a position in ``hierarchy.nodes``.
        label_smoothing : float
            Share of the mean over all siblings in each step.

        Returns
        -------
        Tensor of shape (batch, n_steps)
            ``log P(child | parent)`` for each step, 0 below the target; column i is the
            step into level ``levels[i]``.
        """
        if not self.buckets:
            return logits[:0].t()  # of no columns, yet a function of the logits
        groups = None if self.paths is None else self.paths(target)
        return _join(
            [bucket(logits, target, label_smoothing, groups) for bucket in self.buckets]
        ).t()


class _Climb(nn.Module):
    """The softmaxes on the path to each target, found per batch by climbing.

    Tables of all paths take depth x nodes, which deep trees cannot afford. The tables here, of the
    ancestors 1, 2, 4, ... levels up, take nodes times the logarithm of the depth.
    """

    start: Tensor
    size: Tensor
    slot: Tensor
    depths: Tensor
    jumps: Tensor
    levels: Tensor

    def __init__(
        self,
        hierarchy: Hierarchy,
        levels: _Indices,
        start: _Indices,
        size: _Indices,
        slot: _Indices,
    ) -> None:
        super().__init__()
        up = hierarchy.arrays.edge_parents.clip(0)  # above the top level nobody asks
        jumps = [up]
        while 1 << len(jumps) < hierarchy.depth:
            jumps.append(jumps[-1][jumps[-1]])
        for name, values in (
            ("start", start),
            ("size", size),
            ("slot", slot),
            ("depths", hierarchy.depths),
            ("jumps", np.stack(jumps)),
            ("levels", levels[:, None]),
        ):
            register_derived(self, name, values)

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return start, size and slot of the softmax of each step, all (levels, batch)."""
        chain = target.unsqueeze(0)  # row i is i levels up
        for jump in self.jumps:
            chain = torch.cat([chain, jump[chain]])
        steps_up = self.depths[target] - 1 - self.levels
        nodes = chain.gather(0, steps_up.clamp(min=0))
        size = self.size[nodes].masked_fill(steps_up < 0, 1)
        return self.start[nodes], size, self.slot[nodes]


class _StepBucket(nn.Module):
    """Some levels of all paths: where the group of each step starts and ends.

    Parameters
    ----------
    width : int
        The size of the largest group.
    rows : slice
        Which of the levels of all buckets are here.
    groups : tuple of ndarrays of shape (levels, nodes), optional
        Start, size and slot (the chosen member) of the group of each step to each node. Without
        them, those of each batch are passed to ``forward``.
    """

    index: Tensor
    padding: Tensor
    start: Tensor
    size: Tensor
    slot: Tensor

    def __init__(
        self, width: int, rows: slice, groups: tuple[_Indices, _Indices, _Indices] | None
    ) -> None:
        super().__init__()
        self.levels, self.width, self.rows = rows.stop - rows.start, width, rows
        self.tabulated = False
        if groups is None:
            return
        start, size, slot = groups
        self.tabulated = self.width * size.size <= _TABLE_ENTRIES
        if self.tabulated:
            index, padding = self._members(*map(torch.from_numpy, groups))
            register_derived(self, "index", index.t().contiguous())  # a row of the table per node
            register_derived(self, "padding", padding.t().contiguous())
        else:
            register_derived(self, "start", start)
            register_derived(self, "size", size)
            register_derived(self, "slot", slot)

    def _members(self, start: Tensor, size: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """List the members of the groups of each column, the chosen one of each first.

        The second tensor, added to their logits, takes what lies beyond a group's
        end out of its softmax.
        """
        position = torch.arange(self.width, device=start.device).view(-1, 1, 1)
        index = start + (slot + position) % size
        return index.flatten(0, 1), _padding(position < size).flatten(0, 1)

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        label_smoothing: float,
        groups: tuple[Tensor, Tensor, Tensor] | None,
    ) -> Tensor:
        """Map logits (nodes, batch) and targets (batch,) to steps (levels, batch)."""
        if groups is not None:
            index, padding = self._members(*(part[self.rows] for part in groups))
        elif self.tabulated:
            index = self.index.index_select(0, target).t()
            padding = self.padding.index_select(0, target).t()
        else:
            index, padding = self._members(
                *(part.index_select(1, target) for part in (self.start, self.size, self.slot))
            )
        members = (logits.gather(0, index) + padding).view(self.width, self.levels, -1)
        log_proba = members.log_softmax(0)
        if not label_smoothing:
            return log_proba[0]
        is_member = (padding == 0).view(members.shape)
        mean = log_proba.where(is_member, 0).sum(0) / is_member.sum(0)
        return torch.lerp(log_proba[0], mean, label_smoothing)


class RaggedGroups(nn.Module):
    """Ragged groups of rows, gathered into blocks of groups of about the same size."""

    row_order: Tensor
    numbers: Tensor
    group_order: Tensor

    def __init__(self, groups: list[_Indices]) -> None:
        super().__init__()
        sizes = np.array([len(group) for group in groups], dtype=np.intp)
        chosen = _buckets(sizes)
        if len(sizes) and len(sizes) * sizes.max() <= _PADDED * sizes.sum():
            chosen = [np.arange(len(sizes))]
        blocks = [PaddedGroups([groups[n] for n in numbers]) for numbers in chosen]
        self.blocks = nn.ModuleList(blocks)
        # Where each row, and each group, stands in the blocks put one after another.
        nothing = torch.zeros(0, dtype=torch.long)
        members = torch.cat([nothing, *(block.members for block in blocks)])
        present = torch.cat([nothing, *(block.padding.flatten() == 0 for block in blocks)])
        places = present.nonzero().flatten()
        register_derived(self, "row_order", places[members[places].argsort()])
        numbers = np.concatenate(chosen or [np.zeros(0, np.intp)])
        register_derived(self, "numbers", numbers)
        register_derived(self, "group_order", np.argsort(numbers))

    def log_softmax(self, values: Tensor) -> Tensor:
        """Normalise each group of a partition of the rows (rows, batch) in log space."""
        if len(self.group_order) == 1:
            return values.t().log_softmax(1).t()  # as the linear map left them
        parts = [block(values).log_softmax(0).flatten(0, 1) for block in self.blocks]
        return _join(parts).index_select(0, self.row_order)

    def logsumexp(self, values: Tensor) -> Tensor:
        """Add the rows (rows, batch) of each group in log space: (groups, batch)."""
        if not self.blocks:
            return values[:0]
        sums = [_logsumexp(block(values)) for block in self.blocks]
        # A single block holds the groups in their order.
        return sums[0] if len(sums) == 1 else torch.cat(sums).index_select(0, self.group_order)

    def multiply(self, rows: Tensor, values: Tensor) -> Tensor:
        """Multiply the rows of each group of a partition with a matrix of its own.

        Rows (rows, size) and matrices (groups, size, batch) make products (rows, batch).
        """
        blocks: list[Any] = list(self.blocks)
        in_blocks = values.index_select(0, self.numbers)
        matrices = torch.split(in_blocks, [block.shape[1] for block in blocks])
        parts = []
        for block, own in zip(blocks, matrices, strict=True):
            members = rows.index_select(0, block.members).view(*block.shape, -1)
            products = torch.bmm(members.transpose(0, 1), own)  # (groups, width, batch)
            parts.append(products.transpose(0, 1).flatten(0, 1))
        return _join(parts).index_select(0, self.row_order)


class PaddedGroups(nn.Module):
    """Groups of rows side by side, padded to the largest of them."""

    members: Tensor
    padding: Tensor

    def __init__(self, groups: list[_Indices]) -> None:
        super().__init__()
        width = max(len(group) for group in groups)
        rows = np.full((width, len(groups)), -1)  # -1 where there is none
        for column, group in enumerate(groups):
            rows[: len(group), column] = group
        self.shape = rows.shape
        register_derived(self, "members", rows.clip(0).ravel())
        register_derived(self, "padding", _padding(torch.tensor(rows >= 0)).unsqueeze(2))

    def forward(self, values: Tensor) -> Tensor:
        """Gather rows (rows, batch) as (width, groups, batch), -inf where there is none."""
        return values.index_select(0, self.members).view(*self.shape, -1) + self.padding

    def member(self, slot: Tensor) -> Tensor:
        """Return the row that stands in a slot (groups, batch) of each group: (groups, batch)."""
        groups = torch.arange(self.shape[1], device=slot.device).unsqueeze(1)
        return self.members.view(self.shape)[slot, groups]


def _logsumexp(values: Tensor) -> Tensor:
    """Add in log space over the first axis, where some value is finite.

    torch's own, which allows for infinities, takes twice as long for one row.
    """
    largest = values.amax(0)
    return (values - largest).exp().sum(0).log() + largest


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _padding(present: Tensor) -> Tensor:
    """Return what, added to logits, takes those that are absent out of a softmax.

    In float32 whatever torch's default: it is exact, and never widens the logits.
    """
    zeros = torch.zeros(present.shape, dtype=torch.float32, device=present.device)
    return zeros.masked_fill_(~present, -math.inf)


def _buckets(sizes: _Indices) -> list[_Indices]:
    """Sort groups by size: the numbers of those that share their next power of two."""
    exponents = np.frexp(np.maximum(sizes, 1) - 0.5)[1]
    return [np.flatnonzero(exponents == exponent) for exponent in np.unique(exponents)]


def ancestors_by_level(hierarchy: Hierarchy, levels: _Indices) -> _Indices:
    """Return the ancestor of each node at some levels of a tree, itself from its own level on.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree.
    levels : ndarray of shape (n_levels,), dtype intp
        Distinct levels, 0 the top.

    Returns
    -------
    ndarray of shape (n_levels, n_nodes), dtype intp
    """
    row = {level: i for i, level in enumerate(levels.tolist())}
    result = np.empty((len(levels), len(hierarchy)), dtype=np.intp)
    here, parents = np.arange(len(hierarchy)), hierarchy.arrays.edge_parents
    for level in reversed(range(hierarchy.depth)):
        deeper = hierarchy.arrays.depth_offsets[level + 1]  # the first node below the level
        here[deeper:] = parents[here[deeper:]]
        if level in row:
            result[row[level]] = here
    return result


def leaves_under(hierarchy: Hierarchy) -> list[_Indices]:
    """List, for each inner node but the root, the columns of its leaves."""
    leaf, node = hierarchy.ancestor_pairs(hierarchy.leaf_indices)
    is_above = node != hierarchy.leaf_indices[leaf]
    leaf, node = leaf[is_above], node[is_above]
    by_node = np.argsort(node, kind="stable")
    starts = np.searchsorted(node[by_node], hierarchy.arrays.inner_indices[1:])
    return np.split(leaf[by_node], starts)[1:]


def register_derived(module: nn.Module, name: str, values: NDArray[Any] | Tensor) -> None:
    """Keep values derived from the hierarchy: moved with the module, not saved as weights."""
    tensor = values if isinstance(values, Tensor) else torch.tensor(values)
    module.register_buffer(name, tensor, persistent=False)
