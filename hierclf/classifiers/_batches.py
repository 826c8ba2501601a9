"""Rows of a data set cut into batches of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hierclf._utils.threads import limited_threads
from hierclf.nn import CSRRows, FeatureLinear, WordEmbedding
from hierclf.nn.text import token_lengths

# Batches whose rows are sorted by length together: more leave less padding, and batches
# that are less random.
_POOLED_BATCHES = 16
# Values of dense rows that are gathered at once, for as many batches as they make up.
_GATHERED = 1 << 18
# Rows to run through an encoder at a time: its states may be large.
ENCODER_BLOCK = 64
# The features, and each row's target and weight (None: all weigh the same).
Batch = tuple[Any, tuple[Any, Tensor | None]]


class Weights(NamedTuple):
    """How many weights of a network are multiplied with what is in a row.

    Attributes
    ----------
    per_value : int
        With each value that the row holds: the features of a sparse row are few.
    per_position : int
        At each of its positions, such as the tokens of a text.
    per_row : int
        Once.
    """

    per_value: int
    per_position: int
    per_row: float


def count_weights(encoder: nn.Module | None, *layers: nn.Module) -> Weights:
    """Count the weights of an encoder, or none, and of the layers after it.

    Recurrent layers take one position after another, so that each step of theirs is as large
    as if there were one position: that is how they count.
    """
    within = [] if encoder is None else list(encoder.modules())
    after = [module for layer in layers for module in layer.modules()]
    per_value = sum(m.weight.shape[1] for m in after if isinstance(m, FeatureLinear))
    of_encoder = sum(map(_matrix_sizes, within))
    per_row = sum(_matrix_sizes(m) for m in after if not isinstance(m, FeatureLinear))
    if any(isinstance(module, nn.RNNBase) for module in within):
        return Weights(per_value, 0, of_encoder + per_row)
    return Weights(per_value, of_encoder, per_row)


def _matrix_sizes(module: nn.Module) -> int:
    """Count the weights that a module multiplies with: those of a table are looked up."""
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag, WordEmbedding)):
        return 0
    return sum(p.numel() for p in module.parameters(recurse=False) if p.ndim > 1)


class Rows:
    """The rows of a data set, taken a batch at a time.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n_rows, ...), or CSR matrix of shape (n_rows, n_features)
        The features; integers are token ids, of shape (n_rows, longest), padded with 0.
    target : ndarray of shape (n_rows,) or CSR array of shape (n_rows, n_nodes), optional
        Position of each row's node in ``hierarchy.nodes``; or which nodes it has, of which a batch
        gets dense rows.
    weight : ndarray of shape (n_rows,), optional
        Weight of each row.
    """

    def __init__(self, X: Any, target: Any = None, weight: NDArray[Any] | None = None) -> None:
        self.X: Any = X if isinstance(X, Tensor) or sp.issparse(X) else _as_tensor(X)
        self.target: Any = torch.from_numpy(target) if isinstance(target, np.ndarray) else target
        self.weight = None if weight is None else torch.from_numpy(weight)
        self.lengths: Tensor | None = None
        if isinstance(self.X, Tensor) and not self.X.is_floating_point():
            self.lengths = token_lengths(self.X)

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def work(self, weights: Weights) -> float:
        """Estimate the multiply-adds of a forward pass over one row, on average."""
        shape: tuple[int, ...] = self.X.shape[1:]
        if not weights.per_position and isinstance(self.X, Tensor):
            return weights.per_value * shape[0] + weights.per_row
        n_values: float = math.prod(shape) if isinstance(self.X, Tensor) else self.X.nnz / len(self)
        # Of an image the channels are fewer than the pixels on a side.
        n_positions = n_values / min(shape) if len(shape) > 1 else 1.0
        if self.lengths is not None:
            n_positions = float(self.lengths.double().mean())
        return weights.per_value * n_values + weights.per_position * n_positions + weights.per_row

    def take(self, rows: Tensor | slice, device: str, *, training: bool) -> Batch:
        """Return some rows as tensors on a device, with their targets and weights."""
        if isinstance(self.X, Tensor):
            values = self.X
            if self.lengths is not None:
                values = values[:, : int(self.lengths[rows].max())]
            x: Any = _select(values, rows, device)
        else:
            index = rows.numpy() if isinstance(rows, Tensor) else rows
            x = _csr_rows(self.X[index], with_transpose=training).to(device)
        return x, (self._targets(rows, device), _select(self.weight, rows, device))

    def _targets(self, rows: Tensor | slice, device: str) -> Tensor | None:
        """Return the targets of some rows, of sparse ones as dense rows."""
        if self.target is None or isinstance(self.target, Tensor):
            return _select(self.target, rows, device)
        index = rows.numpy() if isinstance(rows, Tensor) else rows
        return torch.from_numpy(self.target[index].toarray()).to(device)

    @property
    def n_values(self) -> int:
        """The number of values that a dense row of features and targets holds."""
        of_target = self.target.shape[1] if getattr(self.target, "ndim", 1) == 2 else 1
        return int(math.prod(self.X.shape[1:]) + of_target)


class Batches:
    """Batches of a data set, shuffled anew on each pass if given a generator.

    Texts come with others of about their length, so that little of a batch is padding. Sparse
    batches come with their transpose if ``training``, which is True at least with a generator.

    Attributes
    ----------
    order : Tensor of shape (n_rows,) or None
        Row numbers in the order of the batches, where there is no generator; None is
        the order of the data set.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        device: str = "cpu",
        generator: torch.Generator | None = None,
        *,
        training: bool = False,
    ) -> None:
        self.rows, self.batch_size = rows, batch_size
        self.device, self.generator = device, generator
        self.training = training or generator is not None
        self.order: Tensor | None = None
        if rows.lengths is not None and generator is None:
            self.order = rows.lengths.argsort(stable=True)

    def work(self, weights: Weights) -> float:
        """Estimate the multiply-adds of the processor in a forward pass over one batch."""
        if not self.device.startswith("cpu"):
            return 0.0
        return min(self.batch_size, len(self.rows)) * self.rows.work(weights)

    def collect(self, function: Callable[[Any], Any], weights: Weights) -> Any:
        """Apply a function to the rows of each batch, and join what it returns.

        Parameters
        ----------
        function : callable
            Takes rows as tensors, and returns one output row for each; or a tuple of tensors
            that do.
        weights : Weights
            Those that it multiplies with; they decide on the number of threads.

        Returns
        -------
        ndarray of shape (n_rows, ...), or a tuple of them
            The outputs, in the order of the data set.
        """
        with limited_threads(self.work(weights)), torch.inference_mode():
            outputs = [function(x) for x, _ in self]
            if not isinstance(outputs[0], tuple):
                return self.in_order([output.cpu().numpy() for output in outputs])
            columns = zip(*outputs, strict=True)
            return tuple(self.in_order([part.cpu().numpy() for part in c]) for c in columns)

    def in_order(self, outputs: list[NDArray[Any]]) -> NDArray[Any]:
        """Join the outputs of all batches, in the order of the data set."""
        joined = np.concatenate(outputs) if len(outputs) > 1 else outputs[0]
        if self.order is None:
            return joined
        ordered = np.empty_like(joined)
        ordered[self.order.numpy()] = joined
        return ordered

    def __len__(self) -> int:
        n_whole, n_left = divmod(len(self.rows), self.batch_size)
        joins_last = self.generator is not None and n_left == 1 < self.batch_size
        joins_last = joins_last and n_whole > 0
        return n_whole + (n_left > 0 and not joins_last)

    def __iter__(self) -> Iterator[Batch]:
        is_plain = isinstance(self.rows.X, Tensor) and self.rows.lengths is None
        if self.generator is not None and is_plain:
            yield from self._slices()
            return
        for rows in self._row_numbers():
            yield self.rows.take(rows, self.device, training=self.training)

    def _slices(self) -> Iterator[Batch]:
        """Yield shuffled batches as slices of rows that are gathered for several at once."""
        batches = self._shuffled()
        step = max(1, _GATHERED // (self.batch_size * self.rows.n_values))
        for start in range(0, len(batches), step):
            rows = batches[start : start + step]
            sizes = [len(batch) for batch in rows]
            x, targets = self.rows.take(torch.cat(rows), self.device, training=True)
            columns = (
                repeat(None, len(rows)) if values is None else torch.split(values, sizes)
                for values in targets
            )
            yield from zip(torch.split(x, sizes), zip(*columns, strict=True), strict=True)

    def _shuffled(self) -> list[Tensor]:
        order = torch.randperm(len(self.rows), generator=self.generator)
        return _split(order, self.batch_size)

    def _row_numbers(self) -> Iterable[Tensor | slice]:
        """Return the row numbers of each batch."""
        n_rows, size, generator = len(self.rows), self.batch_size, self.generator
        if self.order is not None:
            return torch.split(self.order, size)
        if generator is None:
            return [slice(start, start + size) for start in range(0, n_rows, size)]
        lengths = self.rows.lengths
        if lengths is None:
            return self._shuffled()
        order = torch.randperm(n_rows, generator=generator)
        # Pools of about equal size: a short one would have the most padding.
        n_batches = -(-n_rows // size)
        n_pools = max(1, round(n_batches / _POOLED_BATCHES))
        ends = [size * (pool * n_batches // n_pools) for pool in range(1, n_pools)]
        pools = torch.tensor_split(order, ends)
        batches = [
            batch
            for pool in pools
            for batch in _split(pool[lengths[pool].argsort(stable=True)], size)
        ]
        return (batches[i] for i in torch.randperm(len(batches), generator=generator).tolist())


def _split(rows: Tensor, size: int) -> list[Tensor]:
    """Cut rows into batches; a last one of a single row, which has no variance, is not cut off."""
    batches = list(torch.split(rows, size))
    if len(batches[-1]) == 1 < size and len(batches) > 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _select(values: Tensor | None, rows: Tensor | slice, device: str) -> Tensor | None:
    if values is None:
        return None
    # Twice as fast as indexing, which counts for batches of a small network.
    chosen = values.index_select(0, rows) if isinstance(rows, Tensor) else values[rows]
    return chosen if device == "cpu" else chosen.to(device)


def _as_tensor(X: NDArray[Any]) -> Tensor:
    # A tensor can be neither read-only (torch warns) nor run backwards through memory.
    is_fit = X.flags.writeable and all(stride >= 0 for stride in X.strides)
    return torch.from_numpy(X if is_fit else X.copy())


def _csr_rows(X: Any, *, with_transpose: bool) -> CSRRows:
    transpose = None
    if with_transpose:
        by_column = X.tocsc()
        # Less than half the time that looking for differences takes.
        columns = np.flatnonzero(by_column.indptr[1:] != by_column.indptr[:-1])
        starts = np.append(by_column.indptr[columns], by_column.nnz).astype(by_column.indices.dtype)
        parts = (columns, starts, by_column.indices, by_column.data)
        column_of, start_of, row_of, value_of = map(torch.from_numpy, parts)
        transpose = column_of, start_of, row_of, value_of
    indices = torch.from_numpy(X.indices)
    offsets = torch.from_numpy(X.indptr.astype(X.indices.dtype, copy=False))
    return CSRRows(indices, offsets, torch.from_numpy(X.data), transpose)
