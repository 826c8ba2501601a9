"""A stream of samples: a classifier that goes on, block by block, and may grow meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.labels import locate, read_labels
from hierclf._utils.sklearn_private import available_if, fit_context
from hierclf.classifiers._base import whole_hierarchy
from hierclf.classifiers._checks import train_or_restore, warn_of_column
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._network import Settings, TrainingTargets
from hierclf.classifiers._optimizer import NEWTON
from hierclf.classifiers._single_label import level_names
from hierclf.classifiers._softmax import BaseSoftmaxClassifier
from hierclf.classifiers._stream import Stream, check_is_whole, find_hierarchy, read_classes
from hierclf.classifiers._targets import (
    Targets,
    check_direction,
    combine_weights,
    in_dtype,
    read_targets,
)
from hierclf.decisions import as_decision
from hierclf.hierarchy import Hierarchy
from hierclf.losses import as_loss

if TYPE_CHECKING:
    from typing_extensions import Self


def _takes_blocks(estimator: Any) -> bool:
    """Tell whether an estimator has ``partial_fit``, or say why it has not."""
    if estimator.optimizer == NEWTON:
        raise AttributeError(
            "optimizer='newton' takes all samples at a step, and partial_fit sees a block of "
            "them: call fit, or give another optimizer"
        )
    return True


class StreamSoftmaxClassifier(BaseSoftmaxClassifier):
    """A :class:`BaseSoftmaxClassifier` that can be trained a block of samples at a time."""

    @available_if(_takes_blocks)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on one block of a stream of samples, and go on from the blocks before.

        This is one pass over the block, in batches of ``batch_size`` in random order. Weights,
        optimiser and random state go on from the call before, or from the last ``fit``. A
        ``fit`` starts anew, unless ``warm_start`` is set. Several calls with all samples are a
        ``fit`` of as many epochs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads. The first block decides the type of
            the network.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels or paths, as for :meth:`fit`, in the form of the first call.
        classes : array-like of shape (n_classes,) or (n_classes, n_levels), optional
            All labels that may ever come, or paths to them; the hierarchy is pruned to these.
            None is all leaves of ``hierarchy``. Without a hierarchy, and with an inducer, the
            first call needs them. Later calls may leave them out, and take no others.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. Unlike those of ``fit`` they are not scaled: a sample of
            weight 2 counts twice as much as one without a weight, in whichever block it is.
            The same holds for ``class_weight``.

        Returns
        -------
        object
            The classifier.

        Raises
        ------
        ValueError
            If a parameter, X, y, a class or a weight is not as described; the message names
            it. The classifier is then as it was before.

        Notes
        -----
        ``max_iter``, ``tol`` and ``n_iter_no_change`` are those of a ``fit`` and not used.
        ``n_iter_`` and ``loss_curve_`` have an entry for each call. ``early_stopping`` and
        ``class_weight="balanced"``, which need all samples, are refused. A loss that depends on
        how frequent the classes are, as with ``logit_adjustment``, takes their number in all
        blocks so far. Callbacks are copied for each call. To change the learning rate use
        ``set_params(learning_rate_init=...)``.

        **Growing.** A hierarchy that has changed since the last call, by ``set_params``, goes on
        with the weights of the nodes that it had: by their names, wherever they are now. A new
        node starts from the mean of its siblings, or at zero if it has none; a new class of a
        flat softmax from the mean of the classes nearest to it. A node that samples have been
        labelled with cannot be taken away.

        A call that is interrupted raises. If it is the first, the classifier is unfitted. A
        later one keeps what it has learnt, up to the last whole batch, and the next call goes
        on from there. If training had diverged, the weights are those before the call. For
        this each call copies them, so that for large networks a block should have many batches.

        Examples
        --------
        >>> from hierclf import HierarchicalSoftmaxClassifier
        >>> from hierclf.datasets import load_digits_hierarchy
        >>> digits = load_digits_hierarchy()
        >>> X, y = digits.data / 16, digits.target
        >>> clf = HierarchicalSoftmaxClassifier(
        ...     digits.hierarchy, learning_rate_init=0.01, batch_size=32, random_state=0
        ... )
        >>> for start in range(0, 1500, 300):
        ...     block = slice(start, start + 300)
        ...     clf = clf.partial_fit(X[block], y[block])
        >>> clf.score(X, y) > 0.8
        True
        >>> clf.n_iter_
        5
        """
        with train_or_restore(self) as keep:
            self._fit_block(X, y, classes, sample_weight, keep)
        return self

    # By another name than partial_fit scikit-learn checks the parameters at each call.
    @fit_context(prefer_skip_nested_validation=True)
    def _fit_block(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: ArrayLike | None,
        keep: Callable[[], None],
    ) -> None:
        settings = self._check_settings(is_stream=True)
        reader = self._choose_reader(settings)
        X, targets = self._read_block(X, y, classes, sample_weight, settings, reader)
        self._train(X, targets, settings, reader, keep)

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        if is_stream and isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all samples, and partial_fit sees a "
                "block: give {label: weight}, such as sklearn.utils.class_weight."
                "compute_class_weight('balanced', classes=classes, y=y) finds for labels of all"
            )
        return super()._check_settings(is_stream=is_stream)

    def _read_block(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: ArrayLike | None,
        settings: Settings,
        reader: InputReader,
    ) -> tuple[Any, TrainingTargets]:
        """Check the samples of a block, and find out what they are to teach."""
        name = type(self).__name__
        before = self._stream if settings.goes_on else None
        hierarchy = find_hierarchy(settings.hierarchy, classes, before, name)
        labels = read_labels(y, hierarchy or settings.hierarchy, name)
        if labels.is_column:
            warn_of_column(6)
        are_paths = labels.longest_path is not None
        names = level_names(y) if are_paths else ()
        if before is not None:
            self._check_form(are_paths, names)
        X, induced_from, y, weight = self._check_samples(
            X, labels.values, sample_weight, settings.hierarchy, reader, reset=not settings.goes_on
        )

        if hierarchy is None:  # an inducer's first block
            if labels.rows is not None:
                locate(labels, settings.hierarchy, y, name)  # which refuses them
            hierarchy = whole_hierarchy(self, settings.hierarchy, induced_from, y, settings.encoder)
            check_is_whole(hierarchy, classes, settings.hierarchy)
        stream, known = self._read_classes(classes, hierarchy, before, settings, like=y)
        longest = None if before is None else self._longest_path
        if labels.rows is None:
            positions = stream.positions(y)
        else:
            located = locate(labels, hierarchy, y, name)
            positions = located.positions
            if located.longest_path is not None:
                longest = max(located.longest_path, longest or 0)
        if before is None:
            check_direction(hierarchy, np.unique(positions))
        targets = stream.read(positions, known)
        stream = stream.with_samples(targets, weight)
        return X, TrainingTargets(
            hierarchy=known.hierarchy,
            target=targets.nodes,
            strata=targets.nodes,
            weight=combine_weights(
                self.class_weight, weight, targets, hierarchy, is_given=True, is_stream=True
            ),
            counts=stream.node_counts(known.hierarchy),
            attributes=self._of_classes(known)
            | {
                "_longest_path": longest,
                "_level_names": names or (() if before is None else self._level_names),
                "_stream": stream,
            },
        )

    def _check_form(self, are_paths: bool, level_names: tuple[str, ...]) -> None:
        """Refuse labels of another form than those of the samples before."""
        if are_paths != (self._longest_path is not None):
            now, before = ("paths", "single labels")[:: 1 if are_paths else -1]
            raise ValueError(f"y holds {now}, and the samples before had {before}: give {before}")
        if level_names and self._level_names and level_names != self._level_names:
            raise ValueError(
                f"y has the columns {level_names}, and the samples before had {self._level_names}"
            )

    def _read_classes(
        self,
        classes: Any,
        hierarchy: Hierarchy,
        before: Stream | None,
        settings: Settings,
        like: NDArray[Any],
    ) -> tuple[Stream, Targets]:
        """Find out which classes a stream has: those before, unless it begins or has grown."""
        name = type(self).__name__
        if before is not None and before.inner_labels != self.inner_labels:
            raise ValueError(
                f"partial_fit goes on with the same classes: inner_labels was "
                f"{before.inner_labels!r} and is now {self.inner_labels!r}"
            )
        if before is not None and hierarchy is before.hierarchy:
            if classes is not None:
                before.check_classes(classes, self.classes_, name)
            return before, before.classes(self)
        _, values, are_positions = read_classes(classes, hierarchy, name)
        known = read_targets(
            values, hierarchy, are_positions=are_positions, inner_labels=self.inner_labels
        )
        if classes is None:
            dtype = like.dtype if before is None else self.classes_.dtype
            known = known._replace(classes=in_dtype(known.classes, dtype))
        stream = Stream.begin(
            hierarchy,
            known,
            given=settings.hierarchy,
            inner_labels=self.inner_labels,
            are_named=classes is not None and isinstance(settings.hierarchy, Hierarchy),
        )
        as_loss(self.loss).check_hierarchy(hierarchy)
        as_decision(self.decision).build(known.class_positions, known.hierarchy)
        return stream if before is None else before.grown_into(stream), known
