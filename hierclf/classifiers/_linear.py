"""The linear classifier: a margin for each node, solved to its optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple
from warnings import warn

import numpy as np
import scipy.sparse as sp
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
    Scores,
    likeliest_scale,
    samples_to_hold_out,
)
from hierclf.classifiers._passes import Cut, apply_network, select
from hierclf.classifiers._single_label import LabelledSamples, SingleLabelClassifier
from hierclf.classifiers._targets import weights_of_labels
from hierclf.decisions import BaseDecision, as_decision
from hierclf.hierarchy import Hierarchy
from hierclf.nn import FlatSoftmax, HierarchyNetwork
from hierclf.nn._compact_fit import Problem, Runs, Tables, fit_tables
from hierclf.nn._margin_solvers import BLOCK
from hierclf.nn.compact import CompactSoftmax
from hierclf.nn.margins import Margins, solve_margins

if TYPE_CHECKING:
    from typing_extensions import Self


# Chosen on held-out rows: see the user guide.
DEFAULT_PATH_WEIGHT = 0.2
_MORE_SAMPLES = 30


class _Fitted(NamedTuple):
    """What a fit has found."""

    model: HierarchyNetwork
    scale: float
    n_iter: int


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
    against : {"all", "siblings"}, default="all"
        What a node is told apart from.

        - "all": all other nodes, on all samples. The more accurate with up to some hundred
          classes.
        - "siblings": its siblings alone, on the samples below their parent. For thousands of
          classes, where it is as accurate or more so, in a fraction of the time: see Notes. The
          hierarchy must be a tree.
    C : float, default=1.0
        Inverse strength of the regularisation, as in :class:`sklearn.svm.LinearSVC`. With
        "siblings" nodes with few samples are regularised less: see Notes.
    path_weight : float or "auto", default="auto"
        How much the margins of inner nodes count beside that of the leaf. With 0 the hierarchy
        has no part in what is predicted. "auto" is 0.2. With "siblings" the
        probabilities on a path are multiplied, and nothing else than "auto" is taken.
    scale : float or "auto", default="auto"
        Factor by which scores become logits. It changes the probabilities, and not which leaf is
        the likeliest. "auto" is the likeliest for a tenth of the samples, as they are scored by
        margins solved without them. With "siblings" it is one factor for the margins of all nodes,
        and may change which leaf is the likeliest.
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
        taken off its logit, times this. With "siblings" it is that of each node's share of the
        samples below its parent.
    tol : float, default=1e-2
        A margin is solved when its objective is at most this share of it above a bound of the
        optimum. As a rule it is then a tenth of that above the optimum itself. With up to 64
        features the optimum is exact.
    max_iter : int, default=1000
        Passes over the samples, or Newton steps, at most.
    n_jobs : int, optional
        How many blocks of 32 margins, or parts of the hierarchy, to solve at a time, in threads;
        None is 1, -1 one for each processor. The result is the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The leaves of ``hierarchy_``, sorted: the labels of ``y``, and, where a label is
        an inner node, all leaves below it; with ``inner_labels="itself"`` the labels alone.
    hierarchy_ : Hierarchy
        The hierarchy without the nodes that are neither above, at nor below a label of
        ``y``.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
        Weights of the scores: those of a leaf with the share of the nodes above it. With
        "siblings" there are none: the log-probability of a leaf is not linear.
    intercept_ : ndarray of shape (n_classes,), or (1,) for two classes
        What is added to them; none with "siblings".
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
    0. They are solved by dual coordinate descent [1]_, 32 at once, which takes numba (``pip
    install hierclf[fast]``). Without it, and where 150 passes have not been enough, or 30 over
    dense features, they are solved by Newton's method with conjugate gradients.

    With ``against="siblings"`` the samples of a margin are those below the parent, and the
    probability of a node is that of its parent times a softmax over the scaled margins of its
    siblings and itself. A margin has weights for the features that occur in its samples and no
    others, which would be 0 at the optimum: with thousands of classes that is a hundredth of a
    whole table or less. Each node counts as if it had 30 samples more: the losses of its margin
    are multiplied with :math:`1 + 30 / n_v`, where :math:`n_v` is the weight of its samples. So a
    class with a sample or two is learnt as closely as one with many. A sample that is labelled with
    an inner node takes part in the margins above it.

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
        "against": [StrOptions({"all", "siblings"})],
        "C": [Interval(Real, 0, None, closed="neither")],
        "path_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
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
        against: Literal["all", "siblings"] = "all",
        C: float = 1.0,
        path_weight: float | Literal["auto"] = "auto",
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
        self.against = against
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
        self._check_against()
        reader = InputReader(None)
        samples, label_weight = self._read_problem(X, y, sample_weight, reader)
        fit = self._fit_siblings if self.against == "siblings" else self._fit_all
        fitted = fit(samples, label_weight)
        for name, value in samples.attributes.items():
            setattr(self, name, value)
        self.hierarchy_ = samples.targets.hierarchy
        self.scale_ = fitted.scale
        self.n_iter_ = fitted.n_iter
        self._model = fitted.model.eval()
        self._cut = Cut.of(fitted.model, len(self.hierarchy_))
        self._reader = reader

    def _fit_siblings(
        self, samples: LabelledSamples, label_weight: NDArray[np.float64] | None
    ) -> _Fitted:
        """Solve the margin of each node against its siblings, over a table for each group."""
        targets, hierarchy = samples.targets, samples.targets.hierarchy
        runs = Runs.of(hierarchy, targets.nodes)
        is_sparse: bool = sp.issparse(samples.X)
        X = (samples.X if is_sparse else sp.csr_matrix(samples.X))[runs.order]
        weight = self._weights(samples)[runs.order]
        codes = targets.codes[runs.order]
        shares = runs.shares(weight)
        factor = _grow(shares.weight)
        positive_factor = factor.copy()
        if label_weight is None:
            # The positive rows of all nodes of a group that have some share its weight.
            has_rows = shares.share > 0
            positive_factor[has_rows] /= (shares.n_with_rows * shares.share)[has_rows]
            label_weight = np.ones(len(targets.labelled))
        cost = float(self.C) * weight
        is_asked = np.zeros(len(codes), bool)
        if self.scale == "auto":
            is_asked[samples_to_hold_out(X, self._leaf_of_label(samples)[codes])] = True
        with limited_threads(X.nnz * BLOCK):
            fitted = fit_tables(
                Problem(
                    X, runs, cost, cost * label_weight[codes], factor, positive_factor, is_asked
                ),
                tol=float(self.tol),
                max_iter=int(self.max_iter),
                n_jobs=self.n_jobs,
            )
        tables = fitted.tables
        self._check_solved(X, tables, is_converged=fitted.is_converged)
        scale = self._find_scale(
            Scores(asked.margins, asked.child, weight[asked.rows]) for asked in fitted.asked
        )
        tables.weight[:] *= tables.weight.dtype.type(scale)
        logits = scale * tables.bias.astype(np.float64)
        if self.logit_adjustment:
            logits -= self.logit_adjustment * shares.log()
        tables.bias[:] = logits
        model = HierarchyNetwork(
            X.shape[1],
            hierarchy,
            head=lambda n, tree, **_: CompactSoftmax(n, tree, tables=tables),
        )
        return _Fitted(model, scale, fitted.n_iter)

    def _fit_all(
        self, samples: LabelledSamples, label_weight: NDArray[np.float64] | None
    ) -> _Fitted:
        """Solve the margin of each node against all others, and fold them into the leaves."""
        X, targets = samples.X, samples.targets
        tree = MarginTree.of(targets.hierarchy, targets.labelled)
        check_fits(
            X.shape[1],
            len(tree.nodes),
            2 * X.dtype.itemsize,
            what="the table of weights, of which there are two during a fit,",
            cure="use against='siblings', choose fewer features, such as SelectKBest does, or give "
            "HierarchicalSoftmaxClassifier hidden_layer_sizes",
        )
        columns = tree.weigh(targets.codes, self._weights(samples), label_weight)
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
        self._check_solved(X, margins, is_converged=margins.is_converged)
        weight = tree.fold(margins.weight, self._path_weight)
        bias = self._fold(margins.bias.astype(np.float64), columns)
        scores = self._fold(margins.held_out.T.astype(np.float64), columns).T
        scale = self._find_scale([Scores(scores, leaf[asked], columns.weight[asked])])
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
        return _Fitted(model, scale, margins.n_iter)

    def _read_problem(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, reader: InputReader
    ) -> tuple[LabelledSamples, NDArray[np.float64] | None]:
        """Check the samples, X included, and weigh the labels; None is "balanced"."""
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
        if self.against == "siblings" and not hierarchy.is_tree:
            raise ValueError(
                "against='siblings' needs a tree, and this hierarchy is a DAG, in which a node has "
                "several parents: use against='all'"
            )
        return samples, label_weight

    def _check_against(self) -> None:
        if self.against == "siblings" and self.path_weight != "auto":
            raise ValueError(
                f"path_weight={self.path_weight!r} weighs the margins of against='all'; with "
                "against='siblings' the probabilities on a path are multiplied: leave it 'auto'"
            )

    def _check_solved(self, X: Any, found: Margins | Tables, *, is_converged: bool) -> None:
        if not (np.isfinite(found.bias).all() and np.isfinite(found.weight).all()):
            raise ValueError(
                f"the weights are not finite: X holds values up to {abs(X).max():.3g}; scale the "
                "features, or lower C"
            )
        if not is_converged:
            warn(
                f"After max_iter={self.max_iter} some margins are not solved. Raise max_iter or "
                "tol, lower C, or scale the features.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _find_scale(self, choices: Iterable[Scores]) -> float:
        if self.scale != "auto":
            return float(self.scale)
        with_samples = [part for part in choices if len(part.column)]
        return likeliest_scale(with_samples) if with_samples else DEFAULT_SCALE

    def _weights(self, samples: LabelledSamples) -> NDArray[np.float64]:
        """Return the weight of each sample."""
        n_samples = len(samples.targets.codes)
        return np.ones(n_samples) if samples.weight is None else samples.weight

    @property
    def _path_weight(self) -> float:
        return DEFAULT_PATH_WEIGHT if self.path_weight == "auto" else float(self.path_weight)

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
        return columns.tree.fold(margins, self._path_weight)

    @property
    def _network(self) -> HierarchyNetwork:
        return self._model

    def _apply(self, X: Any, function: Callable[..., Any], *, looks_at_all: bool) -> Any:
        dtype = np.dtype(str(self._model.softmax.linear.bias.dtype).removeprefix("torch."))
        rows = Rows(self._reader.rows(X, dtype, "cpu"))
        return apply_network(self._model, rows, function, self._cut, looks_at_all=looks_at_all)

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Compute the score of every class; ``scale_`` times the scores are logits.

        With ``against="siblings"`` they are log-probabilities, divided by ``scale_``.

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
        self._check_is_linear("coef_")
        return self._of_scores(self._model.softmax.linear.weight.numpy().T)

    @property
    def intercept_(self) -> NDArray[Any]:
        """What is added to the scores."""
        self._check_is_linear("intercept_")
        return self._of_scores(self._model.softmax.linear.bias.numpy())

    def _check_is_linear(self, name: str) -> None:
        check_is_fitted(self)
        if isinstance(self._model.head, CompactSoftmax):
            raise AttributeError(
                f"with against='siblings' there is no {name}: the log-probability of a class is a "
                "sum over the softmaxes on its path, which is not linear in the features"
            )

    @property
    def _columns(self) -> NDArray[np.intp]:
        """The leaf of each class."""
        n_classes = len(self.classes_)
        return np.arange(n_classes) if self._class_columns is None else self._class_columns

    def _of_scores(self, of_logits: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = of_logits[self._columns] / self.scale_
        return found[1:] - found[:1] if len(found) == 2 else found


def _grow(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much a node's weight grows with some samples more, where it has any."""
    more = np.divide(_MORE_SAMPLES, weight, out=np.zeros(len(weight)), where=weight > 0)
    return 1 + more
