"""The hierarchical softmax whose training step costs what is on the paths of its batch.

The groups of siblings on the paths to the targets of a batch are read once each, and the gradient
of the weights is a sparse tensor of their rows. The arithmetic is that of
:class:`~hierclf.nn.HierarchicalSoftmax` and in log space.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn
from torch.optim import Optimizer

from hierclf.nn._fast import loops_for
from hierclf.nn.groups import register_derived
from hierclf.nn.lazy_optim import LazyAdamW, RowsInPass
from hierclf.nn.linear import (
    CSRRows,
    FeatureLinear,
    FeatureLinearByOutput,
    Linear,
    rows_times,
    sparse_rows,
)
from hierclf.nn.softmax import HierarchicalSoftmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy

# Multiply-adds of a group from which on a matrix product pays: in torch it saves gathering, and
# beside the compiled loops it is faster than they are.
_PRODUCT, _PRODUCT_BESIDE_LOOPS = 1 << 15, 1 << 19


class PathGroups(nn.Module):
    """The groups of siblings on the path to a node, found by climbing from it.

    Tables take a few numbers for each node, however deep the tree. Nodes without siblings are
    certain, and passed over.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree of N nodes in G groups of siblings.

    Attributes
    ----------
    levels : Tensor of shape (n_steps,), int64
        The levels on which some node has siblings, the top first.
    choice : Tensor of shape (N + 1,), int64
        The first node with siblings on the way up from each node, itself included. N stands for
        none, here and below.
    group : Tensor of shape (N + 1,), int64
        The number of the group that each node is in.
    offsets : Tensor of shape (G + 2,), int64
        Where the nodes of each group start.
    above : Tensor of shape (G + 1,), int64
        The first node with siblings on the way up from the parent of each group.
    column : Tensor of shape (G + 1,), int64
        Which of the ``levels`` each group is on.
    """

    levels: Tensor
    choice: Tensor
    group: Tensor
    offsets: Tensor
    above: Tensor
    column: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        arrays, n_nodes = hierarchy.arrays, len(hierarchy)
        sizes = np.diff(arrays.group_offsets)
        n_groups = len(sizes)
        group = np.append(np.repeat(np.arange(n_groups), sizes), n_groups)
        parents = np.append(arrays.edge_parents, -1)  # of the root, -1, and of N: none
        is_alone = np.append(sizes, 0)[group] == 1
        choice = np.arange(n_nodes + 1)
        alone = np.flatnonzero(is_alone)
        bounds = np.searchsorted(alone, arrays.depth_offsets)
        for start, stop in pairwise(bounds.tolist()):
            nodes = alone[start:stop]  # of one level, so that those above are known
            choice[nodes] = choice[parents[nodes]]
        first = arrays.group_offsets[:-1]
        group_level = hierarchy.depths[first] - 1
        levels = np.unique(group_level[sizes > 1])
        for name, values in (
            ("levels", levels),
            ("choice", choice),
            ("group", group),
            ("offsets", np.append(arrays.group_offsets, n_nodes)),
            ("above", np.append(choice[parents[first]], n_nodes)),
            ("column", np.append(np.searchsorted(levels, group_level), len(levels))),
        ):
            register_derived(self, name, values)

    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """Return choice, group, offsets, above and column as arrays, on a processor."""
        tables = (self.choice, self.group, self.offsets, self.above, self.column)
        return tuple(table.numpy() for table in tables)

    def climb(self, target: Tensor) -> Tensor:
        """Return ``node * batch + row`` for each chosen node on the path to each target, sorted.

        So the members of a group follow each other, as siblings do among the nodes.
        """
        batch, n_nodes = len(target), len(self.choice) - 1
        node = self.choice.index_select(0, target)
        chosen = [node]
        for _ in range(len(self.levels) - 1):
            node = self.above.index_select(0, self.group.index_select(0, node))
            chosen.append(node)
        rows = torch.arange(batch, device=target.device)
        keys = (torch.stack(chosen) * batch + rows).flatten()
        if keys.is_cpu:  # numpy's takes a fifth of the time
            keys.numpy().sort()
        else:
            keys = keys.sort().values
        return keys[: int(torch.searchsorted(keys, n_nodes * batch))]


def mean_path_nodes(hierarchy: Hierarchy) -> float:
    """Count the nodes of the softmaxes on the path to a leaf of a tree, on average."""
    sizes = np.diff(hierarchy.arrays.group_offsets)
    sizes = np.repeat(np.where(sizes > 1, sizes, 0), sizes)
    return float(hierarchy.leaf_counts @ sizes) / len(hierarchy.leaf_indices)


class PathSoftmax(HierarchicalSoftmax):
    r"""A :class:`HierarchicalSoftmax` of which training reads the paths of the batch alone.

    The same model, with the same parameters and predictions: weights of one are weights of the
    other. But :meth:`path_log_proba` computes the logits of the groups of siblings on the paths
    to the targets, each once, and the gradients of ``linear.weight`` and ``linear.bias`` are
    sparse tensors of those rows, in ascending order. A step then costs what the paths hold, and
    not what the hierarchy does, with an optimiser that moves only the rows of a sparse gradient,
    such as :class:`LazyAdamW` with ``row_steps=True`` or :class:`LazyRowwiseAdagrad`. The gradient
    of the hidden state is exact and dense.

    With numba (``pip install hierclf[fast]``) the loops over the groups are compiled. Results are
    those of torch but for rounding.

    Parameters
    ----------
    in_features, hierarchy, linear, **kwargs
        As for :class:`HierarchicalSoftmax`. Where ``linear`` is :class:`FeatureLinear`, the
        features must be dense in training; its weights are held by node
        (so that a row is read at once), and saved as those of :class:`FeatureLinear` are.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.nodes``; its weight has the shape
        (nodes, in_features).

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    Examples
    --------
    Of the three groups of this tree, two are on the way to "c":

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"a": ["c", "d"], "b": ["e", "f"]})
    >>> softmax = PathSoftmax(4, tree)
    >>> target = torch.tensor(tree.node_indices(["c"]))
    >>> (-softmax.path_log_proba(torch.randn(1, 4), target).sum()).backward()
    >>> rows = softmax.linear.weight.grad.coalesce().indices()[0]
    >>> [tree.nodes[row] for row in rows.tolist()]
    ['a', 'b', 'c', 'd']
    """

    steps: PathGroups

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        if issubclass(linear, FeatureLinear):
            linear = FeatureLinearByOutput
        super().__init__(in_features, hierarchy, linear=linear, **kwargs)
        self.buffer = _Buffer()
        self._moves = _Moves()
        self._path_nodes = mean_path_nodes(hierarchy)

    def _build_steps(self, hierarchy: Hierarchy) -> PathGroups:
        return PathGroups(hierarchy)

    @property
    def training_weights(self) -> float:  # noqa: D102, inherited
        return self._path_nodes * self.linear.weight.shape[1]

    def path_log_proba(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        return self._apply_steps(hidden, target, label_smoothing, log_prior, is_summed=False)

    def path_nll(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        return self._apply_steps(hidden, target, label_smoothing, log_prior, is_summed=True)

    def _apply_steps(
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        label_smoothing: float,
        log_prior: Tensor | None,
        *,
        is_summed: bool,
    ) -> Tensor:
        if not isinstance(hidden, Tensor):
            raise ValueError(
                "PathSoftmax trains on dense rows, and these are sparse: put a hidden layer before "
                "it, or use HierarchicalSoftmax"
            )
        call = _Call(self.steps, self.buffer, label_smoothing, log_prior, is_summed, self._moves)
        linear = self.linear
        steps: Tensor = _PathSteps.apply(hidden, linear.weight, linear.bias, target, call)  # type: ignore[no-untyped-call]
        return steps

    @contextmanager
    def moved_by(self, optimizer: Optimizer) -> Iterator[None]:  # noqa: D102, inherited
        if not isinstance(optimizer, LazyAdamW):
            yield
            return
        both = self.linear.weight, self.linear.bias
        with optimizer.moving(*both) as rows:
            # To show the tables as arrays once more takes longer than to climb.
            has_loops = loops_for("_kernels", *both) is not None
            tables = self.steps.arrays() if rows is not None and has_loops else None
            try:
                self._moves = _Moves(rows, tables)
                yield
            finally:
                self._moves = _Moves()


class _Moves(NamedTuple):
    """How passes move the rows of the weights, where they do."""

    rows: RowsInPass | None = None
    tables: tuple[NDArray[np.int64], ...] | None = None


class _Call(NamedTuple):
    """What a pass needs besides tensors with a gradient."""

    groups: PathGroups
    buffer: _Buffer
    smoothing: float
    log_prior: Tensor | None
    is_summed: bool  # over rows and steps, with the other sign
    moves: _Moves


class _Wide(NamedTuple):
    """A group that is worth matrix products: the places of its entries, nodes and values."""

    entries: slice
    nodes: slice
    values: slice
    residual: Tensor

    def backward(self, visit: _Visit, back: _Back, values: Tensor, bias_values: Tensor) -> None:
        """Fill in the gradients of the group, and add those of the hidden states it reads."""
        row = visit.row[self.entries]
        residual = self.residual * back.grad[row, visit.column[self.entries], None]
        torch.mm(residual.t(), back.hidden.index_select(0, row), out=values)
        torch.sum(residual, 0, out=bias_values)
        if back.hidden_grad is not None:
            back.hidden_grad.index_add_(0, row, residual @ back.weight[self.nodes])


class _Back(NamedTuple):
    """What a backward pass starts from, and where it adds the gradient of the hidden states."""

    grad: Tensor  # of the steps
    hidden: Tensor
    weight: Tensor
    wide: list[_Wide]
    hidden_grad: Tensor | None


class _PathSteps(torch.autograd.Function):
    """The steps on the paths to some targets, with sparse gradients of weight and bias."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, target: Tensor, call: _Call
    ) -> Tensor:
        hidden = hidden.contiguous()
        steps = hidden.new_zeros(len(target), len(call.groups.levels))
        visit: _Visit | None = None
        wide: list[_Wide] = []
        if steps.numel():
            loops = loops_for("_kernels", hidden, weight, bias)
            args = (call, hidden, weight, bias, target, steps)
            visit = _VisitInTorch(*args) if loops is None else _VisitInLoops(loops, *args)
            wide = [_multiply(visit, k, call, hidden, weight, bias, steps) for k in visit.wide]
        ctx.save_for_backward(hidden, weight)
        ctx.visit, ctx.wide, ctx.call, ctx.shape = visit, wide, call, steps.shape
        return steps.sum().neg_() if call.is_summed else steps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight = ctx.saved_tensors
        visit, grad = ctx.visit, grads[0]
        # To expand the number and copy it takes three times as long.
        grad = grad.new_zeros(ctx.shape).sub_(grad) if ctx.call.is_summed else grad.contiguous()
        hidden_grad = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        if visit is None:
            rows = torch.zeros(0, dtype=torch.long, device=weight.device)
            values, bias_values = weight.new_zeros(0, weight.shape[1]), weight.new_zeros(0)
            return hidden_grad, *_gradients(rows, values, bias_values, weight), None, None
        back, moved = _Back(grad, hidden, weight, ctx.wide, hidden_grad), ctx.call.moves.rows
        if moved is not None:
            moved.begin()
            visit.move(moved, back)
            return hidden_grad, None, None, None, None
        values, bias_values = visit.gradients(back)
        return hidden_grad, *_gradients(visit.rows, values, bias_values, weight), None, None


