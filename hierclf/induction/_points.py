"""A point for each class, near those of the classes that are like it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.preprocessing import normalize
from sklearn.utils import check_array, check_consistent_length

from hierclf._utils.sklearn_private import HasMethods, StrOptions
from hierclf.induction._base import BaseGrouping

FEATURES: dict[str, Any] = {"features": [HasMethods(["fit_transform"]), None]}


def read_features(X: Any, features: Any, y: NDArray[Any], name: str) -> Any:
    """Return the features of the samples, which a transformer may have to find first.

    Parameters
    ----------
    X : object
        Features, or what the transformer reads.
    features : transformer or None
        What turns X into features. A copy of it is fitted.
    y : ndarray of shape (n_samples,)
        Labels, for a transformer that wants them.
    name : str
        Name of the inducer, for errors.

    Returns
    -------
    ndarray or CSR matrix of shape (n_samples, n_features)
    """
    if features is not None:
        X = clone(features).fit_transform(X, y)
    elif not sp.issparse(X) and np.ndim(X) < 2:
        raise ValueError(
            f"{name} compares classes by their features, and X has none, as texts have none: give "
            "a transformer that finds some, such as features=TfidfVectorizer()"
        )
    X = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32))
    check_consistent_length(X, y)
    return X


class BaseLikeness(BaseGrouping):
    """Groups of classes that are alike, by the means of their features."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseGrouping._parameter_constraints,
        **FEATURES,
        "metric": [StrOptions({"auto", "cosine", "euclidean"})],
    }

    features: Any
    metric: str

    def _centroids(self, X: Any, codes: NDArray[np.intp]) -> Any:
        """Return the mean of each class, of length 1 where directions are compared."""
        X = read_features(X, self.features, codes, type(self).__name__)
        counts = np.bincount(codes)
        rows = np.arange(len(codes))
        shares = (1 / counts[codes]).astype(X.dtype)
        means = sp.csr_array((shares, (codes, rows)), shape=(len(counts), len(codes))) @ X
        by_direction = self.metric == "cosine" or (self.metric == "auto" and sp.issparse(X))
        return normalize(means) if by_direction else means
