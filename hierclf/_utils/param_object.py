"""What every object has that a user gives a classifier as a parameter."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.sklearn_private import validate_parameter_constraints


class ParamObject(BaseEstimator):
    """A choice with parameters of its own, which ``clone`` and searches reach.

    What parameters may be stands in ``_parameter_constraints``, as in scikit-learn's
    estimators; an object of a user's own need not have any.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def _plain_params(self) -> dict[str, Any]:
        """Return the parameters, numbers of numpy as Python's: its small ones overflow."""
        params = self.get_params(deep=False)
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}

    def check(self) -> None:
        """Check the parameters.

        Raises
        ------
        ValueError
            If one is not as documented; the message names it.
        """
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )
