"""What every object has that a user gives a classifier as a parameter."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from hierclf._utils.sklearn_private import validate_parameter_constraints


class ParamObject(BaseEstimator):  # type: ignore[misc]
    """A choice with parameters of its own, which ``clone`` and searches reach.

    What parameters may be stands in ``_parameter_constraints``, as in scikit-learn's
    estimators; an object of a user's own need not have any.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

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
