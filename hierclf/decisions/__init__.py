"""From probabilities to predictions: which node to name, given what each mistake costs."""

from __future__ import annotations

from typing import Any

from hierclf.decisions._base import BaseDecision
from hierclf.decisions._guarantee import InformationGainClassifier
from hierclf.decisions._information_gain import InformationGain
from hierclf.decisions._risk import MinimumRisk
from hierclf.decisions._rules import Argmax, Threshold, TopDown

__all__ = [
    "Argmax",
    "BaseDecision",
    "InformationGain",
    "InformationGainClassifier",
    "MinimumRisk",
    "Threshold",
    "TopDown",
    "as_decision",
]

_SHORT_NAMES: dict[str, type[BaseDecision]] = {
    "argmax": Argmax,
    "top_down": TopDown,
    "threshold": Threshold,
    "minimum_risk": MinimumRisk,
    "information_gain": InformationGain,
}


def as_decision(decision: Any) -> Any:
    """Return what was given as a decision as an object.

    Parameters
    ----------
    decision : str or object
        A short name, which stands for a decision with its defaults, or an object with
        ``build`` and ``decide``.

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
    is_class = isinstance(decision, type)
    if is_class or not all(callable(getattr(decision, m, None)) for m in ("build", "decide")):
        hint = f"; did you mean {decision.__name__}()?" if is_class else ""
        raise TypeError(
            f"a decision is a short name ({names}) or an object with build and decide, such as "
            f"Argmax(); got {decision!r}{hint}"
        )
    return decision
