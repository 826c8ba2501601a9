"""What y and the weights say: the node of each sample, the classes, and how much each weighs."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.labels import have_other_types
from hierclf._utils.sklearn_private import check_sample_weight
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._derivations import stop_name
from hierclf.hierarchy._nodes import as_list, plain_array, shorten, sort_classes


class Targets(NamedTuple):
    """The nodes that the rows are labelled with, and the classes that can be predicted.

    Attributes
    ----------
    hierarchy : Hierarchy
        Pruned to what is above, at or below a label.
    classes : ndarray of shape (n_classes,)
        The leaves, sorted where they can be, in the dtype of y.
    class_positions : ndarray of shape (n_classes,)
        Their positions in ``hierarchy.nodes``.
    stops : ndarray of shape (n_stops,)
        The positions of the leaves that stand for an inner node.
    labelled : ndarray of shape (n_labels,)
        Positions in ``hierarchy.nodes`` of the labels that occur.
    codes : ndarray of shape (n_rows,)
        Which of them each row has.
    labels : list of nodes
        What the hierarchy that was given calls them.
    given : ndarray of shape (n_labels,)
        Their positions in its ``nodes``.
    """

    hierarchy: Hierarchy
    classes: NDArray[Any]
    class_positions: NDArray[np.intp]
    stops: NDArray[np.intp]
    labelled: NDArray[np.intp]
    codes: NDArray[np.intp]
    labels: list[Any]
    given: NDArray[np.intp]

    @property
    def nodes(self) -> NDArray[np.intp]:
        """The position in ``hierarchy.nodes`` of the node of each row."""
        return self.labelled[self.codes]

    def nodes_of_labels(self, given: Hierarchy, inner_labels: str) -> NDArray[np.intp]:
        """Return what each node of the hierarchy that was given stands for as a label.

        A label may be any node that is left of it, unless inner nodes are classes themselves:
        then it is one of these labels. Of others the result is -1.
        """
        nodes = np.full(len(given), -1)
        if inner_labels == "itself":
            nodes[self.given] = self.labelled
        elif self.hierarchy is given:
            nodes = np.arange(len(given))
        else:
            kept = self.hierarchy.nodes
            nodes[given.node_indices(plain_array(kept))] = np.arange(len(kept))
        return nodes


def read_targets(
    y: NDArray[Any], hierarchy: Hierarchy, *, are_positions: bool, inner_labels: str
) -> Targets:
    """Look labels up in a hierarchy and prune it to them.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels, or positions in ``hierarchy.nodes``.
    hierarchy : Hierarchy
        The hierarchy as it was given.
    are_positions : bool
        Whether y holds positions.
    inner_labels : {"below", "itself"}
        What a label that is an inner node stands for.

    Returns
    -------
    Targets
        Positions in it are those of the pruned hierarchy.

    Raises
    ------
    ValueError
        If a label is not in the hierarchy, or its edges seem reversed.
    """
    names, codes = np.unique(y, return_inverse=True)
    before = names if are_positions else hierarchy.node_indices(names)
    labels = [hierarchy.nodes[i] for i in before.tolist()]
    check_direction(hierarchy, before)
    if inner_labels == "itself":
        pruned = hierarchy.stop_at(labels)
        leaf_names = set(pruned.leaves)
        own = [label if label in leaf_names else stop_name(label) for label in labels]
        labelled = pruned.node_indices(plain_array(own))
    else:
        pruned = hierarchy.prune(labels)
        labelled = pruned.node_indices(labels)
    leaves = pruned.leaf_indices
    if not are_positions and len(leaves) == len(labelled) and np.isin(labelled, leaves).all():
        classes, positions = names, labelled
    elif inner_labels == "itself":
        classes = sort_classes(labels)
        position = dict(zip(labels, labelled.tolist(), strict=True))
        positions = np.array([position[label] for label in as_list(classes)])
    else:
        classes = sort_classes(pruned.leaves)
        positions = pruned.node_indices(classes)
        if not are_positions:
            classes = in_dtype(classes, y.dtype)
    pairs = zip(labelled.tolist(), labels, strict=True)
    stops = np.array([i for i, label in pairs if pruned.nodes[i] != label], dtype=np.intp)
    codes = codes.reshape(-1)
    return Targets(pruned, classes, positions, stops, labelled, codes, labels, before)


def check_direction(hierarchy: Hierarchy, labelled: NDArray[np.intp]) -> None:
    """Refuse edges from child to parent.

    Classes get fewer towards the root. A hierarchy with more nodes at its top than leaves is
    upside down where no label is a leaf of it. No tree has more, so that rows known only
    coarsely are no reason to refuse one.
    """
    n_top = int(hierarchy.arrays.depth_offsets[1])
    leaves = hierarchy.leaf_indices
    at_top = labelled[labelled < n_top]
    if hierarchy.root is not Hierarchy.ROOT or n_top <= len(leaves) or not len(at_top):
        return
    if np.isin(labelled, leaves).any():
        return
    nodes, first = hierarchy.nodes, int(at_top[0])
    edge = nodes[first], hierarchy.children(nodes[first])[0]
    raise ValueError(
        f"the edges of the hierarchy seem reversed: no label of y is a leaf, labels such as "
        f"{shorten(nodes[i] for i in at_top.tolist())} have no parent, and the only leaves are "
        f"{shorten(nodes[i] for i in leaves.tolist())}. An edge is (parent, child): if "
        f"{edge[1]!r} is the parent of {edge[0]!r}, give {edge[::-1]!r} and not {edge!r}"
    )


def in_dtype(labels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give labels the dtype of others, unless it is too narrow to hold them."""
    if dtype.kind == "O":
        return labels.astype(object)
    if not (dtype.kind in "iu" and labels.dtype.kind in "iu"):
        return labels
    cast = labels.astype(dtype)
    return cast if np.array_equal(cast, labels) else labels


