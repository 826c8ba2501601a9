"""The classifier with a softmax at every inner node of a hierarchy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from torch import nn
from torch.optim import Optimizer

from hierclf._utils.sklearn_private import Interval, StrOptions
from hierclf.classifiers._computation import COMPUTATIONS, Step, choose_head
from hierclf.classifiers._network import Settings
from hierclf.classifiers._optimizer import NEWTON, check_takes_sparse
from hierclf.classifiers._partial_fit import StreamSoftmaxClassifier
from hierclf.decisions import BaseDecision
from hierclf.encoders import BaseEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.losses import BaseLoss
from hierclf.nn import BranchedSoftmax, PathSoftmax, RecursiveRegularization, SoftmaxHead
from hierclf.nn.branches import check_has_branches


class HierarchicalSoftmaxClassifier(StreamSoftmaxClassifier):
    r"""Classifier with one softmax at every inner node of a hierarchy, trained end to end.

    A single network computes :math:`P(\text{child} \mid \text{parent})` at every inner
    node. The probability of a node is the product along the path from the root, and
    training minimises minus the log-probability of the true path [1]_. Leaves sum to
    1, and every other node is the sum of its children. Where a node has several parents
    (in a DAG), its probability is the sum over its paths.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The classes: ``{parent: [children]}`` or nested dicts, (parent, child) pairs, a
        networkx ``DiGraph``, a :class:`Hierarchy`, or an object of
        :mod:`hierclf.induction`, which builds one from the data. Nodes that are neither
        above, at nor below a label of ``y`` are left out. None is the hierarchy of the
        paths in ``y``; if ``y`` holds single labels, all of them are directly under the
        root, and the classifier is a flat softmax.
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
        the cross-entropy summed over the path, ``PathCrossEntropy()``; a linear model
        of sparse features with ``optimizer="auto"`` has
        ``PathCrossEntropy(logit_adjustment=0.5)``, which favours rare classes: give
        ``PathCrossEntropy()`` for probabilities without it.
    decision : str or decision, default="argmax"
        Which node ``predict`` returns, given the probabilities: an object of
        :mod:`hierclf.decisions`, or a short name for one with its defaults ("argmax",
        "top_down", "threshold", "minimum_risk", "information_gain"). It does not change
        the probabilities, and you may set another after the fit.
    branch_hidden_size : int, optional
        Gives each top-level branch of a tree a hidden layer of its own, of this many units, over
        all that is shared. The softmaxes in a branch read its layer, and the softmax under the
        root reads the shared layers (:class:`hierclf.nn.BranchedSoftmax`). A sample trains what
        is shared and what belongs to its own branch. ``activation`` and ``dropout`` are as for
        the hidden layers. A sparse X without hidden layers is read by the layers of the branches.
        For ``partial_fit`` a node has to stay in its branch. None: all softmaxes read the same
        layer.
    recursive_regularization : float, default=0.0
        Strength of a penalty on the rows of the softmaxes: the factor of
        :math:`\sum_{(p, c)} \frac{1}{2} \lVert w_p - w_c \rVert^2` over the edges below the top
        level, where the rows of siblings are centred [2]_. It draws each softmax to
        equal probabilities, the more the more children its nodes have
        (:class:`hierclf.nn.RecursiveRegularization` derives it). It is in the loss of training,
        not in that of samples held out. Each step then moves all rows: softmaxes
        that read a sparse X take longer, since a step without it moves the weights of the features
        in the batch.
    computation : {"auto", "dense", "path"}, default="auto"
        How training computes the softmaxes. The model, and what it predicts, is the same.

        - "dense" computes all of them at every step.
        - "path" computes those on the paths to the labels of the batch, and moves their
          weights alone. The cost of a step then grows with the depth of the hierarchy
          and hardly with the number of classes. It is fastest with numba
          (``pip install hierclf[fast]``). It needs an optimizer that takes sparse
          gradients: "auto", "adamw" (:class:`hierclf.nn.LazyAdamW` with
          ``row_steps=True``), "adagrad", or a class that does. In a DAG, with a loss
          that looks at all nodes, with ``branch_hidden_size`` and with
          ``recursive_regularization`` it warns and computes as "dense" does. A linear model
          of a sparse X cannot have it.
        - "auto" is "path" where that is faster, on the CPU and with ``optimizer`` "auto",
          "adamw" or "adagrad": if the number of nodes times the samples in a batch is at
          least 75,000, and the softmaxes on a path have on average at most a
          2.5th of the nodes. Without numba it is 1,000,000 and a 60th. Else "auto" is
          "dense".
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
    FlatSoftmaxClassifier : The same network under a single softmax.
    sklearn.neural_network.MLPClassifier : Also a flat softmax over hidden layers.

    Notes
    -----
    The head has one row of weights for each node but the root. That is
    :math:`(P - 1)(d + 1)` parameters more than a flat softmax needs, for :math:`P`
    inner nodes and a last hidden layer of :math:`d` units.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.
    .. [2] S. Gopal and Y. Yang, "Recursive Regularization for Large-scale Classification with
       Hierarchical and Graphical Dependencies", KDD 2013.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> y = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
    >>> hierarchy = {"iris": ["setosa", "others"], "others": ["versicolor", "virginica"]}
    >>> clf = HierarchicalSoftmaxClassifier(
    ...     hierarchy, max_iter=30, n_iter_no_change=30, learning_rate_init=0.01, random_state=0
    ... )
    >>> clf.fit(X, y).predict(X.iloc[[0, 149]])
    array(['setosa', 'virginica'], dtype=object)
    >>> clf.hierarchy_.level(0)
    ('others', 'setosa')
    >>> clf.predict_proba(X.iloc[[0, 149]], level=0).round(1)
    array([[0., 1.],
           [1., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **StreamSoftmaxClassifier._parameter_constraints,
        "branch_hidden_size": [Interval(Integral, 1, None, closed="left"), None],
        "recursive_regularization": [Interval(Real, 0, None, closed="left")],
        "computation": [StrOptions(set(COMPUTATIONS))],
    }

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
        branch_hidden_size: int | None = None,
        recursive_regularization: float = 0.0,
        computation: Literal["auto", "dense", "path"] = "auto",
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

        self.branch_hidden_size = branch_hidden_size
        self.recursive_regularization = recursive_regularization
        self.computation = computation

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        settings = super()._check_settings(is_stream=is_stream)
        if self.optimizer == NEWTON:
            for name, none in (("branch_hidden_size", None), ("recursive_regularization", 0)):
                value = getattr(self, name)
                if value not in (None, 0):
                    raise ValueError(
                        f"optimizer='newton' has no form with {name}={value}: give "
                        f"{name}={none}, or another optimizer"
                    )
        if self.computation == "path":
            is_linear = settings.encoder is None and settings.network["hidden_layer_sizes"] == ()
            check_takes_sparse(
                self.optimizer,
                settings.learning_rate,
                float(self.weight_decay),
                with_dense=not is_linear,
            )
        return settings

    def _network_params(self) -> dict[str, Any]:
        return {"computation": self.computation, "branch_hidden_size": self.branch_hidden_size}

    def _head_layers(self) -> tuple[int, ...]:
        return () if self.branch_hidden_size is None else (int(self.branch_hidden_size),)

    def _head(self, hierarchy: Hierarchy, step: Step, loss: BaseLoss) -> Callable[..., SoftmaxHead]:
        head = choose_head(self.computation, hierarchy, step, loss, self._why_dense())
        if self.branch_hidden_size is None:
            return head
        check_has_branches(hierarchy)
        return partial(
            BranchedSoftmax,
            branch_size=int(self.branch_hidden_size),
            activation=self.activation,
            dropout=float(self.dropout),
        )

    def _why_dense(self) -> str | None:
        """Return the parameter that training cannot have on the paths of a batch alone, if any."""
        if self.branch_hidden_size is not None:
            return (
                f"has no form with branch_hidden_size={self.branch_hidden_size}, where the "
                "softmaxes of a path read several layers"
            )
        strength = self.recursive_regularization
        if strength:
            return f"saves nothing with recursive_regularization={strength}, which moves all rows"
        return None

    def _regularize(
        self,
        criterion: nn.Module,
        hierarchy: Hierarchy,
        head: Callable[..., SoftmaxHead],
    ) -> nn.Module:
        strength = self.recursive_regularization
        if not strength:
            return criterion
        if head is PathSoftmax:
            raise ValueError(
                f"recursive_regularization={strength} moves all rows at each step, and the network "
                "that goes on computes its softmaxes on the paths of a batch alone: set it to 0, "
                "or fit anew with computation='dense'"
            )
        return RecursiveRegularization(criterion, hierarchy, float(strength))
