"""HMCN: a layer and an output for each level."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from numpy.typing import NDArray

from hierclf import nn
from hierclf.heads._base_head import BaseNodeHead
from hierclf.heads._constraints import FACTOR, PROBABILITY, SHARE, SIZE
from hierclf.hierarchy import Hierarchy


class HMCN(BaseNodeHead):
    r"""A hidden layer for each level, each read by the next, and outputs of both kinds.

    One output is over all nodes, and reads the layer of the deepest level. Each level has one of
    its own beside it. What is predicted is a mean of both [1]_:

    .. math::
        A^h &= \phi(W_G^h (A^{h-1} \oplus x) + b) \\
        P_G &= \sigma(W_G A^K + b), \qquad P_L^h = \sigma(W_L^h\, \phi(W_T^h A^h + b) + b) \\
        P_F &= \beta P_L + (1 - \beta) P_G

    where :math:`x` is the last hidden state, :math:`\oplus` puts one beside the other, and
    :math:`\phi` is a ReLU, batch normalisation and dropout. The loss is that of :math:`P_G`, plus
    that of each level, plus :math:`\lambda \sum \max(0, P_F[c] - P_F[p])^2` over the edges from a
    parent p to a child c. The prediction need not be coherent, unless a constraint sees to it.

    Parameters
    ----------
    hidden_size : int, default=384
        Number of units of each layer.
    recurrent : bool, default=False
        Whether all levels share one LSTM cell (HMCN-R), instead of a layer each (HMCN-F). It has
        far fewer weights where there are many levels.
    beta : float, default=0.5
        The share :math:`\beta` of the outputs of the levels, in [0, 1].
    violation_penalty : float, default=0.1
        The factor :math:`\lambda`.
    dropout : float, default=0.6
        Probability with which each unit of the layers is dropped in training.
    batch_norm : bool, default=True
        Whether the units of each layer are normalised over the batch.

    See Also
    --------
    hierclf.nn.HMCNHead : The torch module, with all equations and numbers of weights.

    Notes
    -----
    In a DAG a node is on the level of its longest way from the root. The paper trains with
    batches of 4 samples, Adam, and a learning rate of 0.001.

    References
    ----------
    .. [1] J. Wehrmann, R. Cerri and R. C. Barros, "Hierarchical Multi-Label Classification
       Networks", ICML 2018.

    Examples
    --------
    >>> from hierclf.heads import HMCN
    >>> HMCN(recurrent=True).set_params(dropout=0.5)
    HMCN(dropout=0.5, recurrent=True)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_size": SIZE,
        "recurrent": ["boolean"],
        "beta": SHARE,
        "violation_penalty": FACTOR,
        "dropout": PROBABILITY,
        "batch_norm": ["boolean"],
    }

    def __init__(
        self,
        hidden_size: int = 384,
        recurrent: bool = False,
        beta: float = 0.5,
        violation_penalty: float = 0.1,
        dropout: float = 0.6,
        batch_norm: bool = True,
    ) -> None:
        self.hidden_size = hidden_size
        self.recurrent = recurrent
        self.beta = beta
        self.violation_penalty = violation_penalty
        self.dropout = dropout
        self.batch_norm = batch_norm

    def build(self, hierarchy: Hierarchy, *, counts: NDArray[Any]) -> Callable[..., nn.NodeHead]:
        return partial(nn.HMCNHead, **self._plain_params())
