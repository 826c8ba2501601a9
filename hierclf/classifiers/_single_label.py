"""One label per sample, whatever is trained: what y means, and what is predicted."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, NamedTuple, overload

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.labels import accuracy, column_names, locate, read_labels
from hierclf._utils.naming import name_nodes, name_paths
from hierclf._utils.sklearn_private import StrOptions
from hierclf.classifiers._base import BaseHierarchyClassifier, whole_hierarchy
from hierclf.classifiers._checks import warn_of_column
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._passes import argmax, check_log_proba, select
from hierclf.classifiers._targets import Targets, read_targets
from hierclf.decisions import Argmax, TopDown, as_decision
from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.nn.network import HierarchyNetwork

_Function = Callable[[HierarchyNetwork, Any], torch.Tensor]


class LabelledSamples(NamedTuple):
    """Samples and labels, checked and found in a hierarchy.

    Attributes
    ----------
    X : ndarray or CSR matrix
        Those that have a weight.
    hierarchy : Hierarchy
        The whole hierarchy: not pruned to the labels.
    targets : Targets
        The nodes of the samples, and the classes.
    weight : ndarray of shape (n_samples,) or None
        The weights of the samples, as they were given.
    attributes : dict
        Fitted attributes of the classifier, set once training has succeeded.
    """

    X: Any
    hierarchy: Hierarchy
    targets: Targets
    weight: NDArray[np.float64] | None
    attributes: dict[str, Any]


class SingleLabelClassifier(ClassifierMixin, BaseHierarchyClassifier):  # type: ignore[misc]
    """Labels of any kind, and predictions from the log-probabilities of a network's head.

    It knows nothing of training. A subclass trains, with what :meth:`_read_samples` finds.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hierarchy": "no_validation",
        "inner_labels": [StrOptions({"below", "itself"})],
        "decision": "no_validation",
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    inner_labels: str
    decision: Any
    class_weight: Any

    classes_: NDArray[Any]
    hierarchy_: Hierarchy
    _class_positions: NDArray[np.intp]
    _class_columns: NDArray[np.intp] | None
    _stops: NDArray[np.intp]
    _longest_path: int | None
    _level_names: tuple[str, ...]

    _instead_of_all: ClassVar[str] = (
        "ask for the likeliest with predict_topk(X, k), or predict blocks of rows"
    )

    def _read_samples(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        given: Any,
        reader: InputReader,
        *,
        encoder: BaseEncoder | None = None,
        reset: bool = True,
    ) -> LabelledSamples:
        """Check samples and labels, and find the labels in the hierarchy.

        Parameters
        ----------
        X, y, sample_weight
            As the user gave them.
        given : Hierarchy, inducer or None
            The parameter ``hierarchy``.
        reader, encoder
            What reads X.
        reset : bool
            Whether this is a new fit, which does not go on from another.
        """
        name = type(self).__name__
        labels = read_labels(y, given, name)
        if labels.is_column:
            warn_of_column(7)  # fit is called by a wrapper, and calls two more
        names = level_names(y)
        X, induced_from, y, weight = self._check_samples(
            X, labels.values, sample_weight, given, reader, reset=reset
        )
        if labels.rows is None and not isinstance(given, Hierarchy):
            check_classification_targets(y)  # a hierarchy that was given tells what is a label
        located = None if labels.rows is None else locate(labels, given, y, name)
        if located:
            y, hierarchy = located.positions, located.hierarchy
        else:
            hierarchy = whole_hierarchy(self, given, induced_from, y, encoder)
        targets = read_targets(
            y, hierarchy, are_positions=located is not None, inner_labels=self.inner_labels
        )
        attributes = self._of_classes(targets) | {
            "_longest_path": located.longest_path if located else None,
            "_level_names": names if located else (),
        }
        return LabelledSamples(X, hierarchy, targets, weight, attributes)

    def _of_classes(self, targets: Targets) -> dict[str, Any]:
        """Return the fitted attributes that depend on the classes alone."""
        return {
            "classes_": targets.classes,
            "_class_positions": targets.class_positions,
            "_class_columns": _class_columns(targets.class_positions, targets.hierarchy),
            "_stops": targets.stops,
        }

    @overload
    def predict(
        self, X: Any, level: int | str | None = ..., *, top_k: None = ...
    ) -> NDArray[Any]: ...

    @overload
    def predict(
        self, X: Any, level: None = ..., *, top_k: int
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...

    def predict(self, X: Any, level: int | str | None = None, *, top_k: int | None = None) -> Any:
        """Predict the class that ``decision`` chooses, the likeliest by default.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent", "path" or str, optional
            Choose among the nodes of this level of ``hierarchy_``: 0 is the top, -1 or
            "leaf" the leaves, -2 or "parent" the level above them, and the name of a
            column stands for its level where y was a data frame. "path" gives what
            :meth:`predict_path` does. None leaves it to ``decision``.
        top_k : int, optional
            Return what ``predict_topk(X, top_k)`` does. A pipeline passes it on, where it has
            no method of that name: ``pipeline.predict(X, top_k=5)``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_levels)
            Labels, or the ``reject_label`` of ``decision`` where it gives no answer.
            Where y was paths and there is no ``level``, paths: as long as the
            given hierarchy is deep, or as y is wide if that is more. Without a given
            hierarchy, lists of different lengths make them as long as the longest of this
            fit, which differs from fold to fold: for ``cross_val_predict`` give
            ``hierarchy=Hierarchy.from_paths(y)``. The likeliest node of a level need not be
            the ancestor of the likeliest leaf, which :meth:`predict_path` gives. With
            ``top_k``, a pair of arrays of shape (n_samples, top_k).

        Raises
        ------
        ValueError
            If there is no such level, the decision cannot promise a node of it, or both
            ``level`` and ``top_k`` are given.
        """
        check_is_fitted(self)
        if top_k is not None:
            if level is not None:
                raise ValueError(
                    f"top_k={top_k!r} asks for the likeliest of all classes, and level={level!r} "
                    "for nodes of a level: give one of them"
                )
            return self.predict_topk(X, top_k)
        if _is(level, "path") or (level is None and self._longest_path is not None):
            return self.predict_path(X)
        nodes = self._choose(X, self._number_of(level))
        reject_label = as_decision(self.decision).reject_label
        return name_nodes(
            nodes, self.classes_, self._class_positions, self.hierarchy_, reject_label
        )

    def predict_topk(self, X: Any, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the k likeliest classes, and their probabilities.

        In a large tree most classes are not looked at: a node is never likelier than the node
        above it, so a search from the root knows when it has found the likeliest. The result is
        exact all the same. Where the model is in doubt between very many classes a sample takes
        the pass over all of them; with ``verbose`` a line says how many did. So do all samples
        where the hierarchy is small or no tree, in :class:`FlatSoftmaxClassifier`, and where
        the last layer reads a sparse X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        k : int
            How many classes; at most all of ``classes_``.

        Returns
        -------
        labels : ndarray of shape (n_samples, k)
            Of ``classes_``, the likeliest first. Where y was paths they are leaves, as
            ``classes_`` are. Of equally likely classes any may come first.
        proba : ndarray of shape (n_samples, k)
            Their probabilities, those of :meth:`predict_proba`.

        Raises
        ------
        TypeError
            If ``k`` is no integer.
        ValueError
            If ``k`` is less than 1 or more than there are classes.
        """
        check_is_fitted(self)
        if not isinstance(k, Integral) or isinstance(k, bool):
            raise TypeError(f"k must be an integer, got {k!r}")
        n_classes = len(self.classes_)
        if not 1 <= k <= n_classes:
            raise ValueError(f"k={k}, and there are {n_classes} classes to choose from")
        leaves, log_proba, _ = self._find_leaves(X, int(k))
        columns = self._class_columns
        if columns is not None:
            leaves = np.argsort(columns)[leaves]
        return self.classes_[leaves], np.exp(log_proba)

    def predict_log_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the log-probability of every class, or of every node of a level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent", "all" or str, optional
            As in :meth:`predict_proba`.

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
        check_is_fitted(self)
        columns: NDArray[Any] = self._collect(
            X, self._level(level), n_columns=lambda: self._n_columns(level)
        )
        return columns

    def predict_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the probability of every class, or of every node of a level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf", "parent", "all" or str, optional
            A level of ``hierarchy_``: 0 is the top, -1 or "leaf" the leaves, -2 or
            "parent" the level above them, and the name of a column stands for its level
            where y was a data frame. "all" is every node. None is "leaf".

        Returns
        -------
        ndarray of shape (n_samples, n_nodes_of_the_level)
            The names of the columns are ``level_classes(level)``. The nodes of a level
            sum to 1, and a node's probability is the sum of its children's.

        Raises
        ------
        ValueError
            If there is no such level.
        MemoryError
            If the result takes more than half of the memory of the machine: see
            :meth:`predict_topk`, or predict blocks of samples.
        """
        check_is_fitted(self)
        log_proba = self._level(level)
        columns: NDArray[Any] = self._collect(
            X,
            lambda network, x: log_proba(network, x).exp(),
            n_columns=lambda: self._n_columns(level),
        )
        return columns

    def level_classes(self, level: int | str | None = None) -> NDArray[Any]:
        """Return the names of the columns of ``predict_proba(X, level)``, in their order.

        Parameters
        ----------
        level : int, "leaf", "parent", "all" or str, optional
            As in :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n_nodes_of_the_level,)
            ``classes_`` for the leaves, else the nodes of the level in the order of
            ``hierarchy_.nodes``. :meth:`Hierarchy.aggregate` has the same order.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        check_is_fitted(self)
        number = self._number_of(level)
        if not _is(number, "all"):
            columns = self.hierarchy_.level_indices("leaf" if number is None else number)
            if _are_leaves(columns, self.hierarchy_):
                return self.classes_
        return self.hierarchy_.level_classes(number)

    def predict_node_proba(self, X: Any) -> NDArray[Any]:
        """Compute the probability of every node: ``predict_proba(X, level="all")``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.

        Returns
        -------
        ndarray of shape (n_samples, n_nodes)
            Columns in the order of ``hierarchy_.nodes``.
        """
        return self.predict_proba(X, level="all")

    def predict_path(self, X: Any) -> NDArray[Any]:
        """Predict the path from the top level to what ``predict`` chooses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.

        Returns
        -------
        ndarray of shape (n_samples, n_levels)
            The ancestors of the node that is chosen, top first, and itself; padded as
            :meth:`Hierarchy.paths_from_leaves` does where it is no deeper. In a DAG the
            likeliest path to it. Where ``decision`` gives no answer, its
            ``reject_label`` is the only label of the row.
        """
        check_is_fitted(self)
        hierarchy = self.hierarchy_
        if hierarchy.is_tree:
            paths = hierarchy.path_indices(self._choose(X, None))
        else:
            choose = self._chooser(None)

            def climb(network: HierarchyNetwork, x: Any) -> torch.Tensor:
                return network.softmax.likeliest_path(network.last_hidden(x), choose(network, x))

            paths = self._collect(X, climb)
        if len(self._stops):
            paths[np.isin(paths, self._stops)] = -1
        reject_label = as_decision(self.decision).reject_label
        return name_paths(paths, hierarchy, reject_label, width=self._longest_path or 0)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of rows whose label, or whole path, is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            True labels, in the form that was fitted.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            In [0, 1]. For scores that know the hierarchy see :mod:`hierclf.metrics`.
        """
        predicted = self.predict(X)
        return accuracy(y, predicted, sample_weight, self.hierarchy_, type(self).__name__)

    def _choose(self, X: Any, level: int | str | None) -> NDArray[np.intp]:
        """Choose nodes, as positions in ``hierarchy_.nodes``; where that goes, without all."""
        decision, hierarchy = as_decision(self.decision), self.hierarchy_
        decision.check()
        network, positions = self._network, hierarchy.leaf_indices
        if network.softmax.searches(1):
            is_of_leaves = level is None or _are_leaves(hierarchy.level_indices(level), hierarchy)
            if isinstance(decision, Argmax) and is_of_leaves:
                return positions[self._find_leaves(X, 1)[0][:, 0]]
            reads_sparse = sp.issparse(X) and not len(network.hidden)
            descends = network.softmax.descends_sparse or not reads_sparse
            if type(decision) is TopDown and is_of_leaves and descends:
                reached: NDArray[np.intp] = self._collect(X, _descend, looks_at_all=False)[0]
                return positions[reached]
        nodes: NDArray[np.intp] = self._collect(X, self._chooser(level))
        return nodes

    def _find_leaves(self, X: Any, k: int) -> tuple[NDArray[np.intp], NDArray[Any], int]:
        """Return positions in ``hierarchy_.leaves`` and log-probabilities, both (n_samples, k).

        The last is for how many of the samples all leaves were looked at.
        """
        n_dense = 0

        def find(network: HierarchyNetwork, x: Any) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal n_dense
            found = network.topk_leaves(x, k)
            n_dense += found.n_dense
            return found.positions, found.log_proba

        looks_at_all = not self._network.softmax.searches(k)
        leaves, log_proba = self._collect(X, find, looks_at_all=looks_at_all)
        return leaves, log_proba, n_dense

    def _chooser(self, level: int | str | None) -> _Function:
        """Return what chooses nodes, as positions in ``hierarchy_.nodes``."""
        decision = as_decision(self.decision)
        decision.check()
        hierarchy = self.hierarchy_
        if isinstance(decision, Argmax):
            # The probabilities themselves are not needed, nor those of classes on other levels.
            columns = hierarchy.level_indices("leaf" if level is None else level)
            if not _are_leaves(columns, hierarchy):
                return lambda network, x: take(columns, argmax(select(network(x), columns)))
            scores = self._level(None, of_leaves=HierarchyNetwork.leaf_scores)
            return lambda network, x: take(self._class_positions, argmax(scores(network, x)))
        rule = decision.build(self._class_positions, hierarchy, level)
        log_proba = self._level(None)

        def choose(network: HierarchyNetwork, x: Any) -> torch.Tensor:
            proba = check_log_proba(log_proba(network, x)).exp().cpu().numpy()
            return torch.from_numpy(rule(proba))

        return choose

    def _level(
        self, level: int | str | None, of_leaves: _Function = HierarchyNetwork.leaf_log_proba
    ) -> _Function:
        """Return what gives the log-probabilities of a level."""
        if _is(level, "all"):
            return HierarchyNetwork.forward
        hierarchy, level = self.hierarchy_, self._number_of(level)
        columns = hierarchy.level_indices("leaf" if level is None else level)
        if not _are_leaves(columns, hierarchy):
            return lambda network, x: select(network(x), columns)
        of_classes = self._class_columns
        if of_classes is None:
            return of_leaves
        return lambda network, x: select(of_leaves(network, x), of_classes)

    def _number_of(self, level: int | str | None) -> int | str | None:
        """Return the number of a level that is named by a column of y, and others as they are."""
        if not isinstance(level, str) or level in ("leaf", "parent", "all"):
            return level
        if level in self._level_names:
            return self._level_names.index(level)
        words = '"leaf" or "parent"'
        if self._level_names:
            words = f'"leaf", "parent" or a column of y {self._level_names}'
        raise ValueError(f"level must be an integer, {words}, got {level!r}")

    def _n_columns(self, level: int | str | None) -> int:
        """Count the columns of a level."""
        if _is(level, "all"):
            return len(self.hierarchy_)
        number = self._number_of(level)
        return len(self.hierarchy_.level_indices("leaf" if number is None else number))


def _class_columns(positions: NDArray[np.intp], hierarchy: Hierarchy) -> NDArray[np.intp] | None:
    """Return which leaf each class is; None where they are the leaves in their order."""
    columns = np.searchsorted(hierarchy.leaf_indices, positions)
    return None if np.array_equal(columns, np.arange(len(columns))) else columns


def _are_leaves(columns: NDArray[np.intp], hierarchy: Hierarchy) -> bool:
    leaves = hierarchy.leaf_indices
    return columns is leaves or np.array_equal(columns, leaves)


def _descend(network: HierarchyNetwork, x: Any) -> tuple[torch.Tensor, torch.Tensor]:
    head: Any = network.head
    found = head.descend(network.last_hidden(x))
    return found.positions[:, 0], found.log_proba[:, 0]


def take(columns: NDArray[np.intp], chosen: torch.Tensor) -> torch.Tensor:
    """Return which nodes some columns stand for."""
    return torch.as_tensor(columns, device=chosen.device)[chosen]


def _is(level: Any, word: str) -> bool:
    """Tell whether a level is a word: numpy compares numbers with it, and warns."""
    return isinstance(level, str) and level == word


def level_names(y: Any) -> tuple[str, ...]:
    """Return the names of the columns of a table of paths, if it has any."""
    names = column_names(y) or ()
    return tuple(names) if all(isinstance(name, str) for name in names) else ()
