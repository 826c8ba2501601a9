"""What a warm start goes on with, and what it refuses: another network, other classes."""

from __future__ import annotations

from reprlib import Repr
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import shorten


class _OneLine(Repr):
    """Reprs that fit into a message: that of a torch module may fill pages."""

    def repr_instance(self, x: object, level: int) -> str:
        return " ".join(super().repr_instance(x, level).split())


_LINE = _OneLine()
_LINE.maxother = _LINE.maxstring = 80


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
    what: str,
) -> None:
    """Refuse a warm start, or whatever goes on, that would need another network."""
    net = estimator.net_
    (kind, params), (kind_now, params_now) = estimator._encoder, describe_encoder(encoder)
    # The encoder comes first, since the default of hidden_layer_sizes depends on it.
    before_and_now: dict[str, tuple[Any, Any]] = {"encoder": (kind, kind_now)}
    if kind is kind_now:
        before_and_now |= {f"encoder__{name}": (params[name], params_now[name]) for name in params}
    before_and_now |= {name: (getattr(net, f"module__{name}"), network[name]) for name in network}
    before_and_now["device"] = net.device, device
    before_and_now["optimizer"] = estimator._optimizer, estimator.optimizer
    params = estimator._network_params()
    before_and_now |= {name: (estimator._trained_params[name], params[name]) for name in params}
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
