"""A network trained over a hierarchy, whatever its targets are: parameters, X, and training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, cast
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from hierclf._utils.sklearn_private import Interval, StrOptions
from hierclf._utils.stratified import stratified_holdout
from hierclf.classifiers._base import BaseHierarchyClassifier
from hierclf.classifiers._checks import (
    check_callbacks,
    check_hidden_layer_sizes,
    resolve_device,
    train_or_restore,
)
from hierclf.classifiers._computation import Step
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._net import (
    HierarchyNet,
    LabelledRows,
    best_epoch,
    build_net,
    gradient_callback,
    watch_gain,
    watch_loss,
)
from hierclf.classifiers._optimizer import (
    NEWTON,
    OPTIMIZERS,
    PACE,
    Pace,
    check_newton,
    check_optimizer,
    choose_pace,
    is_lazy_linear,
)
from hierclf.classifiers._warm_start import check_same_network, describe
from hierclf.encoders import BaseEncoder
from hierclf.encoders._module_encoder import as_encoder
from hierclf.hierarchy import Hierarchy
from hierclf.nn.head import Head, SoftmaxHead
from hierclf.nn.network import ACTIVATIONS, HierarchyNetwork

_MAX_SEED = np.iinfo(np.int32).max


class Settings(NamedTuple):
    """What the parameters stand for, once they are known to be valid.

    Attributes
    ----------
    goes_on : bool
        Whether this fit goes on from the last.
    is_stream : bool
        Whether this is one block of a stream of samples, and not a fit.
    hierarchy : Hierarchy, inducer or None
        None or an inducer where only the samples can tell.
    encoder, callbacks, device
        As the parameters, resolved.
    learning_rate : float
        That of most networks where the samples decide.
    network : dict
        Parameters of the network that do not depend on the samples. The hidden layers are
        None where the samples decide.
    """

    goes_on: bool
    is_stream: bool
    hierarchy: Any
    encoder: BaseEncoder | None
    callbacks: list[Any]
    device: str
    learning_rate: float
    network: dict[str, Any]


class TrainingTargets(NamedTuple):
    """What the samples are to teach.

    Attributes
    ----------
    hierarchy : Hierarchy
        The hierarchy that is trained.
    target : ndarray of shape (n_samples,), or CSR array of shape (n_samples, n_nodes)
        What the loss takes as the target of each sample; rows of a sparse one are made dense.
    strata : ndarray of shape (n_samples,)
        What to hold samples out in proportion to.
    weight : ndarray of shape (n_samples,) or None
        Weights of a mean of 1; None where all are equal.
    counts : ndarray of shape (n_nodes,)
        Number of samples at or below each node, or their weight.
    attributes : dict
        Fitted attributes of the estimator, set once training has succeeded.
    """

    hierarchy: Hierarchy
    target: Any
    strata: NDArray[np.intp]
    weight: NDArray[Any] | None
    counts: NDArray[Any]
    attributes: dict[str, Any]


class BaseNetworkClassifier(BaseHierarchyClassifier, ABC):
    """A network trained by skorch whose head gives every node of a hierarchy a probability.

    It knows parameters, X, training and warm starts. What y means is for its subclasses,
    which define :meth:`_read_targets` and :meth:`_choose_head`.
    """

    hierarchy_: Hierarchy
    net_: HierarchyNet
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _reader: InputReader
    _trained_with: dict[str, Any]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hierarchy": "no_validation",
        "encoder": "no_validation",
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "refit": ["boolean"],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hierarchy: Any,
        *,
        encoder: Any,
        hidden_layer_sizes: Any,
        activation: str,
        dropout: float,
        optimizer: Any,
        learning_rate_init: float | str,
        weight_decay: float,
        batch_size: int,
        max_iter: int | str,
        tol: float,
        n_iter_no_change: int,
        early_stopping: bool,
        validation_fraction: float,
        refit: bool,
        warm_start: bool,
        callbacks: Any,
        device: str,
        random_state: Any,
        verbose: int,
    ) -> None:
        self.hierarchy = hierarchy
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.encoder is None:
            tags.input_tags.sparse = True
            return tags
        # A bare module reads arrays, as in the encoder that will wrap it.
        kind = getattr(self.encoder, "input_kind", "array")
        tags.input_tags.three_d_array = kind == "array"
        tags.input_tags.positive_only = kind == "tokens"
        tags.input_tags.string = tags.input_tags.one_d_array = kind == "texts"
        tags.input_tags.two_d_array = kind != "texts"
        return tags

    @abstractmethod
    def _choose_head(
        self, targets: TrainingTargets, settings: Settings, step: Step
    ) -> tuple[Callable[..., Head], torch.nn.Module]:
        """Return what makes the head for some targets, and the loss to train it with."""

    def _head_layers(self) -> tuple[int, ...]:
        """Return the sizes of the layers that a head has before its last affine maps."""
        return ()

    @abstractmethod
    def _network_params(self) -> dict[str, Any]:
        """Return the parameters that make another head, which no warm start goes on with."""

    @abstractmethod
    def _read_targets(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        settings: Settings,
        reader: InputReader,
    ) -> tuple[Any, TrainingTargets]:
        """Check the samples, X included, and find out what they are to teach."""

    @property
    def loss_curve_(self) -> list[float]:
        """The mean training loss of each whole epoch, in nats per row."""
        # Of the net, since a warm start that breaks off has trained it all the same.
        losses: list[float] = self.net_.history[:, "train_loss"]
        return losses

    @property
    def n_iter_(self) -> int:
        """The number of whole epochs."""
        return len(self.net_.history)

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
        """Train, and set the fitted attributes: what every ``fit`` does, in its order."""
        with train_or_restore(self):
            settings = self._check_settings()
            reader = self._choose_reader(settings)
            X, targets = self._read_targets(X, y, sample_weight, settings, reader)
            self._train(X, targets, settings, reader)

    def _choose_reader(self, settings: Settings) -> InputReader:
        """Return what reads X: that of the last fit if this one goes on, and may."""
        if not settings.goes_on:
            return InputReader(settings.encoder)
        what = "partial_fit" if settings.is_stream else "warm_start=True"
        network = _with_layers(settings, self._reader, self._head_layers())
        now = self._network_description(settings)
        check_same_network(self.net_, self._trained_with, now, network, settings.device, what)
        return self._reader

    def _train(
        self,
        X: Any,
        targets: TrainingTargets,
        settings: Settings,
        reader: InputReader,
        keep: Callable[[], None] | None = None,
    ) -> None:
        """Train on checked samples, and set the fitted attributes.

        With ``keep`` a net that goes on may have another hierarchy than before. It is called
        when the net has grown and nothing but training itself can fail: the fitted attributes
        are then those of the net, even if training is interrupted.
        """
        network = _with_layers(settings, reader, self._head_layers())
        layers = (*network["hidden_layer_sizes"], *self._head_layers())
        is_linear = is_lazy_linear(self.optimizer, layers, is_sparse=reader.is_sparse)
        pace = self._choose_pace(is_linear, settings, targets)
        hierarchy = targets.hierarchy
        step = Step(
            batch_size=min(int(self.batch_size), X.shape[0]),
            n_visits=X.shape[0] * int(pace.max_iter),
            is_linear_of_sparse=sp.issparse(X) and not network["hidden_layer_sizes"],
            is_lazy_linear=is_linear,
            optimizer=self.optimizer,
            device=settings.device,
        )
        head, criterion = self._choose_head(targets, settings, step)

        random_state = check_random_state(self.random_state)
        seed, batch_seed = random_state.randint(_MAX_SEED, size=2).tolist()
        training = self._training_options(settings, pace) | {"batch_seed": batch_seed}
        build = partial(
            build_net,
            criterion=criterion,
            is_sparse=sp.issparse(X),
            is_lazy_linear=is_linear,
            optimizer=self.optimizer,
            device=settings.device,
            warm_start=self.warm_start or settings.is_stream,
        )
        if settings.goes_on:
            net = self.net_
            net.go_on(criterion, **training)
        else:
            network |= {"hierarchy": hierarchy, "head": head, "seed": seed}
            network |= self._input_options(X, settings, reader, random_state)
            net = build(network, **training)
        X = reader.rows(X, net.dtype, settings.device)
        split = partial(self._split, X, targets, net.dtype, random_state)
        parts = split(hold_out=self.early_stopping)
        if settings.goes_on and keep is not None:
            net.grow(cast("Callable[..., SoftmaxHead]", head), hierarchy)
            self._set_fitted(targets, settings, reader, net)
            keep()
        if self.refit:
            # Copies: both train the weights that an encoder brings, and change callbacks.
            search = build(deepcopy(network), **deepcopy(training))
            search.train_on(*parts)
            net.train_for(best_epoch(search))
            del search  # an accelerator may not hold both
            parts = split(hold_out=False)
        stopped = net.train_on(*parts)
        is_cut_short = not stopped and pace.is_limit and self.n_iter_no_change < pace.max_iter
        if is_cut_short and not self.early_stopping:
            warn(
                f"Training stopped at max_iter={pace.max_iter} while the loss still improved. "
                f"Raise max_iter or learning_rate_init, let early_stopping=True decide, or set "
                f"n_iter_no_change=max_iter for a fixed number of epochs.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self._set_fitted(targets, settings, reader, net)

    def _set_fitted(
        self,
        targets: TrainingTargets,
        settings: Settings,
        reader: InputReader,
        net: HierarchyNet,
    ) -> None:
        """Set the fitted attributes."""
        for name, value in targets.attributes.items():
            setattr(self, name, value)
        self.hierarchy_ = targets.hierarchy
        self.net_ = net
        self._reader = reader
        self._trained_with = self._network_description(settings)

    def _network_description(self, settings: Settings) -> dict[str, Any]:
        """Return what makes another network, besides what the net knows itself.

        The encoder comes first, since the default of hidden_layer_sizes depends on it.
        """
        encoder = describe("encoder", settings.encoder)
        encoder.pop("encoder__learning_rate", None)
        return encoder | {"optimizer": self.optimizer} | self._network_params()

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        """Check the parameters as far as that goes without data."""
        if is_stream and self.early_stopping:
            raise ValueError(
                "early_stopping=True holds samples of a whole data set out, and partial_fit sees "
                "a block: set early_stopping=False, and score blocks before you train on them"
            )
        if self.refit and not self.early_stopping:
            raise ValueError(
                "refit=True trains anew for the epochs that early stopping finds: set "
                "early_stopping=True, or refit=False"
            )
        if self.refit and self.warm_start:
            raise ValueError(
                "refit=True trains anew and warm_start=True goes on training: set one of them only"
            )
        encoder = None if self.encoder is None else as_encoder(self.encoder)
        rate = self.learning_rate_init
        rate = float(PACE.learning_rate if isinstance(rate, str) else rate)
        check_optimizer(self.optimizer, rate, float(self.weight_decay))
        layer_sizes = check_hidden_layer_sizes(self.hidden_layer_sizes)
        callbacks = check_callbacks(self.callbacks)
        if self.optimizer == NEWTON:
            layer_sizes = layer_sizes or ()
            check_newton(
                hidden_layer_sizes=layer_sizes,
                has_encoder=encoder is not None,
                gradient_callback=gradient_callback(callbacks),
            )
        return Settings(
            goes_on=(self.warm_start or is_stream) and hasattr(self, "net_"),
            is_stream=is_stream,
            hierarchy=self._given_hierarchy(),
            encoder=encoder,
            callbacks=callbacks,
            device=resolve_device(self.device),
            learning_rate=rate,
            network={
                "hidden_layer_sizes": layer_sizes,
                "activation": self.activation,
                "dropout": float(self.dropout),
            },
        )

    def _choose_pace(
        self, is_lazy_linear: bool, settings: Settings, targets: TrainingTargets
    ) -> Pace:
        """Resolve what may be "auto"; one pass over a block of a stream."""
        n_samples = targets.target.shape[0]
        # A block is no measure of a stream, nor are leaves of what a sample has several of.
        is_known = not settings.is_stream and targets.target.ndim == 1
        n_classes = len(targets.hierarchy.leaf_indices)
        pace = choose_pace(
            self.learning_rate_init,
            self.max_iter,
            optimizer=self.optimizer,
            is_lazy_linear=is_lazy_linear,
            early_stopping=self.early_stopping,
            n_batches=-(-n_samples // int(self.batch_size)),
            n_per_class=n_samples / n_classes if is_known else math.inf,
        )
        return pace._replace(max_iter=1, is_limit=False) if settings.is_stream else pace

    def _training_options(self, settings: Settings, pace: Pace) -> dict[str, Any]:
        """Return what may differ from one warm start to the next."""
        encoder = settings.encoder
        # torch takes Python's numbers only, and numpy's small ones overflow.
        tol, patience = float(self.tol), int(self.n_iter_no_change)
        is_newton = self.optimizer == NEWTON
        stop = [watch_gain(tol)] if is_newton else []
        if not settings.is_stream and (self.early_stopping or not is_newton):
            stop.append(watch_loss(self.early_stopping, tol, patience))
        rate = None if encoder is None or encoder.is_frozen else encoder.learning_rate
        return {
            "callbacks": [*stop, *deepcopy(settings.callbacks)],
            "weight_decay": float(self.weight_decay),
            "lr": float(pace.learning_rate),
            "encoder_learning_rate": None if rate is None else float(rate),
            "batch_size": int(self.batch_size),
            "max_epochs": int(pace.max_iter),
            "verbose": self.verbose,
        }

    def _input_options(
        self,
        X: Any,
        settings: Settings,
        reader: InputReader,
        random_state: np.random.RandomState,
    ) -> dict[str, Any]:
        """Return what a network of its own takes from the rows: type, size and encoder."""
        dtype = reader.float_dtype(X) if settings.device == "cpu" else np.dtype(np.float32)
        options = {"dtype": getattr(torch, dtype.name), "in_features": X.shape[-1]}
        if settings.encoder is not None:
            options["encoder"], options["in_features"] = reader.build(
                settings.encoder,
                X,
                dtype=options["dtype"],
                seed=random_state.randint(_MAX_SEED),
            )
        return options

    def _split(
        self,
        X: Any,
        targets: TrainingTargets,
        dtype: np.dtype[Any],
        random_state: np.random.RandomState,
        *,
        hold_out: bool,
    ) -> tuple[LabelledRows, LabelledRows | None]:
        """Hold samples out for early stopping, if asked to."""
        target, weight = targets.target, targets.weight
        weight = None if weight is None else weight.astype(dtype, copy=False)

        def take(rows: NDArray[np.intp]) -> LabelledRows:
            return LabelledRows(X[rows], target[rows], None if weight is None else weight[rows])

        if not hold_out:
            return LabelledRows(X, target, weight), None
        train, valid = stratified_holdout(
            targets.strata, float(self.validation_fraction), random_state
        )
        if not len(valid):
            raise ValueError(
                "early_stopping=True holds out rows of classes that have at least two, and "
                "every class has one; use early_stopping=False"
            )
        return take(train), take(valid)

    @property
    def _network(self) -> HierarchyNetwork:
        network: HierarchyNetwork = self.net_.module_
        return network

    def _apply(self, X: Any, function: Callable[..., Any], *, looks_at_all: bool) -> Any:
        net = self.net_
        X = self._reader.rows(X, net.dtype, net.device)
        return net.collect(X, function, looks_at_all=looks_at_all)

    def _checked_rows(self, X: Any) -> Any:
        """Check X, and turn it into what the network reads."""
        net = self.net_
        return self._reader.rows(self._reader.check(self, X), net.dtype, net.device)


def _with_layers(
    settings: Settings, reader: InputReader, head_layers: tuple[int, ...]
) -> dict[str, Any]:
    """Return the parameters of the network, its layers included."""
    if settings.network["hidden_layer_sizes"] is not None:
        return settings.network
    is_linear = settings.encoder is not None or reader.is_sparse
    dropout = settings.network["dropout"]
    if reader.is_sparse and dropout and not head_layers:
        raise ValueError(
            f"dropout={dropout} drops hidden units, and for a sparse X hidden_layer_sizes=None has "
            "none: give hidden_layer_sizes=(100,), or dropout=0"
        )
    return settings.network | {"hidden_layer_sizes": () if is_linear else (100,)}
