"""Optimisers for sparse gradients, which move the rows that a batch has met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from math import exp, expm1, inf, log, log1p, prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from hierclf.nn._fast import loops_for
from hierclf.nn.linear import sparse_rows
from hierclf.nn.optim import LeanAdamW, is_watched

# Columns from which on a row is cheaper to add to where it is than to copy.
_WIDE = 32
# Steps of a row whose bias corrections are looked up.
_TABULATED = 1 << 12


class LazyOptimizer(Optimizer):
    r"""What optimisers have that put off work for the rows a sparse gradient does not hold.

    Decoupled weight decay, which shrinks every row by :math:`1 - \eta\lambda` at every step, is
    caught up when a row is next touched or by :meth:`flush`, so nothing is lost: after ``flush``
    each row has decayed exactly as often as if it had been done at once.
    """

    @torch.no_grad()
    def flush(self) -> None:
        """Catch up the weight decay of every row that is behind."""
        for parameter in self.state:
            self._catch_up(parameter)

    def _decay_later(
        self, group: dict[str, Any], parameter: Tensor, state: dict[str, Any]
    ) -> tuple[float, Tensor]:
        """Note the decay of a step; return what it adds up to, and up to where each row is.

        The first is the sum of log(1 - lr * weight_decay) over all sparse steps, the second its
        value when each row was last decayed: exact for any schedule of lr.
        """
        self._begin_decay(parameter, state)
        state["log_decay"] += _log_decay(group)
        return state["log_decay"], state["row_log_decay"]

    def _begin_decay(self, parameter: Tensor, state: dict[str, Any]) -> None:
        if "log_decay" not in state:
            state["log_decay"] = 0.0
            state["row_log_decay"] = torch.zeros(
                len(parameter), dtype=_widest(parameter), device=parameter.device
            )

    @torch.no_grad()
    def _catch_up(self, parameter: Tensor) -> None:
        state = self.state.get(parameter, {})
        if state.get("log_decay"):
            pending = state["log_decay"] - state["row_log_decay"]
            parameter.mul_(_beside(pending.exp_(), parameter))
            state["row_log_decay"].fill_(state["log_decay"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of another optimiser of the same parameters.

        Parameters
        ----------
        state_dict : dict
            What its ``state_dict`` returned.
        """
        super().load_state_dict(state_dict)
        # It cast every tensor to its parameter's type; the decay is held in a wider one.
        numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
        parameters = [p for group in self.param_groups for p in group["params"]]
        for number, parameter in zip(numbers, parameters, strict=True):
            saved = state_dict["state"].get(number, {}).get("row_log_decay")
            if saved is not None:
                self.state[parameter]["row_log_decay"] = saved.to(
                    parameter.device, _widest(parameter)
                )


