"""Dropout that draws from a generator of its own, and not from one that the process shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """torch's dropout, which draws from a given generator while :func:`drawing_from` lasts.

    Parameters
    ----------
    p : float
        Probability with which a value is set to zero.

    Examples
    --------
    >>> import torch
    >>> layer, ones = Dropout(0.5), torch.ones(1000)
    >>> with drawing_from(torch.Generator().manual_seed(0), layer):
    ...     first = layer(ones)
    >>> with drawing_from(torch.Generator().manual_seed(0), layer):
    ...     print(torch.equal(layer(ones), first), first.unique().tolist())
    True [0.0, 2.0]
    """

    generator: torch.Generator | None = None

    def __init__(self, p: float) -> None:
        super().__init__(float(p))

    def forward(self, x: Tensor) -> Tensor:
        """Set values to zero at random in training, and scale the others up to make up for it."""
        if not self.training or self.generator is None or self.p in (0, 1):
            return super().forward(x)
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept.div_(1 - self.p)


@contextmanager
def drawing_from(generator: torch.Generator, network: nn.Module) -> Iterator[None]:
    """Let every :class:`Dropout` of a network draw from one generator for a while.

    Parameters
    ----------
    generator : torch.Generator
        On the device of the network.
    network : torch.nn.Module
        A layer, or what holds some.
    """
    layers = [module for module in network.modules() if isinstance(module, Dropout)]
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            del layer.generator  # a generator can be neither copied nor pickled
