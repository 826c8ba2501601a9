"""Softmaxes over compact tables by Newton's method, for many groups at once, in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from hierclf.hierarchy._arrays import ranges
from hierclf.nn.linear import rows_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.nn._compact_fit import Runs, Tables

# Logits and values of rows that are held at once.
VALUES = 1 << 22
# Steps of conjugate gradients in a Newton step, and the share of the gradient at which they end.
_CG_STEPS, _CG_LEFT = 10, 0.2
# Newton steps until the groups that are solved are left out; halvings of a step.
_STEPS, _HALVINGS = 4, 30
# A share of the tolerance: the step is solved roughly, and so is what the model says.
_NEAR = 0.3
# What a step has to gain, as a share of what the slope promises.
_GAIN = 1e-4


class NewtonGroups:
    """Newton's method with conjugate gradients for the softmaxes of some groups.

    The objective is strongly convex, so that half the squared gradient is at least what it is above
    the optimum.

    Parameters
    ----------
    X, runs, cost, factor, tables
        As :func:`hierclf.nn._compact_fit.fit_tables` has them; the tables receive the results.
    """

    def __init__(
        self,
        X: Any,
        runs: Runs,
        cost: NDArray[Any],
        factor: NDArray[Any],
        tables: Tables,
    ) -> None:
        self.X, self.runs, self.tables = X, runs, tables
        self.cost, self.factor = cost, factor
        self.first, self.last = runs.group_rows
        n_lines = np.diff(tables.offsets)
        group = np.repeat(np.arange(len(n_lines)), n_lines)
        self.keys = group * X.shape[1] + tables.features.astype(np.int64)

    def solve(
        self,
        groups: NDArray[np.int64],
        tol: float,
        max_iter: int,
        n_iter: NDArray[np.int64],
        gaps: NDArray[np.float64],
    ) -> None:
        """Solve some groups; ``n_iter`` and ``gaps`` are as the compiled loops have them."""
        groups = groups[(self.runs.sizes[groups] > 1) & (self.last > self.first)[groups]]
        while len(groups):
            for part in self._cut(groups):
                left = max_iter - int(n_iter[part].max())
                steps, gap = self._newton(part, tol, min(_STEPS, left))
                n_iter[part] += steps
                gaps[part] = gap
            groups = groups[(gaps[groups] > tol) & (n_iter[groups] < max_iter)]

    def _cut(self, groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Put groups of about the same size together, as many as fit."""
        exponent = np.ceil(np.log2(self.runs.sizes[groups])).astype(np.int64)
        n_rows = self.last[groups] - self.first[groups]
        n_values = self.X.indptr[self.last[groups]] - self.X.indptr[self.first[groups]]
        parts = []
        for e in np.unique(exponent):
            own = np.flatnonzero(exponent == e)
            total = np.cumsum(n_values[own] + n_rows[own] * 2**e)
            number = total // VALUES
            cuts = np.flatnonzero(np.diff(number)) + 1
            parts += [groups[some] for some in np.split(own, cuts)]
        return parts

    def _newton(
        self, groups: NDArray[np.int64], tol: float, n_steps: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Take some Newton steps for some groups; return how many, and the gaps."""
        problem = self._problem(groups)
        weight, bias = problem.read(self.tables)
        logits = problem.logits(weight, bias)
        steps = np.zeros(len(groups), np.int64)
        is_near = torch.zeros(len(groups), dtype=torch.bool)
        for step in range(n_steps + 1):
            losses, proba = problem.losses(logits)
            objective = losses + problem.dots((weight, bias), (weight, bias)) / 2
            residual = problem.cost.unsqueeze(1) * (problem.target - proba)
            pulled = problem.down(residual)
            gradient = weight - pulled[0], bias - pulled[1]
            squared = problem.dots(gradient, gradient)
            least = objective.clamp(min=1e-30)
            gap = torch.where(is_near, 0.0, squared / 2 / least)
            is_left = ~(gap <= tol)
            if step == n_steps or not bool(is_left.any()):
                break
            steps += is_left.numpy()
            way = _direction(problem, proba, gradient, squared * is_left)
            change = problem.logits(*way)
            slope = problem.dots(gradient, way)
            length = is_left.to(bias.dtype)
            for _ in range(_HALVINGS):
                of_line = length[problem.line_group].unsqueeze(1), length.unsqueeze(1)
                at = weight + of_line[0] * way[0], bias + of_line[1] * way[1]
                there = logits + length[problem.group].unsqueeze(1) * change
                value = problem.losses(there)[0] + problem.dots(at, at) / 2
                # Near the optimum rounding is larger than what is gained.
                noise = 10 * torch.finfo(bias.dtype).eps * objective.abs()
                is_over = value > objective + _GAIN * length * slope + noise
                if not bool(is_over.any()):
                    break
                length = torch.where(is_over, length / 2, length)
            # What the model took to be left before a full step: after it, far less is.
            is_near |= (-slope / 2 <= _NEAR * tol * least) & (length == 1)
            weight, bias = at
            logits = there
        problem.write(self.tables, weight, bias)
        return steps, gap.double().numpy()

    def _problem(self, groups: NDArray[np.int64]) -> _Problem:
        runs, tables = self.runs, self.tables
        first, last = self.first[groups], self.last[groups]
        sizes = runs.sizes[groups]
        n_rows, width = last - first, int(sizes.max())
        n_lines = np.diff(tables.offsets)[groups]
        group = np.repeat(np.arange(len(groups)), n_rows)
        rows = ranges(first, n_rows)
        X = self.X[rows]
        keys = np.repeat(groups[group], np.diff(X.indptr)) * X.shape[1] + X.indices
        lines = np.searchsorted(self.keys, keys)
        # From a line of all tables to one of these.
        shift = tables.offsets[groups] - (np.cumsum(n_lines) - n_lines)
        lines -= np.repeat(shift[group], np.diff(X.indptr))
        shape = (len(rows), int(n_lines.sum()))
        matrix = sp.csr_array((X.data, lines, X.indptr), shape=shape)
        nodes = ranges(runs.starts[groups], sizes)
        counts = runs.last[nodes] - runs.first[nodes]
        child = np.repeat(nodes - np.repeat(runs.starts[groups], sizes), counts)
        cost = self.cost[rows] * np.repeat(self.factor[nodes], counts).astype(X.dtype)
        is_node = np.arange(width) < sizes[:, None]
        # What is written to the tables: all weights of the groups, in their order.
        places = ranges(tables.places[groups], sizes * n_lines)
        line_group = np.repeat(np.arange(len(groups)), n_lines)
        eye = torch.eye(width, dtype=torch.from_numpy(X.data[:0].copy()).dtype)
        return _Problem(
            _parts(matrix),
            _parts(matrix.T.tocsr()),
            torch.from_numpy(group),
            torch.from_numpy(line_group),
            eye[torch.from_numpy(child)],
            torch.from_numpy(cost),
            torch.from_numpy(is_node),
            torch.from_numpy(nodes),
            torch.from_numpy(places),
        )


class _Problem(NamedTuple):
    """Some groups as one problem: blocks of rows by blocks of lines, padded to equal width.

    Attributes
    ----------
    rows, columns : tuple of 3 Tensors
        The matrix of rows by lines of the tables, in CSR and in CSC format.
    group : Tensor of shape (n_rows,)
        The group of each row.
    line_group : Tensor of shape (n_lines,)
        The group of each line.
    target : Tensor of shape (n_rows, width)
        1 for the child that each row is below.
    cost : Tensor of shape (n_rows,)
        The weights of the losses.
    is_node : Tensor of shape (n_groups, width), bool
        False for what only fills.
    nodes, places : Tensor
        Where the biases and the weights are in the tables.
    """

    rows: tuple[Tensor, Tensor, Tensor]
    columns: tuple[Tensor, Tensor, Tensor]
    group: Tensor
    line_group: Tensor
    target: Tensor
    cost: Tensor
    is_node: Tensor
    nodes: Tensor
    places: Tensor

    def read(self, tables: Tables) -> tuple[Tensor, Tensor]:
        """Return weights (n_lines, width) and biases (n_groups, width)."""
        of_line = self.is_node[self.line_group]
        weight = torch.zeros(of_line.shape, dtype=self.cost.dtype)
        weight[of_line] = torch.from_numpy(tables.weight)[self.places]
        bias = torch.zeros(self.is_node.shape, dtype=self.cost.dtype)
        bias[self.is_node] = torch.from_numpy(tables.bias)[self.nodes]
        return weight, bias

    def write(self, tables: Tables, weight: Tensor, bias: Tensor) -> None:
        """Put weights and biases where they belong."""
        tables.weight[self.places.numpy()] = weight[self.is_node[self.line_group]].numpy()
        tables.bias[self.nodes.numpy()] = bias[self.is_node].numpy()

    def logits(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Map all rows to logits, or a change of the weights to that of the logits."""
        return rows_times(*self.rows, weight) + bias[self.group]

    def down(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map values of all rows back to weights and biases."""
        bias = values.new_zeros(self.is_node.shape).index_add_(0, self.group, values)
        return rows_times(*self.columns, values), bias

    def losses(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each group, and the probabilities of all rows."""
        log_proba = logits.masked_fill(~self.is_node[self.group], -torch.inf).log_softmax(1)
        own = torch.where(self.target > 0, log_proba, 0.0).sum(1)
        return self._sums(-self.cost * own, self.group), log_proba.exp()

    def dots(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """Return the inner product of weights and biases in each group."""
        return self._sums((a[0] * b[0]).sum(1), self.line_group) + (a[1] * b[1]).sum(1)

    def add(
        self, a: tuple[Tensor, Tensor], rate: Tensor, b: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return a + rate * b, where each group has its own rate."""
        of_line = rate[self.line_group].unsqueeze(1)
        return a[0] + of_line * b[0], a[1] + rate.unsqueeze(1) * b[1]

    def _sums(self, values: Tensor, group: Tensor) -> Tensor:
        return values.new_zeros(len(self.is_node)).index_add_(0, group, values)


def _direction(
    problem: _Problem, proba: Tensor, gradient: tuple[Tensor, Tensor], squared: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve the Newton step by conjugate gradients, roughly."""
    way = -gradient[0], -gradient[1]
    residual = way
    found = torch.zeros_like(way[0]), torch.zeros_like(way[1])
    limit, now = _CG_LEFT**2 * squared, squared
    for _ in range(_CG_STEPS):
        along = problem.logits(*way)
        along = along - (proba * along).sum(1, keepdim=True)
        image = problem.down(problem.cost.unsqueeze(1) * proba * along)
        image = way[0] + image[0], way[1] + image[1]
        curve = problem.dots(way, image)
        is_going = (now > limit) & (curve > 0)
        rate = torch.where(is_going, now / curve, 0.0)
        found = problem.add(found, rate, way)
        residual = problem.add(residual, -rate, image)
        before, now = now, torch.where(is_going, problem.dots(residual, residual), 0.0)
        if not bool((now > limit).any()):
            break
        ratio = torch.where(before > 0, now / before, 0.0)
        way = problem.add(residual, ratio, way)
    return found


def _parts(matrix: Any) -> tuple[Tensor, Tensor, Tensor]:
    indices, offsets = (
        torch.from_numpy(part.astype(np.int64)) for part in (matrix.indices, matrix.indptr)
    )
    return indices, offsets, torch.from_numpy(matrix.data)
