"""The underscore names of scikit-learn that we need, in one place.

They are stable in practice and used by many packages, but not part of its public
interface: when one moves, this is the file to mend.
"""

from sklearn.base import _fit_context as fit_context
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

__all__ = [
    "EstimatorPrinter",
    "HasMethods",
    "Interval",
    "Options",
    "RealNotInt",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "safe_indexing",
    "validate_parameter_constraints",
]
