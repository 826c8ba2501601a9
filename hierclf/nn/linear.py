"""Affine maps with explicit random generators, over dense and over sparse rows."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn

# Features whose weights are drawn at a time where they are held by output.
_DRAWN = 16


class CSRRows(NamedTuple):
    """A batch of sparse rows as tensors, in compressed sparse row format.

    Attributes
    ----------
    indices : Tensor of shape (nnz,), int32 or int64
        Column of each stored value.
    offsets : Tensor of shape (batch + 1,), same dtype
        Row ``b`` holds the values ``offsets[b]:offsets[b + 1]``.
    values : Tensor of shape (nnz,)
        The stored values.
    transpose : tuple of 4 Tensors, optional
        ``(columns, offsets, rows, values)``: the same values column by column, for
        the columns that have any. A backward pass needs it; a forward pass does not.
    """

    indices: Tensor
    offsets: Tensor
    values: Tensor
    transpose: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def rows(self, some: slice) -> CSRRows:
        """Return a run of rows, without their transpose."""
        offsets = self.offsets[some.start : some.stop + 1]
        start, stop = offsets[0], offsets[-1]
        return CSRRows(self.indices[start:stop], offsets - start, self.values[start:stop])

    def to(self, device: torch.device | str) -> CSRRows:
        """Return the same rows on another device."""
        indices, offsets, values, transpose = self
        if transpose is not None:
            columns, starts, rows, entries = (part.to(device) for part in transpose)
            transpose = columns, starts, rows, entries
        return CSRRows(indices.to(device), offsets.to(device), values.to(device), transpose)


class Linear(nn.Module):
    r"""Affine map :math:`y = x W^T + b` whose weights come from a given generator.

    Weights and biases are drawn from :math:`U(\pm 1/\sqrt{F})`, as in
    :class:`torch.nn.Linear`, which can only draw from torch's global generator.

    Parameters
    ----------
    in_features, out_features : int
        The sizes F and O of a row of the input and of the output.
    generator : torch.Generator, optional
        Source of the initial weights; None is torch's global generator.
    dtype : torch.dtype, optional
        Type of the parameters.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,)
    row_dim : int
        The dimension of ``weight`` that the outputs lie along.
    """

    row_dim: ClassVar[int] = 0

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        in_features, out_features = int(in_features), int(out_features)
        self.weight = nn.Parameter(torch.empty(self._shape(in_features, out_features), dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, dtype=dtype))
        bound = max(in_features, 1) ** -0.5
        with torch.no_grad():
            self._draw(bound, generator)
            self.bias.uniform_(-bound, bound, generator=generator)

    def _draw(self, bound: float, generator: torch.Generator | None) -> None:
        self.weight.uniform_(-bound, bound, generator=generator)

    @staticmethod
    def _shape(in_features: int, out_features: int) -> tuple[int, int]:
        return out_features, in_features

    def forward(self, x: Tensor) -> Tensor:
        """Map rows of shape (batch, in_features) to (batch, out_features)."""
        return F.linear(x, self.weight, self.bias)

    def by_output(self) -> Tensor:
        """Return the weight with a row for each output, (out_features, in_features)."""
        return self.weight.t() if self.row_dim else self.weight


class FeatureLinear(Linear):
    """The affine map that reads the features: dense rows or :class:`CSRRows`.

    The weight has one row per feature, so that a sparse row reads, and its
    gradient touches, only the rows of the features it holds.

    Parameters
    ----------
    in_features, out_features, generator, dtype
        As for :class:`Linear`.

    Attributes
    ----------
    weight : Parameter of shape (in_features, out_features)
    bias : Parameter of shape (out_features,)
    sparse_grad : bool
        Whether the gradient of ``weight`` for sparse rows is a sparse tensor, which
        only some optimisers take (:class:`LazyAdamW` does). True at the start.
    row_dim : int
        The dimension of ``weight`` that the outputs lie along.
    """

    row_dim: ClassVar[int] = 1

    def __init__(self, in_features: int, out_features: int, **kwargs: Any) -> None:
        super().__init__(in_features, out_features, **kwargs)
        self.sparse_grad = True

    @staticmethod
    def _shape(in_features: int, out_features: int) -> tuple[int, int]:
        return in_features, out_features

    def forward(self, x: Tensor | CSRRows) -> Tensor:
        """Map dense or sparse rows to a dense tensor of shape (batch, out_features)."""
        if isinstance(x, Tensor):
            return torch.addmm(self.bias, x, self.weight)
        product: Tensor = _SparseProduct.apply(self.weight, x, self.sparse_grad)  # type: ignore[no-untyped-call]
        return product + self.bias


class FeatureLinearByOutput(Linear):
    """A :class:`FeatureLinear` that holds its weight with a row for each output.

    For a head that reads the weights of a few outputs at a time. It starts from the same weights,
    and what it saves and loads is the weight of a :class:`FeatureLinear`, of shape
    (in_features, out_features), so that either can go on with the weights of the other.

    Parameters
    ----------
    in_features, out_features, generator, dtype
        As for :class:`Linear`.

    Attributes
    ----------
    weight : Parameter of shape (out_features, in_features)
    bias : Parameter of shape (out_features,)
    """

    def forward(self, x: Tensor | CSRRows) -> Tensor:
        """Map dense or sparse rows to a dense tensor of shape (batch, out_features)."""
        return super().forward(x if isinstance(x, Tensor) else _dense(x, self.weight.shape[1]))

    def _draw(self, bound: float, generator: torch.Generator | None) -> None:
        for columns in torch.split(self.weight.t(), _DRAWN):
            drawn = torch.empty(columns.shape, dtype=columns.dtype)
            columns.copy_(drawn.uniform_(-bound, bound, generator=generator))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = destination[prefix + "weight"].t()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        given = state_dict
        if isinstance(given.get(prefix + "weight"), Tensor):
            given = {**given, prefix + "weight": given[prefix + "weight"].t()}
        super()._load_from_state_dict(given, prefix, *args)


def _dense(rows: CSRRows, n_features: int) -> Tensor:
    """Write out sparse rows."""
    n_values = rows.offsets.diff()
    row = torch.arange(len(n_values), device=n_values.device).repeat_interleave(n_values)
    dense = rows.values.new_zeros(len(n_values), n_features)
    return dense.index_put_((row, rows.indices.long()), rows.values, accumulate=True)


def rows_times(indices: Tensor, offsets: Tensor, values: Tensor, matrix: Tensor) -> Tensor:
    """Multiply sparse rows by a dense matrix; an embedding bag is the fastest way."""
    return F.embedding_bag(
        indices, matrix, offsets, per_sample_weights=values, mode="sum", include_last_offset=True
    )


def sparse_rows(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """Return the sparse gradient that holds some rows, each once and in ascending order."""
    return torch.sparse_coo_tensor(
        rows.unsqueeze(0), values, shape, is_coalesced=True, check_invariants=False
    )


class _SparseProduct(torch.autograd.Function):
    """Sparse rows times a weight, with a coalesced sparse gradient of the weight.

    The gradient is a second embedding bag, over the transposed batch. It is several
    times as fast as ``embedding_bag(sparse=True)`` followed by a coalescing sort.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: CSRRows, sparse_grad: bool) -> Tensor:
        ctx.rows, ctx.shape, ctx.sparse_grad = rows, weight.shape, sparse_grad
        return rows_times(rows.indices, rows.offsets, rows.values, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        if ctx.rows.transpose is None:
            raise ValueError("a backward pass over CSRRows needs their `transpose`")
        columns, offsets, rows, values = ctx.rows.transpose
        grad = rows_times(rows, offsets, values, grads[0].contiguous())
        if not ctx.sparse_grad:
            return grad.new_zeros(ctx.shape).index_copy_(0, columns, grad), None, None
        return sparse_rows(columns, grad, ctx.shape), None, None
