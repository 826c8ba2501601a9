"""The network that joins an encoder, hidden layers and a head over a hierarchy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.dropout import Dropout
from hierclf.nn.head import Head, SoftmaxHead, TopLeaves
from hierclf.nn.linear import CSRRows, FeatureLinear, Linear
from hierclf.nn.softmax import HierarchicalSoftmax

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


class HierarchyNetwork(nn.Module):
    """Encoder, hidden layers and a head over a hierarchy: samples in, log-probabilities out.

    Parameters
    ----------
    in_features : int
        Number of columns of the input, or of the encoder's output.
    hierarchy : Hierarchy
        The classes.
    encoder : torch.nn.Module, optional
        Turns each sample into a vector, which the hidden layers read. None: samples are
        vectors already.
    head : type or callable
        Makes the head, which turns the last hidden state into probabilities: a subclass of
        :class:`Head`, or a function with the same arguments.
    hidden_layer_sizes : sequence of int
        Sizes of the hidden layers; empty for a linear model.
    activation : {"identity", "logistic", "tanh", "relu", "gelu"}
        Follows each hidden layer.
    dropout : float
        Probability with which each hidden unit is dropped in training.
    dtype : torch.dtype, optional
        Type of the parameters.
    seed : int
        Seed of the initial weights. Hidden layers are drawn before the head, so
        networks that differ in the head alone start from the same hidden layers.

    Attributes
    ----------
    encoder : torch.nn.Module or None
        The encoder.
    hidden : torch.nn.Sequential
        The hidden layers.
    head : Head
        The head.

    Raises
    ------
    ValueError
        If ``activation`` is none of these.
    """

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        encoder: nn.Module | None = None,
        head: Callable[..., Head] = HierarchicalSoftmax,
        hidden_layer_sizes: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            check_option("activation", activation, ACTIVATIONS)
        self.encoder = encoder
        generator = torch.Generator().manual_seed(int(seed))
        # Without an encoder, whichever layer comes first reads the features.
        linear: type[Linear] = FeatureLinear if encoder is None else Linear
        layers: list[nn.Module] = []
        for size in hidden_layer_sizes:
            layers.append(linear(in_features, size, generator=generator, dtype=dtype))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(Dropout(dropout))
            linear, in_features = Linear, size
        self.hidden = nn.Sequential(*layers)
        self.head: Head = head(
            in_features, hierarchy, linear=linear, generator=generator, dtype=dtype
        )

    def forward(self, x: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every node.

        Parameters
        ----------
        x : Tensor of shape (batch, in_features), CSRRows, or what the encoder reads
            The samples.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """
        log_proba: Tensor = self.head(self.last_hidden(x))
        return log_proba

    def leaf_log_proba(self, x: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every leaf, under a :class:`SoftmaxHead`.

        Parameters
        ----------
        x : Tensor of shape (batch, in_features), CSRRows, or what the encoder reads
            The samples.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        return self.softmax.leaf_log_proba(self.last_hidden(x))

    def leaf_scores(self, x: Tensor | CSRRows) -> Tensor:
        """Rank the leaves of each sample: :meth:`leaf_log_proba`, up to a constant per sample.

        For a :class:`SoftmaxHead`.

        Parameters
        ----------
        x : Tensor of shape (batch, in_features), CSRRows, or what the encoder reads
            The samples.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        return self.softmax.leaf_scores(self.last_hidden(x))

    def topk_leaves(self, x: Tensor | CSRRows, k: int) -> TopLeaves:
        """Find the k likeliest leaves of each row, under a :class:`SoftmaxHead`.

        Parameters
        ----------
        x : Tensor of shape (batch, in_features), CSRRows, or what the encoder reads
            The rows.
        k : int
            How many leaves.

        Returns
        -------
        TopLeaves
            Positions in ``hierarchy.leaves`` and log-probabilities, both (batch, k), and for
            how many rows all leaves were looked at.
        """
        return self.softmax.topk_leaves(self.last_hidden(x), k)

    def last_hidden(self, x: Tensor | CSRRows) -> Tensor:
        """Compute what the head reads.

        Parameters
        ----------
        x : Tensor of shape (batch, in_features), CSRRows, or what the encoder reads
            The samples.

        Returns
        -------
        Tensor of shape (batch, in_features of the head)
            The last hidden state; without encoder and hidden layers, the samples.
        """
        hidden: Tensor = self.hidden(x if self.encoder is None else self.encoder(x))
        return hidden

    @property
    def softmax(self) -> SoftmaxHead:
        """The head, where a sample has one label."""
        return cast("SoftmaxHead", self.head)
