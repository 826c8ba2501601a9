"""A hierarchy as rings around the root: a sunburst."""

from __future__ import annotations

from math import cos, degrees, pi, radians, sin, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._drawing import printable
from hierclf.plotting._common import fit_text
from hierclf.plotting._drawn import Drawn
from hierclf.plotting._layout import ring_angles

HOLE = 0.6  # the radius of the hole in the middle, in rings
PAD = 2.0  # around a name, in points
FONTS = (9.0, 8.0, 7.0, 6.0, 5.0)


def draw_rings(
    ax: Any,
    hierarchy: Hierarchy,
    colors: NDArray[Any],
    size: tuple[float, float],
    max_labels: int | None,
) -> Drawn:
    """Draw rings into axes whose width and height in points are `size`."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    angles = ring_angles(hierarchy)
    radius = hierarchy.n_levels + HOLE
    ring = min(size) / (2.02 * radius)  # points
    wedges = [
        Wedge((0, 0), depth + HOLE, first, last, width=1)
        for depth, (first, last) in zip(hierarchy.depths.tolist(), angles.tolist(), strict=True)
    ]
    narrowest = radians(360 / len(hierarchy.leaves)) * radius * ring
    nodes = PatchCollection(
        wedges,
        facecolors=colors,
        edgecolors=ax.get_facecolor(),
        # Lines between many leaves would hide them.
        linewidths=float(np.clip(narrowest / 8, 0.1, 1.0)),
    )
    ax.add_collection(nodes, autolim=False)
    limit = 1.01 * radius
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")

    texts: dict[Any, Any] = {}
    for i in np.argsort(-hierarchy.leaf_counts, kind="stable").tolist():
        if max_labels is not None and len(texts) >= max_labels:
            break
        node = hierarchy.nodes[i]
        middle = hierarchy.depths[i] + HOLE - 0.5
        extent = radians(angles[i, 1] - angles[i, 0])
        name, font, is_radial = _place(printable(node), extent, middle * ring, ring)
        if not name:
            continue
        at = radians(angles[i].mean())
        texts[node] = ax.text(
            middle * cos(at),
            middle * sin(at),
            name,
            rotation=_upright(degrees(at) + (0 if is_radial else 90)),
            rotation_mode="anchor",
            ha="center",
            va="center",
            fontsize=font,
            color=_contrast(colors[i]),
            parse_math=False,
        )
    return Drawn(nodes, texts, angles=angles)


def _place(name: str, extent: float, middle: float, ring: float) -> tuple[str, float, bool]:
    """Return what of a name fits into a wedge, its size, and whether it points outwards.

    The wedge spans `extent` radians; `middle`, the radius of its middle, and `ring`, its width,
    are in points.
    """
    best: tuple[str, float, bool] = ("", 0.0, False)
    for font in FONTS:
        for is_radial in (False, True):
            room = _room(font, extent, middle, ring, is_radial)
            fitting = fit_text(name, font, room) if room > 2 * font else ""
            if fitting == name:
                return name, font, is_radial
            if len(fitting) > len(best[0]):
                best = fitting, font, is_radial
    return best


def _room(font: float, extent: float, middle: float, ring: float, is_radial: bool) -> float:
    """Return how long a name of some size may be, in points."""
    height = font + PAD
    if is_radial:
        # Narrower towards the middle: shorten the name until its inner end fits as well.
        inner = height / (2 * sin(min(extent, pi) / 2)) if extent > 0 else np.inf
        start = max(middle - ring / 2, inner)
        return float(2 * (middle - start) - 2 * PAD) if start < middle else 0.0
    if ring < height:
        return 0.0
    chord = 2 * middle * sin(min(extent, pi) / 2)
    # A straight name in a bent wedge: the corners must stay below the outer arc.
    outer, top = middle + ring / 2 - PAD / 2, middle + height / 2
    corner = 2 * sqrt(outer**2 - top**2) if outer > top else 0.0
    return min(chord - 2 * PAD, corner)


def _upright(angle: float) -> float:
    """Turn a direction by half a circle where text would stand on its head."""
    angle %= 360
    return angle - 180 if 90 < angle < 270 else angle


def _contrast(color: NDArray[Any]) -> str:
    """Return black or white, whichever can be read on a colour."""
    return "black" if color[:3] @ [0.299, 0.587, 0.114] > 0.5 else "white"