def drop_zero_weights(
    X: Any, y: NDArray[Any], sample_weight: ArrayLike
) -> tuple[Any, NDArray[Any], NDArray[Any]]:
    """Check weights, and leave out the rows that have none."""
    weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    present = weight > 0
    if not present.any():
        raise ValueError("sample_weight is 0 for every row: there is nothing to learn from")
    if not present.all():
        X, y, weight = X[present], y[present], weight[present]
    return X, y, weight


def scale_weights(weight: NDArray[Any] | None) -> NDArray[Any] | None:
    """Scale weights, of which only the ratios count, to a mean of 1."""
    if weight is None:
        return None
    weight = weight / weight.max()  # so that sums stay finite
    scaled: NDArray[Any] = weight * (len(weight) / weight.sum())
    return scaled


def combine_weights(
    class_weight: Any,
    sample_weight: NDArray[Any] | None,
    targets: Targets,
    hierarchy: Hierarchy,
    *,
    is_given: bool,
    is_stream: bool = False,
) -> NDArray[Any] | None:
    """Multiply class weights and sample weights, and scale them to a mean of 1.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        As the user gave it.
    sample_weight : ndarray of shape (n_rows,) or None
        Positive weights.
    targets : Targets
        The nodes of the rows.
    hierarchy : Hierarchy
        The whole hierarchy, whose nodes the keys are.
    is_given : bool
        Whether the user gave it. If not, it has the labels of these rows only, and a key
        may be a label that other rows have.
    is_stream : bool
        Whether more rows are to come, next to which these weigh what they weigh: nothing is
        scaled.

    Returns
    -------
    ndarray of shape (n_rows,) or None
        None where all rows weigh the same.
    """
    if class_weight is None and sample_weight is None:
        return None
    weight = np.ones(len(targets.codes)) if sample_weight is None else sample_weight
    if class_weight == "balanced":
        weight = weight * _balanced(targets, weight)[targets.codes]
    elif class_weight is not None:
        weight = weight * _of_labels(class_weight, targets, hierarchy, is_given)[targets.codes]
    if is_stream:
        return weight
    total = weight.sum()
    if not total > 0:
        raise ValueError("the class weights of all classes in y are 0: nothing to learn from")
    scaled: NDArray[Any] = weight * (len(weight) / total)
    return scaled


def _balanced(targets: Targets, weight: NDArray[Any]) -> NDArray[Any]:
    """Weigh labels so that all leaves count the same in total.

    A row known only as far as an inner node counts as a row of a leaf below it does on
    average; where there is none, as a row does on average over all leaves.
    """
    hierarchy, labelled = targets.hierarchy, targets.labelled
    totals = np.bincount(targets.codes, weights=weight)
    is_leaf = np.isin(labelled, hierarchy.leaf_indices)
    if not is_leaf.any():
        return np.ones(len(labelled))
    item, above = hierarchy.ancestor_pairs(labelled[is_leaf])
    n_leaves = np.bincount(above, minlength=len(hierarchy))[labelled]
    total = np.bincount(above, weights=totals[is_leaf][item], minlength=len(hierarchy))[labelled]
    on_average = is_leaf.sum() / totals[is_leaf].sum()
    weights = np.full(len(labelled), on_average)
    np.divide(n_leaves, total, out=weights, where=n_leaves > 0)
    return weights


def _of_labels(
    class_weight: dict[Any, float], targets: Targets, hierarchy: Hierarchy, is_given: bool
) -> NDArray[Any]:
    """Look up the weight of each label: its own, else that of the nearest node above it."""
    for label, given in class_weight.items():
        if not isinstance(given, Real) or not 0 <= given < np.inf:
            raise ValueError(
                f"class_weight must be finite and not negative, got {given!r} for {label!r}"
            )
    weights, unweighted = [], []
    for label in targets.labels:
        keys = [node for node in (label, *hierarchy.ancestors(label)) if node in class_weight]
        nearest = min(keys, key=lambda key: hierarchy.distance(label, key), default=None)
        weights.append(1.0 if nearest is None else class_weight[nearest])
        unweighted += [] if keys else [label]
    unknown = [key for key in class_weight if key not in hierarchy]
    if unknown and (is_given or unweighted):
        _refuse_keys(unknown, unweighted, targets, hierarchy, is_given)
    return np.array(weights, dtype=float)


def _refuse_keys(
    unknown: list[Any],
    unweighted: list[Any],
    targets: Targets,
    hierarchy: Hierarchy,
    is_given: bool,
) -> None:
    """Say which keys of class_weight are no labels."""
    if have_other_types(unknown, hierarchy.nodes):
        try:
            hierarchy.node_indices(plain_array(unknown))
        except ValueError as error:
            raise ValueError(f"class_weight has keys that are no labels: {error}") from None
    message = (
        f"class_weight has keys that are no labels: {unknown[:5]!r}; "
        f"labels are such as {targets.classes.tolist()[:3]!r}"
    )
    if not is_given:
        # As scikit-learn: with a weight for each label, a further key is that of a label which
        # these rows lack; without, it may be misspelt.
        message += (
            f". Keys of labels that y lacks are ignored where each label of y has a weight, or "
            f"where they are nodes of a given hierarchy; these have none: {shorten(unweighted)}"
        )
    raise ValueError(message)
