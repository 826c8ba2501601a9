"""Newton's method for the softmaxes of a linear model: few large steps over all samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from hierclf.nn.head import SoftmaxHead
from hierclf.nn.linear import CSRRows, FeatureLinear, rows_times

# Conjugate gradients: their most steps. They end when a step adds less than a share of what the
# steps so far have gained on average, and the gradient is down to a share.
_CG_STEPS, _CG_SHARE, _CG_LEFT = 50, 0.5, 0.5
# What a step has to gain, as a share of what the slope promises, and how often it is halved.
_GAIN, _HALVINGS = 1e-4, 30


class Progress(NamedTuple):
    """What a step has come to.

    Attributes
    ----------
    loss : float
        The loss after the step, without the penalty, in nats per sample.
    gain : float
        How far the objective was above its minimum before the step, as the step's own quadratic
        model has it; 0 if rounding leaves nothing to gain.
    """

    loss: float
    gain: float


class NewtonCG(torch.optim.Optimizer):
    r"""Newton's method with conjugate gradients, for a head that reads the features.

    A step lowers

    .. math:: L(XW + b) + \frac{\lambda}{2} \left(\lVert W \rVert^2 + \lVert b \rVert^2\right)

    over all samples at once, where :math:`L` is any loss of the head and :math:`\lambda` is the
    ``weight_decay``: the same objective as that of :class:`torch.optim.SGD`. For cross-entropy
    over a tree it is convex, and a few steps reach its minimum [1]_.

    The direction is found by conjugate gradients. They need products with the second derivative,
    each of which takes two products with X: the loss itself is differentiated twice as a function
    of the logits alone. Where the loss curves downwards they end. As a preconditioner they have
    the diagonal of the second derivative, with the squared gradients of the logits in place of
    the curvature. The step is then halved until it lowers the objective enough (Armijo's rule).

    Parameters
    ----------
    params : iterable of Parameters
        All parameters of the head, which are the weight and bias of its affine map.
    lr : float, default=1.0
        The length of a step that is tried first; 1 is all of it.
    weight_decay : float, default=0.0
        The factor :math:`\lambda`.

    References
    ----------
    .. [1] J. Nocedal and S. J. Wright, "Numerical Optimization", 2nd edition, 2006,
       algorithm 7.1.

    Examples
    --------
    Two samples of each class and nothing to tell them apart by but the bias. The minimum has
    the logits log 3 and 0, up to a constant:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import FeatureLinear, FlatSoftmax, NewtonCG, PathLoss
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"]})
    >>> head = FlatSoftmax(1, tree, linear=FeatureLinear, dtype=torch.float64)
    >>> X, target = torch.zeros(4, 1, dtype=torch.float64), torch.tensor([0, 0, 0, 1])
    >>> newton = NewtonCG(head.parameters())
    >>> for _ in range(5):
    ...     progress = newton.minimize(head, PathLoss(), X, target)
    >>> head(X)[0].exp().detach().numpy().round(6).tolist()
    [0.75, 0.25]
    >>> progress.gain < 1e-12
    True
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1.0, *, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Refuse: gradients are not enough for a step, and :meth:`minimize` takes the rest."""
        raise RuntimeError("NewtonCG cannot move weights by their gradients alone: call minimize")

    @torch.no_grad()
    def begin(self) -> None:
        """Set all weights to 0, from where the steps are the same whatever was drawn."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.zero_()

    @torch.no_grad()
    def minimize(
        self,
        head: SoftmaxHead,
        loss: nn.Module,
        x: Tensor | CSRRows,
        target: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Progress:
        """Take a step.

        Parameters
        ----------
        head : SoftmaxHead
            Its ``linear`` is a :class:`FeatureLinear`, and holds all its parameters.
        loss : torch.nn.Module
            A loss of :mod:`hierclf.nn` without parameters.
        x : Tensor of shape (n_samples, n_features) or CSRRows
            All samples; sparse rows with their transpose.
        target : Tensor of shape (n_samples,), int64
            Node of each sample, as a position in ``hierarchy.nodes``.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        Progress
            The loss after the step, and what there was to gain.
        """
        self._opt_called = True  # schedulers of the rate ask whether a step came first
        group = self.param_groups[0]
        decay = float(group["weight_decay"])
        linear = cast("FeatureLinear", head.linear)
        weights = linear.weight.detach(), linear.bias.detach()
        product, of_logits = _Product(x, linear.weight.shape[0]), _over_logits(head)

        def losses(logits: Tensor) -> Tensor:
            value: Tensor = loss(of_logits, logits, target, sample_weight)
            return value

        logits = product.up(weights)
        with torch.enable_grad():
            free = logits.detach().requires_grad_()
            value = losses(free)
            # With a single class nothing depends on the logits.
            slopes = torch.zeros_like(free)
            if value.requires_grad:
                (slopes,) = torch.autograd.grad(value, free, create_graph=True)

        def curve(way: _Weights, along: Tensor) -> _Weights:
            """Multiply the second derivative with a way, which changes the logits ``along``."""
            image = torch.zeros_like(along)
            if slopes.requires_grad:
                (image,) = torch.autograd.grad(slopes, free, grad_outputs=along, retain_graph=True)
            return _add(product.down(image), decay, way)

        gradient = _add(product.down(slopes.detach()), decay, weights)
        squares = product.down_squared(slopes.detach() ** 2 * len(target))
        # A weight that no sample reads is only shrunk, and not at all without a penalty.
        scale = tuple(1 / (part + decay).clamp(min=1e-30) for part in squares)
        way, change = _direction(curve, product.up, gradient, cast("_Weights", scale))
        slope = _dot(gradient, way)
        own = decay * _dot(weights, weights), decay * _dot(weights, way), decay * _dot(way, way)
        start = float(value.detach())
        # Near the minimum rounding is larger than what is gained.
        noise = 10 * torch.finfo(logits.dtype).eps * abs(start + own[0] / 2)
        length = float(group["lr"])
        for _ in range(_HALVINGS):
            now = float(losses(logits + length * change))
            gained = start - now - length * own[1] - length**2 * own[2] / 2
            if gained >= -_GAIN * length * slope - noise:
                for weight, part in zip(weights, way, strict=True):
                    weight.add_(part, alpha=length)
                return Progress(now, -slope / 2)
            length /= 2
        return Progress(start, 0.0)


# The weight, (n_features, n_outputs), and the bias, (n_outputs,), or a change of them.
_Weights = tuple[Tensor, Tensor]


class _Product:
    """Products with all samples, a 1 beside each."""

    def __init__(self, x: Tensor | CSRRows, n_features: int) -> None:
        self.x, self.n_features = x, n_features

    def up(self, weights: _Weights) -> Tensor:
        """Map samples to logits."""
        x, (weight, bias) = self.x, weights
        if isinstance(x, Tensor):
            return torch.addmm(bias, x, weight)
        return rows_times(x.indices, x.offsets, x.values, weight) + bias

    def down(self, values: Tensor) -> _Weights:
        """Multiply with the transpose."""
        return self._down(values, lambda part: part)

    def down_squared(self, values: Tensor) -> _Weights:
        """Multiply with the transpose of the squared features."""
        return self._down(values, torch.square)

    def _down(self, values: Tensor, of_features: Callable[[Tensor], Tensor]) -> _Weights:
        x = self.x
        if isinstance(x, Tensor):
            return of_features(x).t() @ values, values.sum(0)
        assert x.transpose is not None
        columns, offsets, rows, entries = x.transpose
        found = rows_times(rows, offsets, of_features(entries), values.contiguous())
        weight = found.new_zeros(self.n_features, values.shape[1])
        return weight.index_copy_(0, columns, found), values.sum(0)


def _over_logits(head: SoftmaxHead) -> SoftmaxHead:
    """Return a head that takes logits for hidden states, and is otherwise the same."""
    found = copy(head)
    found._modules = head._modules | {"linear": nn.Identity()}
    return found


def _direction(
    curve: Callable[[_Weights, Tensor], _Weights],
    up: Callable[[_Weights], Tensor],
    gradient: _Weights,
    scale: _Weights,
) -> tuple[_Weights, Tensor]:
    """Solve a Newton step roughly; return it, and the change of the logits."""
    residual: _Weights = (-gradient[0], -gradient[1])
    scaled = _times(scale, residual)
    way, squared = scaled, _dot(residual, scaled)
    found: _Weights | None = None
    change, gained = torch.zeros(()), 0.0
    limit = _CG_LEFT**2 * squared
    for n_steps in range(1, _CG_STEPS + 1):
        along = up(way)
        image = curve(way, along)
        curvature = _dot(way, image)
        if curvature <= 0:
            # The loss curves downwards: as far as was found, or else down the slope.
            return (found, change) if found is not None else (way, along)
        rate = squared / curvature
        if found is None:
            found, change = (rate * way[0], rate * way[1]), rate * along
        else:
            found, change = _add(found, rate, way), change.add_(along, alpha=rate)
        residual = _add(residual, -rate, image)
        scaled = _times(scale, residual)
        gain = rate * squared / 2
        gained += gain
        before, squared = squared, _dot(residual, scaled)
        if (n_steps * gain <= _CG_SHARE * gained and squared <= limit) or squared == 0:
            break
        way = _add(scaled, squared / before, way)
    assert found is not None
    return found, change


def _add(a: _Weights, rate: float, b: _Weights) -> _Weights:
    """Return a + rate * b."""
    return torch.add(a[0], b[0], alpha=rate), torch.add(a[1], b[1], alpha=rate)


def _times(a: _Weights, b: _Weights) -> _Weights:
    return a[0] * b[0], a[1] * b[1]


def _dot(a: _Weights, b: _Weights) -> float:
    return float(torch.vdot(a[0].flatten(), b[0].flatten()) + torch.vdot(a[1], b[1]))
