"""The baseline: the same classifier with a single softmax over all classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch import nn
from torch.optim import Optimizer

from hierclf.classifiers._computation import Step
from hierclf.classifiers._partial_fit import StreamSoftmaxClassifier
from hierclf.decisions import BaseDecision
from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.losses import BaseLoss
from hierclf.nn import FlatSoftmax, SoftmaxHead


class FlatSoftmaxClassifier(StreamSoftmaxClassifier):
    """The flat baseline: one softmax over all classes, the same in all else.

    With equal parameters it starts from the same hidden layers and sees the same
    batches as :class:`HierarchicalSoftmaxClassifier`; the two differ in the head alone.
    It uses the hierarchy to add up the probabilities of leaves, so that it too gives
    every node a probability.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The classes: ``{parent: [children]}`` or nested dicts, (parent, child) pairs, a
        networkx ``DiGraph``, a :class:`Hierarchy`, or an object of
        :mod:`hierclf.induction`, which builds one from the data. Nodes that are neither
        above, at nor below a label of ``y`` are left out. None is the hierarchy of the
        paths in ``y``; if ``y`` holds single labels, all of them are directly under the
        root, so that no level is above
        the classes. It does not change how the classifier is trained.
    inner_labels : {"below", "itself"}, default="below"
        What a label that is an inner node stands for.

        - "below": the sample is somewhere below that node, and nobody knows where. Its loss
          is minus the log-probability of the node.
        - "itself": the node is the answer, as in a catalogue whose items sit on inner nodes.
          If there are labels below it, it becomes a class of its own beside them: a leaf
          named "node (itself)" under the node. ``predict`` calls it by the node's name.
    encoder : encoder, torch.nn.Module or callable, optional
        Turns a sample into the vector that the hidden layers and the head read. It may be
        an object of :mod:`hierclf.encoders`, a torch module, whose weights are where each
        fit starts, or a class or function that returns a module. It also says what X is:
        token ids, texts, or an array of two dimensions or more. None: X is the features.
    hidden_layer_sizes : int or sequence of int, optional
        Sizes of the hidden layers; ``()`` is a linear model. None is ``()`` for a sparse X,
        with an encoder and with ``optimizer="newton"``, else ``(100,)``.
    activation : {"relu", "gelu", "tanh", "logistic", "identity"}, default="relu"
        Activation function after each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden unit in training; in [0, 1). For a sparse X it needs
        ``hidden_layer_sizes``.
    loss : loss, optional
        What training minimises: an object of :mod:`hierclf.losses`. None is
        the cross-entropy of the label, ``PathCrossEntropy()``; a linear model
        of sparse features with ``optimizer="auto"`` has
        ``PathCrossEntropy(logit_adjustment=0.5)``, which favours rare classes: give
        ``PathCrossEntropy()`` for probabilities without it.
    decision : str or decision, default="argmax"
        Which node ``predict`` returns, given the probabilities: an object of
        :mod:`hierclf.decisions`, or a short name for one with its defaults ("argmax",
        "top_down", "threshold", "minimum_risk", "information_gain"). It does not change
        the probabilities, and you may set another after the fit.
    optimizer : {"auto", "adamw", "adagrad", "adam", "sgd", "newton"} or type, default="auto"
        Optimiser of the weights.

        - "auto" is "adamw". Only a linear model of sparse features has another:
          :class:`hierclf.nn.LazyNovoGrad`, whose steps are in proportion to the gradient.
        - "adamw" is :class:`torch.optim.AdamW`. For a sparse X, and with an encoder that
          looks up token ids, it is :class:`hierclf.nn.LazyAdamW`: in the layer that reads
          them a step moves only the weights of the features or tokens in the batch. Pass
          ``torch.optim.AdamW`` itself to move all weights at each step.
        - "adagrad" is :class:`hierclf.nn.LazyRowwiseAdagrad`, which takes hardly more
          memory than the weights.
        - "adam" is :class:`torch.optim.Adam`.
        - "sgd" is :class:`torch.optim.SGD` with Nesterov momentum of 0.9.
        - "newton" is :class:`hierclf.nn.NewtonCG`, for linear models. It takes few large
          steps over all samples at once, each of them an epoch, and reaches the minimum of
          the loss and an L2 penalty of ``weight_decay``. It has no use for ``batch_size``, and
          for ``random_state`` only to hold samples out. It holds all logits in memory, and
          cannot serve ``partial_fit``, an encoder, or callbacks that look at gradients.
        - A subclass of :class:`torch.optim.Optimizer` is called with ``lr`` and
          ``weight_decay``.
    learning_rate_init : float or "auto", default="auto"
        Learning rate at the start. "auto" is 1e-3, and 0.1 with ``optimizer="adagrad"`` and
        for a linear model of sparse features with ``optimizer="auto"``: there less, in
        proportion, if classes have fewer than 20 samples on average, down to 0.01, and
        the samples are more than a batch. With "newton" it is
        the length of a step that is tried first, and "auto" is 1: a whole step. A skorch
        ``LRScheduler`` among the callbacks changes it during training.
    weight_decay : float, default=1e-4
        Strength of the weight decay. It is decoupled from the gradient with "adamw" and
        "adagrad", and an L2 penalty with the other optimisers.
    batch_size : int, default=128
        Samples per step.
    max_iter : int or "auto", default="auto"
        Maximum number of epochs (passes over the data) of a fit. "auto" is 200. A linear
        model of sparse features with ``optimizer="auto"`` and without ``early_stopping``
        has as many epochs as make 200 steps, at least 3: with more steps it fits the
        training samples better, and others no better.
    tol : float, default=1e-4
        An epoch is an improvement if it lowers the loss by more than this, in nats per
        sample. With ``optimizer="newton"`` training ends when the objective is no farther
        than this above its minimum, as far as the last step can tell.
    n_iter_no_change : int, default=10
        Training stops after this number of epochs without an improvement. With
        ``optimizer="newton"`` it counts only if ``early_stopping``.
    early_stopping : bool, default=False
        Whether to hold samples out, to stop when their loss no longer improves, and to keep
        the weights of the best epoch. If False, the training loss decides when to stop. It is
        not for ``partial_fit``.
    validation_fraction : float, default=0.1
        Share of the samples to hold out if ``early_stopping``. They are stratified, and a
        class always keeps a sample for training.
    refit : bool, default=False
        Whether to train anew on all samples once early stopping has found the best epoch,
        for that number of epochs. ``net_``, ``loss_curve_`` and ``n_iter_`` are those of
        the second training. Both trainings use copies of the callbacks, and in the second
        no samples are held out. Needs ``early_stopping=True`` and ``warm_start=False``.
    class_weight : dict or "balanced", optional
        Weights of the samples by their label: ``{label: weight}``. A label without a key
        has the weight of the nearest key above it, or 1 if there is none. "balanced" gives
        every leaf in ``y`` the same total weight; a sample that is labelled with an inner
        node then has the mean weight of the samples below it. It is not for ``partial_fit``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit, with up to ``max_iter`` more epochs. It
        keeps the weights, the optimiser and the order of the samples. Classes, features,
        network, optimizer and device must be those of the last fit. After an interruption
        the next fit goes on from the last whole batch.
    callbacks : list, optional
        skorch callbacks, as objects or (name, object) pairs. Each fit uses copies of them.
        Callbacks with a method for each batch make training slower. For
        ``on_grad_computed`` the gradients of lazy optimisers are shown as dense arrays; a
        change to entries that have no gradient is lost.
    device : {"cpu", "cuda", "mps", "auto"}, default="cpu"
        Where to train. "auto" is an accelerator if there is one. An accelerator always
        computes in float32.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of the samples, dropout and the samples
        held out. The same integer gives the same result on the same machine.
    verbose : int, default=0
        If not 0, print losses and seconds after each epoch, and how many samples of
        ``predict_topk`` took the pass over all classes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The leaves of ``hierarchy_``, sorted: the labels of ``y``, and, where a label is
        an inner node, all leaves below it; with ``inner_labels="itself"`` the labels alone.
        For ``partial_fit`` the labels are the ``classes`` that it is given, or all leaves.
    hierarchy_ : Hierarchy
        The hierarchy without the nodes that are neither above, at nor below a label of
        ``y``, or one of the ``classes``.
    net_ : skorch.NeuralNet
        The trained net. ``net_.module_`` is the torch module, and ``net_.history`` has the
        record of each epoch.
    loss_curve_ : list of float
        Mean training loss of each whole epoch, in nats per sample. A call of ``partial_fit``
        is one.
    n_iter_ : int
        Number of whole epochs.
    n_features_in_ : int
        Number of features seen in fit. Texts and token ids have none.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    HierarchicalSoftmaxClassifier : A softmax at every inner node.

    Examples
    --------
    >>> from hierclf import FlatSoftmaxClassifier
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> digits = load_digits_hierarchy()
    >>> X, y = digits.data / 16, digits.target
    >>> clf = FlatSoftmaxClassifier(
    ...     digits.hierarchy, max_iter=30, n_iter_no_change=30, random_state=0
    ... )
    >>> clf.fit(X, y).predict(X[:5]).tolist()
    ['0', '1', '2', '3', '4']
    >>> clf.predict(X[:3], level="parent").tolist()
    ['closed loop', 'straight strokes', 'open curve']
    """

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        inner_labels: Literal["below", "itself"] = "below",
        encoder: BaseEncoder | nn.Module | Callable[[], nn.Module] | None = None,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        activation: Literal["relu", "gelu", "tanh", "logistic", "identity"] = "relu",
        dropout: float = 0.0,
        loss: BaseLoss | None = None,
        decision: Literal["argmax", "top_down", "threshold", "minimum_risk", "information_gain"]
        | BaseDecision = "argmax",
        optimizer: Literal["auto", "adamw", "adagrad", "adam", "sgd", "newton"]
        | type[Optimizer] = "auto",
        learning_rate_init: float | Literal["auto"] = "auto",
        weight_decay: float = 1e-4,
        batch_size: int = 128,
        max_iter: int | Literal["auto"] = "auto",
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        refit: bool = False,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hierarchy,
            inner_labels=inner_labels,
            encoder=encoder,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            loss=loss,
            decision=decision,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            refit=refit,
            class_weight=class_weight,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )

    def _head(self, hierarchy: Hierarchy, step: Step, loss: BaseLoss) -> type[SoftmaxHead]:
        return FlatSoftmax
