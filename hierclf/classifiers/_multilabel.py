"""The classifier with several labels per sample: what y means, and what is predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.optim import Optimizer

from hierclf._utils.blocks import row_blocks
from hierclf._utils.label_sets import (
    LabelSets,
    check_rows_closed,
    of_single_labels,
    rarest_labels,
    read_label_sets,
    set_accuracy,
)
from hierclf._utils.labels import Labels, accuracy, locate
from hierclf._utils.naming import name_nodes
from hierclf._utils.sklearn_private import Interval, StrOptions, fit_context
from hierclf.classifiers._base import whole_hierarchy
from hierclf.classifiers._checks import warn_of_column
from hierclf.classifiers._computation import Step
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._network import BaseNetworkClassifier, Settings, TrainingTargets
from hierclf.classifiers._passes import argmax, check_log_proba, select
from hierclf.classifiers._targets import in_dtype, scale_weights
from hierclf.classifiers._thresholds import read_thresholds
from hierclf.classifiers._warm_start import check_same_classes, describe
from hierclf.encoders import BaseEncoder
from hierclf.heads import BaseNodeHead, as_head
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import as_list, plain_array, shorten
from hierclf.nn.network import HierarchyNetwork
from hierclf.nn.node_head import NodeHead
from hierclf.nn.node_loss import NodeLoss

if TYPE_CHECKING:
    from typing_extensions import Self


class HierarchicalMultilabelClassifier(ClassifierMixin, BaseNetworkClassifier):  # type: ignore[misc]
    r"""A network that gives each node of a hierarchy a probability of its own.

    A sample may have several labels, each together with all nodes above it, in a tree or a
    directed acyclic graph. By default no node is likelier than the nodes above it, in training
    and in predictions: the coherent network of [1]_.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The labels: ``{parent: [children]}`` or nested dicts, (parent, child) pairs, a
        networkx ``DiGraph``, a :class:`Hierarchy`, or an object of
        :mod:`hierclf.induction`, which builds one from the data. It is never pruned. None: no
        label is above another.
    encoder : encoder, torch.nn.Module or callable, optional
        Turns a sample into the vector that the hidden layers and the head read. It may be
        an object of :mod:`hierclf.encoders`, a torch module, whose weights are where each
        fit starts, or a class or function that returns a module. It also says what X is:
        token ids, texts, or an array of two dimensions or more. None: X is the features.
    head : head, optional
        Turns the last hidden state into a score for each node: an object of
        :mod:`hierclf.heads`. None is ``LinearHead()``, one affine map.
    constraint : {"loss", "prediction"} or None, default="loss"
        Where the max-constraint is, which raises the probability of each node to that of the
        likeliest node below it.

        - "loss": in training, by the loss of [1]_, and in predictions.
        - "prediction": in predictions alone; each node is trained by itself.
        - None: nowhere. A node may then be likelier than a node above it.
    threshold : float, array-like of shape (n_nodes,) or dict, default=0.5
        ``predict`` chooses the nodes whose probability is at least this, and all nodes above
        them. An array has a threshold for each node in the order of ``hierarchy_.nodes``, a
        dict ``{node: threshold}``, and 0.5 for nodes that are no keys. It does not change the
        probabilities, and you may set another after the fit.
    recursive_regularization : float, default=0.0
        Draws the weights of a child to those of its parent [2]_: the factor of
        :math:`\sum_{(p, c)} \frac{1}{2} \lVert w_p - w_c \rVert^2`, which is added to the loss.
    hidden_layer_sizes : int or sequence of int, optional
        Sizes of the hidden layers; ``()`` is a linear model. None is ``()`` for a sparse X
        and with an encoder, else ``(100,)``.
    activation : {"relu", "gelu", "tanh", "logistic", "identity"}, default="relu"
        Activation function after each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden unit in training; in [0, 1). For a sparse X it needs
        ``hidden_layer_sizes``.
    optimizer : {"auto", "adamw", "adagrad", "adam", "sgd"} or type, default="auto"
        Optimiser of the weights, as for :class:`HierarchicalSoftmaxClassifier`.
    learning_rate_init : float or "auto", default="auto"
        Learning rate at the start. "auto" is 1e-3, and 0.1 with ``optimizer="adagrad"`` and
        for a linear model of sparse features with ``optimizer="auto"``. A skorch
        ``LRScheduler`` among the callbacks changes it during training.
    weight_decay : float, default=1e-4
        Strength of the weight decay. It is decoupled from the gradient with "adamw" and
        "adagrad", and an L2 penalty with the other optimisers.
    batch_size : int, default=128
        Samples per step.
    max_iter : int or "auto", default="auto"
        Maximum number of epochs (passes over the data) of a fit. "auto" is 200. A linear
        model of sparse features with ``optimizer="auto"`` and without ``early_stopping``
        has as many epochs as make 200 steps, at least 3.
    tol : float, default=1e-5
        An epoch is an improvement if it lowers the loss by more than this, in nats per
        sample and node.
    n_iter_no_change : int, default=10
        Training stops after this number of epochs without an improvement.
    early_stopping : bool, default=False
        Whether to hold samples out, to stop when their loss no longer improves, and to keep
        the weights of the best epoch. If False, the training loss decides when to stop.
    validation_fraction : float, default=0.1
        Share of the samples to hold out if ``early_stopping``. Each sample counts for the
        rarest of its labels, of which as large a share is held out, and at least one sample
        is kept for training.
    refit : bool, default=False
        Whether to train anew on all samples once early stopping has found the best epoch,
        for that number of epochs. ``net_``, ``loss_curve_`` and ``n_iter_`` are those of
        the second training. Both trainings use copies of the callbacks, and in the second
        no samples are held out. Needs ``early_stopping=True`` and ``warm_start=False``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit, with up to ``max_iter`` more epochs. It
        keeps the weights, the optimiser and the order of the samples. Classes, features,
        network, optimizer and device must be those of the last fit. After an interruption
        the next fit goes on from the last whole batch.
    callbacks : list, optional
        skorch callbacks, as objects or (name, object) pairs. Each fit uses copies of them.
        Callbacks with a method for each batch make training slower.
    device : {"cpu", "cuda", "mps", "auto"}, default="cpu"
        Where to train. "auto" is an accelerator if there is one. An accelerator always
        computes in float32.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the samples, dropout and the samples
        held out. The same integer gives the same result on the same machine.
    verbose : int, default=0
        If not 0, print losses and seconds after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        What the columns of predictions are. With a given hierarchy these are all its nodes: in
        the order of ``hierarchy_.nodes``, or of the columns of y where y is a data frame.
        Otherwise they are the columns of y, or its labels, sorted where they can be. Where y
        holds one label for each sample, they are the labels that it holds.
    hierarchy_ : Hierarchy
        The hierarchy.
    net_ : skorch.NeuralNet
        The trained net. ``net_.module_`` is the torch module, and ``net_.history`` has the
        record of each epoch.
    loss_curve_ : list of float
        Mean training loss of each whole epoch, in nats per sample and node.
    n_iter_ : int
        Number of whole epochs.
    n_features_in_ : int
        Number of features seen in fit. Texts and token ids have none.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    HierarchicalSoftmaxClassifier : One label per sample.
    sklearn.preprocessing.MultiLabelBinarizer : Lists of labels as an indicator matrix.

    References
    ----------
    .. [1] E. Giunchiglia and T. Lukasiewicz, "Coherent Hierarchical Multi-Label Classification
       Networks", NeurIPS 2020.
    .. [2] S. Gopal and Y. Yang, "Recursive Regularization for Large-scale Classification with
       Hierarchical and Graphical Dependencies", KDD 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from hierclf import HierarchicalMultilabelClassifier
    >>> hierarchy = {"animal": ["cat", "dog"], "vehicle": ["car", "bus"]}
    >>> X = np.eye(4)
    >>> y = [["cat"], ["dog", "car"], ["bus"], []]  # the nodes above are added
    >>> clf = HierarchicalMultilabelClassifier(
    ...     hierarchy, learning_rate_init=0.05, max_iter=50, n_iter_no_change=50, random_state=0
    ... )
    >>> clf.fit(X, y).classes_
    array(['animal', 'vehicle', 'cat', 'dog', 'bus', 'car'], dtype='<U7')
    >>> clf.predict(X)
    array([[1, 0, 1, 0, 0, 0],
           [1, 1, 0, 1, 0, 1],
           [0, 1, 0, 0, 1, 0],
           [0, 0, 0, 0, 0, 0]], dtype=int8)
    >>> clf.hierarchy_.from_indicator(clf.predict(X))
    [['cat'], ['dog', 'car'], ['bus'], []]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseNetworkClassifier._parameter_constraints,
        "head": "no_validation",
        "constraint": [StrOptions({"loss", "prediction"}), None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", dict],
        "recursive_regularization": [Interval(Real, 0, None, closed="left")],
    }

    classes_: NDArray[Any]
    _class_positions: NDArray[np.intp]
    _form: str
    _dtype: np.dtype[Any]

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        encoder: BaseEncoder | nn.Module | Callable[[], nn.Module] | None = None,
        head: BaseNodeHead | None = None,
        constraint: Literal["loss", "prediction"] | None = "loss",
        threshold: float | ArrayLike | Mapping[Any, float] = 0.5,
        recursive_regularization: float = 0.0,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        activation: Literal["relu", "gelu", "tanh", "logistic", "identity"] = "relu",
        dropout: float = 0.0,
        optimizer: Literal["auto", "adamw", "adagrad", "adam", "sgd"] | type[Optimizer] = "auto",
        learning_rate_init: float | Literal["auto"] = "auto",
        weight_decay: float = 1e-4,
        batch_size: int = 128,
        max_iter: int | Literal["auto"] = "auto",
        tol: float = 1e-5,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        refit: bool = False,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hierarchy,
            encoder=encoder,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            refit=refit,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.head = head
        self.constraint = constraint
        self.threshold = threshold
        self.recursive_regularization = recursive_regularization

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train on samples and their labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads. float32 and float64 train a
            network of that type; other types become float64. A sparse matrix is never
            made dense.
        y : {array-like, sparse matrix} of shape (n_samples, n_nodes), or list of lists
            The labels, in one of these forms:

            - an indicator matrix of 0 and 1, dense or sparse, whose columns are
              ``hierarchy.nodes`` and whose rows have all nodes above a node of theirs. Without
              a hierarchy the columns are labels by themselves. Sparse ones stay sparse.
            - a data frame of 0 and 1 whose columns are named by the nodes, in any order.
            - a list, set or tuple of labels for each sample. Nodes above them are added.
            - one label for each sample, a leaf. Predictions are then labels, too, and
              probabilities sum to 1 over them.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. Only their ratios count; a sample of weight 0 is left
            out.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not as described; the message names
            it. The classifier is then as it was before.

        Notes
        -----
        A fit that is interrupted, by Ctrl-C or by an error in training, raises, and leaves
        the classifier as it was before: a first fit leaves it unfitted. With
        ``warm_start`` a later one keeps what it has learnt: the weights are those of the
        last whole batch, and ``n_iter_`` and ``loss_curve_`` count the whole epochs. If
        training had diverged, all is as before.
        """
        self._fit(X, y, sample_weight)
        return self

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        head = as_head(self.head)
        head.check()
        settings = super()._check_settings(is_stream=is_stream)
        if isinstance(settings.hierarchy, Hierarchy):
            head.check_hierarchy(settings.hierarchy)
            read_thresholds(self.threshold, settings.hierarchy)
        return settings

    def _network_params(self) -> dict[str, Any]:
        return describe("head", as_head(self.head)) | {"constraint": self.constraint}

    def _choose_head(
        self, targets: TrainingTargets, settings: Settings, step: Step
    ) -> tuple[Callable[..., NodeHead], nn.Module]:
        head = as_head(self.head)
        if step.is_linear_of_sparse and not head.reads_sparse:
            raise ValueError(
                f"head={head!r} reads dense vectors, and here it would read the sparse X: give a "
                "hidden layer, such as hidden_layer_sizes=(100,)"
            )
        criterion = NodeLoss(
            constrained=self.constraint == "loss",
            recursive_regularization=float(self.recursive_regularization),
        )
        if settings.goes_on:
            return self.net_.module__head, criterion
        build = head.build(targets.hierarchy, counts=targets.counts)
        return partial(build, coherent=self.constraint is not None), criterion

    def _read_targets(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        settings: Settings,
        reader: InputReader,
    ) -> tuple[Any, TrainingTargets]:
        name = type(self).__name__
        given = settings.hierarchy if isinstance(settings.hierarchy, Hierarchy) else None
        read = read_label_sets(y, given, None if given is None else given.nodes, name)
        values: Any
        if isinstance(read, Labels):
            values = read.values
            if read.is_column:
                warn_of_column(6)
        else:
            values = np.arange(len(read.offsets) - 1)
            if given is not None and read.are_columns:
                check_rows_closed(read, given)
        X, induced_from, kept, weight = self._check_samples(
            X, values, sample_weight, settings.hierarchy, reader, reset=not settings.goes_on
        )
        weight = scale_weights(weight)
        if isinstance(read, Labels):
            hierarchy, sets = self._read_single(read, kept, induced_from, settings)
        else:
            sets = read.take(kept)
            hierarchy = self._hierarchy_of(sets, induced_from, settings)
        if given is None:  # else it has been checked
            as_head(self.head).check_hierarchy(hierarchy)
            read_thresholds(self.threshold, hierarchy)
        are_nodes = sets.form != "label" and not sets.are_columns
        are_nodes = are_nodes and not hasattr(settings.hierarchy, "fit")
        labels: list[Any] = list(hierarchy.nodes) if are_nodes else sets.names
        classes = plain_array(labels)
        if sets.form == "label":
            classes = in_dtype(classes, sets.dtype)
        if settings.goes_on:
            check_same_classes(self, classes, hierarchy)
        target = sets.closed(hierarchy)
        per_label = None if weight is None else np.repeat(weight, np.diff(target.indptr))
        return X, TrainingTargets(
            hierarchy=hierarchy,
            target=target,
            strata=rarest_labels(target),
            weight=weight,
            counts=np.bincount(target.indices, weights=per_label, minlength=len(hierarchy)),
            attributes={
                "classes_": classes,
                "_class_positions": hierarchy.node_indices(labels),
                "_form": sets.form,
                "_dtype": sets.dtype,
            },
        )

    def _hierarchy_of(self, sets: LabelSets, induced_from: Any, settings: Settings) -> Hierarchy:
        """Return the hierarchy that was given, that an inducer builds, or that has one level."""
        if settings.hierarchy is None:
            return sets.flat_hierarchy()
        if not hasattr(settings.hierarchy, "fit"):
            given: Hierarchy = settings.hierarchy
            return given
        rows, labels = sets.pairs()
        return whole_hierarchy(
            self, settings.hierarchy, induced_from[rows], labels, settings.encoder
        )

    def _read_single(
        self, labels: Labels, y: NDArray[Any], induced_from: Any, settings: Settings
    ) -> tuple[Hierarchy, LabelSets]:
        """Find the hierarchy of samples that have one label each, which is a leaf."""
        name = type(self).__name__
        if labels.longest_path is not None:
            raise ValueError(
                f"y holds paths, and {name} takes labels: give the last label of each path, which "
                "Hierarchy.leaves_from_paths finds"
            )
        if labels.rows is not None:
            located = locate(labels, settings.hierarchy, y, name)
            hierarchy = located.hierarchy
            sets = of_single_labels(located.positions, hierarchy.nodes)
        else:
            if not isinstance(settings.hierarchy, Hierarchy):
                check_classification_targets(y)  # a hierarchy that was given tells what is a label
            hierarchy = whole_hierarchy(self, settings.hierarchy, induced_from, y, settings.encoder)
            sets = of_single_labels(y)
        are_leaves = np.isin(hierarchy.node_indices(sets.names), hierarchy.leaf_indices)
        if not are_leaves.all():
            inner = [sets.names[i] for i in np.flatnonzero(~are_leaves)]
            raise ValueError(
                f"y holds one label per sample, which must be a leaf, and not {shorten(inner)}: "
                "give a list of labels for each sample, such as [['animal'], ['cat', 'car']]"
            )
        return hierarchy, sets

    def predict(self, X: Any, level: int | str | None = None) -> Any:
        """Predict which nodes each sample has: those that reach ``threshold``, and all above.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent" or "all", optional
            Only the nodes of this level of ``hierarchy_``: 0 is the top, -1 or "leaf" the
            leaves, -2 or "parent" the level above them; "all" is every node. None is
            ``classes_``.

        Returns
        -------
        {ndarray, csr_array} of shape (n_samples, n_nodes_of_the_level) or ndarray of shape \
