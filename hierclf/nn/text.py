"""Networks that read texts: rows of token ids in, one vector per text out.

Ids are integers of shape (batch, length): 0 pads the end of a row, and 1 is any word that
the network has no embedding of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.dropout import Dropout

PADDING, UNKNOWN = 0, 1
# Words without a vector are drawn from the uniform distribution between plus and minus
# this (arXiv 2308.01210): about the spread of GloVe's vectors.
EMBEDDING_BOUND = 0.06**0.5
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
PRECISIONS = ("float32", "bfloat16")


def token_lengths(ids: Tensor) -> Tensor:
    """Count the tokens of each row, padding at its end left out.

    Parameters
    ----------
    ids : Tensor of shape (rows, length), integer
        Token ids.

    Returns
    -------
    Tensor of shape (rows,), int64
        Lengths, at least 1: a text without a word is read as one token of padding.
    """
    # Bytes, since a whole data set may come: positions would take eight times as many.
    last_first = (ids != PADDING).flip(1).to(torch.int8)
    lengths = ids.shape[1] - last_first.argmax(dim=1)
    return torch.where(last_first.any(dim=1), lengths, 1)


class WordEmbedding(nn.Module):
    """A vector for each token id, zero and fixed for the padding.

    Ids that are too large, and those not known, are read as the unknown word.

    Parameters
    ----------
    weight : Tensor of shape (n_ids, dimension)
        The vectors at the start; the first row is set to zero.
    trainable : bool
        Whether training changes them.
    known : Tensor of shape (n_ids,), bool, optional
        Ids whose vectors mean something, 0 and 1 among them. Training adds those that it
        reads. None is all.

    Attributes
    ----------
    weight : Parameter of shape (n_ids, dimension)
    known : Tensor of shape (n_ids,) or None
    sparse_grad : bool
        Whether the gradient of ``weight`` is a sparse tensor, which only some optimisers
        take (:class:`LazyAdamW` does). False at the start.
    """

    known: Tensor | None

    def __init__(
        self, weight: Tensor, *, trainable: bool = True, known: Tensor | None = None
    ) -> None:
        super().__init__()
        weight[PADDING] = 0
        self.weight = nn.Parameter(weight, requires_grad=trainable)
        self.register_buffer("known", known)
        self.sparse_grad = False

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids of shape (batch, length); returns (batch, length, dimension)."""
        ids = ids.masked_fill(ids >= len(self.weight), UNKNOWN)
        if self.known is not None:
            if self.training and torch.is_grad_enabled():
                self.known.index_fill_(0, ids.flatten().long(), True)
            else:
                known = self.known.index_select(0, ids.flatten()).view_as(ids)
                ids = ids.masked_fill(~known, UNKNOWN)
        return F.embedding(ids, self.weight, padding_idx=PADDING, sparse=self.sparse_grad)


class RaggedRNN(nn.Module):
    """Recurrent layers over rows of unequal length, each read up to its own end.

    The same function as torch's over a packed sequence, for which a processor takes about
    three times as long: here each direction runs over the padded batch, the second one over
    rows turned round within their lengths.

    Parameters
    ----------
    cell : {"lstm", "gru"}
        Kind of cell.
    input_size, hidden_size : int
        Sizes of the vectors of a row, and of the state of each direction.
    bidirectional : bool
        Whether to read from the end to the beginning as well.
    num_layers : int
        Number of layers.
    dropout : float
        Probability with which each unit that goes from a layer to the next is dropped.
    dtype : torch.dtype, optional
        Type of the parameters.
    generator : torch.Generator, optional
        Source of the initial weights, uniform in plus or minus ``hidden_size ** -0.5``.

    Attributes
    ----------
    layers : torch.nn.ModuleList
        A list of the directions of each layer.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        bidirectional: bool = True,
        num_layers: int = 1,
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_option("cell", cell, CELLS)
        input_size, hidden_size = int(input_size), int(hidden_size)  # torch takes no other type
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            directions = nn.ModuleList()
            for _ in range(2 if bidirectional else 1):
                direction = _undrawn(
                    CELLS[cell], input_size, hidden_size, batch_first=True, dtype=dtype
                )
                _draw(direction.parameters(), hidden_size**-0.5, generator)
                directions.append(direction)
            self.layers.append(directions)
            input_size = len(directions) * hidden_size

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run over padded rows.

        Parameters
        ----------
        x : Tensor of shape (batch, longest, input_size)
            The rows.
        lengths : Tensor of shape (batch,), int64
            Their lengths, at least 1.

        Returns
        -------
        states : Tensor of shape (batch, longest, directions * hidden_size)
            States of the last layer; what is past the end of a row means nothing.
        last : Tensor of shape (batch, directions * hidden_size)
            Its states after the whole row: at the end, and, of the second direction, at
            the beginning.
        """
        batch, longest, _ = x.shape
        position = torch.arange(longest, device=x.device)
        end = lengths.unsqueeze(1)
        turned = torch.where(position < end, end - 1 - position, position)
        start = torch.arange(batch, device=x.device) * longest
        turned = (turned + start.unsqueeze(1)).flatten()
        last_place = start + lengths - 1
        for number, layer in enumerate(self.layers):
            directions: Any = layer
            x = self.dropout(x) if number else x
            states, last = [], []
            for direction, run in enumerate(directions):
                out, _ = run(_Turn.apply(x, turned) if direction else x)  # type: ignore[no-untyped-call]
                last.append(out.flatten(0, 1).index_select(0, last_place))
                states.append(_Turn.apply(out, turned) if direction else out)  # type: ignore[no-untyped-call]
            x = torch.cat(states, dim=2)
        return x, torch.cat(last, dim=1)


