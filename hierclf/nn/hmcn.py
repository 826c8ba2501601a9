"""HMCN: a hidden layer and an output for each level, beside an output for all nodes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn._logits import mean_logit
from hierclf.nn.dropout import Dropout
from hierclf.nn.groups import register_derived
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.node_head import NodeHead, NodeScores, OutputRows, TrainedOutput
from hierclf.nn.norm import BatchNorm

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy


class HMCNHead(NodeHead):
    r"""A hidden layer for each level, each read by the next, and outputs of both kinds.

    With the hidden state x, K levels and :math:`\oplus` for one beside the other [1]_:

    .. math::
        A^1 &= \phi(W_G^1 x + b), \qquad A^h = \phi(W_G^h (A^{h-1} \oplus x) + b) \\
        P_G &= \sigma(W_G A^K + b), \qquad P_L^h = \sigma(W_L^h\, \phi(W_T^h A^h + b) + b) \\
        P_F &= \beta P_L + (1 - \beta) P_G

    where :math:`\phi` is a ReLU, batch normalisation and dropout. :math:`P_G` is over all nodes,
    and :math:`P_L` puts the levels side by side. If it is ``recurrent``, the levels share one
    LSTM cell, which reads :math:`A^{h-1} \oplus x` and carries its cell state from level to level;
    :math:`P_L^h = \sigma(W_L^h A^h + b)` and :math:`P_G = \sigma(W_G (A^K \oplus x) + b)`.

    Training compares the labels with :math:`P_G` and with the :math:`P_L` of each level, and adds

    .. math:: \lambda \sum_{(p, c)} \max(0, P_F[c] - P_F[p])^2

    over the edges. A level holds the nodes of one depth. In a DAG this is the longest way from
    the root, so that parents come before.

    Parameters
    ----------
    in_features : int
        Size D of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes on K levels.
    hidden_size : int
        Number H of units of each layer.
    recurrent : bool
        Whether the levels share one cell (HMCN-R), instead of a layer each (HMCN-F).
    beta : float
        The share of the outputs of the levels.
    violation_penalty : float
        The factor :math:`\lambda`.
    dropout : float
        Probability with which each unit is dropped in training.
    batch_norm : bool
        Whether the units of each layer are normalised.
    linear, generator, dtype, coherent
        As for :class:`LinearNodeHead`.

    Notes
    -----
    There are, without those of normalisation, (D + 1) H + (K - 1) (H + D + 1) H for the levels,
    K (H + 1) H for the transitions and 2 N (H + 1) for the outputs. If it is recurrent there are
    4 (H + D + 1) H for the cell and N (H + 1) + N (H + D + 1) for the outputs. Normalisation adds
    2 H for each layer.

    References
    ----------
    .. [1] J. Wehrmann, R. Cerri and R. C. Barros, "Hierarchical Multi-Label Classification
       Networks", ICML 2018.

    Examples
    --------
    Zero weights make every node as likely as not, for each output and so for their mean:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HMCNHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> head = HMCNHead(4, tree, hidden_size=8).eval()
    >>> for parameter in head.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> head(torch.randn(1, 4)).exp().detach()
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    >>> [output.logits.shape[1] for output in head.scores(torch.randn(1, 4)).trained]
    [4, 2, 2]
    """

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        hidden_size: int = 384,
        recurrent: bool = False,
        beta: float = 0.5,
        violation_penalty: float = 0.1,
        dropout: float = 0.6,
        batch_norm: bool = True,
        linear: type[Linear] = Linear,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        coherent: bool = False,
    ) -> None:
        super().__init__(hierarchy, coherent=coherent)
        hidden_size, ends = int(hidden_size), hierarchy.arrays.depth_offsets.tolist()
        self.recurrent, self.hidden_size = recurrent, hidden_size
        self.violation_penalty = float(violation_penalty)
        self.log_shares = [math.log(s) if s else -math.inf for s in (float(beta), 1 - beta)]
        for number, (start, stop) in enumerate(pairwise(ends)):
            register_derived(self, f"level_{number}", np.arange(start, stop))
        sizes = [stop - start for start, stop in pairwise(ends)]

        def affine(n_in: int, n_out: int, kind: type[Linear] = Linear) -> Linear:
            return kind(n_in, n_out, generator=generator, dtype=dtype)

        def after() -> nn.Module:
            norm = [BatchNorm(hidden_size, dtype=dtype)] if batch_norm else []
            return nn.Sequential(*norm, Dropout(dropout))

        if recurrent:
            self.cell = affine(hidden_size + in_features, 4 * hidden_size)
            self.after_cell = nn.ModuleList(after() for _ in sizes)
        else:
            self.layers = nn.ModuleList()
            for number in range(len(sizes)):
                first = affine(in_features, hidden_size, linear)
                more = affine(hidden_size + in_features, hidden_size) if number else first
                self.layers.append(nn.Sequential(more, nn.ReLU(), after()))
            self.transitions = nn.ModuleList(
                nn.Sequential(affine(hidden_size, hidden_size), nn.ReLU(), after()) for _ in sizes
            )
        self.local = nn.ModuleList(affine(hidden_size, size) for size in sizes)
        n_read = hidden_size + in_features if recurrent else hidden_size
        self.overall = affine(n_read, len(hierarchy))

    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:  # noqa: D102, inherited
        of_levels, of_all = self._outputs(hidden)
        logits = self._mean(of_levels, of_all)
        trained = [TrainedOutput(of_all, constraint=self.constraint)]
        for number, level in enumerate(of_levels):
            trained.append(TrainedOutput(level, columns=getattr(self, f"level_{number}")))
        if not self.violation_penalty:
            return NodeScores(logits, tuple(trained))
        parent, child = torch.sigmoid(logits).index_select(1, self.edges.flatten()).chunk(2, 1)
        penalty = torch.relu(child - parent).square().sum(1) * self.violation_penalty
        return NodeScores(logits, tuple(trained), penalty)

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        return self._mean(*self._outputs(hidden))

    def _mean(self, of_levels: list[Tensor], of_all: Tensor) -> Tensor:
        both = torch.stack([torch.cat(of_levels, dim=1), of_all])
        log_shares = both.new_tensor(self.log_shares).view(2, 1, 1)
        return mean_logit(both, log_shares, 0)

    def _outputs(self, hidden: Tensor | CSRRows) -> tuple[list[Tensor], Tensor]:
        """Return the logits of the outputs of the levels, and of that of all nodes."""
        if not isinstance(hidden, Tensor):
            raise TypeError("HMCNHead reads dense hidden states: give the network a hidden layer")
        states: list[Tensor] = []
        if self.recurrent:
            state = cell = hidden.new_zeros(len(hidden), self.hidden_size)
            for after in self.after_cell:
                gates = self.cell(torch.cat([state, hidden], dim=1))
                i, f, o, u = gates.chunk(4, dim=1)
                cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(u)
                state = after(torch.sigmoid(o) * torch.tanh(cell))
                states.append(state)
            of_all = self.overall(torch.cat([state, hidden], dim=1))
        else:
            for layer in self.layers:
                read = torch.cat([states[-1], hidden], dim=1) if states else hidden
                states.append(layer(read))
            of_all = self.overall(states[-1])
            states = [move(state) for move, state in zip(self.transitions, states, strict=True)]
        of_levels = [output(state) for output, state in zip(self.local, states, strict=True)]
        return of_levels, of_all

    def output_rows(self) -> tuple[OutputRows, ...]:  # noqa: D102, inherited
        # A level has no edges within itself.
        return (OutputRows(self.overall.weight, self.edges),)