(n_samples,)
            An indicator matrix, sparse if y was; the names of the columns are
            ``level_classes(level)``. Where y was one label for each sample, the likeliest.

        Raises
        ------
        ValueError
            If there is no such level, or ``threshold`` does not fit.
        MemoryError
            If the result takes more than half of the memory of the machine.
        """
        check_is_fitted(self)
        columns = self._columns(level)
        if self._form == "label":
            chosen = self._collect(X, lambda network, x: argmax(select(network(x), columns)))
            return name_nodes(
                columns[chosen], self.classes_, self._class_positions, self.hierarchy_
            )
        choose = self._chooser(columns)
        if self._form == "sparse":
            return self._collect_sparse(X, choose, len(columns))
        passes: NDArray[Any] = self._collect(X, choose, n_columns=lambda: len(columns))
        return passes.astype(self._dtype)

    def _chooser(
        self, columns: NDArray[np.intp]
    ) -> Callable[[HierarchyNetwork, Any], torch.Tensor]:
        """Return what tells which nodes are chosen."""
        thresholds = read_thresholds(self.threshold, self.hierarchy_)
        head: Any = self.net_.module_.head
        # Of coherent probabilities one threshold leaves no gaps.
        is_closed = head.coherent and isinstance(thresholds, float)

        def choose(network: HierarchyNetwork, x: Any) -> torch.Tensor:
            proba = check_log_proba(network(x)).exp()
            passes = proba >= torch.as_tensor(thresholds, dtype=proba.dtype, device=proba.device)
            if not is_closed:
                passes = head.constraint(passes.to(proba.dtype)) > 0
            return select(passes, columns)

        return choose

    def _collect_sparse(
        self, X: Any, choose: Callable[[HierarchyNetwork, Any], torch.Tensor], n_columns: int
    ) -> sp.csr_array:
        """Choose nodes for some samples at a time, so that no indicator matrix is dense."""
        rows = self._checked_rows(X)
        blocks = row_blocks(rows.shape[0], n_columns)
        found = [
            sp.csr_array(self.net_.collect(rows[block], choose, first_row=block.start))
            for block in blocks
        ]
        chosen: sp.csr_array = sp.vstack(found, format="csr").astype(self._dtype)
        return chosen

    def predict_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the probability that a sample has a node, for every node or those of a level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent" or "all", optional
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_nodes_of_the_level)
            The names of the columns are ``level_classes(level)``. Unless ``constraint`` is
            None, no node is likelier than the nodes above it. Where y was one label for each
            sample, rows are scaled to sum to 1, but for "all".

        Raises
        ------
        ValueError
            If there is no such level.
        MemoryError
            If the result takes more than half of the memory of the machine.
        """
        log_proba = self._log_proba(level)
        return self._collect_all(X, lambda network, x: log_proba(network, x).exp(), level)

    def predict_log_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent" or "all", optional
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_nodes_of_the_level)
            Natural logarithms; the names of the columns are ``level_classes(level)``.

        Raises
        ------
        ValueError
            If there is no such level.
        MemoryError
            As for :meth:`predict_proba`.
        """
        return self._collect_all(X, self._log_proba(level), level)

    def _collect_all(
        self,
        X: Any,
        function: Callable[[HierarchyNetwork, Any], torch.Tensor],
        level: int | str | None,
    ) -> NDArray[Any]:
        columns: NDArray[Any] = self._collect(
            X, function, n_columns=lambda: len(self._columns(level))
        )
        return columns

    def _log_proba(
        self, level: int | str | None
    ) -> Callable[[HierarchyNetwork, Any], torch.Tensor]:
        """Return what gives the log-probabilities of a level."""
        check_is_fitted(self)
        columns = self._columns(level)
        if self._form == "label" and not _is_all(level):
            return lambda network, x: select(network(x), columns).log_softmax(1)
        return lambda network, x: select(network(x), columns)

    def level_classes(self, level: int | str | None = None) -> NDArray[Any]:
        """Return the names of the columns of ``predict_proba(X, level)``, in their order.

        Parameters
        ----------
        level : int, "leaf", "parent" or "all", optional
            As in :meth:`predict`.

        Returns
        -------
        ndarray of shape (n_nodes_of_the_level,)
            ``classes_`` for None. The leaves are sorted where they can be, and other levels in
            the order of ``hierarchy_.nodes``, as :meth:`Hierarchy.level_classes` has them.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        check_is_fitted(self)
        return self.classes_ if level is None else self.hierarchy_.level_classes(level)

    def _columns(self, level: int | str | None) -> NDArray[np.intp]:
        """Return the nodes of a level, as positions in ``hierarchy_.nodes``."""
        if level is None:
            return self._class_positions
        if _is_all(level):
            return np.arange(len(self.hierarchy_))
        return self.hierarchy_.node_indices(self.hierarchy_.level_classes(level))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of samples whose labels are all predicted, and no others.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        y : array-like, sparse matrix or list of lists
            True labels, in a form that may be fitted.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        float
            In [0, 1]. For scores that know the hierarchy see :mod:`hierclf.metrics`.

        Raises
        ------
        ValueError
            If y holds one label for each sample, and the classifier was fitted to several.
        """
        predicted, name = self.predict(X), type(self).__name__
        if self._form == "label":
            return accuracy(y, predicted, sample_weight, self.hierarchy_, name)
        columns = as_list(self.classes_)
        return set_accuracy(y, predicted, sample_weight, self.hierarchy_, columns, name)

    @property
    def multilabel_(self) -> bool:
        """Whether it was fitted to several labels per sample."""
        return self._form != "label"


def _is_all(level: Any) -> bool:
    return isinstance(level, str) and level == "all"
