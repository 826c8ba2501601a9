"""Checks of what a user gives to ``fit``, and what becomes of it before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from hierclf._compat import check_sample_weight
from hierclf._labels import Targets
from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import shorten


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Put the attributes of an estimator back if anything is raised."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def resolve_device(device: str) -> str:
    """Return the device that ``device`` names, once it is there.

    Parameters
    ----------
    device : {"cpu", "cuda", "mps", "auto"} or str
        A name that torch knows, with an optional index; "auto" is the first
        accelerator found, else the processor.

    Returns
    -------
    str
        A name for :class:`torch.device`.

    Raises
    ------
    ValueError
        If torch does not know the device or does not find it here.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(kind for kind, is_there in available.items() if is_there)
    kind, _, index = device.partition(":")
    if kind not in available or (index and not index.isdecimal()):
        raise ValueError(
            f"unknown device {device!r}: use 'cpu', 'cuda', 'mps' or 'auto', "
            f"with an index as in 'cuda:0' where there are several"
        )
    if not available[kind] or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise ValueError(
            f"device {device!r} is not available here; use 'auto' for the best there is"
        )
    return device


def check_hidden_layer_sizes(sizes: Any, default: tuple[int, ...]) -> tuple[int, ...]:
    if sizes is None:
        return default
    sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes must hold integers of at least 1, got {size!r} in {sizes!r}"
            )
    return tuple(int(size) for size in sizes)


def check_callbacks(callbacks: Iterable[Any] | None) -> list[Any]:
    items = list(callbacks or ())
    for item in items:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not hasattr(callback, "on_epoch_end"):
            raise ValueError(
                f"callbacks must hold skorch callbacks or (name, callback) pairs, got {item!r}"
            )
    return items


def drop_zero_weights(
    X: Any, y: NDArray[Any], sample_weight: ArrayLike
) -> tuple[Any, NDArray[Any], NDArray[Any]]:
    """Check weights, leave out the rows that have none, and scale the largest to 1."""
    weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    present = weight > 0
    if not present.any():
        raise ValueError("sample_weight is 0 for every row: there is nothing to learn from")
    if not present.all():
        X, y, weight = X[present], y[present], weight[present]
    return X, y, weight / weight.max()  # only the ratios count, and sums stay finite


def combine_weights(
    class_weight: Any,
    sample_weight: NDArray[Any] | None,
    targets: Targets,
    hierarchy: Hierarchy,
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
        The hierarchy as it was given, whose nodes the keys are.

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
        weight = weight * _of_labels(class_weight, targets, hierarchy)[targets.codes]
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
    class_weight: dict[Any, float], targets: Targets, hierarchy: Hierarchy
) -> NDArray[Any]:
    """Look up the weight of each label: its own, else that of the nearest node above it."""
    unknown = [key for key in class_weight if key not in hierarchy]
    if unknown:
        raise ValueError(
            f"class_weight has keys that are no labels: {unknown[:5]!r}; "
            f"labels are such as {targets.classes.tolist()[:3]!r}"
        )
    for label, given in class_weight.items():
        if not isinstance(given, Real) or not 0 <= given < np.inf:
            raise ValueError(
                f"class_weight must be finite and not negative, got {given!r} for {label!r}"
            )
    nodes = targets.hierarchy.nodes
    weights = []
    for label in (nodes[i] for i in targets.labelled.tolist()):
        keys = [node for node in (label, *hierarchy.ancestors(label)) if node in class_weight]
        nearest = min(keys, key=lambda key: hierarchy.distance(label, key), default=None)
        weights.append(1.0 if nearest is None else class_weight[nearest])
    return np.array(weights, dtype=float)


def describe_encoder(encoder: BaseEncoder | None) -> tuple[Any, dict[str, Any]]:
    """Return what makes two encoders the same network."""
    if encoder is None:
        return None, {}
    params = encoder.get_params(deep=False)
    params.pop("learning_rate", None)
    return type(encoder), params


def check_same_network(
    estimator: Any,
    network: dict[str, Any],
    encoder: BaseEncoder | None,
    device: str,
) -> None:
    """Refuse a warm start that would need another network."""
    net = estimator.net_
    before_and_now = {name: (getattr(net, f"module__{name}"), network[name]) for name in network}
    before_and_now["device"] = net.device, device
    before_and_now["optimizer"] = estimator._optimizer, estimator.optimizer
    (kind, params), (kind_now, params_now) = estimator._encoder, describe_encoder(encoder)
    before_and_now["encoder"] = kind, kind_now
    if kind is kind_now:
        before_and_now |= {f"encoder__{name}": (params[name], params_now[name]) for name in params}
    for name, (before, now) in before_and_now.items():
        if before is not now and not np.array_equal(before, now):
            raise ValueError(
                f"warm_start=True goes on training the same network: {name} was {before!r} "
                f"and is now {now!r}"
            )


def check_same_classes(estimator: Any, classes: NDArray[Any], hierarchy: Hierarchy) -> None:
    """Refuse a warm start that would need another head."""
    if hierarchy != estimator.hierarchy_ or not np.array_equal(classes, estimator.classes_):
        before, now = shorten(estimator.classes_.tolist()), shorten(classes.tolist())
        raise ValueError(
            "warm_start=True goes on training the classes and the hierarchy of the last fit: "
            + (
                f"the classes were {before}, and are now {now}"
                if before != now
                else f"the hierarchy was {estimator.hierarchy_!r}, and is now {hierarchy!r}, "
                "with other edges"
            )
        )
