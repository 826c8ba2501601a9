"""What the softmax classifiers share: parameters, validation, fitting and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from hierclf._batches import stratified_holdout
from hierclf._compat import Interval, StrOptions, fit_context
from hierclf._inputs import InputReader
from hierclf._optimizers import OPTIMIZERS
from hierclf._prediction import SoftmaxPredictions, class_columns
from hierclf._targets import Targets, locate, read_targets
from hierclf._training import LabelledRows, build_net, watch_loss
from hierclf._validation import (
    check_callbacks,
    check_hidden_layer_sizes,
    resolve_device,
    unchanged_on_failure,
)
from hierclf._warm_start import check_same_classes, check_same_network, describe_encoder
from hierclf._weights import combine_weights, drop_zero_weights
from hierclf.decisions import BaseDecision, as_decision
from hierclf.encoders import BaseEncoder
from hierclf.encoders._modules import as_encoder
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.losses import BaseLoss, as_loss
from hierclf.nn.network import ACTIVATIONS

_MAX_SEED = np.iinfo(np.int32).max
# What the parameters of nested objects are set on, and where such objects are found.
_PARAM_OBJECTS = {
    "hierarchy": "induction, such as hierarchy=BalancedHierarchy()",
    "encoder": "encoders, such as encoder=LSTMEncoder()",
    "loss": "losses, such as loss=PathCrossEntropy()",
    "decision": "decisions, such as decision=Threshold()",
}


class _Settings(NamedTuple):
    """What the parameters stand for, once they are known to be valid.

    ``hierarchy`` is None or an inducer where only the rows can tell; ``network`` has the
    parameters of the network that do not depend on the rows; ``goes_on`` is whether this
    fit goes on from the last.
    """

    goes_on: bool
    hierarchy: Any
    encoder: BaseEncoder | None
    loss: BaseLoss
    decision: BaseDecision
    callbacks: list[Any]
    device: str
    network: dict[str, Any]


class _Rows(NamedTuple):
    """What there is to know of the rows besides X: nodes, weights and what to minimise.

    ``longest_path`` is None where y held single labels.
    """

    targets: Targets
    weight: NDArray[Any] | None
    criterion: torch.nn.Module
    longest_path: int | None


class BaseSoftmaxClassifier(SoftmaxPredictions, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network trained by skorch whose head gives every node a probability."""

    _head: ClassVar[str]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hierarchy": "no_validation",
        "encoder": "no_validation",
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "loss": "no_validation",
        "decision": "no_validation",
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        encoder: Any = None,
        hidden_layer_sizes: Any = None,
        activation: str = "relu",
        dropout: float = 0.0,
        loss: Any = None,
        decision: Any = "argmax",
        optimizer: Any = "auto",
        learning_rate_init: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_size: int = 128,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        class_weight: Any = None,
        warm_start: bool = False,
        callbacks: Any = None,
        device: str = "cpu",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.hierarchy = hierarchy
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.loss = loss
        self.decision = decision
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
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

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of nested objects as ``<name>__<parameter>``.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        object
            The classifier.

        Raises
        ------
        ValueError
            If there is no such parameter, or no object to set a nested one on.
        """
        for name, example in _PARAM_OBJECTS.items():
            given = params.get(name, getattr(self, name))
            nested = next((key for key in params if key.startswith(f"{name}__")), None)
            if nested is None or (hasattr(given, "set_params") and not isinstance(given, type)):
                continue
            found, cure = repr(given), f"an object of hierclf.{example}"
            if hasattr(given, "set_params"):
                found, cure = f"the class {given.__name__}", f"{given.__name__}(...)"
            raise ValueError(
                f"{nested} sets a parameter of an object, and {name} is {found}: pass {cure}"
            )
        return super().set_params(**params)

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Train on rows and their labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads. float32 and float64 train a
            network of that type; other types become float64. A sparse matrix is never
            made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels, each a node of the hierarchy. A row that is labelled with an inner
            node is known only that far: the loss is minus the log-probability of that
            node. Or paths, the top level first, as an array, data frame or lists; they
            may end early, with "", None or NaN as padding.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. Only their ratios count; a row of weight 0 is left
            out.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not as described; the message names
            it. The classifier is then as it was before.
        """
        with unchanged_on_failure(self):
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
        settings = self._check_settings()
        if settings.goes_on:
            check_same_network(self, settings.network, settings.encoder, settings.device)
        reader = self._reader if settings.goes_on else InputReader(settings.encoder)
        X, rows = self._read(X, y, sample_weight, settings, reader)

        random_state = check_random_state(self.random_state)
        seed, batch_seed = random_state.randint(_MAX_SEED, size=2).tolist()
        training = self._training_options(settings) | {"batch_seed": batch_seed}
        if settings.goes_on:
            net = self.net_
            net.go_on(rows.criterion, **training)
        else:
            network = settings.network | {"hierarchy": rows.targets.hierarchy, "seed": seed}
            network |= self._input_options(X, settings, reader, random_state)
            net = build_net(
                network,
                rows.criterion,
                is_sparse=sp.issparse(X),
                optimizer=self.optimizer,
                device=settings.device,
                warm_start=self.warm_start,
                **training,
            )
        X = reader.rows(X, net.dtype, settings.device)
        train, valid = self._split(X, rows.targets.nodes, rows.weight, net.dtype, random_state)
        stopped = net.train_on(train, valid)
        if not stopped and self.n_iter_no_change < self.max_iter and not self.early_stopping:
            warn(
                f"Training stopped at max_iter={self.max_iter} while the loss still improved. "
                f"Raise max_iter or learning_rate_init, let early_stopping=True decide, or set "
                f"n_iter_no_change=max_iter for a fixed number of epochs.",
                ConvergenceWarning,
                stacklevel=4,
            )

        self.classes_ = rows.targets.classes
        self.hierarchy_ = rows.targets.hierarchy
        self.net_ = net
        self.loss_curve_ = net.history[:, "train_loss"]
        self.n_iter_ = len(self.loss_curve_)
        self._reader = reader
        self._encoder = describe_encoder(settings.encoder)
        self._optimizer = self.optimizer
        self._class_positions = rows.targets.class_positions
        self._class_columns = class_columns(self._class_positions, self.hierarchy_)
        self._longest_path = rows.longest_path

    def _check_settings(self) -> _Settings:
        """Check the parameters as far as that goes without data."""
        encoder = as_encoder(self.encoder)
        loss, decision = as_loss(self.loss), as_decision(self.decision)
        loss.check()
        decision.check()
        hierarchy = self.hierarchy
        if isinstance(hierarchy, Iterator):
            raise TypeError(
                f"hierarchy={hierarchy!r} can be read once only: give the edges in a list"
            )
        if hierarchy is not None and not hasattr(hierarchy, "fit"):
            hierarchy = as_hierarchy(hierarchy)
            loss.check_hierarchy(hierarchy)
        return _Settings(
            goes_on=self.warm_start and hasattr(self, "net_"),
            hierarchy=hierarchy,
            encoder=encoder,
            loss=loss,
            decision=decision,
            callbacks=check_callbacks(self.callbacks),
            device=resolve_device(self.device),
            network={
                "hidden_layer_sizes": check_hidden_layer_sizes(
                    self.hidden_layer_sizes, default=(100,) if encoder is None else ()
                ),
                "activation": self.activation,
                "dropout": self.dropout,
                "head": self._head,
            },
        )

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        settings: _Settings,
        reader: InputReader,
    ) -> tuple[Any, _Rows]:
        """Check the rows, and find out what they are to teach."""
        located = locate(y, settings.hierarchy)
        if located is not None:
            y = located.positions
        X, y = reader.check_fit(self, X, y, reset=not settings.goes_on)
        check_classification_targets(y)
        if sample_weight is not None:
            X, y, sample_weight = drop_zero_weights(X, y, sample_weight)

        hierarchy = located.hierarchy if located else _whole_hierarchy(settings.hierarchy, X, y)
        settings.loss.check_hierarchy(hierarchy)  # which may come from the labels
        targets = read_targets(y, hierarchy, are_positions=located is not None)
        if settings.goes_on:
            check_same_classes(self, targets.classes, targets.hierarchy)
        settings.decision.build(targets.class_positions, targets.hierarchy)  # it may not fit them
        return X, _Rows(
            targets=targets,
            weight=combine_weights(self.class_weight, sample_weight, targets, hierarchy),
            criterion=settings.loss.build(
                targets.hierarchy, head=self._head, counts=targets.counts(sample_weight)
            ),
            longest_path=located.longest_path if located else None,
        )

    def _training_options(self, settings: _Settings) -> dict[str, Any]:
        """Return what may differ from one warm start to the next."""
        encoder = settings.encoder
        stop = watch_loss(self.early_stopping, self.tol, self.n_iter_no_change)
        return {
            "callbacks": [stop, *deepcopy(settings.callbacks)],
            "weight_decay": self.weight_decay,
            "lr": self.learning_rate_init,
            "encoder_learning_rate": (
                None if encoder is None or encoder.is_frozen else encoder.learning_rate
            ),
            "batch_size": self.batch_size,
            "max_epochs": self.max_iter,
            "verbose": self.verbose,
        }

    def _input_options(
        self,
        X: Any,
        settings: _Settings,
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
        target: NDArray[np.intp],
        weight: NDArray[Any] | None,
        dtype: np.dtype[Any],
        random_state: np.random.RandomState,
    ) -> tuple[LabelledRows, LabelledRows | None]:
        """Hold rows out for early stopping, if asked to."""
        weight = None if weight is None else weight.astype(dtype, copy=False)

        def take(rows: NDArray[np.intp]) -> LabelledRows:
            return LabelledRows(X[rows], target[rows], None if weight is None else weight[rows])

        if not self.early_stopping:
            return LabelledRows(X, target, weight), None
        train, valid = stratified_holdout(target, self.validation_fraction, random_state)
        if not len(valid):
            raise ValueError(
                "early_stopping=True holds out rows of classes that have at least two, and "
                "every class has one; use early_stopping=False"
            )
        return take(train), take(valid)


def _whole_hierarchy(given: Any, X: Any, y: NDArray[Any]) -> Hierarchy:
    """Return the hierarchy that was given, that an inducer builds, or that has one level."""
    if given is None:
        return Hierarchy.flat(np.unique(y))
    if hasattr(given, "fit"):
        return as_hierarchy(clone(given).fit(X, y).hierarchy_)
    whole: Hierarchy = given
    return whole
