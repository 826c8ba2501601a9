"""What the displays share: the hierarchy and probabilities of an estimator, axes and text."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from hierclf._utils.find_hierarchy import is_multilabel
from hierclf._utils.proba import check_proba, read_classes, read_proba
from hierclf.hierarchy import Hierarchy

GREY = "0.75"

# Text is drawn a little wider than its outlines, since letters snap to whole pixels.
_HINTING = 1.07


# -- what an estimator knows


def node_probabilities(estimator: Any, X: Any, hierarchy: Hierarchy) -> NDArray[Any]:
    """Return the probability of every node, of shape (n, N), from any classifier.

    For a classifier that knows only its classes, the probability of a node is the sum over the
    classes at or below it. A classifier that knows more may be inside a search or at the end of
    a pipeline.
    """
    inner, pipelines = _unwrap(estimator)
    own = getattr(inner, "hierarchy_", None)
    if own == hierarchy and hasattr(inner, "predict_node_proba"):
        for pipeline in pipelines:
            X = pipeline[:-1].transform(X) if len(pipeline) > 1 else X
        return np.asarray(inner.predict_node_proba(X))
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"{type(estimator).__name__} has no method predict_proba: the display needs "
            "probabilities"
        )
    name = f"what {type(estimator).__name__}.predict_proba returned"
    if is_multilabel(estimator):  # each node has a probability of its own
        labels, positions = read_classes(estimator.classes_, hierarchy)
        proba = check_proba(estimator.predict_proba(X), labels, name)
        values = np.zeros((len(proba), len(hierarchy)), dtype=proba.dtype)
        values[:, positions] = proba
        return values
    classes, _, proba = read_proba(
        estimator.predict_proba(X), estimator.classes_, hierarchy, name=name
    )
    return hierarchy.aggregate(proba, classes)


def _unwrap(estimator: Any) -> tuple[Any, list[Pipeline]]:
    """Return the classifier whose probabilities these are, and the pipelines that lead to it."""
    pipelines = []
    while True:
        if isinstance(estimator, Pipeline):
            pipelines.append(estimator)
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator, pipelines


def refuse_several(estimator: Any, caller: str, cure: str) -> None:
    """Refuse an estimator that was fitted to several labels per sample."""
    if is_multilabel(estimator):
        raise ValueError(
            f"{caller} shows classifiers of one label per sample, and {type(estimator).__name__} "
            f"was fitted to several: {cure}"
        )


def check_one_row(X_row: Any) -> None:
    """Refuse anything but one sample."""
    shape = getattr(X_row, "shape", None)
    if isinstance(X_row, (str, bytes)) or shape == ():
        raise ValueError(f"X_row must be one row in an array or list, as X[:1], got {X_row!r}")
    n_rows = len(X_row) if shape is None else shape[0]
    if n_rows != 1:
        raise ValueError(f"X_row must have one row, as X[:1], it has {n_rows}")


def check_node_proba(node_proba: Any, hierarchy: Hierarchy) -> NDArray[np.float64]:
    """Return the probability of every node for one sample, of shape (N,)."""
    values = np.asarray(node_proba, dtype=np.float64)
    if values.shape == (1, len(hierarchy)):
        values = values[0]
    if values.shape != (len(hierarchy),):
        raise ValueError(
            f"node_proba must have one value for each of the {len(hierarchy)} nodes of the "
            f"hierarchy, its shape is {values.shape}"
        )
    outside = ~((values >= 0) & (values <= 1 + 1e-4))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"node_proba must hold probabilities, that of {hierarchy.nodes[i]!r} is {values[i]}"
        )
    return values


# -- matplotlib


def import_pyplot(caller: str) -> Any:
    """Import matplotlib.pyplot, which is an optional dependency."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib: pip install matplotlib (the extra 'plot' of hierclf)"
        ) from error
    return plt


def check_plot_params(display: type, params: dict[str, Any]) -> None:
    """Refuse parameters that `plot` does not take, before anything is predicted."""
    import_pyplot(display.__name__)
    try:
        signature(display.plot).bind(None, **params)  # type: ignore[attr-defined]
    except TypeError as error:
        raise TypeError(f"{display.__name__}.plot: {error}") from None


def get_axes(caller: str, ax: Any, figsize: tuple[float, float]) -> Any:
    """Return the axes given, or those of a new figure."""
    plt = import_pyplot(caller)
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="compressed")
    return ax


def axes_size(ax: Any) -> tuple[float, float]:
    """Return the width and height of the axes in points, as they will be drawn."""
    figure = ax.figure.canvas.figure  # the whole one, if the axes are in a part of it
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    box = ax.get_window_extent()
    return box.width * 72 / figure.dpi, box.height * 72 / figure.dpi


def text_width(text: str, size: float) -> float:
    """Return the width of a text in points, in the default font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size), ismath=False
    )
    return _HINTING * float(width)


def fit_text(text: str, size: float, width: float, least: float = 0.5) -> str:
    """Cut a text to a width in points; "" if less than a share `least` of it would be left."""
    full = text_width(text, size)
    if full <= width:
        return text
    for kept in range(int(len(text) * width / full), max(int(least * len(text)), 2), -1):
        cut = text[:kept].rstrip() + "…"
        if text_width(cut, size) <= width:
            return cut
    return ""


def readable_size(room: float, largest: float = 9.0, smallest: float = 4.5) -> float | None:
    """Return the size of text in lines of a height in points; None if they are too low."""
    size = min(largest, room / 1.15)
    return size if size >= smallest else None