class LazyAdamW(LazyOptimizer, LeanAdamW):
    r"""AdamW whose cost, for a sparse gradient, is that of the rows it touches.

    Parameters with a dense gradient are updated by :class:`torch.optim.AdamW`,
    unchanged. For a parameter with a sparse gradient only the rows present in the
    gradient move: their moments are updated once and corrected for bias with the
    parameter's step count, as in :class:`torch.optim.SparseAdam`. Decoupled weight
    decay, which in AdamW shrinks every row by :math:`1 - \eta\lambda` at every
    step, is caught up when a row is next touched or by :meth:`flush`, so nothing
    is lost: after ``flush`` each row has decayed exactly as often as in AdamW.
    A parameter's gradient may be sparse at one step and dense at the next.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    row_steps : bool
        Whether the moments of each row are corrected for bias with the number of steps at which
        that row was in the gradient: for :class:`PathSoftmax`, whose rows are visited at very
        different rates. A group of parameters may have a value of its own. With numba these
        rows move in a compiled loop.
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

    def __init__(self, params: Any, *, row_steps: bool = False, **kwargs: Any) -> None:
        for name in ("amsgrad", "maximize"):
            if kwargs.get(name):
                raise ValueError(f"{name}=True has no sparse form; use torch.optim.AdamW")
        self._row_steps = row_steps  # until there is a place among the defaults
        super().__init__(params, **kwargs)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to move.

        Parameters
        ----------
        param_group : dict
            The parameters, as "params", and options that differ from those of the others.
        """
        self.defaults.setdefault("row_steps", self._row_steps)
        super().add_param_group(param_group)

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
        loss = _reevaluate(closure)
        sparse, has_dense = [], False
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    sparse.append((group, parameter, parameter.grad))
                    parameter.grad = None  # hides it from the dense update
                else:
                    has_dense = True
                    self._catch_up(parameter)
                    if "row_step" in self.state[parameter]:
                        self.state[parameter]["row_step"] += 1
        if has_dense:
            super().step()
        for group, parameter, grad in sparse:
            self._move_rows(group, parameter, grad)
            parameter.grad = grad
        return loss

    @torch.no_grad()
    def _move_rows(self, group: dict[str, Any], parameter: Tensor, grad: Tensor) -> None:
        state = self._state_of_rows(group, parameter)
        log_decay, row_log_decay = self._decay_later(group, parameter, state)
        state["step"] += 1
        row_step = state["row_step"] if group.get("row_steps") else None
        loops = None if row_step is None else loops_for("_kernels", parameter, grad)
        if row_step is not None and loops is not None:
            _move_in_loops(
                partial(
                    loops.adamw, *map(_matrix, (parameter, state["exp_avg"], state["exp_avg_sq"]))
                ),
                grad,
                row_step.numpy(),
                row_log_decay.numpy(),
                log_decay,
                *_numbers(group),
            )
            return

        rows, values = _rows_once(grad)
        pace = _pace(group, rows, state, row_step)
        moved = parameter.index_select(0, rows)
        tables = parameter, state["exp_avg"], state["exp_avg_sq"]
        _move_in_torch(tables, rows, moved, values, pace, group)

    def _state_of_rows(self, group: dict[str, Any], parameter: Tensor) -> dict[str, Any]:
        """Return what is known of a parameter whose rows move, from its first step on."""
        state: dict[str, Any] = self.state[parameter]
        if "exp_avg" not in state:  # as AdamW's own, which may come to use it
            on_device = group["fused"] or group["capturable"]
            state["step"] = torch.zeros((), device=parameter.device if on_device else "cpu")
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        # A group may be that of another optimiser. What was moved as a whole was in every row.
        if group.get("row_steps") and "row_step" not in state:
            state["row_step"] = parameter.new_full((len(parameter),), float(state["step"]))
        return state

    @contextmanager
    def moving(self, weight: Tensor, bias: Tensor) -> Iterator[RowsInPass | None]:
        """Let a backward pass move the rows of a weight and its bias itself.

        That saves a fifth of a step and more: a row is moved while it is in the processor's cache,
        and its gradient is never written down. Nobody can look at the gradients then.

        Parameters
        ----------
        weight : Tensor of shape (n_rows, width)
            A parameter.
        bias : Tensor of shape (n_rows,)
            A parameter whose gradient has the same rows.

        Yields
        ------
        RowsInPass or None
            What moves the rows. None where the pass cannot, or somebody has asked to see the
            gradients: it then leaves them to :meth:`step`, with the same result but for rounding.
        """
        both, rows = (weight, bias), None
        group = next((g for g in self.param_groups if any(p is weight for p in g["params"])), {})
        if (
            group.get("row_steps")
            and any(p is bias for p in group["params"])
            and type(self) is LazyAdamW
            and not is_watched(self)
            and not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in both)
            and all(p.requires_grad and p.grad is None for p in both)
        ):
            of_weight, of_bias = (self._state_of_rows(group, p) for p in both)
            for parameter, state in zip(both, (of_weight, of_bias), strict=True):
                self._begin_decay(parameter, state)
            shared = ("row_step", "row_log_decay")
            if of_weight["log_decay"] == of_bias["log_decay"] and all(
                torch.equal(of_weight[name], of_bias[name]) for name in shared
            ):
                rows = RowsInPass(group, weight, of_weight, bias, of_bias)
        try:
            yield rows
        finally:
            if rows is not None and rows.count:
                of_bias["log_decay"] = of_weight["log_decay"]
                for name in shared:
                    of_bias[name].copy_(of_weight[name])
                for state in (of_weight, of_bias):
                    state["step"] += rows.count


