"""Optimisers for sparse gradients."""

from __future__ import annotations

from collections.abc import Callable
from math import log1p
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW


class LazyAdamW(AdamW):
    r"""AdamW whose cost, for a sparse gradient, is that of the rows it touches.

    Parameters with a dense gradient are updated by :class:`torch.optim.AdamW`,
    unchanged. For a parameter with a sparse gradient only the rows present in the
    gradient move: their moments are updated once and corrected for bias with the
    parameter's step count, as in :class:`torch.optim.SparseAdam`. Decoupled weight
    decay, which in AdamW shrinks every row by :math:`1 - \eta\lambda` at every
    step, is caught up when a row is next touched or by :meth:`flush`, so nothing
    is lost: after ``flush`` each row has decayed exactly as often as in AdamW.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    **kwargs
        As for :class:`torch.optim.AdamW`, less ``amsgrad`` and ``maximize``.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> table = torch.nn.Embedding(4, 2, sparse=True)
    >>> before = table.weight.detach().clone()
    >>> optimizer = LazyAdamW(table.parameters(), lr=0.1, weight_decay=0.0)
    >>> table(torch.tensor([1, 3])).sum().backward()
    >>> optimizer.step()
    >>> (table.weight != before).any(dim=1)
    tensor([False,  True, False,  True])
    """

    def __init__(self, params: Any, **kwargs: Any) -> None:
        for name in ("amsgrad", "maximize"):
            if kwargs.get(name):
                raise ValueError(f"{name}=True has no sparse form; use torch.optim.AdamW")
        super().__init__(params, **kwargs)

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
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = [
            (group, parameter, parameter.grad)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and parameter.grad.is_sparse
        ]
        for _, parameter, _ in sparse:
            parameter.grad = None  # hides it from the dense update
        super().step()
        for group, parameter, grad in sparse:
            self._move_rows(group, parameter, grad.coalesce())
            parameter.grad = grad
        return loss

    @torch.no_grad()
    def _move_rows(self, group: dict[str, Any], parameter: Tensor, grad: Tensor) -> None:
        rows, values = grad.indices()[0], grad.values()
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            # The sum of log(1 - lr * weight_decay) over all steps, and its value
            # when each row was last decayed: exact for any schedule of lr.
            state["log_decay"] = 0.0
            state["row_log_decay"] = torch.zeros(
                len(parameter), 1, dtype=_widest(parameter), device=parameter.device
            )
        state["step"] += 1
        state["log_decay"] += log1p(-float(group["lr"]) * group["weight_decay"])
        beta1, beta2 = group["betas"]

        exp_avg = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - beta1)
        exp_avg_sq = state["exp_avg_sq"].index_select(0, rows)
        exp_avg_sq.mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"].index_copy_(0, rows, exp_avg)
        state["exp_avg_sq"].index_copy_(0, rows, exp_avg_sq)

        correction1 = 1 - beta1 ** state["step"]
        correction2 = 1 - beta2 ** state["step"]
        moved = parameter.index_select(0, rows)
        if group["weight_decay"]:
            pending = state["log_decay"] - state["row_log_decay"].index_select(0, rows)
            moved.mul_(pending.exp_().to(moved.dtype))
            state["row_log_decay"].index_fill_(0, rows, state["log_decay"])
        denominator = exp_avg_sq.div_(correction2).sqrt_().add_(group["eps"])
        moved.addcdiv_(exp_avg, denominator, value=-float(group["lr"]) / correction1)
        parameter.index_copy_(0, rows, moved)

    @torch.no_grad()
    def flush(self) -> None:
        """Catch up the weight decay of every row that is behind."""
        for parameter, state in self.state.items():
            if state.get("log_decay"):
                pending = state["log_decay"] - state["row_log_decay"]
                parameter.mul_(pending.exp_().to(parameter.dtype))
                state["row_log_decay"].fill_(state["log_decay"])


def _widest(parameter: Tensor) -> torch.dtype:
    """Return the widest float type that the parameter's device has."""
    return torch.float32 if parameter.device.type == "mps" else torch.float64
