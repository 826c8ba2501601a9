"""From probabilities to predictions: which node to name, given what each mistake costs.

``_base``                         what decisions share, and the class to derive your own from
``_rules``                        Argmax, TopDown and Threshold, which look at probabilities alone
``_risk``                         MinimumRisk, to which some mistakes are worse than others
``_information_gain``             InformationGain, which weighs being right against saying much
``_information_gain_classifier``  InformationGainClassifier, which is right as often as asked for
``_threshold_classifier``         HierarchicalThresholdClassifierCV, for several labels per sample
``_threshold_search``             which thresholds give the best F on some samples
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from hierclf.decisions._base import BaseDecision
from hierclf.decisions._information_gain import InformationGain
from hierclf.decisions._information_gain_classifier import InformationGainClassifier
from hierclf.decisions._risk import MinimumRisk
from hierclf.decisions._rules import Argmax, Threshold, TopDown
from hierclf.decisions._threshold_classifier import HierarchicalThresholdClassifierCV

__all__ = [
    "Argmax",
    "BaseDecision",
    "HierarchicalThresholdClassifierCV",
    "InformationGain",
    "InformationGainClassifier",
    "MinimumRisk",
    "Threshold",
    "TopDown",
]

ShortName: TypeAlias = Literal[
    "argmax", "top_down", "threshold", "minimum_risk", "information_gain"
]

_SHORT_NAMES: dict[str, type[BaseDecision]] = {
    "argmax": Argmax,
    "top_down": TopDown,
    "threshold": Threshold,
    "minimum_risk": MinimumRisk,
    "information_gain": InformationGain,
}


def as_decision(decision: ShortName | BaseDecision) -> BaseDecision:
    """Return what was given as a decision as an object.

    Parameters
    ----------
    decision : str or BaseDecision
        A short name, which stands for a decision with its defaults, or a
        :class:`BaseDecision`, maybe of a class of your own.

    Returns
    -------
    BaseDecision
        The object itself, if one was given.

    Raises
    ------
    ValueError
        If there is no decision of that name.
    TypeError
        If it is neither a name nor a decision.

    Examples
    --------
    >>> from hierclf.decisions import as_decision
    >>> as_decision("threshold")
    Threshold()
    """
    names = ", ".join(map(repr, _SHORT_NAMES))
    if isinstance(decision, str):
        if decision not in _SHORT_NAMES:
            raise ValueError(f"there is no decision {decision!r}; the short names are {names}")
        return _SHORT_NAMES[decision]()
    if not isinstance(decision, BaseDecision):
        hint = f"; did you mean {decision.__name__}()?" if isinstance(decision, type) else ""
        raise TypeError(
            f"a decision is a short name ({names}) or an object of a subclass of BaseDecision, "
            f"such as Argmax(); got {decision!r}{hint}"
        )
    return decision
