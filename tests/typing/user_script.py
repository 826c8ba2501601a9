"""What a user writes, with the types that a checker must see.

`tests/test_typing.py` runs it, and has mypy and pyright check it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from typing_extensions import assert_type

import hierclf
from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalMultilabelClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.datasets import fetch_reuters, fetch_trec, load_digits_hierarchy, load_docstrings
from hierclf.decisions import (
    HierarchicalThresholdClassifierCV,
    InformationGainClassifier,
    Threshold,
)
from hierclf.encoders import BaseEncoder, LSTMEncoder, ModuleEncoder, TransformerEncoder
from hierclf.heads import HMCN, BaseNodeHead, HiAGM, HiMTL, HiTIN, LinearHead
from hierclf.induction import BalancedHierarchy, KMeansHierarchy, PrunedHierarchy
from hierclf.losses import BaseLoss, HierarchicalCrossEntropy, PathCrossEntropy
from hierclf.metrics import hierarchical_f1_score, level_accuracy_score, mistake_severity
from hierclf.plotting import HierarchyDisplay, PredictionPathDisplay
from hierclf.text import SequenceVectorizer, WordVectors

ANIMALS = {"animal": ["cat", "dog"], "plant": ["oak"]}


class ConstantLoss(BaseLoss):
    """A loss of the user's own."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def build(
        self, hierarchy: Hierarchy, *, head: type[hierclf.nn.SoftmaxHead], counts: NDArray[Any]
    ) -> torch.nn.Module:
        """Make the loss."""
        return hierclf.nn.PathLoss()


class OwnHead(BaseNodeHead):
    """A head of the user's own."""

    def build(
        self, hierarchy: Hierarchy, *, counts: NDArray[Any]
    ) -> Callable[..., hierclf.nn.NodeHead]:
        """Return what makes the head."""
        return hierclf.nn.LinearNodeHead


class ShortEncoder(BaseEncoder):
    """An encoder of the user's own."""

    input_kind = "array"

    def __init__(self, size: int = 4) -> None:
        self.size = size

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> torch.nn.Module:
        """Make the network."""
        return torch.nn.Linear(X.shape[1], self.size, dtype=dtype)


def hierarchies() -> None:
    """Build hierarchies, and ask them."""
    hierarchy = Hierarchy.from_dict(ANIMALS)
    assert_type(hierarchy, Hierarchy)
    assert_type(Hierarchy.from_paths([["animal", "cat"], ["plant", "oak"]]), Hierarchy)
    assert_type(Hierarchy.from_parents({"cat": "animal", "oak": "plant"}), Hierarchy)
    assert_type(Hierarchy([("animal", "cat"), ("plant", "oak")]), Hierarchy)
    assert_type(Hierarchy.from_delimited(["animal.cat", "plant.oak"], "."), Hierarchy)
    assert_type(hierarchy.depth, int)
    assert_type(hierarchy.is_tree, bool)
    assert_type(hierarchy.distance("cat", "dog"), int)
    assert_type(BalancedHierarchy(2).fit(None, ["a", "b", "c"]).hierarchy_, Hierarchy)
    assert_type(BalancedHierarchy().set_params(branching=3), BalancedHierarchy)


def datasets() -> None:
    """Load data sets."""
    digits = load_digits_hierarchy()
    assert_type(digits.data, NDArray[np.float64])
    assert_type(digits.images, NDArray[np.float64])
    assert_type(digits.target, NDArray[np.str_])
    assert_type(digits.hierarchy, Hierarchy)
    assert_type(digits.DESCR, str)
    X, y = load_digits_hierarchy(return_X_y=True)
    assert_type(X, NDArray[np.float64])
    assert_type(y, NDArray[np.str_])
    docstrings = load_docstrings(levels=3, text="full")
    assert_type(docstrings.data, NDArray[np.object_])
    texts, modules = load_docstrings(return_X_y=True)
    assert_type(texts, NDArray[np.object_])
    assert_type(modules, NDArray[np.str_])


def fetchers() -> None:
    """Fetch data sets, which needs a data home."""
    assert_type(fetch_trec(split="test").target, NDArray[np.str_])
    texts, topics = fetch_reuters("r8", split="all", return_X_y=True)
    assert_type(texts, NDArray[np.object_])
    assert_type(topics, NDArray[np.str_])


