"""The bridge to skorch: the net, how an epoch runs, and when training stops.

The only file that imports skorch. Its net differs from a stock
:class:`skorch.NeuralNet` in three ways: batches are cut from whole arrays, sparse
ones included; a row's target travels with its weight; and an epoch without
batch-level callbacks runs a bare loop. Everything else, callbacks and history
included, is skorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PrintLog
from skorch.dataset import Dataset
from torch import Tensor

from hierclf._utils.rng import seeded
from hierclf._utils.threads import limited_threads
from hierclf.classifiers._batches import Batch, Batches, Rows, count_weights
from hierclf.classifiers._optimizer import choose_optimizer
from hierclf.classifiers._passes import Cut, apply_network, argmax
from hierclf.hierarchy import Hierarchy
from hierclf.nn import HierarchyNetwork, LazyOptimizer, NewtonCG
from hierclf.nn.dropout import drawing_from
from hierclf.nn.growth import grow
from hierclf.nn.head import SoftmaxHead
from hierclf.nn.lazy_optim import shown_dense
from hierclf.nn.newton import Progress
from hierclf.nn.optim import lean_step

_GRADIENT_HOOK = "on_grad_computed"
_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", _GRADIENT_HOOK)
# What the callback is called that ends training.
_WATCH = "watch_loss"


class LabelledRows(Rows, Dataset):  # type: ignore[misc]
    """Rows in which skorch's scoring callbacks find features and targets."""

    @property
    def y(self) -> Tensor | None:
        """The targets, under skorch's name; sparse ones are made dense."""
        if self.target is None or isinstance(self.target, Tensor):
            return self.target
        return torch.from_numpy(self.target.toarray())


class _StopTraining(Exception):  # noqa: N818, a request, not an error
    """A callback asked for the end of training."""


class _DivergedError(ValueError):
    """Training has left what can be computed with."""


