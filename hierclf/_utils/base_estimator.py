"""The `BaseEstimator` of scikit-learn, whose methods here have types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn import base

if TYPE_CHECKING:
    from typing_extensions import Self

    class BaseEstimator(base.BaseEstimator):  # type: ignore[misc]
        """What type checkers see."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters, those of nested objects included if `deep`."""

        def set_params(self, **params: Any) -> Self:
            """Set parameters, those of nested objects as ``<name>__<parameter>``."""

else:
    BaseEstimator = base.BaseEstimator

__all__ = ["BaseEstimator"]
