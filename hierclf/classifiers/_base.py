"""What any classifier over a hierarchy has: parameters, samples, and a network that predicts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.memory import check_fits
from hierclf._utils.short_repr import with_short_repr
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._targets import drop_zero_weights
from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.nn.network import HierarchyNetwork

if TYPE_CHECKING:
    from typing_extensions import Self

# What the parameters of nested objects are set on, and where such objects are found.
_PARAM_OBJECTS = {
    "hierarchy": "induction, such as hierarchy=BalancedHierarchy()",
    "encoder": "encoders, such as encoder=LSTMEncoder()",
    "head": "heads, such as head=LinearHead()",
    "loss": "losses, such as loss=PathCrossEntropy()",
    "decision": "decisions, such as decision=Threshold()",
}


@with_short_repr
class BaseHierarchyClassifier(BaseEstimator):
    """An estimator with a parameter ``hierarchy``, and a network that gives nodes probabilities.

    How the network is trained, and what y means, is for its subclasses.
    """

    hierarchy: Any

    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    hierarchy_: Hierarchy
    _reader: InputReader

    # What to do where predictions do not fit into the memory.
    _instead_of_all: ClassVar[str] = "predict blocks of rows"

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of nested objects as ``<name>__<parameter>``.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or no object to set a nested one on.
        """
        for name, example in _PARAM_OBJECTS.items():
            if not hasattr(self, name):
                continue
            given = params.get(name, getattr(self, name))
            nested = next((key for key in params if key.startswith(f"{name}__")), None)
            if nested is None or (hasattr(given, "set_params") and not isinstance(given, type)):
                continue
            found, cure = repr(given), f"an object of hierclf.{example}"
            if hasattr(given, "set_params"):
                found, cure = f"the class {given.__name__}", f"{given.__name__}(...)"
            raise ValueError(
                f"{nested} sets a parameter of an object, and {name} is {found}: pass {cure}"
            )
        return super().set_params(**params)

    def _given_hierarchy(self) -> Any:
        """Return the parameter as a Hierarchy, unless it is an inducer or None."""
        given = self.hierarchy
        if isinstance(given, Iterator):
            raise TypeError(f"hierarchy={given!r} can be read once only: give the edges in a list")
        return given if given is None or hasattr(given, "fit") else as_hierarchy(given)

    def _check_samples(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        given: Any,
        reader: InputReader,
        *,
        reset: bool,
    ) -> tuple[Any, Any, NDArray[Any], NDArray[Any] | None]:
        """Check samples, and drop those of weight 0.

        Returns
        -------
        X, induced_from, y, sample_weight
            What is to be learnt from, what an inducer of hierarchies reads, labels and weights.
        """
        read, y = reader.check_fit(self, X, y, reset=reset)
        # An inducer reads the texts themselves, and not their token ids.
        texts = reader.texts(X) if hasattr(given, "fit") else None
        weight: NDArray[Any] | None = None
        if sample_weight is not None:
            if texts is not None:
                texts = drop_zero_weights(texts, y, sample_weight)[0]
            read, y, weight = drop_zero_weights(read, y, sample_weight)
        return read, read if texts is None else texts, y, weight

    @property
    @abstractmethod
    def _network(self) -> HierarchyNetwork:
        """The fitted network whose head gives the nodes of ``hierarchy_`` probabilities."""

    @abstractmethod
    def _apply(self, X: Any, function: Callable[..., Any], *, looks_at_all: bool) -> Any:
        """Apply a function of the network and some rows to all checked rows: apply_network."""

    def _collect(
        self,
        X: Any,
        function: Callable[[HierarchyNetwork, Any], Any],
        *,
        n_columns: Callable[[], int] | None = None,
        looks_at_all: bool = True,
    ) -> Any:
        """Apply a function of the network and some rows to all rows of X, which is checked."""
        X = self._reader.check(self, X)
        if n_columns is not None and X.shape[0] > 1:  # to look takes a tenth of a row's time
            check_fits(
                X.shape[0],
                n_columns(),
                next(self._network.parameters()).element_size(),
                what="the result",
                cure=self._instead_of_all,
            )
        return self._apply(X, function, looks_at_all=looks_at_all)


def whole_hierarchy(
    estimator: Any, given: Any, X: Any, y: NDArray[Any], encoder: BaseEncoder | None = None
) -> Hierarchy:
    """Return the hierarchy that was given, that an inducer builds, or that has one level.

    Parameters
    ----------
    estimator : estimator
        What the hierarchy is for. An inducer may ask it which of several is the best.
    given : Hierarchy, inducer or None
        What the user gave.
    X, y
        Samples and labels. Texts are as they were given, all else is checked.
    encoder : BaseEncoder, optional
        What reads X; None where X holds features.
    """
    if given is None:
        return Hierarchy.flat(np.unique(y))
    if not hasattr(given, "fit"):
        whole: Hierarchy = given
        return whole
    kind = "features" if encoder is None else encoder.input_kind
    if kind == "tokens" and _has_no_features(given):
        raise ValueError(
            f"{given!r} compares classes by features, and X holds token ids, which the encoder "
            f"{encoder!r} reads: give the inducer a transformer, features=..., that finds "
            "features in them"
        )
    more = {"classifier": estimator} if has_fit_parameter(given, "classifier") else {}
    return as_hierarchy(clone(given).fit(X, y, **more).hierarchy_)


def _has_no_features(inducer: Any) -> bool:
    """Tell whether an inducer, or one inside it, has a parameter `features` that is None."""
    params = inducer.get_params()
    return any(params[name] is None for name in params if name.split("__")[-1] == "features")
