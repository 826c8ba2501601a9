"""Predictions as a table: for each sample the node of every level, and its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hierclf._utils.find_hierarchy import fitted_hierarchy, is_multilabel, look_inside
from hierclf.hierarchy._readers import clean_path, iter_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["prediction_table"]


def prediction_table(estimator: Any, X: Any) -> pd.DataFrame:
    """Return the predicted path of each sample, with the probability of each of its nodes.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier of hierclf, or a pipeline or search around one.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        What the estimator predicts for.

    Returns
    -------
    pandas.DataFrame
        One row per sample, with the index of X where it has one. For each level the
        column of the predicted node and, with "_proba" behind its name, that of its
        probability. The levels are named by the columns of y where it was a data frame,
        else "level_0", "level_1" and so on. Below the end of a path values are missing.

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If the estimator knows no hierarchy, or was fitted to several labels per sample.

    Examples
    --------
    >>> import pandas as pd
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.tables import prediction_table
    >>> X = pd.DataFrame({"legs": [2.0, 4, 4, 0], "barks": [0.0, 0, 1, 0]}, index=list("abcd"))
    >>> y = pd.DataFrame(
    ...     {"kind": ["bird", "mammal", "mammal", "fish"], "animal": ["owl", "cat", "dog", "eel"]}
    ... )
    >>> clf = HierarchicalSoftmaxClassifier(
    ...     hidden_layer_sizes=(), learning_rate_init=0.5, max_iter=200, n_iter_no_change=200,
    ...     random_state=0,
    ... )
    >>> prediction_table(clf.fit(X, y), X).round(1)
         kind  kind_proba animal  animal_proba
    a    bird         1.0    owl           1.0
    b  mammal         1.0    cat           1.0
    c  mammal         1.0    dog           1.0
    d    fish         1.0    eel           1.0
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("prediction_table needs pandas: pip install pandas") from None
    if is_multilabel(estimator):
        raise ValueError(
            f"prediction_table shows one path per sample, and {type(estimator).__name__} was "
            "fitted to several labels: pandas.DataFrame(estimator.predict_proba(X), "
            "columns=estimator.classes_) has the probability of each node"
        )
    hierarchy = fitted_hierarchy(estimator)
    estimator = getattr(estimator, "best_estimator_", estimator)
    paths = [clean_path(row, i) for i, row in iter_rows(estimator.predict(X, level="path"))]
    proba = estimator.predict_proba(X, level="all")
    names = look_inside(estimator, lambda inner: getattr(inner, "_level_names", None)) or ()
    columns: dict[str, Any] = {}
    for level in range(max(map(len, paths))):
        rows = np.array([i for i, path in enumerate(paths) if len(path) > level])
        nodes = hierarchy.leaves_from_paths([paths[i][: level + 1] for i in rows])
        labels = np.full(len(paths), None, dtype=object)
        labels[rows] = [paths[i][level] for i in rows]
        of_nodes = np.full(len(paths), np.nan)
        of_nodes[rows] = proba[rows, hierarchy.node_indices(nodes)]
        name = names[level] if level < len(names) else f"level_{level}"
        columns |= {name: labels, f"{name}_proba": of_nodes}
    return pd.DataFrame(columns, index=getattr(X, "index", None))
