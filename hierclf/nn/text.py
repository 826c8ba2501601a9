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
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PADDING, UNKNOWN = 0, 1
# Words without a vector are drawn from the uniform distribution between plus and minus
# this (arXiv 2308.01210): about the spread of GloVe's vectors.
EMBEDDING_BOUND = 0.06**0.5
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


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
    # A tensor of positions for each chunk of rows would be eight times as large as the ids.
    last_first = (ids != PADDING).flip(1).to(torch.int8)
    lengths = ids.shape[1] - last_first.argmax(dim=1)
    return torch.where(last_first.any(dim=1), lengths, 1)


class WordEmbedding(nn.Module):
    """A vector for each token id, zero and fixed for the padding.

    Ids that are too large are read as the unknown word.

    Parameters
    ----------
    weight : Tensor of shape (n_ids, dimension)
        The vectors at the start; the first row is set to zero.
    trainable : bool
        Whether training changes them.

    Attributes
    ----------
    weight : Parameter of shape (n_ids, dimension)
    sparse_grad : bool
        Whether the gradient of ``weight`` is a sparse tensor, which only some optimisers
        take (:class:`LazyAdamW` does). False at the start.
    """

    def __init__(self, weight: Tensor, *, trainable: bool = True) -> None:
        super().__init__()
        weight[PADDING] = 0
        self.weight = nn.Parameter(weight, requires_grad=trainable)
        self.sparse_grad = False

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids of shape (batch, length); returns (batch, length, dimension)."""
        ids = ids.masked_fill(ids >= len(self.weight), UNKNOWN)
        return F.embedding(ids, self.weight, padding_idx=PADDING, sparse=self.sparse_grad)


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
    generator : torch.Generator, optional
        Source of the initial weights, uniform in plus or minus ``hidden_size ** -0.5``.
    """

    def __init__(
        self,
        embedding: WordEmbedding,
        hidden_size: int,
        *,
        cell: str = "lstm",
        bidirectional: bool = True,
        num_layers: int = 1,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.recurrent = _undrawn(
            CELLS[cell],
            embedding.weight.shape[1],
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            dtype=embedding.weight.dtype,
        )
        _draw(self.recurrent.parameters(), hidden_size**-0.5, generator)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, directions * hidden_size)."""
        _, state = self.recurrent(_pack(self.embedding(ids), ids))
        hidden = state[0] if isinstance(state, tuple) else state
        n_directions = 2 if self.recurrent.bidirectional else 1
        encoded: Tensor = self.dropout(torch.cat(tuple(hidden[-n_directions:]), dim=1))
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
    generator : torch.Generator, optional
        Source of the initial weights.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.
    """

    def __init__(
        self,
        embedding: WordEmbedding,
        hidden_size: int = 64,
        *,
        n_filters: int = 100,
        kernel_sizes: Sequence[int] = (2, 3, 4),
        embedding_dropout: float = 0.5,
        dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        dtype = embedding.weight.dtype
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.recurrent = _undrawn(
            nn.GRU,
            embedding.weight.shape[1],
            hidden_size,
            bidirectional=True,
            batch_first=True,
            dtype=dtype,
        )
        _draw(self.recurrent.parameters(), hidden_size**-0.5, generator)
        self.dropout = nn.Dropout(dropout)
        self.convolutions = nn.ModuleList()
        for width in kernel_sizes:
            layer = _undrawn(
                nn.Conv1d, 2 * hidden_size, n_filters, width, padding=width // 2, dtype=dtype
            )
            _draw(layer.parameters(), (2 * hidden_size * width) ** -0.5, generator)
            self.convolutions.append(layer)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, kernels * n_filters)."""
        states, _ = self.recurrent(_pack(self.embedding_dropout(self.embedding(ids)), ids))
        states, lengths = pad_packed_sequence(states, batch_first=True)
        states = self.dropout(states).transpose(1, 2)
        lengths = lengths.to(states.device).unsqueeze(1)
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


class TransformerText(nn.Module):
    """A pretrained transformer whose states are pooled into one vector.

    Ids are those of its tokenizer plus 1, so that 0 is free for the padding.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Takes ``input_ids`` and ``attention_mask``, and returns ``last_hidden_state``.
    pooling : {"mean", "cls"}
        The mean over the tokens of a text, or the state of its first token.
    precision : {"float32", "bfloat16"}
        What matrix products are computed in. Parameters and output are what they are.

    Attributes
    ----------
    sparse_grad : bool
        Whether the gradient of the word vectors is a sparse tensor. False at the start.
    """

    def __init__(self, model: nn.Module, pooling: str = "mean", precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.precision = precision

    @property
    def sparse_grad(self) -> bool:
        """Whether the gradient of the word vectors is a sparse tensor."""
        return bool(self._word_vectors.sparse)

    @sparse_grad.setter
    def sparse_grad(self, value: bool) -> None:
        self._word_vectors.sparse = value

    @property
    def _word_vectors(self) -> Any:
        return self.model.get_input_embeddings()  # type: ignore[operator]

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, size of the model's states)."""
        mask = ids != PADDING
        lower = self.precision == "bfloat16"
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=lower):
            output = self.model(input_ids=(ids.long() - 1).clamp(min=0), attention_mask=mask.long())
        states: Tensor = output.last_hidden_state.to(self._word_vectors.weight.dtype)
        if self.pooling == "cls":
            return states[:, 0]
        weight = mask.unsqueeze(2).to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _undrawn(module: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a module without drawing its weights, which torch does from a global generator."""
    return module(*args, device="meta", **kwargs).to_empty(device="cpu")


@torch.no_grad()
def _draw(parameters: Iterable[Tensor], bound: float, generator: torch.Generator | None) -> None:
    """Draw weights from U(-bound, bound), as torch does for these modules."""
    for parameter in parameters:
        parameter.uniform_(-bound, bound, generator=generator)


def _pack(embedded: Tensor, ids: Tensor) -> Any:
    lengths = token_lengths(ids).cpu()
    return pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