def classifiers() -> None:
    """Fit classifiers and predict."""
    X, y = load_digits_hierarchy(return_X_y=True)
    hierarchy = load_digits_hierarchy().hierarchy
    clf = HierarchicalSoftmaxClassifier(
        hierarchy,
        hidden_layer_sizes=(16,),
        activation="tanh",
        loss=PathCrossEntropy(label_smoothing=0.1),
        decision=Threshold(0.5),
        branch_hidden_size=4,
        recursive_regularization=1e-4,
        computation="dense",
        optimizer="adam",
        class_weight="balanced",
        max_iter=1,
        n_iter_no_change=1,
        random_state=0,
    )
    assert_type(clf, HierarchicalSoftmaxClassifier)
    assert_type(clf.fit(X, y), HierarchicalSoftmaxClassifier)
    assert_type(clf.fit(X, y, sample_weight=np.ones(len(y))).predict(X), NDArray[Any])
    assert_type(clf.predict_proba(X), NDArray[Any])
    assert_type(clf.predict(X), NDArray[Any])
    assert_type(clf.predict_topk(X, 2), tuple[NDArray[Any], NDArray[Any]])
    assert_type(clf.predict(X, top_k=2), tuple[NDArray[Any], NDArray[Any]])
    assert_type(clf.predict_log_proba(X, level="parent"), NDArray[Any])
    assert_type(clf.score(X, y), float)
    assert_type(clf.classes_, NDArray[Any])
    assert_type(clf.hierarchy_, Hierarchy)
    assert_type(clf.loss_curve_, list[float])
    assert_type(clf.n_iter_, int)
    assert_type(clf.n_features_in_, int)
    assert_type(clf.get_params(), dict[str, Any])
    assert_type(clf.set_params(decision__threshold=0.9), HierarchicalSoftmaxClassifier)
    assert_type(clf.set_params(decision="top_down").predict(X[:3], level=0), NDArray[Any])

    flat = FlatSoftmaxClassifier(
        ANIMALS, loss=HierarchicalCrossEntropy(0.5), optimizer=torch.optim.AdamW, max_iter=1
    )
    assert_type(flat.set_params(n_iter_no_change=1, loss=None), FlatSoftmaxClassifier)
    assert_type(flat.fit([[0.0], [1.0], [2.0]], ["cat", "dog", "oak"]), FlatSoftmaxClassifier)
    assert_type(flat.partial_fit([[0.0]], ["cat"], sample_weight=[2.0]), FlatSoftmaxClassifier)

    linear = HierarchicalLinearClassifier(hierarchy, C=0.5, scale=5.0, class_weight="balanced")
    assert_type(linear.fit(X, y), HierarchicalLinearClassifier)
    assert_type(linear.set_params(scale="auto"), HierarchicalLinearClassifier)
    assert_type(linear.decision_function(X), NDArray[Any])
    assert_type(linear.predict(X, level=0), NDArray[Any])
    assert_type(linear.coef_, NDArray[Any])
    assert_type(linear.scale_, float)

    sure = InformationGainClassifier(clf, accuracy=0.3, cv="prefit", hierarchy=hierarchy)
    assert_type(sure.fit(X, y), InformationGainClassifier)
    assert_type(sure.predict(X), NDArray[Any])
    calibrated = TemperatureScalingClassifier(clf, by="level", cv="prefit")
    assert_type(calibrated.fit(X, y).predict_proba(X), NDArray[Any])


def several_labels() -> None:
    """Fit rows of several labels."""
    X, y = np.eye(3), [["cat"], ["dog", "oak"], []]
    clf = HierarchicalMultilabelClassifier(
        ANIMALS, head=OwnHead(), constraint="prediction", threshold={"cat": 0.4}, max_iter=1
    )
    assert_type(clf.set_params(n_iter_no_change=1), HierarchicalMultilabelClassifier)
    assert_type(clf.fit(X, y), HierarchicalMultilabelClassifier)
    assert_type(clf.predict_proba(X, level="leaf"), NDArray[Any])
    assert_type(clf.classes_, NDArray[Any])
    assert_type(clf.level_classes(0), NDArray[Any])
    assert_type(clf.score(X, y), float)
    indicator = Hierarchy.from_dict(ANIMALS).to_indicator(["cat", "dog|oak", ""], sep="|")
    assert_type(indicator, NDArray[np.int8])
    other = HierarchicalMultilabelClassifier(head=LinearHead(), threshold=0.4, constraint=None)
    other.set_params(max_iter=1, n_iter_no_change=1).fit(X, indicator)


