"""The classifiers: a softmax at every inner node of a hierarchy, and its flat baseline."""

from __future__ import annotations

from typing import ClassVar

from hierclf._base import BaseSoftmaxClassifier


class HierarchicalSoftmaxClassifier(BaseSoftmaxClassifier):
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
        :mod:`hierclf.induction`, which builds one from the data. What is neither above
        nor below a label of ``y`` is left out. None is the hierarchy of the paths in
        ``y``; where ``y`` holds single labels, all are directly under the root, which
        makes this a flat softmax.
    encoder : encoder, torch.nn.Module or callable, optional
        What turns a row into the vector that the hidden layers and the head read: an
        object of :mod:`hierclf.encoders`, a torch module, whose weights are where each
        fit starts, or a class or function that returns a module. It also says what X is:
        token ids, texts, or an array of two dimensions or more. None: X is the features.
    hidden_layer_sizes : int or sequence of int, optional
        Sizes of the hidden layers; ``()`` is a linear model. None is ``()`` for a sparse X
        and with an encoder, and ``(100,)`` for all else.
    activation : {"relu", "gelu", "tanh", "logistic", "identity"}, default="relu"
        Follows each hidden layer.
    dropout : float, default=0.0
        Probability with which each hidden unit is dropped in training; in [0, 1). Needs
        ``hidden_layer_sizes`` for a sparse X.
    loss : loss, optional
        What training minimises, an object of :mod:`hierclf.losses`. None is the
        cross-entropy summed over the path, ``PathCrossEntropy()``.
    decision : str or decision, default="argmax"
        Which node ``predict`` names, given the probabilities: an object of
        :mod:`hierclf.decisions`, or the name of one with its defaults ("argmax",
        "top_down", "threshold", "minimum_risk", "information_gain"). Probabilities do
        not depend on it, and it may be changed after the fit.
    optimizer : {"auto", "adamw", "adam", "sgd"} or type, default="auto"
        "auto" is "adamw", but for a linear model of sparse features, whose weights move
        in proportion to their gradient (:class:`hierclf.nn.LazyNovoGrad`). For a sparse X,
        and with an encoder that looks up token ids, "adamw" is the lazy variant
        (:class:`hierclf.nn.LazyAdamW`): of the layer that reads them a step moves only the
        rows of the features or tokens in the batch, and costs no more. torch's own, which
        moves them all, is ``torch.optim.AdamW``. "sgd" has Nesterov momentum of 0.9. A
        subclass of :class:`torch.optim.Optimizer` is called with ``lr`` and
        ``weight_decay``.
    learning_rate_init : float or "auto", default="auto"
        Learning rate at the start; a skorch ``LRScheduler`` can change it. "auto" is 1e-3,
        and 0.1 for a linear model of sparse features with ``optimizer="auto"``.
    weight_decay : float, default=1e-4
        Decoupled from the gradient with "adamw"; an L2 penalty with the others.
    batch_size : int, default=128
        Rows per step.
    max_iter : int or "auto", default="auto"
        The most epochs, that is passes over the data, of a fit. "auto" is 200. For a linear
        model of sparse features with ``optimizer="auto"``, and without ``early_stopping``, it
        is as many epochs as it takes to make 200 steps, at least 3: more steps would fit the
        training rows closer, and predict others no better.
    tol : float, default=1e-4
        An epoch counts as an improvement if it lowers the loss by more than this,
        in nats per row.
    n_iter_no_change : int, default=10
        Training stops after so many epochs without improvement.
    early_stopping : bool, default=False
        Watch the loss of held-out rows instead of that of the training rows, and
        keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows to hold out, stratified; a class always keeps a row for
        training. Only used if ``early_stopping``.
    refit : bool, default=False
        Once early stopping has found the best epoch, train anew, on all rows and for that
        number of epochs. ``net_``, ``loss_curve_`` and ``n_iter_`` are those of the second
        training. Callbacks take part in both, each in copies of its own; in the second
        there are no held-out rows. Needs ``early_stopping=True``, and cannot go with
        ``warm_start=True``.
    class_weight : dict or "balanced", optional
        Weights of the rows by their label. An inner node's weight is that of all rows
        at or below it that have no nearer one; without any it is 1. "balanced" gives
        all leaves in ``y`` the same total weight, and a row labelled with an inner node
        that of a row below it on average.
    warm_start : bool, default=False
        Go on from the last fit (weights, optimiser and order of rows) with ``max_iter``
        epochs more. Classes, features, network, optimizer and device must be the same.
    callbacks : list, optional
        skorch callbacks, as objects or (name, object) pairs; each fit uses copies.
        One with a batch-level hook makes an epoch somewhat slower. One that looks at
        gradients (``on_grad_computed``) sees dense ones: where ``optimizer`` is lazy a step
        then costs what the whole layer does. The rows that move are the same, so what it
        writes to others has no effect.
    device : {"cpu", "cuda", "mps", "auto"}, default="cpu"
        Where to train; "auto" is an accelerator where there is one. An accelerator
        always computes in float32.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, order of rows, dropout and held-out rows. The same
        integer gives the same result on the same machine.
    verbose : int, default=0
        Print losses and seconds after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The leaves of ``hierarchy_``, sorted: the labels of ``y``, and, where a label is
        an inner node, all leaves below it.
    hierarchy_ : Hierarchy
        The hierarchy, pruned to what is above, at or below a label of ``y``.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module and ``net_.history`` has
        the record of each epoch.
    loss_curve_ : list of float
        Mean training loss of each epoch, in nats per row.
    n_iter_ : int
        Number of epochs.
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

    _head: ClassVar[str] = "hierarchical"


class FlatSoftmaxClassifier(BaseSoftmaxClassifier):
    """The flat baseline: one softmax over all classes, the same in all else.

    With equal parameters it starts from the same hidden layers and sees the same
    batches as :class:`HierarchicalSoftmaxClassifier`; the two differ in the head alone.
    It uses the hierarchy to add up the probabilities of leaves, so that it too gives
    every node a probability.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The tree of the classes. It does not change how the classifier is trained.
    encoder, hidden_layer_sizes, activation, dropout
        See :class:`HierarchicalSoftmaxClassifier`.
    loss, decision
        See :class:`HierarchicalSoftmaxClassifier`.
    optimizer, learning_rate_init, weight_decay
        See :class:`HierarchicalSoftmaxClassifier`.
    batch_size, max_iter, tol, n_iter_no_change, early_stopping, validation_fraction, refit
        See :class:`HierarchicalSoftmaxClassifier`.
    class_weight, warm_start, callbacks, device, random_state, verbose
        See :class:`HierarchicalSoftmaxClassifier`.

    Attributes
    ----------
    classes_, hierarchy_, net_, loss_curve_, n_iter_, n_features_in_, feature_names_in_
        See :class:`HierarchicalSoftmaxClassifier`.

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

    _head: ClassVar[str] = "flat"
