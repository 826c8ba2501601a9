"""A hierarchy as a tree that grows from left to right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._drawing import printable
from hierclf.plotting._common import GREY, fit_text, readable_size, text_width
from hierclf.plotting._drawn import Drawn
from hierclf.plotting._layout import drawn_parents, tree_positions

# How far right of the parent an edge turns, in levels: early, to leave room for a name.
TURN = 0.12
GAP = 5.0  # between a node and its name, in points
LONGEST = 0.5  # the widest name of a leaf, as a share of the width of the axes


def draw_tree(
    ax: Any,
    hierarchy: Hierarchy,
    colors: NDArray[Any],
    size: tuple[float, float],
    max_labels: int | None,
) -> Drawn:
    """Draw a tree into axes whose width and height in points are `size`."""
    from matplotlib.collections import LineCollection

    width, height = size
    positions = tree_positions(hierarchy)
    n_rows = 1 + positions[:, 1].max()
    row = height / n_rows
    n_leaves = len(hierarchy.leaves)
    budget = len(hierarchy) if max_labels is None else max_labels
    font = readable_size(row) if n_leaves <= budget else None
    leaves = hierarchy.leaf_indices.tolist() if font is not None else []
    names = {
        i: fit_text(printable(hierarchy.nodes[i]), font or 0, LONGEST * width, least=0)
        for i in leaves
    }

    # Points per level, such that the longest name that follows a leaf still fits.
    right = [
        positions[i, 0] / (1 - (text_width(name, font or 0) + 2 * GAP) / width)
        for i, name in names.items()
    ]
    n_levels = max([hierarchy.n_levels + 0.1, *right]) + 0.1
    ax.set(xlim=(-0.1, n_levels - 0.1), ylim=(n_rows - 0.5, -0.5))
    level = width / n_levels

    line = float(np.clip(row / 6, 0.5, 1.6))
    is_placing = (
        drawn_parents(hierarchy)[hierarchy.arrays.edge_children] == hierarchy.arrays.edge_parents
    )
    edges = LineCollection(
        _edge_lines(hierarchy, positions, is_placing),
        colors=GREY,
        linewidths=0.6 * line,
        linestyles=["solid" if is_first else "dotted" for is_first in is_placing],
        zorder=1,
    )
    # The last stretch belongs to one node alone and has its colour.
    turns = np.column_stack([positions[drawn_parents(hierarchy), 0] + TURN, positions[:-1, 1]])
    branches = LineCollection(
        list(np.stack([turns, positions[:-1]], axis=1)), colors=colors, linewidths=line, zorder=1
    )
    ax.add_collection(edges, autolim=False)
    ax.add_collection(branches, autolim=False)
    dot = float(np.clip(row / 2, 1.5, 6.0)) ** 2
    ax.scatter(*positions[-1], s=dot, color="0.3", zorder=2)
    nodes = ax.scatter(*positions[:-1].T, s=dot, c=colors, zorder=2)

    texts = {}
    for i, name in names.items():
        texts[hierarchy.nodes[i]] = _write(ax, name, positions[i], font, side="right")
    inner_font = font or 7.0
    for i, name in _inner_names(
        hierarchy, positions, inner_font, (level, row), budget - len(texts)
    ):
        texts[hierarchy.nodes[i]] = _write(ax, name, positions[i], inner_font, side="left")
    return Drawn(nodes, texts, edges=edges, branches=branches, positions=positions)


def _edge_lines(
    hierarchy: Hierarchy, positions: NDArray[np.float64], is_placing: NDArray[np.bool_]
) -> list[NDArray[Any]]:
    """Return the lines of the edges: with corners to the children placed by them, else straight."""
    lines = []
    ends = zip(
        positions[hierarchy.arrays.edge_parents],
        positions[hierarchy.arrays.edge_children],
        strict=True,
    )
    for (start, end), has_corners in zip(ends, is_placing, strict=True):
        turn = start[0] + TURN
        corners = [(turn, start[1]), (turn, end[1])] if has_corners else []
        lines.append(np.array([start, *corners, end]))
    return lines


def _inner_names(
    hierarchy: Hierarchy,
    positions: NDArray[np.float64],
    font: float,
    spacing: tuple[float, float],
    budget: int,
) -> Iterator[tuple[int, str]]:
    """Yield the inner nodes there is room to name, those with the most leaves first."""
    level, row = spacing
    room = (1 - TURN) * level - GAP - 1
    inner = hierarchy.arrays.inner_indices[1:]
    y = positions[:-1, 1] * row
    for i in inner[np.argsort(-hierarchy.leaf_counts[inner], kind="stable")].tolist():
        if budget <= 0:
            return
        beside = np.flatnonzero(hierarchy.depths == hierarchy.depths[i])
        # A name must not hide the branch of another node, nor touch its name.
        if (np.abs(y[beside] - y[i]) < 1.1 * font).sum() > 1:
            continue
        name = fit_text(printable(hierarchy.nodes[i]), font, room)
        if name:
            budget -= 1
            yield i, name


def _write(ax: Any, text: str, position: NDArray[Any], font: Any, side: str) -> Any:
    is_right = side == "right"
    return ax.annotate(
        text,
        position,
        xytext=(GAP if is_right else -GAP, 0),
        textcoords="offset points",
        ha="left" if is_right else "right",
        va="center_baseline" if is_right else "center",
        fontsize=font,
        # Lines run behind the name.
        bbox={"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 0.6},
        parse_math=False,
        zorder=3,
    )