def parts() -> None:
    """Choose losses, decisions and encoders, one's own among them."""
    assert_type(PathCrossEntropy([1.0, 0.5]).set_params(label_smoothing=0.1), PathCrossEntropy)
    assert_type(PathCrossEntropy(level_weights=np.array([1.0, 0.5])), PathCrossEntropy)
    assert_type(Threshold(0.5).set_params(threshold=0.7).threshold, float)
    decided = Threshold(0.5).decide([[0.6, 0.3, 0.1]], ["cat", "dog", "oak"], ANIMALS)
    assert_type(decided, NDArray[Any])
    encoder = LSTMEncoder(8, cell="gru", precision="bfloat16")
    assert_type(encoder.set_params(hidden_size=16), LSTMEncoder)
    assert_type(TransformerEncoder("a-name", pooling="cls").check(), None)
    for given in (
        ModuleEncoder(partial(torch.nn.Linear, 1, 4), input_kind="array"),
        ShortEncoder(size=2),
        torch.nn.Linear(1, 4),
        partial(torch.nn.Linear, 1, 4),
        torch.nn.Flatten,
    ):
        clf = HierarchicalSoftmaxClassifier(
            ANIMALS, encoder=given, loss=ConstantLoss(), max_iter=1, n_iter_no_change=1
        )
        clf.fit(np.zeros((3, 1)), ["cat", "dog", "oak"])


def texts() -> None:
    """Read texts."""
    questions, answers = ["who is she", "how many moons"], ["person", "count"]
    vectorizer = SequenceVectorizer(min_df=1)
    assert_type(vectorizer.fit(questions), SequenceVectorizer)
    assert_type(vectorizer.fit_transform(questions), NDArray[np.int32])
    assert_type(vectorizer.transform(questions), NDArray[np.int32])
    assert_type(vectorizer.vocabulary_, dict[str, int])
    assert_type(vectorizer.set_output(transform="pandas"), SequenceVectorizer)
    vectors = WordVectors(["moons", "who"], [[0.5, 1.0], [2.0, -1.0]])
    assert_type(vectors.words, tuple[str, ...])
    assert_type(vectors.coverage(vectorizer, questions).types, float)
    encoder = LSTMEncoder(4, word_vectors=vectors.matrix(vectorizer, random_state=0))
    clf = HierarchicalSoftmaxClassifier(encoder=encoder, max_iter=1, n_iter_no_change=1)
    make_pipeline(vectorizer, clf).fit(questions, answers).predict(questions)


def metrics() -> None:
    """Score predictions."""
    y_true, y_pred = ["cat", "dog", "oak"], ["cat", "cat", "oak"]
    assert_type(mistake_severity(y_true, y_pred, hierarchy=ANIMALS), float)
    assert_type(hierarchical_f1_score(y_true, y_pred, hierarchy=ANIMALS), float)
    macro = hierarchical_f1_score(y_true, y_pred, hierarchy=ANIMALS, average="macro")
    assert_type(macro, float)
    by_node = hierarchical_f1_score(y_true, y_pred, hierarchy=ANIMALS, average=None)
    assert_type(by_node, NDArray[np.float64])
    top = level_accuracy_score(y_true, y_pred, hierarchy=ANIMALS, level=0)
    assert_type(top, float)
    by_level = level_accuracy_score(y_true, y_pred, hierarchy=ANIMALS, level=None)
    assert_type(by_level, NDArray[np.float64])


