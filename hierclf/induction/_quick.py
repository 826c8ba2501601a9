"""Quick first models, which tell what the classes and the nodes of a tree are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# As much regularisation as C=10 of LogisticRegression and LinearSVC.
_INVERSE_C = 0.1
_N_EPOCHS = 5


def quick_model(X: Any, random_state: np.random.RandomState) -> Any:
    """Return a linear classifier, not yet fitted, that is trained in a moment."""
    n_samples = X.shape[0]
    if sp.issparse(X):
        return SGDClassifier(
            "log_loss",
            alpha=_INVERSE_C / n_samples,
            max_iter=_N_EPOCHS,
            tol=None,
            random_state=random_state.randint(np.iinfo(np.int32).max),
        )
    # Few steps are a regularisation of their own.
    logistic = LogisticRegression(C=1 / _INVERSE_C, max_iter=30)
    return make_pipeline(StandardScaler(), logistic)


def held_out_folds(
    codes: NDArray[np.intp], n_folds: int, random_state: np.random.RandomState
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Part samples, each class evenly; classes of a single sample stay in training.

    Yields
    ------
    train, held_out : ndarray of samples
    """
    order = random_state.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(codes)) - starts[codes[order]]
    # Each class starts with another fold, or the first would have most of the rare ones.
    fold = np.empty(len(codes), dtype=np.intp)
    fold[order] = (rank + starts[codes[order]]) % n_folds
    fold[counts[codes] == 1] = -1
    for k in range(n_folds):
        held_out = np.flatnonzero(fold == k)
        if len(held_out):
            yield np.flatnonzero(fold != k), held_out


def held_out_proba(
    estimator: Any,
    X: Any,
    codes: NDArray[np.intp],
    n_folds: int,
    random_state: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the samples that can be held out, and what models without them say of them.

    Returns
    -------
    rows : ndarray of shape (n,)
    proba : ndarray of shape (n, n_classes)
    """
    rows, found = [], []
    for train, held_out in held_out_folds(codes, n_folds, random_state):
        model = clone(estimator).fit(X[train], codes[train])
        proba = np.zeros((len(held_out), int(codes.max()) + 1))
        proba[:, model.classes_] = model.predict_proba(X[held_out])
        rows.append(held_out)
        found.append(proba)
    return np.concatenate(rows), np.concatenate(found)
