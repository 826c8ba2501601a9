"""Thresholds for several labels per sample, chosen on samples that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.blocks import row_blocks
from hierclf._utils.find_hierarchy import classes_in, fitted_hierarchy, hierarchy_param
from hierclf._utils.folds import (
    Fold,
    SampleLabels,
    SampleNodes,
    SampleSets,
    class_proba,
    read_sample_sets,
)
from hierclf._utils.held_out import BaseHeldOutClassifier
from hierclf._utils.label_sets import set_accuracy
from hierclf._utils.sklearn_private import Interval, StrOptions
from hierclf.decisions._threshold_search import NO_COLUMN, ThresholdSearch, raise_to_parents
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_list, plain_array
from hierclf.metrics import hierarchical_fbeta_score
from hierclf.metrics._sets import Average, share_of_recall

_MAX_PASSES = 20


class HierarchicalThresholdClassifierCV(BaseHeldOutClassifier):
    r"""Chooses the thresholds of a multi-label classifier for the best hierarchical F.

    A node is predicted if its probability, or that of a node below it, reaches the threshold
    of that node. So predictions are closed under ancestors, whatever the thresholds are. They
    are chosen on samples that the estimator was not trained on, as
    :class:`sklearn.model_selection.TunedThresholdClassifierCV` chooses that of two classes.

    Parameters
    ----------
    estimator : estimator
        A multi-label classifier with ``predict_proba``, whose columns are nodes: a
        :class:`hierclf.HierarchicalMultilabelClassifier`, or one such as
        ``OneVsRestClassifier`` that is trained on indicator matrices.
    by : {"all", "level", "node"}, default="all"
        Which nodes share a threshold: all of them, or those of a level (of the same depth, in a
        DAG that of the longest path). With "node" each has its own, which takes many held-out
        samples of every node.
    average : {"micro", "macro", "samples"}, default="micro"
        The average of the F-score, as for :func:`hierclf.metrics.hierarchical_f1_score`.
    beta : float, default=1.0
        How many times as much recall counts as precision.
    hierarchy : Hierarchy, dict, edges or graph, optional
        A tree or DAG that has all labels. None is that of the fitted estimator: its
        ``hierarchy_``, or that of the last step of a pipeline or the best of a search.
    cv : int, float, splitter, iterable or "prefit", optional
        Which samples are held out: a number of folds (None is 5), the share of a single split, a
        splitter, an iterable of splits, or "prefit" for an estimator that is already fitted on
        other samples than those given to ``fit``. Numbers of folds are not stratified.
    refit : bool, default=True
        Train the final estimator on all samples. If False, that of the single split is kept.
        Not used if ``cv="prefit"``.
    random_state : int, RandomState instance or None, default=None
        Determines the split. Only used if ``cv`` is a float.
    n_jobs : int, optional
        How many folds to train at a time; None is 1, -1 one for each processor.
    store_cv_results : bool, default=False
        Whether to keep ``cv_results_``.

    Attributes
    ----------
    best_threshold_ : float, ndarray of shape (n_levels,) or (n_nodes,)
        The threshold; one for each level, the top first; or one for each node in the order of
        ``hierarchy_.nodes``. A float or a threshold for each node may be given to
        :class:`hierclf.HierarchicalMultilabelClassifier` as its ``threshold``.
    best_score_ : float
        The F-score with it on the held-out samples, those of all folds taken together.
    cv_results_ : dict
        "thresholds" and "scores": how good it is on the held-out samples if all nodes have the
        same threshold, for each at which a prediction changes, the highest first. Only with
        ``store_cv_results``.
    estimator_ : estimator
        The fitted estimator.
    hierarchy_ : Hierarchy
        The hierarchy.
    classes_ : ndarray of shape (n_classes,)
        The nodes that are the columns of predictions: those of ``predict_proba``.
    multilabel_ : bool
        Whether it was fitted to several labels per sample.
    n_features_in_ : int
        Number of features seen in fit, if the estimator has it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if the estimator has them.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : Tunes a threshold of two classes.
    hierclf.metrics.hierarchical_fbeta_score : What is maximised.

    Notes
    -----
    One threshold for all is the best there is: all at which a prediction changes are compared.
    Those of levels start from it, and those of nodes from those of levels. Each is then set to
    the best beside all others, from the bottom up, until none of them alone can be improved, or
    after 20 rounds. Of equals the highest is taken, and it lies in the middle between two
    probabilities that were seen.

    Nodes and samples in which nothing is true and nothing predicted have an F of 0, as with
    ``zero_division=0``.

    A node that no column of probabilities stands for is predicted where a node below it is. Where
    y holds one label for each sample, there is nothing to choose: predictions are those of the
    estimator.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan and B. Naryanaswamy, "Optimal Thresholding of Classifiers to
       Maximize F1 Measure", ECML PKDD 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from hierclf import Hierarchy
    >>> from hierclf.decisions import HierarchicalThresholdClassifierCV
    >>> pets = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"]})
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> rare = X + rng.normal(size=X.shape) > 1.5
    >>> y = pets.to_indicator([np.array(["cat", "dog", "oak"])[row] for row in rare])
    >>> estimator = OneVsRestClassifier(LogisticRegression())
    >>> clf = HierarchicalThresholdClassifierCV(estimator, hierarchy=pets).fit(X, y)
    >>> round(clf.best_threshold_, 1), round(clf.best_score_, 1)
    (0.2, 0.6)
    >>> clf.predict([[2, 0, 0]])  # the columns are animal, plant, cat, dog and oak
    array([[1, 0, 1, 0, 0]], dtype=int8)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHeldOutClassifier._parameter_constraints,
        "by": [StrOptions({"all", "level", "node"})],
        "average": [StrOptions(set(get_args(Average)))],
        "beta": [Interval(Real, 0, None, closed="both")],
        "store_cv_results": ["boolean"],
    }

    _form: Literal["label", "dense", "sparse"]
    _dtype: np.dtype[Any]
    _columns: list[Any]

    def __init__(
        self,
        estimator: Any,
        *,
        by: Literal["all", "level", "node"] = "all",
        average: Average = "micro",
        beta: float = 1.0,
        hierarchy: Any = None,
        cv: Any = None,
        refit: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        store_cv_results: bool = False,
    ) -> None:
        self.estimator = estimator
        self.by = by
        self.average = average
        self.beta = beta
        self.hierarchy = hierarchy
        self.cv = cv
        self.refit = refit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.store_cv_results = store_cv_results

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).classifier_tags
        tags.classifier_tags.multi_label = inner is not None and inner.multi_label
        return tags

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Any:
        """Train the estimator, and choose thresholds on samples that it was not trained on.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : {array-like, sparse matrix} of shape (n_samples, n_nodes), or list of lists
            The labels: an indicator matrix, dense or sparse, whose columns are
            ``hierarchy.nodes`` and whose rows have all nodes above a node of theirs; a data frame
            of 0 and 1 whose columns are named by the nodes; or a list or set of labels for each
            sample, if the estimator can be trained on them. Where the estimator was given no
            hierarchy, the columns are those that it has.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative: what the estimator is trained with, and how much each
            held-out sample counts. With metadata routing it is trained with them only if it
            asks for them.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, a label or a weight is not as described, or the estimator
            cannot be trained with weights; the message names it.
        NotFittedError
            If ``cv="prefit"`` and the estimator is not fitted.
        """
        return super().fit(X, y, sample_weight)

    def _read_labels(self, y: Any, weight: NDArray[np.float64]) -> SampleLabels | SampleSets:
        found = self.hierarchy
        if found is None:
            found = fitted_hierarchy(self.estimator) if self._is_prefit else self._inner_hierarchy
        # An inducer builds a hierarchy over the columns, whatever they are.
        hierarchy = None if found is None or hasattr(found, "fit") else as_hierarchy(found)
        columns: Sequence[Any] | None = None if hierarchy is None else hierarchy.nodes
        if hierarchy is not None and self._is_prefit:
            classes = classes_in(hierarchy, self.estimator)
            columns = self._name_columns(classes, list(hierarchy.nodes))
        read = read_sample_sets(y, weight, hierarchy, columns, type(self).__name__)
        return super()._read_labels(y, weight) if read is None else read

    def _name_columns(self, classes: NDArray[Any], columns: list[Any]) -> list[Any]:
        """Return which nodes the columns of an estimator are; `columns` are those of y."""
        labels = as_list(classes)
        # Whoever knows no hierarchy numbers the columns of y.
        is_numbered = labels == list(range(len(columns))) and self._inner_hierarchy is None
        return columns if is_numbered else labels

    @property
    def _inner_hierarchy(self) -> Any:
        return hierarchy_param(self.estimator)

    def _learn(
        self,
        folds: Sequence[Fold],
        labels: NDArray[np.intp] | SampleNodes,
        classes: NDArray[Any],
        hierarchy: Hierarchy,
    ) -> None:
        truth, form, dtype, columns = _read_truth(labels, classes, hierarchy)
        scores = []
        for fold in folds:
            names = self._name_columns(fold.classes, columns)
            scores.append(_on_nodes(fold.proba, hierarchy.node_indices(names), len(hierarchy)))
        rows = np.concatenate([fold.rows for fold in folds])
        weight = np.concatenate([fold.weight for fold in folds])
        truth = truth[rows]
        search = ThresholdSearch(
            np.concatenate(scores, axis=1),
            truth.T.toarray(),
            weight,
            hierarchy,
            average=self.average,
            recall_share=share_of_recall(self.beta),
        )
        curve = search.common()
        threshold, _ = curve.best()
        by_node = np.full(len(hierarchy), threshold)
        levels = hierarchy.depths - 1
        by_level = [np.flatnonzero(levels == k) for k in reversed(range(hierarchy.n_levels))]
        if self.by != "all":
            by_node = search.improve(by_node, by_level, _MAX_PASSES)
        if self.by == "node":
            each = list(np.arange(len(hierarchy))[::-1, None])
            by_node = search.improve(by_node, each, _MAX_PASSES)
        best = {
            "all": threshold,
            "level": by_node[[nodes[0] for nodes in reversed(by_level)]],
            "node": by_node,
        }
        chosen = raise_to_parents(search.scores >= by_node[:, None], hierarchy)
        self.best_threshold_ = best[self.by]
        self.best_score_ = hierarchical_fbeta_score(
            truth.astype(np.int8),
            sp.csr_array(chosen.T, dtype=np.int8),
            hierarchy=hierarchy,
            beta=float(self.beta),
            average=self.average,
            sample_weight=weight,
            zero_division=0,
        )
        if self.store_cv_results:
            self.cv_results_ = dict(zip(("thresholds", "scores"), curve.choices(), strict=True))
        elif hasattr(self, "cv_results_"):
            del self.cv_results_
        self._thresholds, self._form, self._dtype = by_node, form, dtype
        self._columns = self._name_columns(classes, columns)

    def predict(self, X: Any) -> Any:
        """Predict the nodes that reach their thresholds, and all above them.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        {ndarray, csr_array} of shape (n_samples, n_classes) or ndarray of shape (n_samples,)
            An indicator matrix, sparse if y was; columns in the order of ``classes_``. Where y
            was one label for each sample, what the estimator predicts.
        """
        check_is_fitted(self)
        if self._form == "label":
            return self.estimator_.predict(X)
        proba = class_proba(self.estimator_, X)
        positions, n_nodes = self.hierarchy_.node_indices(self._columns), len(self.hierarchy_)
        found: list[Any] = []
        for block in row_blocks(len(proba), n_nodes):
            scores = _on_nodes(proba[block], positions, n_nodes)
            reached = scores >= self._thresholds[:, None]
            chosen = raise_to_parents(reached, self.hierarchy_)[positions].T
            found.append(sp.csr_array(chosen) if self._form == "sparse" else chosen)
        if self._form == "sparse":
            return sp.vstack(found, format="csr").astype(self._dtype)
        return np.concatenate(found).astype(self._dtype)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of samples whose labels are all predicted, and no others.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : {array-like, sparse matrix} of shape (n_samples, n_classes), or list of lists
            True labels, in a form that may be fitted.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        float
            In [0, 1]. For scores that know the hierarchy see :mod:`hierclf.metrics`.
        """
        predicted = self.predict(X)
        if self._form == "label":
            return super().score(X, y, sample_weight)
        name = type(self).__name__
        return set_accuracy(y, predicted, sample_weight, self.hierarchy_, self._columns, name)

    @property
    def classes_(self) -> NDArray[Any]:
        """The nodes that are the columns of predictions."""
        if self._form == "label":
            return super().classes_
        return plain_array(self._columns)

    @property
    def multilabel_(self) -> bool:
        """Whether it was fitted to several labels per sample."""
        return self._form != "label"


def _read_truth(
    labels: NDArray[np.intp] | SampleNodes, classes: NDArray[Any], hierarchy: Hierarchy
) -> tuple[sp.csr_array, Literal["label", "dense", "sparse"], np.dtype[Any], list[Any]]:
    """Return the true nodes of all samples, the form and type of predictions, and their columns."""
    if isinstance(labels, SampleNodes):
        sets = labels.sets
        columns = sets.names if sets.are_columns else list(hierarchy.nodes)
        return labels.nodes, sets.form, sets.dtype, columns
    known = np.flatnonzero(labels >= 0)
    items, above = hierarchy.ancestor_pairs(labels[known])
    shape = len(labels), len(hierarchy)
    nodes = sp.csr_array((np.ones(len(items), dtype=bool), (known[items], above)), shape=shape)
    return nodes, "label", classes.dtype, as_list(classes)


def _on_nodes(
    proba: NDArray[Any], positions: NDArray[np.intp], n_nodes: int
) -> NDArray[np.float64]:
    """Return what each node scores, of shape (n_nodes, n)."""
    scores = np.full((n_nodes, len(proba)), NO_COLUMN)
    scores[positions] = proba.T
    return scores