def pictures() -> None:
    """Draw."""
    display = HierarchyDisplay.from_predictions(
        ["cat", "oak"], ["dog", "oak"], hierarchy=ANIMALS, statistic="support", kind="sunburst"
    )
    assert_type(display, HierarchyDisplay)
    path = PredictionPathDisplay([0.75, 0.25, 0.5, 0.25, 0.25], ANIMALS)
    assert_type(path.plot(), PredictionPathDisplay)


def modules() -> None:
    """Reach each module by its name in the package."""
    assert_type(
        hierclf.calibration.TemperatureScalingClassifier, type[TemperatureScalingClassifier]
    )
    assert_type(hierclf.datasets.load_digits_hierarchy().hierarchy, Hierarchy)
    assert_type(hierclf.decisions.Threshold(), Threshold)
    HierarchicalThresholdClassifierCV(HierarchicalMultilabelClassifier(ANIMALS), by="level")
    assert_type(hierclf.encoders.LSTMEncoder(), LSTMEncoder)
    assert_type(hierclf.induction.BalancedHierarchy(), BalancedHierarchy)
    learnt = KMeansHierarchy(2, random_state=0).fit([[0.0], [1.0], [9.0]], ["cat", "dog", "oak"])
    assert_type(learnt, KMeansHierarchy)
    assert_type(learnt.hierarchy_, Hierarchy)
    assert_type(PrunedHierarchy(ANIMALS, max_fits=4), PrunedHierarchy)
    assert_type(hierclf.heads.LinearHead(), LinearHead)
    assert_type(HiMTL(HiAGM("attention", node_dim=4), method="masking"), HiMTL)
    assert_type(HMCN(recurrent=True).set_params(beta=0.3), HMCN)
    assert_type(HiTIN(height=3, pooling="root"), HiTIN)
    assert_type(hierclf.losses.PathCrossEntropy(), PathCrossEntropy)
    assert_type(hierclf.metrics.mistake_severity(["cat"], ["dog"], hierarchy=ANIMALS), float)
    assert_type(hierclf.nn.FlatSoftmax(2, Hierarchy.from_dict(ANIMALS)), hierclf.nn.FlatSoftmax)
    assert_type(hierclf.plotting.HierarchyDisplay(ANIMALS), HierarchyDisplay)
    assert_type(hierclf.tables.prediction_table.__name__, str)
    assert_type(hierclf.text.SequenceVectorizer(), SequenceVectorizer)
    assert_type(hierclf.Hierarchy.from_dict(ANIMALS), Hierarchy)
    assert_type(hierclf.FlatSoftmaxClassifier(), FlatSoftmaxClassifier)
    assert_type(hierclf.HierarchicalLinearClassifier(), HierarchicalLinearClassifier)
    assert_type(hierclf.HierarchicalSoftmaxClassifier(), HierarchicalSoftmaxClassifier)
    assert_type(hierclf.HierarchicalMultilabelClassifier(), HierarchicalMultilabelClassifier)
    assert_type(hierclf.__version__, str)


def mistakes() -> None:
    """Make mistakes, all of which a checker must see: it calls an unused ignore an error."""
    HierarchicalSoftmaxClassifier(ANIMALS, activation="rely")  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, loss="path")  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, branch_hidden_size=(4,))  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, decision="top")  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, optimizer="adamax")  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, encoder="lstm")  # type: ignore[arg-type]
    HierarchicalSoftmaxClassifier(ANIMALS, class_weight="even")  # type: ignore[arg-type]
    HierarchicalMultilabelClassifier(ANIMALS, constraint="sum")  # type: ignore[arg-type]
    HierarchicalMultilabelClassifier(ANIMALS, head="linear")  # type: ignore[arg-type]
    HiMTL("hiagm")  # type: ignore[arg-type]
    LSTMEncoder(cell="rnn")  # type: ignore[arg-type]
    HierarchicalThresholdClassifierCV(None, by="group")  # type: ignore[arg-type]
    TransformerEncoder("a-name", pooling="max")  # type: ignore[arg-type]
    load_docstrings(levels=4)  # type: ignore[call-overload]
    fetch_reuters("r90")  # type: ignore[call-overload]
    PredictionPathDisplay([1.0], ANIMALS, n_rival=1)  # type: ignore[call-arg]
    _ = hierclf.nonsense  # type: ignore[attr-defined]