def _gradients(
    rows: Tensor, values: Tensor, bias_values: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sparse gradients of weight and bias."""
    of_weight = sparse_rows(rows, values, weight.shape)
    return of_weight, sparse_rows(rows, bias_values, weight.shape[:1])


@cache
def _lowest(dtype: torch.dtype) -> float:
    """Return the logarithm of the least probability that is told from 0 in a gradient.

    1e-15 in float32, a hundred-millionth of its rounding. With less, squares of gradients leave
    the normal numbers, and with those that are not normal a step takes up to fifty times as long.
    """
    return math.log(torch.finfo(dtype).tiny) / 2 + math.log(1e4)


def _multiply(
    visit: _Visit,
    k: int,
    call: _Call,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    steps: Tensor,
) -> _Wide:
    """Compute the steps of one group by a matrix product."""
    entries, nodes, values = visit.bounds(k)
    row, chosen = visit.row[entries], visit.node[entries, None] - nodes.start
    logits = torch.addmm(bias[nodes], hidden.index_select(0, row), weight[nodes].t())
    if call.log_prior is not None:
        logits += call.log_prior[nodes]
    log_proba = logits.log_softmax(1)
    step = log_proba.gather(1, chosen)
    if call.smoothing:
        step = torch.lerp(step, log_proba.mean(1, keepdim=True), call.smoothing)
    steps[row, visit.column[entries]] = step.squeeze(1)
    log_proba.masked_fill_(log_proba < _lowest(weight.dtype), -math.inf)
    spread = call.smoothing / (nodes.stop - nodes.start)
    residual = log_proba.exp_().neg_().add_(spread)
    more = residual.new_full(chosen.shape, 1 - call.smoothing)
    return _Wide(entries, nodes, values, residual.scatter_add_(1, chosen, more))


class _Visit:
    """The groups on the paths of a batch, each once.

    An *entry* is a softmax on the path of a row; entries are sorted by their chosen nodes, so that
    those of a group follow each other. A *value* is a node of a group.

    Attributes
    ----------
    row, node, column : Tensor of shape (entries,)
        The row of the batch, the node that is chosen, and the column of the steps.
    first_entry, start, first_value : Tensor of shape (groups + 1,)
        Where the entries, the nodes and the values of each group start.
    rows : Tensor of shape (values,)
        The nodes of all groups.
    wide : list of int
        The groups that are left to matrix products.
    """

    row: Tensor
    node: Tensor
    column: Tensor
    first_entry: Tensor
    start: Tensor
    first_value: Tensor
    rows: Tensor
    wide: list[int]

    def bounds(self, k: int) -> tuple[slice, slice, slice]:
        """Return the places of the entries, the nodes and the values of a group."""
        first, last = self.first_entry[k : k + 2].tolist()
        begin, end = self.first_value[k : k + 2].tolist()
        start = int(self.start[k])
        return slice(first, last), slice(start, start + end - begin), slice(begin, end)

    def gradients(self, back: _Back) -> tuple[Tensor, Tensor]:
        """Return the gradients of the weights and biases of ``rows``; add those of the states."""
        raise NotImplementedError

    def move(self, moved: RowsInPass, back: _Back) -> None:
        """Move ``rows`` by their gradients; add those of the states."""
        raise NotImplementedError


class _VisitInLoops(_Visit):
    """The visit as compiled loops make it."""

    def __init__(
        self,
        loops: Any,
        call: _Call,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        steps: Tensor,
    ) -> None:
        groups = call.groups
        self._loops, self._buffer = loops, call.buffer
        tables = call.moves.tables or groups.arrays()
        choice, self._group, offsets, above, self._column = tables
        keys = np.empty(steps.numel(), np.int64)
        found = keys[: loops.climb(target.numpy(), choice, self._group, above, keys)]
        found.sort()
        self._hidden, self._weight = hidden.detach().numpy(), weight.detach().numpy()
        dtype = self._hidden.dtype
        prior = np.empty(0, dtype) if call.log_prior is None else call.log_prior.numpy()
        limit = max(_PRODUCT_BESIDE_LOOPS // max(hidden.shape[1], 1), 1)
        *parts, self._residual, is_left = loops.forward(
            found,
            self._group,
            offsets,
            self._column,
            self._hidden,
            self._weight,
            bias.detach().numpy(),
            prior,
            dtype.type(call.smoothing),
            dtype.type(_lowest(weight.dtype)),
            limit,
            steps.numpy(),
        )
        self._parts = parts
        row, node, first_entry, start, first_value, first_pair, self._rows = parts
        self.wide = []
        if is_left:
            self.wide = np.flatnonzero(first_pair[1:] == first_pair[:-1]).tolist()
            self.row, self.node = torch.from_numpy(row), torch.from_numpy(node)
            self.column = groups.column[groups.group[self.node]]
            self.first_entry = torch.from_numpy(first_entry)
            self.start = torch.from_numpy(start)
            self.first_value = torch.from_numpy(first_value)

    @property
    def rows(self) -> Tensor:  # type: ignore[override]
        """The nodes of all groups."""
        return torch.from_numpy(self._rows)

    def gradients(self, back: _Back) -> tuple[Tensor, Tensor]:
        values = self._buffer.take(len(self._rows), back.weight)
        bias_values = values.new_empty(len(values))
        row, _, first_entry, start, first_value, first_pair, _ = self._parts
        self._loops.backward(
            row,
            first_entry,
            start,
            first_value,
            first_pair,
            self._residual,
            back.grad.numpy(),
            self._column,
            self._group,
            self._hidden,
            self._weight,
            values.numpy(),
            bias_values.numpy(),
            self._or_nothing(back.hidden_grad),
        )
        for part in back.wide:
            part.backward(self, back, values[part.values], bias_values[part.values])
        return values, bias_values

    def move(self, moved: RowsInPass, back: _Back) -> None:
        step = moved.for_loops()
        row, _, first_entry, start, first_value, first_pair, rows = self._parts
        self._loops.backward_adamw(
            row,
            first_entry,
            start,
            first_value,
            first_pair,
            rows,
            self._residual,
            back.grad.numpy(),
            self._column,
            self._group,
            self._hidden,
            self._or_nothing(back.hidden_grad),
            *step,
        )
        for part in back.wide:
            size = part.nodes.stop - part.nodes.start
            values = back.weight.new_empty(size, back.weight.shape[1])
            bias_values = back.weight.new_empty(size)
            part.backward(self, back, values, bias_values)
            places = self._rows, part.values.start, part.values.stop
            self._loops.move_rows(*places, values.numpy(), bias_values.numpy(), *step)

    def _or_nothing(self, grad: Tensor | None) -> Any:
        return self._hidden[:0] if grad is None else grad.numpy()


class _VisitInTorch(_Visit):
    """The visit in torch: only the pairs of a node and an entry that there are, no padding.

    Pairs are sorted by node, so that products with the weights, and sums for their gradient, go
    through each row of the weights once.
    """

    def __init__(
        self,
        call: _Call,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        steps: Tensor,
    ) -> None:
        groups, batch = call.groups, len(target)
        keys = groups.climb(target)
        self.node = keys.div(batch, rounding_mode="floor")
        self.row = keys - self.node * batch
        of_entry = groups.group.index_select(0, self.node)
        self.column = groups.column.index_select(0, of_entry)
        found, which, counts = torch.unique_consecutive(
            of_entry, return_inverse=True, return_counts=True
        )
        self.start = groups.offsets.index_select(0, found)
        sizes = groups.offsets.index_select(0, found + 1) - self.start
        self.first_entry, self.first_value = _starts(counts), _starts(sizes)
        n_values = int(self.first_value[-1])
        of_value = torch.arange(len(found), device=keys.device).repeat_interleave(
            sizes, output_size=n_values
        )
        values = torch.arange(n_values, device=keys.device)
        shift = self.start - self.first_value[:-1]
        self.rows = values + shift.index_select(0, of_value)
        is_wide = counts * sizes * hidden.shape[1] >= _PRODUCT
        self.wide = is_wide.nonzero().flatten().tolist()

        self._groups = which, sizes.masked_fill(is_wide, 0)
        # Pair t of a node is of entry t of its group. Wide groups have none.
        per_value = counts.masked_fill(is_wide, 0).index_select(0, of_value)
        self._first_pair = _starts(per_value)
        n_pairs = int(self._first_pair[-1])
        self._value = values.repeat_interleave(per_value, output_size=n_pairs)
        shift = self.first_entry.index_select(0, of_value) - self._first_pair[:-1]
        places = torch.arange(n_pairs, device=keys.device)
        self._entry = places + shift.index_select(0, self._value)
        self._of_pair = self.row.index_select(0, self._entry)

        self._weight = call.buffer.take(n_values, weight)
        torch.index_select(weight, 0, self.rows, out=self._weight)
        own = bias.index_select(0, self.rows)
        if call.log_prior is not None:
            own += call.log_prior.index_select(0, self.rows)
        logits = _products(self._first_pair, self._of_pair, self._weight, hidden)
        logits += own.index_select(0, self._value)
        shape = self.node.shape
        largest = logits.new_full(shape, -math.inf)
        largest.scatter_reduce_(0, self._entry, logits, "amax")
        logits -= largest.index_select(0, self._entry)

        # The pairs of the nodes that are chosen; from here on entries of the other groups.
        chosen = self.node - self.start.index_select(0, which)
        chosen += self.first_value.index_select(0, which)
        entries = torch.arange(len(chosen), device=keys.device)
        if self.wide:
            entries = (~is_wide).index_select(0, which).nonzero().flatten()
            chosen, which = chosen.index_select(0, entries), which.index_select(0, entries)
        chosen = self._first_pair.index_select(0, chosen)
        chosen += entries - self.first_entry.index_select(0, which)
        row, column = self.row.index_select(0, entries), self.column.index_select(0, entries)
        step = logits.index_select(0, chosen)
        spread: Tensor | None = None  # of each entry
        if call.smoothing:
            spread = (call.smoothing / sizes.to(logits.dtype)).index_select(0, self._groups[0])
            smooth = logits.new_zeros(shape).index_add_(0, self._entry, logits).mul_(spread)
            step = step.mul_(1 - call.smoothing).add_(smooth.index_select(0, entries))
        proba = logits.masked_fill_(logits < _lowest(logits.dtype), -math.inf).exp_()
        total = proba.new_zeros(shape).index_add_(0, self._entry, proba)
        step -= total.index_select(0, entries).log_()
        steps.view(-1).index_copy_(0, row * steps.shape[1] + column, step)
        residual = proba.mul_(total.reciprocal_().neg_().index_select(0, self._entry))
        if spread is not None:
            residual += spread.index_select(0, self._entry)
        more = residual.new_full(chosen.shape, 1 - call.smoothing)
        self._residual = residual.index_add_(0, chosen, more)

    def gradients(self, back: _Back) -> tuple[Tensor, Tensor]:
        steps = self.row * back.grad.shape[1] + self.column
        factor = back.grad.view(-1).index_select(0, steps)
        residual = self._residual * factor.index_select(0, self._entry)
        values = rows_times(self._of_pair, self._first_pair, residual, back.hidden)
        bias_values = residual.new_zeros(len(values)).index_add_(0, self._value, residual)
        if back.hidden_grad is not None:
            self._add_hidden_gradient(residual, back.hidden_grad)
        for part in back.wide:
            part.backward(self, back, values[part.values], bias_values[part.values])
        return values, bias_values

    def move(self, moved: RowsInPass, back: _Back) -> None:
        moved.move(self.rows, self._weight, *self.gradients(back))
        del self._weight  # to be used again, though the graph is still held

    def _add_hidden_gradient(self, residual: Tensor, hidden_grad: Tensor) -> None:
        """Add the gradients of the hidden states that the groups read, by pairs sorted by entry."""
        which, sizes = self._groups
        starts = _starts(sizes.index_select(0, which))
        shift = starts[:-1] - self.first_value.index_select(0, which)
        place = self._value + shift.index_select(0, self._entry)
        value = torch.empty_like(place).index_copy_(0, place, self._value)
        factor = torch.empty_like(residual).index_copy_(0, place, residual)
        sums = rows_times(value, starts, factor, self._weight)
        hidden_grad.index_add_(0, self.row, sums)


def _starts(counts: Tensor) -> Tensor:
    """Return where each of some parts starts, and where the last one ends."""
    return F.pad(counts.cumsum(0), (1, 0))


def _products(first_pair: Tensor, column: Tensor, weight: Tensor, hidden: Tensor) -> Tensor:
    """Multiply each row of some weights with its rows of the hidden state, (pairs,)."""
    _warn_of_csr_once()
    pairs = torch.sparse_csr_tensor(
        first_pair,
        column,
        hidden.new_zeros(len(column)),
        (len(weight), len(hidden)),
        check_invariants=False,
    )
    # A third of the time of gathering the rows.
    products: Tensor = torch.sparse.sampled_addmm(pairs, weight, hidden.t(), beta=0.0).values()
    return products


@cache
def _warn_of_csr_once() -> None:
    """Take the warning that torch gives with the first of its CSR tensors, about their state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


class _Buffer:
    """Memory for rows of the weights or of their gradient, used again once nobody holds the last.

    A new array of more than a megabyte costs more, in pages that the system clears, than what is
    computed in it.
    """

    def __init__(self) -> None:
        self._array: Any = None

    def take(self, n_rows: int, like: Tensor) -> Tensor:
        """Return uninitialised memory for some rows of the width and type of a matrix."""
        width = like.shape[1]
        if not like.is_cpu:
            return like.new_empty(n_rows, width)
        needed, dtype = n_rows * width, like.detach()[:0].numpy().dtype
        array = self._array
        # A tensor holds its array: two counts are ours, one is that of the call.
        is_free = array is not None and sys.getrefcount(array) <= 3
        if not is_free or array.dtype != dtype or array.size < needed:
            array = self._array = np.empty(needed + needed // 4, dtype)
        return torch.from_numpy(array[:needed].reshape(n_rows, width))

    def __getstate__(self) -> dict[str, Any]:
        return {"_array": None}  # memory, not data
