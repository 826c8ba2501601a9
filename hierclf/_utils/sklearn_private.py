"""The underscore names of scikit-learn that we need, in one place.

They are stable in practice and used by many packages, but not part of its public
interface: when one moves, this is the file to mend. ``available_if`` is public, and is here for
its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._pprint import _EstimatorPrettyPrinter as EstimatorPrinter
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as n_samples

if TYPE_CHECKING:
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    # Without types of their own the decorators would take those of the methods away.
    def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
        """Give an estimator a method if a check of it holds."""

    def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Method], _Method]:
        """Check the parameters before a method is called."""

else:
    from sklearn.base import _fit_context as fit_context
    from sklearn.utils.metaestimators import available_if

__all__ = [
    "EstimatorPrinter",
    "HasMethods",
    "Interval",
    "Options",
    "RealNotInt",
    "StrOptions",
    "available_if",
    "check_sample_weight",
    "fit_context",
    "n_samples",
    "safe_indexing",
    "validate_parameter_constraints",
]
