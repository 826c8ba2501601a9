"""The linear classifier: a margin for each node, solved to its optimum."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from warnings import warn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.memory import check_fits
from hierclf._utils.sklearn_private import Interval, StrOptions, fit_context
from hierclf._utils.threads import limited_threads
from hierclf.classifiers._batches import Rows
from hierclf.classifiers._checks import unchanged_on_failure
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._margin_tree import (
    DEFAULT_SCALE,
    ColumnWeights,
    MarginTree,
    likeliest_scale,
    samples_to_hold_out,
)
from hierclf.classifiers._passes import Cut, apply_network, select
from hierclf.classifiers._single_label import LabelledSamples, SingleLabelClassifier
from hierclf.classifiers._targets import weights_of_labels
from hierclf.decisions import BaseDecision, as_decision
from hierclf.hierarchy import Hierarchy
from hierclf.nn import FlatSoftmax, HierarchyNetwork
from hierclf.nn.margins import BLOCK, solve_margins

if TYPE_CHECKING:
    from typing_extensions import Self


class HierarchicalLinearClassifier(SingleLabelClassifier):
    r"""Linear classifier that adds up margins along the hierarchy: what tf-idf features want.

    Each leaf has a linear support vector machine that tells it from all other leaves, as in
    :class:`sklearn.svm.LinearSVC`, and so has each inner node for all that is below it. The score
    of a leaf is its margin and a share of those of the nodes above it,

    .. math:: s_l(x) = m_l(x) + \lambda \sum_{v \text{ above } l} (m_v(x) - 2 p_v + 1),
        \qquad P(l \mid x) = \frac{e^{\sigma s_l(x)}}{\sum_k e^{\sigma s_k(x)}},

    where :math:`p_v` is the share of the samples below :math:`v`, :math:`\lambda` the
    ``path_weight`` and :math:`\sigma` the scale. The probability of an inner node is the sum of
    its leaves. All that is linear, so that what predicts is one weight for each feature and leaf.

    Every margin is the optimum of a convex problem: there is no learning rate, and no random state.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The classes: ``{parent: [children]}`` or nested dicts, (parent, child) pairs, a
        networkx ``DiGraph``, a :class:`Hierarchy`, or an object of
        :mod:`hierclf.induction`, which builds one from the data. Nodes that are neither
        above, at nor below a label of ``y`` are left out. None is the hierarchy of the
        paths in ``y``; if ``y`` holds single labels, all of them are directly under the
        root, and there are no margins but those of the leaves.
    inner_labels : {"below", "itself"}, default="below"
        What a label that is an inner node stands for.

        - "below": the sample is somewhere below that node, and nobody knows where. It is left
          out of the margins of all nodes that it may be below.
        - "itself": the node is the answer, as in a catalogue whose items sit on inner nodes.
          If there are labels below it, it becomes a class of its own beside them: a leaf
          named "node (itself)" under the node. ``predict`` calls it by the node's name.
    C : float, default=1.0
        Inverse strength of the regularisation, as in :class:`sklearn.svm.LinearSVC`.
    path_weight : float, default=0.2
        How much the margins of inner nodes count beside that of the leaf. With 0 the hierarchy
        has no part in what is predicted.
    scale : float or "auto", default="auto"
        Factor by which scores become logits. It changes the probabilities, and not which leaf is
        the likeliest. "auto" is the likeliest for a tenth of the samples, as they are scored by
        margins solved without them.
    decision : str or decision, default="argmax"
        Which node ``predict`` returns, given the probabilities: an object of
        :mod:`hierclf.decisions`, or a short name for one with its defaults ("argmax",
        "top_down", "threshold", "minimum_risk", "information_gain"). It does not change
        the probabilities, and you may set another after the fit.
    class_weight : dict or "balanced", optional
        Weights of the samples in the margins that they are on the positive side of, by their
        label: ``{label: weight}``. A label without a key has the weight of the nearest key
        above it, or 1 if there is none. "balanced" gives each leaf's samples the same total
        weight, and each inner node's.
    logit_adjustment : float, default=0.0
        How much rare classes are favoured: the logarithm of each leaf's share of the samples is
        taken off its logit, times this.
    tol : float, default=1e-2
        A margin is solved when its objective is at most this share of it above a bound of the
        optimum. As a rule it is then a tenth of that above the optimum itself. With up to 64
        features the optimum is exact.
    max_iter : int, default=1000
        Passes over the samples, or Newton steps, at most.
    n_jobs : int, optional
        How many blocks of 32 margins to solve at a time, in threads; None is 1, -1 one for each
        processor. The result is the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The leaves of ``hierarchy_``, sorted: the labels of ``y``, and, where a label is
        an inner node, all leaves below it; with ``inner_labels="itself"`` the labels alone.
    hierarchy_ : Hierarchy
        The hierarchy without the nodes that are neither above, at nor below a label of
        ``y``.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        Weights of the scores: those of a leaf with the share of the nodes above it.
    intercept_ : ndarray of shape (n_classes,), or (1,) for two classes
        What is added to them.
    scale_ : float
        The scale.
    n_iter_ : int
        Passes over the samples, or Newton steps, of the margin that took the most.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    HierarchicalSoftmaxClassifier : A softmax at every inner node; with hidden layers and encoders.
    sklearn.svm.LinearSVC : The margins of the leaves alone.

    Notes
    -----
    A margin minimises :math:`\frac12 |w|^2 + \frac12 (b + 1)^2 + C \sum_i c_i \max(0, 1 - y_i (x_i
    w + b))^2`, the objective of :class:`sklearn.svm.LinearSVC` but for the bias, which it draws to
    0. Sparse features are solved by dual coordinate descent [1]_ for 32 margins at once, which
    takes numba (``pip install hierclf[fast]``); without it, and for dense features, by Newton's
    method with conjugate gradients, which takes longer.

    References
    ----------
    .. [1] C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A Dual
       Coordinate Descent Method for Large-scale Linear SVM", ICML 2008.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from hierclf import HierarchicalLinearClassifier
    >>> questions = ["who wrote it", "who won it", "what town is it", "what river is it"]
    >>> labels = ["author", "winner", "town", "river"]
    >>> tree = {"person": ["author", "winner"], "place": ["town", "river"]}
    >>> model = make_pipeline(TfidfVectorizer(), HierarchicalLinearClassifier(tree))
    >>> model.fit(questions, labels).predict(["who wrote that", "which river"]).tolist()
    ['author', 'river']
    >>> model.predict(["who is that"], level=0).tolist()
    ['person']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SingleLabelClassifier._parameter_constraints,
        "C": [Interval(Real, 0, None, closed="neither")],
        "path_weight": [Interval(Real, 0, None, closed="left")],
        "scale": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "logit_adjustment": [Interval(Real, None, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    scale_: float
    n_iter_: int
    _model: HierarchyNetwork
    _cut: Cut

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        inner_labels: Literal["below", "itself"] = "below",
        C: float = 1.0,
        path_weight: float = 0.2,
        scale: float | Literal["auto"] = "auto",
        decision: Literal["argmax", "top_down", "threshold", "minimum_risk", "information_gain"]
        | BaseDecision = "argmax",
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        logit_adjustment: float = 0.0,
        tol: float = 1e-2,
        max_iter: int = 1000,
        n_jobs: int | None = None,
    ) -> None:
        self.hierarchy = hierarchy
        self.inner_labels = inner_labels
        self.C = C
        self.path_weight = path_weight
        self.scale = scale
        self.decision = decision
        self.class_weight = class_weight
        self.logit_adjustment = logit_adjustment
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Solve the margins of all nodes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features. float32 and float64 give weights of that type; other types become
            float64. A sparse matrix is never made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels, each a node of the hierarchy; ``inner_labels`` says what an inner node
            stands for. Or paths, the top level first, as an array, data frame or lists; they
            may end early, with "", None or NaN as padding.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. ``C`` is multiplied with them, so that a sample of weight 2
            is two samples; one of weight 0 is left out.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not as described; the message names
            it. The classifier is then as it was before.
        MemoryError
            If the weights take more than half of the memory of the machine.
        """
        with unchanged_on_failure(self):
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
        as_decision(self.decision).check()
        reader = InputReader(None)
        samples, columns = self._read_problem(X, y, sample_weight, reader)
        X, targets, tree = samples.X, samples.targets, columns.tree
        leaf = self._leaf_of_label(samples)[targets.codes]
        asked = np.zeros(0, np.intp)
        if self.scale == "auto" and tree.n_leaves > 1:
            asked = samples_to_hold_out(X, leaf)
        n_values = X.size  # of a sparse matrix, those that are stored
        with limited_threads(n_values * min(BLOCK, len(tree.nodes))):
            margins = solve_margins(
                X,
                columns.sides(float(self.C)),
                len(tree.nodes),
                tol=float(self.tol),
                max_iter=int(self.max_iter),
                hold_out=asked,
                n_jobs=self.n_jobs,
            )
        if not (np.isfinite(margins.bias).all() and np.isfinite(margins.weight).all()):
            raise ValueError(
                f"the weights are not finite: X holds values up to {abs(X).max():.3g}; scale the "
                "features, or lower C"
            )
        if not margins.is_converged:
            warn(
                f"After max_iter={self.max_iter} some margins are not solved. Raise max_iter or "
                "tol, lower C, or scale the features.",
                ConvergenceWarning,
                stacklevel=4,
            )
        weight = tree.fold(margins.weight, float(self.path_weight))
        bias = self._fold(margins.bias.astype(np.float64), columns)
        scale = float(DEFAULT_SCALE if self.scale == "auto" else self.scale)
        if len(asked):
            scores = self._fold(margins.held_out.T.astype(np.float64), columns).T
            scale = likeliest_scale(scores, leaf[asked], columns.weight[asked])
        logits = scale * bias.astype(np.float64)
        if self.logit_adjustment:
            logits -= self.logit_adjustment * columns.log_shares()
        model = HierarchyNetwork(0, targets.hierarchy, head=FlatSoftmax)
        table = np.ascontiguousarray(weight.T)
        table *= scale
        linear = model.softmax.linear
        linear.weight = torch.nn.Parameter(torch.from_numpy(table), requires_grad=False)
        linear.bias = torch.nn.Parameter(
            torch.from_numpy(logits.astype(table.dtype)), requires_grad=False
        )
        for name, value in samples.attributes.items():
            setattr(self, name, value)
        self.hierarchy_ = targets.hierarchy
        self.scale_ = scale
        self.n_iter_ = margins.n_iter
        self._model = model.eval()
        self._cut = Cut.of(model, len(targets.hierarchy))
        self._reader = reader

    def _read_problem(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, reader: InputReader
    ) -> tuple[LabelledSamples, ColumnWeights]:
        """Check the samples, X included, and find out what they are to teach each margin."""
        given = self._given_hierarchy()
        samples = self._read_samples(X, y, sample_weight, given, reader)
        targets, hierarchy = samples.targets, samples.targets.hierarchy
        # A decision may not fit the classes.
        as_decision(self.decision).build(targets.class_positions, hierarchy)
        label_weight: NDArray[np.float64] | None = np.ones(len(targets.labelled))
        if self.class_weight == "balanced":
            label_weight = None
        elif self.class_weight is not None:
            label_weight = weights_of_labels(
                self.class_weight,
                targets,
                samples.hierarchy,
                is_given=isinstance(given, Hierarchy),
            )
            if not label_weight.any():
                raise ValueError(
                    "the class weights of all classes in y are 0: nothing to learn from"
                )
        tree = MarginTree.of(hierarchy, targets.labelled)
        check_fits(
            samples.X.shape[1],
            len(tree.nodes),
            2 * samples.X.dtype.itemsize,
            what="the table of weights, of which there are two during a fit,",
            cure="choose fewer features, such as SelectKBest does, or give "
            "HierarchicalSoftmaxClassifier hidden_layer_sizes",
        )
        weight = np.ones(len(targets.codes)) if samples.weight is None else samples.weight
        return samples, tree.weigh(targets.codes, weight, label_weight)

    def _leaf_of_label(self, samples: LabelledSamples) -> NDArray[np.intp]:
        """Return which leaf each label is; -1 for an inner node."""
        targets = samples.targets
        leaf = np.full(len(targets.hierarchy), -1)
        leaves = targets.hierarchy.leaf_indices
        leaf[leaves] = np.arange(len(leaves))
        of_labels: NDArray[np.intp] = leaf[targets.labelled]
        return of_labels

    def _fold(self, margins: NDArray[np.float64], columns: ColumnWeights) -> NDArray[np.float64]:
        """Turn margins, or biases, of columns (n_columns, ...) into scores (n_leaves, ...)."""
        n_leaves = columns.tree.n_leaves
        # Without this a group would be the likelier the larger it is, whatever its samples say.
        margins[n_leaves:] = (margins[n_leaves:].T - (2 * columns.share[n_leaves:] - 1)).T
        return columns.tree.fold(margins, float(self.path_weight))

    @property
    def _network(self) -> HierarchyNetwork:
        return self._model

    def _apply(self, X: Any, function: Callable[..., Any], *, looks_at_all: bool) -> Any:
        dtype = np.dtype(str(self._model.softmax.linear.weight.dtype).removeprefix("torch."))
        rows = Rows(self._reader.rows(X, dtype, "cpu"))
        return apply_network(self._model, rows, function, self._cut, looks_at_all=looks_at_all)

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Compute the score of every class; ``scale_`` times the scores are logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Columns in the order of ``classes_``. For two classes the score of the second less
            that of the first.
        """
        check_is_fitted(self)
        columns = self._columns

        def find(network: HierarchyNetwork, x: Any) -> torch.Tensor:
            return select(network.leaf_scores(x), columns)

        scores: NDArray[Any] = self._collect(X, find, n_columns=lambda: len(columns))
        scores /= self.scale_
        return scores[:, 1] - scores[:, 0] if len(columns) == 2 else scores

    @property
    def coef_(self) -> NDArray[Any]:
        """The weights of the scores."""
        check_is_fitted(self)
        return self._of_scores(self._model.softmax.linear.weight.numpy().T)

    @property
    def intercept_(self) -> NDArray[Any]:
        """What is added to the scores."""
        check_is_fitted(self)
        return self._of_scores(self._model.softmax.linear.bias.numpy())

    @property
    def _columns(self) -> NDArray[np.intp]:
        """The leaf of each class."""
        n_classes = len(self.classes_)
        return np.arange(n_classes) if self._class_columns is None else self._class_columns

    def _of_scores(self, of_logits: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = of_logits[self._columns] / self.scale_
        return found[1:] - found[:1] if len(found) == 2 else found
