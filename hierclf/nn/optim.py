"""The optimiser of small networks, whose steps cost little beside their arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


class LeanAdamW(AdamW):
    """AdamW that does less around its one kernel; the same numbers.

    For a small network :class:`torch.optim.AdamW` takes several times as long to sort the
    parameters by device and type, and to look for what a step may be asked for besides, as to
    move them. Here that is skipped where the parameters of a group are of one type, on the
    processor, and ``fused=True`` is all that is asked for.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    **kwargs
        As for :class:`torch.optim.AdamW`.

    Examples
    --------
    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> optimizer = LeanAdamW([weight], lr=0.1, weight_decay=0.0, fused=True)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> weight.detach()
    tensor([0.9000, 1.9000])
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the parameters once.

        Parameters
        ----------
        closure : callable, optional
            Reevaluates the model and returns the loss.

        Returns
        -------
        object
            The value of ``closure``, or None.
        """
        moved = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        if closure is not None or not all(map(_is_plain, self.param_groups, moved)):
            return super().step(closure)
        with torch.no_grad():
            for group, parameters in zip(self.param_groups, moved, strict=True):
                if parameters:
                    self._move(group, parameters)
        return None

    def _move(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "exp_avg" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        n_steps = [state["step"] for state in states]
        beta1, beta2 = group["betas"]
        torch._foreach_add_(n_steps, 1)
        torch._fused_adamw_(
            parameters,
            [parameter.grad for parameter in parameters],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            n_steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def lean_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Return ``optimizer.step``, less the record that torch writes of each for its profiler.

    The record takes a twentieth of a step of a small network. Where somebody has hooked into
    the steps, or put another one in their place as learning rate schedulers do, it stays.

    Parameters
    ----------
    optimizer : Optimizer
        Any.

    Returns
    -------
    callable
        Takes nothing, and moves the parameters once.
    """
    step = getattr(type(optimizer).step, "__wrapped__", None)
    if step is None or is_watched(optimizer) or "step" in vars(optimizer):
        return optimizer.step
    return partial(step, optimizer)


def is_watched(optimizer: Optimizer) -> bool:
    """Tell whether somebody has hooked into the steps."""
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        _global_optimizer_pre_hooks,
        _global_optimizer_post_hooks,
    )
    return any(hooks)


def _is_plain(group: dict[str, Any], parameters: list[Tensor]) -> bool:
    """Tell whether one call of the kernel is all that a group needs."""
    more = ("amsgrad", "maximize", "capturable", "differentiable")
    if not group["fused"] or any(map(group.get, more)) or isinstance(group["lr"], Tensor):
        return False
    kinds = {(p.dtype, p.is_cpu, p.grad.is_sparse) for p in parameters}  # type: ignore[union-attr]
    return not kinds or (len(kinds) == 1 and kinds.pop()[1:] == (True, False))
