"""What a warm start goes on with, and what it refuses: another network, other classes."""

from __future__ import annotations

from reprlib import Repr
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf._utils.param_object import ParamObject
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import shorten


class _OneLine(Repr):
    """Reprs that fit into a message: that of a torch module may fill pages."""

    def repr_instance(self, x: object, level: int) -> str:
        return " ".join(super().repr_instance(x, level).split())


_LINE = _OneLine()
_LINE.maxother = _LINE.maxstring = 80


def describe(name: str, part: ParamObject | None) -> dict[str, Any]:
    """Return what makes two parts of an estimator the same: their class and their parameters."""
    params = {} if part is None else part.get_params(deep=False)
    kind = None if part is None else type(part)
    return {name: kind} | {f"{name}__{key}": value for key, value in params.items()}


def check_same_network(
    net: Any,
    trained_with: dict[str, Any],
    asked_for: dict[str, Any],
    network: dict[str, Any],
    device: str,
    what: str,
) -> None:
    """Refuse a warm start, or whatever goes on, that would need another network.

    Parameters
    ----------
    net : HierarchyNet
        The trained net.
    trained_with, asked_for : dict
        Parameters of the last fit and of this one that make another network. A part comes before
        its own parameters, so that another part is named first.
    network : dict
        Parameters of the layers, which the net knows.
    device : str
        Where this fit is to run.
    what : str
        What goes on, for the error.
    """
    before_and_now: dict[str, tuple[Any, Any]]
    before_and_now = {name: (trained_with.get(name), now) for name, now in asked_for.items()}
    before_and_now |= {name: (getattr(net, f"module__{name}"), network[name]) for name in network}
    before_and_now["device"] = net.device, device
    for name, (before, now) in before_and_now.items():
        if before is not now and not np.array_equal(before, now):
            was, is_now = _LINE.repr(before), _LINE.repr(now)
            is_now = "another that looks the same" if is_now == was else is_now
            raise ValueError(
                f"{what} goes on training the same network: {name} was {was} and is now {is_now}"
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
