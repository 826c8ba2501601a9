"""The repr of an estimator that holds a large hierarchy, without a walk through all of it."""

from __future__ import annotations

from itertools import islice
from reprlib import Repr
from typing import Any

from sklearn.base import BaseEstimator

from hierclf._compat import EstimatorPrinter

# Containers with more items than this, those inside included, are cut.
_MOST = 200
_SHORT = Repr()
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = 4
_SHORT.maxlevel = 3


def with_short_repr(kind: type[Any]) -> type[Any]:
    """Give a class of estimators scikit-learn's repr, in which large containers are cut.

    scikit-learn formats, sorts and compares every item before it cuts the text, which takes
    seconds for a dict of 200,000 nodes.

    Parameters
    ----------
    kind : type
        A subclass of scikit-learn's BaseEstimator, which is changed; its subclasses inherit
        the repr.

    Returns
    -------
    type
        The same class, so that this can decorate it.
    """

    def print_short(self: Any, N_CHAR_MAX: int = 700) -> str:
        text: str = BaseEstimator.__repr__(_stand_in(self), N_CHAR_MAX=N_CHAR_MAX)
        return text

    def print_lines(printer: Any, estimator: Any, *args: Any) -> None:
        printer._pprint_estimator(_stand_in(estimator), *args)

    kind.__repr__ = print_short  # type: ignore[assignment]
    # By its repr a printer knows what it can break into lines, inside of a pipeline, say.
    EstimatorPrinter._dispatch[print_short] = print_lines
    return kind


def _stand_in(estimator: Any) -> Any:
    """Return what looks like an estimator to scikit-learn's printer, with containers cut."""
    params = estimator.get_params(deep=False)
    cut = {name: _Cut(value) for name, value in params.items() if _is_large(value)}
    members = {"__init__": type(estimator).__init__}
    shown: Any = object.__new__(type(type(estimator).__name__, (BaseEstimator,), members))
    vars(shown).update(params | cut)
    return shown


class _Cut:
    """Stands for a large container where it is printed."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return _SHORT.repr(self.value)


def _is_large(value: Any) -> bool:
    """Tell whether a container holds many items, looking at no more than it takes."""
    left = _MOST
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, dict | list | tuple | set | frozenset):
            continue
        left -= len(item)
        if left < 0:
            return True
        waiting += islice(item.values() if isinstance(item, dict) else item, _MOST)
    return False