class HierarchyNet(NeuralNet):  # type: ignore[misc]
    """A skorch net that trains a ``HierarchyNetwork`` on :class:`LabelledRows`.

    ``predict_proba`` gives the probability of every node, ``forward`` its logarithm, and
    ``predict`` the likeliest leaf, or, where a row may have several labels, whether each node is
    likelier than not; nodes are positions in ``hierarchy.nodes``. With
    ``warm_start``, as after ``partial_fit``, the net keeps what training needs to go on
    (optimiser and random state), in memory and in a pickle; without, it keeps the weights
    alone.

    Parameters
    ----------
    batch_seed : int
        Seeds the order of the rows and, with the number of the epoch, dropout.
    **kwargs
        Passed to :class:`skorch.NeuralNet`.
    """

    def __init__(self, *args: Any, batch_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_seed = batch_seed

    @property
    def dtype(self) -> np.dtype[Any]:
        """The float type that the network reads and returns."""
        return np.dtype(str(self.module__dtype).removeprefix("torch."))

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def initialize(self) -> HierarchyNet:
        """Draw new weights and start a new order of the rows."""
        self.generator_: Any = torch.Generator().manual_seed(self.batch_seed)
        super().initialize()
        if isinstance(self.optimizer_, NewtonCG):
            self.optimizer_.begin()
        self._measure()
        return self

    def _measure(self) -> None:
        """Find out how large the network is, and so how many rows to predict at a time."""
        network = self.module_
        self.cut_ = Cut.of(network, len(self.module__hierarchy))
        self.training_weights_ = self.cut_.weights
        on_paths = network.head.training_weights
        if on_paths is not None:
            others = count_weights(network.encoder, network.hidden)
            self.training_weights_ = others._replace(per_row=others.per_row + on_paths)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> HierarchyNet:
        """Build the optimiser, and let it see sparse gradients only if it takes them."""
        super().initialize_optimizer(*args, **kwargs)
        for module in self.module_.modules():
            if hasattr(module, "sparse_grad"):
                module.sparse_grad = isinstance(self.optimizer_, LazyOptimizer)
        return self

    def _overridden(self, *hooks: str) -> bool:
        """Tell whether a callback does something in any of some hooks."""
        return any(overrides(callback, *hooks) for _, callback in self.callbacks_)

    def go_on(
        self,
        criterion: torch.nn.Module,
        callbacks: Sequence[Any],
        weight_decay: float,
        batch_seed: int,
        encoder_learning_rate: float | None,
        **params: Any,
    ) -> None:
        """Make a trained net ready to be trained further.

        Parameters
        ----------
        criterion, callbacks, weight_decay, batch_seed, encoder_learning_rate, **params
            Replace what :func:`build_net` was given. The seed counts only if the net
            has kept the weights alone, and so starts a new order of the rows.
        """
        self.callbacks, self.warm_start = callbacks, True
        self.initialize_callbacks()
        self.criterion = criterion.to(self.module__dtype)
        self.initialize_criterion()
        if self.optimizer_ is None:
            self.batch_seed = batch_seed
            self.generator_ = torch.Generator().manual_seed(batch_seed)
            self.initialize_optimizer()
        self.set_params(optimizer__weight_decay=weight_decay, **params)
        groups = getattr(self, "optimizer__param_groups", ())
        if groups and groups[0][0] == "encoder.*":  # the new lr has reached every group
            rate = self.lr if encoder_learning_rate is None else encoder_learning_rate
            self.set_params(optimizer__param_groups__0__lr=rate)

    def grow(self, head: Callable[..., SoftmaxHead], hierarchy: Hierarchy) -> None:
        """Go on over another hierarchy, with the weights of the nodes that it had.

        Parameters
        ----------
        head : type or callable
            Makes the head over it.
        hierarchy : Hierarchy
            The hierarchy; nothing is done if it is that of the net.
        """
        before = vars(self)["module__hierarchy"]
        if hierarchy is before:
            return
        grow(self.module_, head, before, hierarchy, self.optimizer_)
        self.__dict__.update(module__head=head, module__hierarchy=hierarchy)
        self._measure()

    def train_for(self, n_epochs: int) -> None:
        """Plan a fixed number of epochs, whatever the loss does meanwhile.

        Parameters
        ----------
        n_epochs : int
            How many.
        """
        self.max_epochs = n_epochs
        self.callbacks = [
            item for item in self.callbacks if not (isinstance(item, tuple) and item[0] == _WATCH)
        ]

    def train_on(self, train: LabelledRows, valid: LabelledRows | None = None) -> bool:
        """Train until a callback stops it or for ``max_epochs``.

        Whatever else interrupts it is raised, after the epoch it broke into is
        taken out of the history. The weights are those of the last whole batch. If
        training had diverged, weights and history are those it went on from.

        Parameters
        ----------
        train, valid : LabelledRows
            What to learn from, and what to watch (optional).

        Returns
        -------
        bool
            Whether a callback stopped it.
        """
        if not (self.warm_start and self.initialized_):
            self.initialize()
        stopped = False
        n_before = len(self.history)
        before = self._weights_and_state() if n_before else None
        with limited_threads(self.get_iterator(train, training=True).work(self.training_weights_)):
            self.notify("on_train_begin", X=train, y=train.target)
            try:
                stopped = self._run_epochs(train, valid)
            except BaseException as error:
                if self.history and "train_loss" not in self.history[-1]:
                    self.history.pop()
                if isinstance(self.optimizer_, LazyOptimizer):
                    self.optimizer_.flush()
                if before and (isinstance(error, _DivergedError) or not self._is_finite()):
                    self.module_.load_state_dict(before[0])
                    self.optimizer_.load_state_dict(before[1])
                    del self.history[n_before:]
                raise
            self.notify("on_train_end", X=train, y=train.target)
        if not self.warm_start:
            self.optimizer_: Any = None
            self.generator_ = None
            for _, callback in self.callbacks_:
                if isinstance(callback, EarlyStopping):
                    callback.best_model_weights_ = None
        return stopped

    def _run_epochs(self, train: LabelledRows, valid: LabelledRows | None) -> bool:
        """Train; return whether a callback stopped it."""
        stopped = False
        try:
            self.fit_loop((train, valid))
        except _StopTraining:
            stopped = True
        # Weights may become NaN after the last loss. Those whose mean square gradient has
        # become infinite never move again, and no loss tells.
        if not self._is_finite():
            raise self._diverged(f"the weights or their updates overflow {self.dtype}", train)
        return stopped

    def _is_finite(self) -> bool:
        """Tell whether all that training changes is finite."""
        states = (state.values() for state in self.optimizer_.state.values())
        weights = (weight for weight in self.module_.parameters() if weight.requires_grad)
        return all(_is_finite(value) for value in chain(weights, *states))

    def _diverged(self, what: str, rows: Rows) -> _DivergedError:
        """Return the error that says so."""
        X: Any = rows.X
        values = X.numpy() if isinstance(X, Tensor) else X.data
        is_features = self.module_.encoder is None and values.size
        largest = f", whose largest is {abs(values).max():.3g}," if is_features else ""
        return _DivergedError(
            f"training diverged: {what}. Scale the features{largest} or lower "
            f"learning_rate_init (now {self.lr})."
        )

    def _weights_and_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Copy what training changes, to go back to should it diverge."""
        return deepcopy((self.module_.state_dict(), self.optimizer_.state_dict()))

    @contextmanager
    def _drawing(self, training: bool) -> Iterator[None]:
        """Let a pass draw from its epoch's number alone, whichever fit and thread it is in.

        A module of others draws from torch's global generators, which one pass at a time
        can have.
        """
        seed = (self.batch_seed << 31) + 2 * len(self.history) + training
        encoder = self.module_.encoder
        is_global = encoder is not None and getattr(encoder, "draws_globally", True)
        generator = torch.Generator(self.device).manual_seed(seed)
        alone = seeded(seed, self.device) if is_global else nullcontext()
        with drawing_from(generator, self.module_), alone:
            yield

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; a KeyboardInterrupt at an epoch's end is a request to stop.

        That is how skorch's callbacks ask for it (EarlyStopping does). Anywhere else
        it is the user's, and reaches them. Gradients that a callback looks at are dense.
        """
        if method_name != "on_epoch_end":
            looks = method_name == _GRADIENT_HOOK and self._overridden(method_name)
            with shown_dense(self.module_.parameters()) if looks else nullcontext():
                super().notify(method_name, **cb_kwargs)
            return
        request = None
        for callback in (self, *(callback for _, callback in self.callbacks_)):
            try:
                callback.on_epoch_end(self, **cb_kwargs)
            except KeyboardInterrupt as error:  # noqa: PERF203
                request = error  # the others, which print or save, are told all the same
        if request is not None:
            raise _StopTraining from request

    def get_split_datasets(self, X: Any, y: Any = None, **_: Any) -> tuple[Rows, Rows | None]:
        """Return the pair that :meth:`train_on` was given."""
        train, valid = X
        return train, valid

    def get_dataset(self, X: Any, y: Any = None) -> Rows:
        """Wrap features (and nothing else) for a forward pass."""
        return X if isinstance(X, Rows) else Rows(X)

    def get_iterator(self, dataset: Rows, training: bool = False) -> Batches:
        """Return the batches of a pass, in a new random order each time if training."""
        if training and isinstance(self.optimizer_, NewtonCG):
            return Batches(dataset, len(dataset), self.device, training=True)
        generator = self.generator_ if training else None
        return Batches(dataset, self.batch_size, self.device, generator)

    def train_step_single(self, batch: Batch, **_: Any) -> dict[str, Tensor]:
        """Compute loss and gradient of a batch."""
        self._set_training(True)
        step = self._step(batch)
        step["loss"].backward()  # type: ignore[no-untyped-call]
        return step

    def validation_step(self, batch: Batch, **_: Any) -> dict[str, Tensor]:
        """Compute the loss of a batch."""
        self._set_training(False)
        with torch.no_grad():
            return self._step(batch)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        x, (target, weight) = batch
        hidden = self.module_.last_hidden(x)
        loss = self.criterion_(self.module_.head, hidden, target, weight)
        return {"loss": loss, "y_pred": hidden}

    def run_single_epoch(
        self,
        iterator: Batches | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
        **_: Any,
    ) -> None:
        """Pass once over the batches and record the mean loss per row.

        skorch's way, with a notification before and after each batch, costs half as
        much again as the training itself for a small network. It is taken only if a
        callback has a batch-level hook.
        """
        if iterator is None:
            return
        is_newton = training and isinstance(self.optimizer_, NewtonCG)
        if is_newton:
            step_fn = self._newton_step
        with self._drawing(training):
            if self._overridden(*_BATCH_HOOKS):
                loss = self._watched_epoch(iterator, training, prefix, step_fn)
            elif training and not is_newton:
                loss = self._lean_epoch(iterator)
            else:
                losses = [step_fn(batch)["loss"] * _n_rows(batch) for batch in iterator]
                loss = float(torch.stack(losses).sum())
        loss /= len(iterator.rows)
        if training and isinstance(self.optimizer_, LazyOptimizer):
            self.optimizer_.flush()
        if not math.isfinite(loss):
            what = f"the {prefix} loss of epoch {len(self.history)} is {loss}"
            raise self._diverged(what, iterator.rows)
        if not self.history[-1]["batches"]:
            self.history.new_batch()  # Checkpoint looks at the last batch of each epoch
        name = prefix + "_loss"
        best = min((row[name] for row in self.history[:-1] if name in row), default=math.inf)
        self.history.record(name, loss)
        self.history.record(name + "_best", loss < best)
        self.history.record(prefix + "_batch_count", len(iterator))

    def _lean_epoch(self, iterator: Batches) -> float:
        self._set_training(True)
        optimizer = self.optimizer_
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step = lean_step(optimizer)
        losses, sizes = [], []
        with self.module_.head.moved_by(optimizer):
            for batch in iterator:
                for parameter in parameters:  # what zero_grad does, less its hooks
                    parameter.grad = None
                loss = self._step(batch)["loss"]
                loss.backward()  # type: ignore[no-untyped-call]
                step()
                losses.append(loss.detach())
                sizes.append(_n_rows(batch))
        return float(torch.stack(losses).cpu().double() @ torch.tensor(sizes, dtype=torch.double))

    def _newton_step(self, batch: Batch) -> dict[str, Any]:
        """Take a step of Newton's method, and record what there was to gain."""
        self._set_training(True)
        x, (target, weight) = batch
        head, loss = self.module_.head, self.criterion_
        progress: Progress = self.optimizer_.minimize(head, loss, x, target, weight)
        self.history.record("gain", progress.gain)
        return {"loss": torch.tensor(progress.loss, dtype=torch.float64), "y_pred": None}

    def _watched_epoch(
        self,
        iterator: Batches,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
    ) -> float:
        total = 0.0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            loss, n_rows = step["loss"].item(), _n_rows(batch)
            self.history.record_batch(prefix + "_loss", loss)
            self.history.record_batch(prefix + "_batch_size", n_rows)
            self.notify("on_batch_end", batch=batch, training=training, **step)
            total += loss * n_rows
        return total

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the likeliest leaf of each row, as a position in ``hierarchy.nodes``.

        Where a row may have several labels, predict whether each node is likelier than not.
        """
        if not self.module_.head.one_label:
            log_proba: NDArray[Any] = self.collect(X, lambda network, x: network(x))
            return log_proba > -math.log(2)
        leaves = self.collect(X, lambda network, x: argmax(network.leaf_scores(x)))
        positions: NDArray[np.intp] = self.module__hierarchy.leaf_indices[leaves]
        return positions

    def collect(
        self,
        X: Any,
        function: Callable[[HierarchyNetwork, Any], Any],
        *,
        looks_at_all: bool = True,
        first_row: int = 0,
    ) -> Any:
        """Apply a function of the network to all rows: see :func:`apply_network`."""
        if self.module_.training:  # to walk through all modules takes as long as to predict a row
            self._set_training(False)
        rows = self.get_dataset(X)
        return apply_network(
            self.module_,
            rows,
            function,
            self.cut_,
            self.device,
            looks_at_all=looks_at_all,
            first_row=first_row,
        )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        # Each fit has callbacks of its own, and a scheduler would hold the weights again.
        state |= {"callbacks": None, "callbacks_": []}
        state["generator_"] = self.generator_ and self.generator_.get_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.generator_ is not None:
            random_state, self.generator_ = self.generator_, torch.Generator()
            self.generator_.set_state(random_state)


def _is_finite(value: Any) -> bool:
    if not isinstance(value, Tensor):
        return not isinstance(value, float) or math.isfinite(value)
    # A sum needs no array of its own, and is enough unless it overflows.
    return bool(value.sum().isfinite() or value.isfinite().all())


def _n_rows(batch: Batch) -> int:
    _, (target, _) = batch
    return len(target)


def build_net(
    network: dict[str, Any],
    criterion: torch.nn.Module,
    *,
    is_sparse: bool,
    is_lazy_linear: bool,
    encoder_learning_rate: float | None,
    optimizer: str | type[torch.optim.Optimizer],
    weight_decay: float,
    callbacks: Sequence[Any],
    device: str,
    **params: Any,
) -> HierarchyNet:
    """Put together a net that is ready to be trained.

    Parameters
    ----------
    network : dict
        Parameters of :class:`hierclf.nn.HierarchyNetwork`.
    criterion : torch.nn.Module
        A loss of :mod:`hierclf.nn`.
    is_sparse : bool
        Whether the features are, and so the gradient of the layer that reads them can be.
    is_lazy_linear : bool
        What the function of that name says.
    encoder_learning_rate : float or None
        Learning rate of the encoder; None is that of all else.
    optimizer, weight_decay, device
        As for the classifiers, validated.
    callbacks : list
        Callbacks that the net may change.
    **params
        Further parameters of :class:`HierarchyNet`.

    Returns
    -------
    HierarchyNet
        Not yet initialised.
    """
    chosen, settings = choose_optimizer(
        optimizer,
        network,
        is_sparse=is_sparse,
        is_lazy_linear=is_lazy_linear,
        device=device,
        encoder_lr=params["lr"] if encoder_learning_rate is None else encoder_learning_rate,
    )
    options = {f"module__{name}": value for name, value in network.items()}
    options |= {f"optimizer__{name}": value for name, value in settings.items()}
    return HierarchyNet(
        module=HierarchyNetwork,
        criterion=criterion.to(network["dtype"]),
        optimizer=chosen,
        optimizer__weight_decay=weight_decay,
        callbacks=callbacks,
        device=device,
        predict_nonlinearity=torch.exp,
        use_caching=False,  # a training step yields the steps to the target, no prediction
        **options,
        **params,
    )


def watch_loss(early_stopping: bool, tol: float, n_iter_no_change: int) -> tuple[str, Callback]:
    """Return the callback, with its name, that ends training when the loss stands still.

    Parameters
    ----------
    early_stopping, tol, n_iter_no_change
        As for the classifiers.

    Returns
    -------
    (str, Callback)
        It watches the held-out rows, and keeps the best weights, if ``early_stopping``.
    """
    return _WATCH, EarlyStopping(
        monitor="valid_loss" if early_stopping else "train_loss",
        patience=n_iter_no_change,
        threshold=tol,
        threshold_mode="abs",
        load_best=early_stopping,
    )


class _StopWhenSolved(Callback):  # type: ignore[misc]
    """End training after a step of Newton's method that had little to gain."""

    def __init__(self, tol: float) -> None:
        self.tol = tol

    def on_epoch_end(self, net: HierarchyNet, **_: Any) -> None:
        if net.history[-1, "gain"] <= self.tol:
            raise KeyboardInterrupt  # skorch's request to stop: see notify


def watch_gain(tol: float) -> tuple[str, Callback]:
    """Return the callback, with its name, that ends training at the optimum.

    Parameters
    ----------
    tol : float
        How near, in nats per sample.

    Returns
    -------
    (str, Callback)
        For Newton's method.
    """
    return "watch_gain", _StopWhenSolved(tol)


def gradient_callback(callbacks: Sequence[Any]) -> Any:
    """Return the first of some callbacks that looks at gradients, or None."""
    found = (item[1] if isinstance(item, tuple) else item for item in callbacks)
    return next((callback for callback in found if overrides(callback, _GRADIENT_HOOK)), None)


def overrides(callback: Any, *hooks: str) -> bool:
    """Tell whether a callback, or a class of them, does something in any of some hooks."""
    kind = callback if isinstance(callback, type) else type(callback)
    return any(getattr(kind, hook, None) not in (None, getattr(Callback, hook)) for hook in hooks)


def best_epoch(net: HierarchyNet) -> int:
    """Return the number of epochs after which a trained net had the lowest loss watched."""
    n_epochs: int = dict(net.callbacks_)[_WATCH].best_epoch_
    return n_epochs
