"""What the softmax classifiers predict, from the probabilities of the nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from hierclf._inputs import InputReader
from hierclf._targets import accuracy
from hierclf._training import SoftmaxNet, argmax
from hierclf.decisions import Argmax, as_decision
from hierclf.decisions._base import name_nodes
from hierclf.hierarchy import Hierarchy
from hierclf.nn.network import SoftmaxNetwork

_Function = Callable[[SoftmaxNetwork, Any], torch.Tensor]


class SoftmaxPredictions:
    """The methods that predict, of a classifier that has been fitted."""

    decision: Any

    classes_: NDArray[Any]
    hierarchy_: Hierarchy
    net_: SoftmaxNet
    _reader: InputReader
    _class_positions: NDArray[np.intp]
    _class_columns: NDArray[np.intp] | None
    _longest_path: int | None

    def predict(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Predict the class that ``decision`` chooses, the likeliest by default.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf" or "parent", optional
            Choose among the nodes of this level of ``hierarchy_``, 0 the top. None
            leaves it to ``decision``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_levels)
            Labels. Where y was paths and there is no ``level``, paths. The likeliest
            node of a level need not be the ancestor of the likeliest leaf, which
            :meth:`predict_path` gives.

        Raises
        ------
        ValueError
            If there is no such level, or the decision cannot promise a node of it.
        """
        check_is_fitted(self)
        if level is None and self._longest_path is not None:
            return self.predict_path(X)
        nodes = self._collect(X, self._chooser(level))
        return name_nodes(nodes, self.classes_, self._class_positions, self.hierarchy_)

    def predict_log_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the log-probability of every class, or of every node of a level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf" or "parent", optional
            A level of ``hierarchy_``, 0 the top. None is "leaf".

        Returns
        -------
        ndarray of shape (n_samples, n_nodes_of_the_level)
            Natural logarithms; columns as in :meth:`predict_proba`.
        """
        check_is_fitted(self)
        return self._collect(X, self._level(level))

    def predict_proba(self, X: Any, level: int | str | None = None) -> NDArray[Any]:
        """Compute the probability of every class, or of every node of a level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.
        level : int, "leaf" or "parent", optional
            A level of ``hierarchy_``, 0 the top. None is "leaf".

        Returns
        -------
        ndarray of shape (n_samples, n_nodes_of_the_level)
            Each row sums to 1. Leaves are in the order of ``classes_``, any other
            level in that of ``hierarchy_.level(level)``. A node's probability is the
            sum of its children's.
        """
        check_is_fitted(self)
        log_proba = self._level(level)
        return self._collect(X, lambda network, x: log_proba(network, x).exp())

    def predict_node_proba(self, X: Any) -> NDArray[Any]:
        """Compute the probability of every node.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads.

        Returns
        -------
        ndarray of shape (n_samples, n_nodes)
            Columns in the order of ``hierarchy_.nodes``.
        """
        check_is_fitted(self)
        return self._collect(X, lambda network, x: network(x).exp())

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
            likeliest path to it.
        """
        check_is_fitted(self)
        hierarchy, choose = self.hierarchy_, self._chooser(None)
        if hierarchy.is_tree:
            paths = hierarchy.path_indices(self._collect(X, choose))
        else:

            def climb(network: SoftmaxNetwork, x: Any) -> torch.Tensor:
                head: Any = network.head
                paths: torch.Tensor = head.likeliest_path(
                    network.last_hidden(x), choose(network, x)
                )
                return paths

            paths = self._collect(X, climb)
        n_missing = (self._longest_path or 0) - paths.shape[1]
        if n_missing > 0:
            paths = np.pad(paths, ((0, 0), (0, n_missing)), constant_values=-1)
        return hierarchy.name_paths(paths)

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
        return accuracy(y, self.predict(X), sample_weight)

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
            scores = self._level(None, of_leaves=SoftmaxNetwork.leaf_scores)
            return lambda network, x: take(self._class_positions, argmax(scores(network, x)))
        rule = decision.build(self._class_positions, hierarchy, level)
        log_proba = self._level(None)

        def choose(network: SoftmaxNetwork, x: Any) -> torch.Tensor:
            proba = log_proba(network, x).exp().cpu().numpy()
            return torch.from_numpy(rule(proba))

        return choose

    def _level(
        self, level: int | str | None, of_leaves: _Function = SoftmaxNetwork.leaf_log_proba
    ) -> _Function:
        """Return what gives the log-probabilities of a level."""
        hierarchy = self.hierarchy_
        columns = hierarchy.level_indices("leaf" if level is None else level)
        if not _are_leaves(columns, hierarchy):
            return lambda network, x: select(network(x), columns)
        of_classes = self._class_columns
        if of_classes is None:
            return of_leaves
        return lambda network, x: select(of_leaves(network, x), of_classes)

    def _collect(self, X: Any, function: _Function) -> NDArray[Any]:
        net = self.net_
        X = self._reader.rows(self._reader.check(self, X), net.dtype, net.device)
        return net.collect(X, function)


def class_columns(positions: NDArray[np.intp], hierarchy: Hierarchy) -> NDArray[np.intp] | None:
    """Return which leaf each class is; None where they are the leaves in their order."""
    columns = np.searchsorted(hierarchy.leaf_indices, positions)
    return None if np.array_equal(columns, np.arange(len(columns))) else columns


def _are_leaves(columns: NDArray[np.intp], hierarchy: Hierarchy) -> bool:
    leaves = hierarchy.leaf_indices
    return columns is leaves or np.array_equal(columns, leaves)


def select(values: torch.Tensor, columns: NDArray[np.intp]) -> torch.Tensor:
    """Return some columns, in half the time that indexing takes for one row."""
    return values.index_select(1, torch.as_tensor(columns, device=values.device))


def take(columns: NDArray[np.intp], chosen: torch.Tensor) -> torch.Tensor:
    """Return which nodes some columns stand for."""
    return torch.as_tensor(columns, device=chosen.device)[chosen]
