"""The decision that weighs how much an answer says against how likely it is to be right."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hierclf._utils.sklearn_private import Interval
from hierclf.decisions._base import BaseDecision, Rule, covering
from hierclf.hierarchy import Hierarchy


class InformationGain(BaseDecision):
    r"""Names the node with the highest expected information, plus a bonus for being right.

    It chooses

    .. math:: \arg\max_v \; (r_v + \lambda) \, p_v, \qquad
              r_v = 1 - \frac{\log_2 L_v}{\log_2 L},

    where :math:`p_v` is the probability of all classes at or below :math:`v`, :math:`L_v`
    how many they are, :math:`L` the number of all classes, and :math:`\lambda` the
    trade-off. The reward :math:`r_v` is the share of the information in a class that a
    right answer :math:`v` gives: 1 for a class that has no other below it. Of equally good
    nodes the deepest is chosen, then the first. The root is never an answer.

    Parameters
    ----------
    trade_off : float, default=0.0
        The higher it is, the coarser and the more often right are the answers. 0 has the
        highest expected reward.

    See Also
    --------
    InformationGainClassifier : Finds the trade-off for an accuracy.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

    Examples
    --------
    With four classes the reward of "animal" is 1 - log2(2) / log2(4) = 0.5, so that "cat"
    wins by 0.45 to 0.5 * 0.8, and loses by 2 * 0.45 to 1.5 * 0.8.

    >>> from hierclf.decisions import InformationGain
    >>> tree = {"life": ["animal", "plant"], "animal": ["cat", "dog"], "plant": ["elm", "oak"]}
    >>> proba, classes = [[0.45, 0.35, 0.1, 0.1]], ["cat", "dog", "elm", "oak"]
    >>> InformationGain().decide(proba, classes, tree)
    array(['cat'], dtype='<U3')
    >>> InformationGain(trade_off=1.0).decide(proba, classes, tree)
    array(['animal'], dtype='<U6')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, trade_off: float = 0.0) -> None:
        self.trade_off = trade_off

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        if level is not None:
            raise ValueError(
                f"InformationGain chooses how specific each answer is and cannot promise a node "
                f"of level {level!r}: use level=None"
            )
        candidates = Candidates.of(classes, hierarchy)

        def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
            chosen, _ = candidates.choose(candidates.sums @ proba.T, float(self.trade_off))
            return candidates.nodes[chosen]

        return rule


class Candidates(NamedTuple):
    """The nodes that may be an answer, deepest first.

    Attributes
    ----------
    nodes : ndarray of shape (n_candidates,)
        Positions in ``hierarchy.nodes``.
    rewards : ndarray of shape (n_candidates,)
        What a right answer says, between 0 and 1.
    sums : csr_array of shape (n_candidates, n_classes)
        1 where the class is at or below the node.
    """

    nodes: NDArray[np.intp]
    rewards: NDArray[np.float64]
    sums: Any

    @classmethod
    def of(cls, classes: NDArray[np.intp], hierarchy: Hierarchy) -> Candidates:
        """Find the candidates for some classes, given as positions."""
        nodes, sums = covering(classes, hierarchy)
        # The first maximum is taken: of equals the deepest.
        order = np.argsort(-hierarchy.depths[nodes], kind="stable")
        counts = sums.sum(axis=1)
        # Of a single class there is nothing to learn: it is no less informative than itself.
        bits = np.log2(max(len(classes), 2))
        return cls(nodes[order], 1 - np.log2(counts[order]) / bits, sums[order])

    def choose(
        self, proba: NDArray[np.float64], trade_off: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the best candidate of each row, and its score.

        Parameters
        ----------
        proba : ndarray of shape (n_candidates, n)
            Probabilities of the candidates.
        trade_off : float
            What being right is worth, beside the reward.

        Returns
        -------
        chosen : ndarray of shape (n,)
            Which candidate.
        scores : ndarray of shape (n,)
            Its probability times its reward plus the trade-off.
        """
        scores = proba * (self.rewards + trade_off)[:, None]
        chosen = scores.argmax(axis=0)
        return chosen, scores[chosen, np.arange(len(chosen))]