class RowsInPass:
    """Moves the rows of a weight and its bias within backward passes, as :class:`LazyAdamW` does.

    Attributes
    ----------
    count : int
        The steps that were begun.
    """

    def __init__(
        self,
        group: dict[str, Any],
        weight: Tensor,
        of_weight: dict[str, Any],
        bias: Tensor,
        of_bias: dict[str, Any],
    ) -> None:
        self.count = 0
        self._group, self._state = group, of_weight
        self._of_weight, self._of_bias = (
            (parameter.detach(), state["exp_avg"], state["exp_avg_sq"])
            for parameter, state in ((weight, of_weight), (bias, of_bias))
        )

    def begin(self) -> None:
        """Begin a step. The rows that are moved until the next one are different rows."""
        self.count += 1
        self._state["log_decay"] += _log_decay(self._group)

    def for_loops(self) -> tuple[Any, ...]:
        """Return what ``_kernels.move_rows`` takes besides rows and gradients."""
        return *self._arrays, self._state["log_decay"], *_numbers(self._group)

    @cached_property
    def _arrays(self) -> tuple[Any, ...]:
        """The tables as arrays: to show them anew takes longer than the small ones of a step."""
        shared = self._state["row_step"], self._state["row_log_decay"]
        return tuple(table.numpy() for table in (*self._of_weight, *self._of_bias, *shared))

    @torch.no_grad()
    def move(self, rows: Tensor, own: Tensor, values: Tensor, bias_values: Tensor) -> None:
        """Move some rows without compiled loops.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
            Different rows.
        own : Tensor of shape (n, width)
            Their weights; what is in there afterwards is undefined, as in the next two.
        values : Tensor of shape (n, width)
            The gradient of the weights.
        bias_values : Tensor of shape (n,)
            The gradient of their biases.
        """
        pace = _pace(self._group, rows, self._state, self._state["row_step"])
        _move_in_torch(self._of_weight, rows, own, values, pace, self._group)
        own = self._of_bias[0].index_select(0, rows)
        _move_in_torch(self._of_bias, rows, own, bias_values, pace, self._group)


class _Pace(NamedTuple):
    """What differs among the n rows that AdamW moves.

    Attributes
    ----------
    decay : Tensor of shape (n,) or None
        What the weights are multiplied with; None is 1.
    of_mean, of_square : Tensor of shape (n,) or float
        What corrects the bias of the mean gradient and of the mean square: ``1 - beta**count``.
    """

    decay: Tensor | None
    of_mean: Any
    of_square: Any


def _pace(
    group: dict[str, Any], rows: Tensor, state: dict[str, Any], row_step: Tensor | None
) -> _Pace:
    """Work out how far some rows go, and note that they have taken a step and all of the decay."""
    logs = [log(beta) if beta else -inf for beta in group["betas"]]
    of_mean: Any
    of_square: Any
    # expm1, since 1 - beta2**count is tiny at first.
    if row_step is None:
        of_mean, of_square = (-expm1(float(state["step"]) * rate) for rate in logs)
    else:
        count = row_step.index_select(0, rows).add_(1)
        row_step.index_copy_(0, rows, count)
        of_mean, of_square = (torch.expm1(count * rate).neg_() for rate in logs)
    decay = None
    if state["log_decay"]:
        pending = state["log_decay"] - state["row_log_decay"].index_select(0, rows)
        decay = pending.to(state["exp_avg"].dtype).exp_()
        state["row_log_decay"].index_fill_(0, rows, state["log_decay"])
    return _Pace(decay, of_mean, of_square)


def _move_in_torch(
    tables: tuple[Tensor, Tensor, Tensor],
    rows: Tensor,
    moved: Tensor,
    values: Tensor,
    pace: _Pace,
    group: dict[str, Any],
) -> None:
    """Move different rows of a parameter, and its means of gradients and of their squares.

    ``moved`` holds what the rows of the parameter are before.
    """
    beta1, beta2 = group["betas"]
    of_mean, of_square = (
        n if isinstance(n, float) else _beside(n, moved) for n in (pace.of_mean, pace.of_square)
    )
    exp_avg = tables[1].index_select(0, rows).lerp_(values, 1 - beta1)
    exp_avg_sq = tables[2].index_select(0, rows)
    exp_avg_sq.mul_(beta2).addcmul_(values, values, value=1 - beta2)
    _write_rows(tables[1], rows, exp_avg)
    _write_rows(tables[2], rows, exp_avg_sq)
    # (root of the mean square + eps) * of_mean. A root of less than the smallest normal number
    # takes fifty times as long, and is nothing beside eps.
    root = exp_avg_sq.mul_(of_mean * of_mean / of_square)
    root.clamp_min_(torch.finfo(root.dtype).tiny).sqrt_().add_(of_mean * group["eps"])
    if pace.decay is not None:
        moved.mul_(_beside(pace.decay, moved))
    moved.addcdiv_(exp_avg, root, value=-float(group["lr"]))
    _write_rows(tables[0], rows, moved)


