"""The likeliest leaves of a tree, found best first, without a look at most of the nodes.

A node is never likelier than the node above it. So the k leaves that were found are the
likeliest of all as soon as none of the nodes that wait to be opened is likelier than the last of
them: that is the certificate. A row that has none after many nodes is given up, for a pass over
all leaves.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn

from hierclf.nn._fast import loops_for
from hierclf.nn.groups import register_derived

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

# Rows that are searched side by side: many, so that the calls cost little for each, and few, so
# that what is worked out stays in a processor's cache.
_ROWS = 2048
# Weights that are gathered at once.
_GATHERED = 1 << 17
# Groups from this size on are read once for all rows that open them, by a matrix product.
_WIDE = 128
# Members of a group that wait to be opened, at most. Those left out are remembered as a bound.
_KEPT = 256
# After so many groups a row opens two at a time, then four, and so on, up to a number.
_PATIENCE, _AT_ONCE = 12, 64
# A row is given up when it has read this share of the nodes, or this number of them. To read a
# node so takes several times as long as in a pass over all, most of all without loops.
_SHARE, _SHARE_IN_TORCH, _MOST = 1 / 8, 1 / 32, 20_000
# A pass over all leaves is faster in trees of fewer nodes and for more leaves than a share of them
# (5 are never many); in torch for a few rows of a small tree, counted in rows x nodes; and where
# the weights must be turned first, for fewer rows.
SMALL_TREE, _SMALL_TREE_IN_TORCH = 500, 2000
_MANY, _MANY_IN_TORCH, _NEVER_MANY = 1 / 100, 1 / 500, 5
_SMALL_BATCH_IN_TORCH = 1 << 17
_FEW_ROWS = 16


def _loops_for(weight: Tensor) -> Any:
    """Return the compiled loops if they can work on some weights, else None."""
    return loops_for("_search_loops", weight)


class Found(NamedTuple):
    """The leaves that were found for some rows.

    Attributes
    ----------
    leaves : Tensor of shape (rows, k), int64
        Positions among the leaves, the likeliest first.
    log_proba : Tensor of shape (rows, k)
        Their log-probabilities.
    is_exact : Tensor of shape (rows,), bool
        Whether the search has proved it. The others were given up, and hold anything.
    """

    leaves: Tensor
    log_proba: Tensor
    is_exact: Tensor


class TreeSearch(nn.Module):
    """Finds the likeliest leaves of a softmax at every inner node of a tree.

    Groups of siblings are numbered as ``hierarchy.arrays.group_offsets`` are. What is below a
    node is an *end*: the number of the group of its children, or ``-1 - position`` for a leaf.
    Only children are certain, and passed over.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree. It can be searched if it has two leaves.
    """

    starts: Tensor
    sizes: Tensor
    ends: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        arrays = hierarchy.arrays
        starts, sizes = arrays.group_offsets[:-1], np.diff(arrays.group_offsets)
        ends = np.empty(len(hierarchy), dtype=np.int64)
        ends[arrays.inner_indices[1:]] = np.arange(1, len(sizes))
        ends[arrays.leaf_indices] = -1 - np.arange(len(arrays.leaf_indices))
        alone = arrays.inner_indices[1:][sizes[1:] == 1]
        bounds = np.searchsorted(alone, arrays.depth_offsets).tolist()
        for start, stop in reversed(list(pairwise(bounds))):
            nodes = alone[start:stop]  # of one level, so that those below are known
            ends[nodes] = ends[starts[ends[nodes]]]
        self.top = 0 if sizes[0] > 1 else int(ends[0])
        self.n_leaves = len(arrays.leaf_indices)
        self.widest = int(sizes.max())
        register_derived(self, "starts", starts)
        register_derived(self, "sizes", sizes)
        register_derived(self, "ends", ends)

    def pays(self, k: int, weight: Tensor) -> bool:
        """Tell whether a search for k leaves takes less time, as a rule, than a look at all."""
        has_loops = _loops_for(weight) is not None
        least = SMALL_TREE if has_loops else _SMALL_TREE_IN_TORCH
        most = (_MANY if has_loops else _MANY_IN_TORCH) * self.n_leaves
        return len(self.ends) >= least and 1 <= k <= max(most, _NEVER_MANY) <= self.n_leaves

    def pays_for(self, n_rows: int, weight: Tensor, *, is_turned: bool) -> bool:
        """Tell whether it does for so many rows, where the weights may have to be turned first."""
        is_large = n_rows * len(self.ends) >= _SMALL_BATCH_IN_TORCH
        has_loops = _loops_for(weight) is not None
        return (has_loops or is_large) and (n_rows >= _FEW_ROWS or not is_turned)

    def forward(self, hidden: Tensor, weight: Tensor, bias: Tensor, k: int) -> Found:
        """Find the k likeliest leaves of each row.

        Parameters
        ----------
        hidden : Tensor of shape (rows, in_features)
            Hidden states.
        weight : Tensor of shape (nodes, in_features)
            Weights of the nodes.
        bias : Tensor of shape (nodes,)
            Their biases.
        k : int
            How many leaves; at most all of them.
        """
        search = self._in_loops if _loops_for(weight) else self._in_torch
        parts = [search(rows, weight, bias, k) for rows in torch.split(hidden, _ROWS)]
        return parts[0] if len(parts) == 1 else Found(*map(torch.cat, zip(*parts, strict=True)))

    def descend(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Found:
        """Go from the root to the likeliest child, and on to a leaf: one for each row."""
        ends = torch.full((len(hidden),), self.top, device=hidden.device)
        log_proba = hidden.new_zeros(len(hidden))
        rows = torch.arange(len(hidden), device=hidden.device)
        while len(rows):
            groups = ends.index_select(0, rows)
            steps, below = self._open(hidden, weight, bias, rows, groups, kept=1)
            ends[rows] = below[:, 0]
            log_proba[rows] += steps[:, 0]
            rows = rows[below[:, 0] >= 0]
        return Found(-1 - ends.unsqueeze(1), log_proba.unsqueeze(1), torch.ones_like(ends).bool())

    def _limit(self, share: float) -> int:
        return min(int(share * len(self.ends)), _MOST)

    def _top(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities (rows, size) of the top group, and the ends (size,)."""
        start = int(self.starts[self.top])
        nodes = slice(start, start + int(self.sizes[self.top]))
        return F.linear(hidden, weight[nodes], bias[nodes]).log_softmax(1), self.ends[nodes]

    def _in_loops(self, hidden: Tensor, weight: Tensor, bias: Tensor, k: int) -> Found:
        top, ends = self._top(hidden, weight, bias)
        leaves = torch.zeros(len(hidden), k, dtype=torch.long)
        log_proba = hidden.new_empty(len(hidden), k)
        is_exact = torch.zeros(len(hidden), dtype=torch.bool)
        tensors = (
            *(hidden.contiguous(), weight, bias, top, ends),
            *(self.starts, self.sizes, self.ends, leaves, log_proba, is_exact),
        )
        arrays = (t.detach().numpy() for t in tensors)
        _loops_for(weight).search(*arrays, self._limit(_SHARE), self.widest)
        return Found(leaves, log_proba, is_exact)

    def _in_torch(self, hidden: Tensor, weight: Tensor, bias: Tensor, k: int) -> Found:
        n_rows, device = len(hidden), hidden.device
        leaves = torch.zeros(n_rows, k, dtype=torch.long, device=device)
        log_proba = hidden.new_full((n_rows, k), -math.inf)
        is_exact = torch.zeros(n_rows, dtype=torch.bool, device=device)
        if not n_rows:
            return Found(leaves, log_proba, is_exact)
        rows = torch.arange(n_rows, device=device)
        values, ends = self._top(hidden, weight, bias)
        waiting = _Waiting(hidden, k).add(values, ends.expand_as(values))
        n_read, n_steps, limit = values.shape[1], 0, self._limit(_SHARE_IN_TORCH)
        while len(rows):
            last = waiting.log_proba[:, -1]
            best, column = waiting.best()
            exact = (last >= best) & (last >= waiting.bound) & (last > -math.inf)
            # What is not exact and has nothing better to open never will be; NaN is never exact.
            over = exact | ~(best > last)
            if bool(over.any()):
                done = rows[over]
                leaves[done] = waiting.leaves[over]
                log_proba[done] = waiting.log_proba[over]
                is_exact[done] = exact[over]
                left = (~over).nonzero().flatten()
                rows, column = rows.index_select(0, left), column.index_select(0, left)
                waiting = waiting.of(left)
            if n_read > limit or not len(rows):
                break
            n_steps += 1
            n_opened = min(1 << max(0, n_steps - _PATIENCE), _AT_ONCE)
            if n_opened == 1:
                base, groups = waiting.take(column.unsqueeze(1))
                opened = self._open(hidden, weight, bias, rows, groups[:, 0])
                values, ends = opened[0] + base, opened[1]
            else:
                base, groups = waiting.take_best(n_opened)
                # Those that cannot be above the last leaf need not be opened.
                row, slot = (base > waiting.log_proba[:, -1:]).nonzero(as_tuple=True)
                opened = self._open(hidden, weight, bias, rows[row], groups[row, slot])
                shape = (*base.shape, opened[0].shape[1])
                values = hidden.new_full(shape, -math.inf)
                values[row, slot] = opened[0] + base[row, slot].unsqueeze(1)
                ends = groups.new_zeros(shape)
                ends[row, slot] = opened[1]
                values, ends = values.flatten(1), ends.flatten(1)
            n_read += values.shape[1]
            waiting = waiting.add(values, ends)
        return Found(leaves, log_proba, is_exact)

    def _open(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        rows: Tensor,
        groups: Tensor,
        kept: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute the softmax of a group for each of some rows.

        Returns
        -------
        steps : Tensor of shape (pairs, width)
            log P(child | parent), -inf where there is no child. With ``kept``, the best ones.
        ends : Tensor of shape (pairs, width)
            What is below each child.
        """
        sizes = self.sizes.index_select(0, groups)
        width = int(sizes.max())
        if width < _WIDE and width * len(groups) <= 2 * int(sizes.sum()):
            parts = [(None, width)]
        else:
            exponents = (sizes - 1).double().log2().floor().long() + 1  # the next power of two
            parts = [
                (pairs, int(sizes[pairs].max()))
                for pairs in ((exponents == e).nonzero().flatten() for e in torch.unique(exponents))
            ]
        if kept is not None:
            width = min(width, kept)
        steps = hidden.new_full((len(groups), width), -math.inf)
        ends = groups.new_zeros(len(groups), width)
        for pairs, size in parts:
            chosen = (rows, groups) if pairs is None else (rows[pairs], groups[pairs])
            compute = self._wide if size >= _WIDE else self._narrow
            found, below = compute(hidden, weight, bias, *chosen, size)
            if kept is not None and kept < size:
                found, best = found.topk(kept)
                below = below.gather(1, best)
            if pairs is None:
                return found, below
            steps[pairs, : found.shape[1]] = found
            ends[pairs, : found.shape[1]] = below
        return steps, ends

    def _narrow(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, groups: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Gather the weights of each pair of a row and a group."""
        members = torch.arange(size, device=groups.device)
        starts, sizes = (t.index_select(0, groups).unsqueeze(1) for t in (self.starts, self.sizes))
        nodes = starts + torch.minimum(members, sizes - 1)
        flat, d = nodes.flatten(), weight.shape[1]
        logits = bias.index_select(0, flat).view(nodes.shape)
        step = max(1, _GATHERED // (size * max(d, 1)))
        # Memory that is asked for anew costs more than what is computed in it.
        gathered = weight.new_empty(min(step, len(groups)) * size, d)
        for start in range(0, len(groups), step):
            stop = min(start + step, len(groups))
            part = gathered[: (stop - start) * size]
            torch.index_select(weight, 0, flat[start * size : stop * size], out=part)
            product = part.view(-1, size, d)
            product *= hidden.index_select(0, rows[start:stop]).unsqueeze(1)
            logits[start:stop] += product.sum(2)
        ends = self.ends.index_select(0, flat).view(nodes.shape)
        if int(sizes.min()) < size:
            logits.masked_fill_(members >= sizes, -math.inf)
        return logits.log_softmax(1), ends

    def _wide(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, groups: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Multiply the weights of each group with all rows that open it."""
        steps = hidden.new_full((len(groups), size), -math.inf)
        ends = groups.new_zeros(len(groups), size)
        for group in torch.unique(groups):
            pairs = (groups == group).nonzero().flatten()
            start, n = int(self.starts[group]), int(self.sizes[group])
            nodes = slice(start, start + n)
            logits = F.linear(hidden[rows[pairs]], weight[nodes], bias[nodes])
            steps[pairs, :n] = logits.log_softmax(1)
            ends[pairs, :n] = self.ends[nodes]
        return steps, ends


class _Waiting:
    """The nodes that wait to be opened, and the best leaves so far, of each row.

    Attributes
    ----------
    values, groups : Tensor of shape (rows, nodes)
        The log-probability of each node, and the group of its children; -inf where there is none.
    log_proba, leaves : Tensor of shape (rows, k)
        The best leaves, -inf where fewer were found.
    bound : Tensor of shape (rows,)
        No node that was left out is likelier.
    """

    def __init__(self, hidden: Tensor, k: int) -> None:
        n_rows = len(hidden)
        self.values = hidden.new_empty(n_rows, 0)
        self.groups = torch.empty(n_rows, 0, dtype=torch.long, device=hidden.device)
        self.log_proba = hidden.new_full((n_rows, k), -math.inf)
        self.leaves = torch.zeros(n_rows, k, dtype=torch.long, device=hidden.device)
        self.bound = hidden.new_full((n_rows,), -math.inf)

    def best(self) -> tuple[Tensor, Tensor]:
        """Return the value and the column of the likeliest node of each row."""
        if not self.values.shape[1]:
            return self.log_proba.new_full(self.bound.shape, -math.inf), self.leaves[:, 0]
        best, column = self.values.max(1)
        return best, column

    def of(self, rows: Tensor) -> _Waiting:
        """Keep some rows."""
        for name, values in vars(self).items():
            setattr(self, name, values.index_select(0, rows))
        return self

    def take(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Take nodes out: return their values, and their groups."""
        values, groups = self.values.gather(1, columns), self.groups.gather(1, columns)
        self.values.scatter_(1, columns, -math.inf)
        return values, groups

    def take_best(self, n: int) -> tuple[Tensor, Tensor]:
        """Take the n likeliest nodes out."""
        return self.take(self.values.topk(min(n, self.values.shape[1]), sorted=False).indices)

    def add(self, values: Tensor, ends: Tensor) -> _Waiting:
        """Add children (rows, n): leaves to the best, if they are, and others to those waiting."""
        is_leaf = ends < 0
        n_leaves = int(is_leaf.sum())
        if n_leaves:
            found = values if n_leaves == is_leaf.numel() else values.where(is_leaf, -math.inf)
            k = self.log_proba.shape[1]
            if k == 1:
                best, column = found.max(1, keepdim=True)
                better = ~(best <= self.log_proba)  # NaN, too
                self.log_proba = best.where(better, self.log_proba)
                self.leaves = (-1 - ends.gather(1, column)).where(better, self.leaves)
            else:
                self.log_proba, column = torch.cat([self.log_proba, found], 1).topk(k)
                self.leaves = torch.cat([self.leaves, -1 - ends], 1).gather(1, column)
        if n_leaves < is_leaf.numel():
            found = values.where(~is_leaf, -math.inf) if n_leaves else values
            if found.shape[1] > 2 * _KEPT:
                found, column = found.topk(_KEPT)
                ends = ends.gather(1, column)
                self.bound = torch.maximum(self.bound, found[:, -1])
            self.values = torch.cat([self.values, found], 1)
            self.groups = torch.cat([self.groups, ends], 1)
        return self