class _Turn(torch.autograd.Function):
    """Exchange places in pairs; the gradient exchanges them back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.places = places
        return x.flatten(0, 1).index_select(0, places).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return grad.flatten(0, 1).index_select(0, ctx.places).view_as(grad), None


class RecurrentEncoder(nn.Module):
    """The last states of a recurrent network, of both directions side by side.

    Each row is read up to its own length, so padding changes nothing.

    Parameters
    ----------
    embedding : WordEmbedding
        Vectors of the words.
    hidden_size : int
        Size of the state of each direction.
    cell : {"lstm", "gru"}
        Kind of cell.
    bidirectional : bool
        Whether to read from the end to the beginning as well.
    num_layers : int
        Number of layers.
    dropout : float
        Probability with which each unit of the output, and of the states that go from a
        layer to the next, is dropped in training.
    precision : {"float32", "bfloat16"}
        What the recurrent layers compute in. Parameters and output are what they are.
    generator : torch.Generator, optional
        Source of the initial weights, uniform in plus or minus ``hidden_size ** -0.5``.
    """

    draws_globally = False

    def __init__(
        self,
        embedding: WordEmbedding,
        hidden_size: int,
        *,
        cell: str = "lstm",
        bidirectional: bool = True,
        num_layers: int = 1,
        dropout: float = 0.0,
        precision: str = "float32",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_option("precision", precision, PRECISIONS)
        self.embedding = embedding
        self.recurrent = RaggedRNN(
            cell,
            embedding.weight.shape[1],
            hidden_size,
            bidirectional=bidirectional,
            num_layers=num_layers,
            dropout=dropout,
            dtype=embedding.weight.dtype,
            generator=generator,
        )
        self.dropout = Dropout(dropout)
        self.precision = precision

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, directions * hidden_size)."""
        embedded = self.embedding(ids)
        with computing_in(self.precision, ids.device):
            _, last = self.recurrent(embedded, token_lengths(ids))
        encoded: Tensor = self.dropout(last.to(embedded.dtype))
        return encoded


class ConvGRU(nn.Module):
    """Convolutions over the states of a bidirectional GRU, the largest value of each kept.

    The text encoder of HiAGM [1]_. Each row is read up to its own length, so padding
    changes nothing.

    Parameters
    ----------
    embedding : WordEmbedding
        Vectors of the words.
    hidden_size : int
        Size of the state of each direction.
    n_filters : int
        Number of filters of each width.
    kernel_sizes : sequence of int
        Widths of the filters, in words.
    embedding_dropout, dropout : float
        Probability with which each unit of the words' vectors, and of the states, is
        dropped in training.
    precision : {"float32", "bfloat16"}
        What the recurrent layer computes in. Parameters and output are what they are.
    generator : torch.Generator, optional
        Source of the initial weights.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.
    """

    draws_globally = False

    def __init__(
        self,
        embedding: WordEmbedding,
        hidden_size: int = 64,
        *,
        n_filters: int = 100,
        kernel_sizes: Sequence[int] = (2, 3, 4),
        embedding_dropout: float = 0.5,
        dropout: float = 0.1,
        precision: str = "float32",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_option("precision", precision, PRECISIONS)
        dtype, hidden_size = embedding.weight.dtype, int(hidden_size)
        self.embedding = embedding
        self.embedding_dropout = Dropout(embedding_dropout)
        self.recurrent = RaggedRNN(
            "gru", embedding.weight.shape[1], hidden_size, dtype=dtype, generator=generator
        )
        self.dropout = Dropout(dropout)
        self.precision = precision
        self.convolutions = nn.ModuleList()
        for width in kernel_sizes:
            layer = _undrawn(
                nn.Conv1d, 2 * hidden_size, n_filters, width, padding=width // 2, dtype=dtype
            )
            _draw(layer.parameters(), (2 * hidden_size * width) ** -0.5, generator)
            self.convolutions.append(layer)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, kernels * n_filters)."""
        embedded = self.embedding_dropout(self.embedding(ids))
        lengths = token_lengths(ids)
        with computing_in(self.precision, ids.device):
            states, _ = self.recurrent(embedded, lengths)
        lengths = lengths.unsqueeze(1)
        is_past = torch.arange(states.shape[1], device=ids.device) >= lengths
        states = states.to(embedded.dtype).masked_fill(is_past.unsqueeze(2), 0)
        states = self.dropout(states).transpose(1, 2)
        largest = []
        for layer in self.convolutions:
            found = F.relu(layer(states))
            # Past its end a row is zero, as past the end of the longest. What is found
            # there is no part of the row; all else is positive, so zero removes it.
            positions = torch.arange(found.shape[2], device=found.device)
            end = lengths + found.shape[2] - states.shape[2]
            outside = (positions >= end).unsqueeze(1)
            largest.append(found.masked_fill(outside, 0).amax(dim=2))
        return torch.cat(largest, dim=1)


def _undrawn(module: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a module without drawing its weights, which torch does from a global generator."""
    return module(*args, device="meta", **kwargs).to_empty(device="cpu")


@torch.no_grad()
def _draw(parameters: Iterable[Tensor], bound: float, generator: torch.Generator | None) -> None:
    """Draw weights from U(-bound, bound), as torch does for these modules."""
    for parameter in parameters:
        parameter.uniform_(-bound, bound, generator=generator)


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Let matrix products be computed in a lower precision, or leave them as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