class LazyNovoGrad(LazyAdamW):
    r"""AdamW for dense gradients; for sparse ones, steps in proportion to the gradient.

    The rows of a sparse gradient :math:`g` move by :math:`-\eta g / \sqrt{v}`, where
    :math:`v` is a single number for the whole parameter: the running mean, corrected for
    bias, of the mean square of the gradient's entries, over the steps at which it has any.
    This is NovoGrad [1]_ without momentum. AdamW has a :math:`v` for every entry, by which a
    feature that one row in a thousand has takes steps as long as those of a common one, and
    is learnt by heart; here its weights stay in proportion to the evidence.

    What nearly every row has then takes long steps, and the last of them decides. So
    :meth:`flush` puts the mean of the places that the parameter was in since the flush
    before: weighted, the later the more, by
    :math:`t (t + 1) (t + 2)` after :math:`t` steps [2]_. Decoupled weight decay is put off
    until then as well, for all rows alike.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    **kwargs
        As for :class:`LazyAdamW`. A sparse gradient has use for ``lr``,
        ``weight_decay``, ``eps`` and the second of ``betas``.

    References
    ----------
    .. [1] B. Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive
       Moments for Training of Deep Networks", arXiv:1905.11286.
    .. [2] O. Shamir and T. Zhang, "Stochastic Gradient Descent for Non-smooth
       Optimization: Convergence Results and Optimal Averaging Schemes", ICML 2013:
       polynomial-decay averaging with :math:`\eta = 3`.

    Examples
    --------
    >>> import torch
    >>> table = torch.nn.Embedding(4, 1, sparse=True, _weight=torch.zeros(4, 1))
    >>> optimizer = LazyNovoGrad(table.parameters(), lr=0.1, weight_decay=0.0)
    >>> (table(torch.tensor([1, 3])).flatten() @ torch.tensor([1.0, 7.0])).backward()
    >>> optimizer.step()  # the mean square of 1 and 7 is 25
    >>> table.weight.flatten().detach()
    tensor([ 0.0000, -0.0200,  0.0000, -0.1400])
    """

    @torch.no_grad()
    def _move_rows(self, group: dict[str, Any], parameter: Tensor, grad: Tensor) -> None:
        rows, values = _rows_once(grad)
        state = self.state[parameter]
        state.setdefault("step", torch.zeros(()))  # torch wants one, whoever counts
        state.setdefault("n_moves", 0)
        state.setdefault("mean_square", 0.0)
        lr, (_, beta) = float(group["lr"]), group["betas"]
        state["put_off"] = state.get("put_off", 0.0) + _log_decay(group)
        scale = 1.0
        if len(rows):  # a mean over no entries says nothing of their size
            state["n_moves"] += 1
            square = float(values.square().mean())
            state["mean_square"] += (1 - beta) * (square - state["mean_square"])
            scale = (state["mean_square"] / (1 - beta ** state["n_moves"])) ** 0.5 + group["eps"]
        _add_to_rows(parameter, rows, values, -lr / scale)

        # A step is missing from the places before it. The sum of what is missing from each,
        # times its weight, makes the last place the mean.
        if "missing" not in state:
            state["missing"], state["n_since"] = torch.zeros_like(parameter), 0
        before = _total_weight(state["n_since"])
        _add_to_rows(state["missing"], rows, values, lr / scale * before)
        state["n_since"] += 1

    @torch.no_grad()
    def _catch_up(self, parameter: Tensor) -> None:
        state = self.state.get(parameter, {})
        if "missing" in state:
            parameter.add_(state.pop("missing"), alpha=1 / _total_weight(state.pop("n_since")))
        if state.get("put_off"):
            parameter.mul_(exp(state.pop("put_off")))
        is_dense = parameter.grad is not None and not parameter.grad.is_sparse
        if is_dense and "exp_avg" not in state:
            state.clear()  # AdamW starts from nothing


