"""A trained network applied to rows, block by block, and what it returns checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hierclf.classifiers._batches import ENCODER_BLOCK, Batches, Rows, Weights, count_weights
from hierclf.nn import HierarchyNetwork

# Values that one block of predictions may hold: small enough for a processor's cache.
_PREDICTION_BLOCK = 1 << 18
# Rows of a block whose likeliest leaves are searched: many, so that what is done once for a
# block costs little, and few, so that their hidden states are small.
_SEARCH_BLOCK = 1 << 13


class NotFiniteError(ValueError):
    """What the network computes for some row is not finite."""


class Cut(NamedTuple):
    """How rows are cut into blocks for a network: found once, since to look takes a row's time.

    Attributes
    ----------
    block_size : int
        Rows of a block that is looked at with all nodes.
    weights : Weights
        What is multiplied with each row.
    """

    block_size: int
    weights: Weights

    @classmethod
    def of(cls, network: HierarchyNetwork, n_nodes: int) -> Cut:
        """Look at a network over some number of nodes."""
        weights = count_weights(network.encoder, network.hidden, network.head)
        if network.encoder is not None:
            return cls(ENCODER_BLOCK, weights)
        widths = [int(parameter.shape[-1]) for parameter in network.parameters()]
        return cls(max(_PREDICTION_BLOCK // max(*widths, n_nodes), 16), weights)


def apply_network(
    network: HierarchyNetwork,
    rows: Rows,
    function: Callable[[HierarchyNetwork, Any], Any],
    cut: Cut,
    device: str = "cpu",
    *,
    looks_at_all: bool = True,
    first_row: int = 0,
) -> Any:
    """Apply a function of a network and some rows to all rows, block by block.

    Parameters
    ----------
    network : HierarchyNetwork
        The network, not in training mode.
    rows : Rows
        The features, in the network's dtype, or token ids.
    function : callable
        Takes the network and a block of rows as tensors; one output row for each. Or
        several tensors of output rows, as a tuple.
    cut : Cut
        How the rows are cut.
    device : str
        Where the network is.
    looks_at_all : bool, default=True
        Whether it holds values for all nodes, so that blocks must be small.
    first_row : int, default=0
        The number of the first of these rows, for the error.

    Returns
    -------
    ndarray of shape (n_rows, ...), or a tuple of them
        The outputs of all blocks.

    Raises
    ------
    ValueError
        If they are not finite; the message names a row.
    """
    batches = Batches(rows, cut.block_size, device)

    def checked(x: Any) -> Any:
        output = function(network, x)
        for part in output if isinstance(output, tuple) else (output,):
            if part.is_floating_point():
                check_log_proba(part)
        return output

    first, weights = batches, cut.weights
    if not looks_at_all:  # and few of the head's weights are read
        block_size = _SEARCH_BLOCK if network.encoder is None else ENCODER_BLOCK
        first = Batches(rows, block_size, device)
        weights = count_weights(network.encoder, network.hidden)
    try:
        return first.collect(checked, weights)
    except NotFiniteError:
        is_nan = batches.collect(lambda x: network(x).isnan().any(dim=1), cut.weights)
        row = int(is_nan.argmax())
    cause = "its encoder returns, or the weights are, too large or NaN"
    if network.encoder is None:
        largest = abs(rows.X[[row]]).max()
        cause = f"the row holds {largest:.3g}: scale the features, in fit and here"
    dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
    raise ValueError(
        f"the network's output for row {first_row + row} of X overflows {dtype}; {cause}"
    ) from None


def argmax(log_proba: Tensor) -> Tensor:
    """Return the column of the largest value of each row, the first of equals; never of NaN."""
    if log_proba.device.type == "cpu":  # numpy's is two to ten times as fast as torch's
        chosen = torch.from_numpy(log_proba.contiguous().numpy().argmax(axis=1))
    else:
        chosen = log_proba.argmax(dim=1)
    largest = log_proba.gather(1, chosen.unsqueeze(1))  # NaN, where there is one
    if not largest.isfinite().all():
        raise NotFiniteError
    return chosen


def check_log_proba(log_proba: Tensor) -> Tensor:
    """Return probabilities, or their logarithms, if none is NaN."""
    if math.isnan(log_proba.sum().item()):  # one pass over them; -inf is the logarithm of 0
        raise NotFiniteError
    return log_proba


def select(values: Tensor, columns: NDArray[np.intp]) -> Tensor:
    """Return some columns, in half the time that indexing takes for one row."""
    return values.index_select(1, torch.as_tensor(columns, device=values.device))
