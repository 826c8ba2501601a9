"""The decision that weighs how much an answer says against how likely it is to be right."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hierclf._utils.naming import check_reject_label
from hierclf._utils.sklearn_private import Interval
from hierclf.decisions._base import BaseDecision, Rule, covering
from hierclf.hierarchy import Hierarchy

# How far apart rounding may take products that are equal, in proportion.
_ROUNDING = 8 * np.finfo(np.float64).eps


class InformationGain(BaseDecision):
    r"""Names the node with the highest expected information, plus a bonus for being right.

    It chooses

    .. math:: \arg\max_v \; (r_v + \lambda) \, p_v, \qquad
              r_v = 1 - \frac{\log_2 L_v}{\log_2 L},

    where :math:`p_v` is the probability of all classes at or below :math:`v`, :math:`L_v`
    how many they are, :math:`L` the number of all classes, and :math:`\lambda` the
    trade-off. The reward :math:`r_v` is the share of the information in a class that a
    right answer :math:`v` gives: 1 for a class that has no other below it. Of equally good
    nodes the deepest is chosen, then the first. The root, whose probability is 1 and whose
    reward is 0, is never an answer: where it would be the best, the answer is `reject_label`,
    if there is one.

    Parameters
    ----------
    trade_off : float, default=0.0
        The higher it is, the coarser and the more often right are the answers. 0 has the
        highest expected reward.
    reject_label : object, optional
        What to predict where the root is better than any node, such as "unknown": something
        that is no node. As a path it is the only label. None: there is always an answer.

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

    The root scores the trade-off: 7 against (0.5 + 7) * 0.8 = 6 for "animal".

    >>> InformationGain(trade_off=7.0, reject_label="unknown").decide(proba, classes, tree)
    array(['unknown'], dtype='<U7')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "reject_label": "no_validation",
    }

    def __init__(self, trade_off: float = 0.0, reject_label: Any = None) -> None:
        self.trade_off = trade_off
        self.reject_label = reject_label

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        if level is not None:
            raise ValueError(
                f"InformationGain chooses how specific each answer is and cannot promise a node "
                f"of level {level!r}: use level=None"
            )
        check_reject_label(self.reject_label, hierarchy)
        candidates, may_reject = Candidates.of(classes, hierarchy), self.reject_label is not None

        def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
            nodes, _ = candidates.choose(
                candidates.sums @ proba.T, float(self.trade_off), may_reject
            )
            return nodes

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
        self, proba: NDArray[np.float64], trade_off: float, may_reject: bool
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the best candidate of each sample, and its reward.

        Parameters
        ----------
        proba : ndarray of shape (n_candidates, n)
            Probabilities of the candidates.
        trade_off : float
            What being right is worth, beside the reward.
        may_reject : bool
            Whether the root, which is always right and has no reward, may be chosen.

        Returns
        -------
        nodes : ndarray of shape (n,)
            Positions in ``hierarchy.nodes``, -1 for the root.
        rewards : ndarray of shape (n,)
            What the choice says if it is right.
        """
        scores = proba * (self.rewards + trade_off)[:, None]
        # The first within rounding of the best, which is the deepest: equals are rounded apart.
        chosen = (scores >= scores.max(axis=0) * (1 - _ROUNDING)).argmax(axis=0)
        nodes, rewards = self.nodes[chosen], self.rewards[chosen]
        if may_reject:
            rejected = scores[chosen, np.arange(len(chosen))] < trade_off
            nodes[rejected], rewards[rejected] = -1, 0.0
        return nodes, rewards