class LazyRowwiseAdagrad(LazyOptimizer):
    r"""Adagrad with one sum of squares for each row: hardly more memory than the weights.

    A row with gradient :math:`g` of size :math:`d` moves by
    :math:`-\eta g / (\sqrt{s} + \epsilon)`, where :math:`s` is the sum, over all steps, of its
    :math:`\|g\|^2 / d`. That is Adagrad [1]_ with the mean over a row in place of each entry's
    own square, as the tables of large recommender systems are trained with [2]_: one number for
    each row in place of AdamW's two for each weight. A vector, such as a bias, has rows of one
    number, and is moved by Adagrad itself. With a sparse gradient only its rows move, in a
    compiled loop with numba. Decoupled weight decay is caught up as in :class:`LazyAdamW`.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    lr : float
        Learning rate.
    eps : float
        Added to the root.
    weight_decay : float
        Decoupled weight decay.

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning
       and Stochastic Optimization", JMLR 12, 2011.
    .. [2] D. Mudigere et al., "Software-Hardware Co-design for Fast and Scalable Training of
       Deep Learning Recommendation Models", ISCA 2022: row-wise AdaGrad.

    Examples
    --------
    >>> import torch
    >>> table = torch.nn.Embedding(3, 2, sparse=True, _weight=torch.zeros(3, 2))
    >>> optimizer = LazyRowwiseAdagrad(table.parameters(), lr=0.1, weight_decay=0.0)
    >>> (table(torch.tensor([1])) @ torch.tensor([1.0, 7.0])).sum().backward()
    >>> optimizer.step()  # the mean square of 1 and 7 is 25
    >>> table.weight[1].detach()
    tensor([-0.0200, -0.1400])
    """

    def __init__(
        self, params: Any, lr: float = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
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
        loss = _reevaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    self._move_rows(group, parameter, parameter.grad)
                else:
                    self._move(group, parameter)
        return loss

    def _move(self, group: dict[str, Any], parameter: Tensor) -> None:
        self._catch_up(parameter)
        total, grad = self._total(parameter), parameter.grad
        assert grad is not None
        total += _mean_square(grad)
        size = total.sqrt().add_(group["eps"]).reciprocal_().mul_(-float(group["lr"]))
        parameter.mul_(exp(_log_decay(group))).addcmul_(grad, _beside(size, grad))

    def _move_rows(self, group: dict[str, Any], parameter: Tensor, grad: Tensor) -> None:
        total, state = self._total(parameter), self.state[parameter]
        log_decay, row_log_decay = self._decay_later(group, parameter, state)
        lr, eps = float(group["lr"]), group["eps"]
        loops = loops_for("_kernels", parameter, grad)
        if loops is not None:
            move = partial(loops.adagrad, _matrix(parameter))
            _move_in_loops(move, grad, total.numpy(), row_log_decay.numpy(), log_decay, lr, eps)
            return
        rows, values = _rows_once(grad)
        sums = total.index_select(0, rows).add_(_mean_square(values))
        total.index_copy_(0, rows, sums)
        moved = _decayed_rows(parameter, rows, log_decay, row_log_decay)
        size = sums.sqrt_().add_(eps).reciprocal_().mul_(-lr)
        _write_rows(parameter, rows, moved.addcmul_(values, _beside(size, moved)))

    def _total(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "total" not in state:
            state["total"] = parameter.new_zeros(parameter.shape[:1])
        total: Tensor = state["total"]
        return total


def _reevaluate(closure: Callable[[], Any] | None) -> Any:
    """Return what a closure that was given to ``step`` does, None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _move_in_loops(move: Callable[..., bool], grad: Tensor, *args: Any) -> None:
    """Move the rows of a sparse gradient by a compiled loop.

    The loop refuses rows that do not ascend. To look before it does takes longer.
    """
    if not move(grad._indices()[0].numpy(), _matrix(grad._values()), *args):
        rows, values = _rows_once(grad)
        move(rows.numpy(), _matrix(values), *args)


def _matrix(table: Tensor) -> Any:
    """Show a table as an array of two dimensions, for compiled loops."""
    array = table.detach().numpy()
    return array if array.ndim == 2 else array.reshape(len(array), -1)


def _numbers(group: dict[str, Any]) -> tuple[Any, ...]:
    """Return what compiled loops of AdamW take of a group of parameters."""
    beta1, beta2 = group["betas"]
    return float(group["lr"]), beta1, beta2, group["eps"], _corrections(beta1, beta2)


@cache
def _corrections(beta1: float, beta2: float) -> Any:
    """Return what AdamW corrects for bias with after 0, 1, ... steps, (steps, 2)."""
    return 1 - np.array([beta1, beta2]) ** np.arange(_TABULATED)[:, None]


def _beside(per_row: Tensor, table: Tensor) -> Tensor:
    """Shape one number for each row to be multiplied with a table, in its type."""
    return per_row.to(table.dtype).view(-1, *[1] * (table.ndim - 1))


def _mean_square(table: Tensor) -> Tensor:
    """Return the mean square of each row; of a vector, the square of each number."""
    square = table.square()
    return square.flatten(1).mean(1) if table.ndim > 1 else square


def _decayed_rows(table: Tensor, rows: Tensor, log_decay: float, row_log_decay: Tensor) -> Tensor:
    """Copy rows, with the decay that they lack, and note that they have it."""
    moved = table.index_select(0, rows)
    if log_decay:
        pending = log_decay - row_log_decay.index_select(0, rows)
        moved.mul_(_beside(pending.exp_(), moved))
        row_log_decay.index_fill_(0, rows, log_decay)
    return moved


def _write_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """Put rows into a table, in three quarters of the time of ``index_copy_`` on a processor."""
    if table.is_cpu and table.ndim > 1:
        table.detach().numpy()[rows.numpy()] = values.numpy()
    else:
        table.index_copy_(0, rows, values)


def _add_to_rows(table: Tensor, rows: Tensor, values: Tensor, alpha: float) -> None:
    """Add values times alpha to rows that are given once.

    ``index_add_`` itself takes up to three times as long for narrow rows, and so does the copy
    for wide ones; with an ``alpha`` it is always the slower.
    """
    if prod(table.shape[1:]) < _WIDE:
        table.index_copy_(0, rows, table.index_select(0, rows).add_(values, alpha=alpha))
    else:
        table.index_add_(0, rows, values * alpha)


def _total_weight(n_steps: int) -> float:
    """Sum t (t + 1) (t + 2) over the steps t."""
    return n_steps * (n_steps + 1) * (n_steps + 2) * (n_steps + 3) / 4


@contextmanager
def shown_dense(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Show sparse gradients as dense ones, which torch can clip and take norms of.

    Afterwards each is sparse again and has the rows it had, with the values that they were
    given meanwhile, so that whoever looks changes nothing but values. What was written to
    other rows is lost.

    Parameters
    ----------
    parameters : iterable of Tensor
        Those whose gradient is sparse are shown dense; all others stay as they are.

    Examples
    --------
    >>> import torch
    >>> table = torch.nn.Embedding(4, 1, sparse=True)
    >>> table(torch.tensor([3, 1, 3])).sum().backward()
    >>> with shown_dense(table.parameters()):
    ...     print(table.weight.grad.flatten().tolist())
    ...     _ = table.weight.grad.clamp_(max=1.5)
    [0.0, 1.0, 0.0, 2.0]
    >>> table.weight.grad.indices().tolist(), table.weight.grad.values().flatten().tolist()
    ([[1, 3]], [1.0, 1.5])
    """
    shown = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            rows, values = _rows_once(parameter.grad)
            parameter.grad = torch.zeros_like(parameter).index_copy_(0, rows, values)
            shown.append((parameter, rows))
    yield
    for parameter, rows in shown:
        if parameter.grad is not None:
            values = parameter.grad.index_select(0, rows)
            parameter.grad = sparse_rows(rows, values, parameter.shape)


def _log_decay(group: dict[str, Any]) -> float:
    """Return the logarithm of what a step of decoupled weight decay multiplies by."""
    lr, weight_decay = float(group["lr"]), group["weight_decay"]
    if lr * weight_decay >= 1:
        raise ValueError(f"lr * weight_decay must be below 1, not {lr} * {weight_decay}")
    return log1p(-lr * weight_decay)


def _widest(parameter: Tensor) -> torch.dtype:
    """Return the widest float type that the parameter's device has."""
    return torch.float32 if parameter.device.type == "mps" else torch.float64


def _rows_once(grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that a sparse gradient holds, each once, and their values."""
    rows = grad._indices()[0]
    # Autograd forgets that a gradient is coalesced. Looking whether its rows are in order
    # costs a tenth of sorting them again.
    if _are_ascending(rows):
        return rows, grad._values()
    grad = grad.coalesce()
    return grad.indices()[0], grad.values()


def _are_ascending(rows: Tensor) -> bool:
    if rows.is_cpu:  # numpy has less to do around a small array
        numbers = rows.numpy()
        return bool((numbers[1:] > numbers[:-1]).all())
    return bool((rows[1:] > rows[:-1]).all())
