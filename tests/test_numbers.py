"""Numbers of numpy, as grid searches over arrays give them, in place of Python's."""

import inspect
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestCentroid
from torch.nn import Linear

import hierclf
from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalMultilabelClassifier,
    HierarchicalSoftmaxClassifier,
    calibration,
    decisions,
    encoders,
    heads,
    induction,
    losses,
    nn,
    text,
)
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.decisions import (
    HierarchicalThresholdClassifierCV,
    InformationGainClassifier,
    Threshold,
)
from hierclf.encoders import ModuleEncoder, TransformerEncoder
from hierclf.hierarchy import Hierarchy
from hierclf.induction import PrunedHierarchy

TREE = {"a": ["x", "y"], "b": ["z", "w"]}
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(40, 3)).astype(np.float32)
Y = np.array(list("xyzw"))[np.arange(40) % 4]
IDS = _RNG.integers(1, 9, size=(40, 5))
TEXTS = ["some words here", "and there", "not here", "words and"] * 10


def classify(rows=X, **params):
    clf = HierarchicalSoftmaxClassifier(
        TREE, **{"max_iter": 2, "n_iter_no_change": 2, "random_state": 0, **params}
    )
    return clf.fit(rows, Y).predict_node_proba(rows)


def flat(cls, params):
    clf = cls(TREE, **{"max_iter": 2, "n_iter_no_change": 2, "random_state": 0, **params})
    return clf.fit(sp.csr_array(X), Y).predict_node_proba(X)


def margins(cls, params):
    clf = cls(TREE, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, Y)
    return clf.predict_proba(X)


def several(cls, params):
    clf = cls(TREE, **{"max_iter": 2, "n_iter_no_change": 2, "random_state": 0, **params})
    clf.fit(X, [[label] for label in Y])
    return np.hstack([clf.predict_proba(X), clf.predict(X)])


def decide(cls, params):
    proba = np.tile(np.float32([0.5, 0.2, 0.2, 0.1]), (2, 1))
    return cls(**params).decide(proba, list("xyzw"), TREE)


def around(cls, params):
    estimator = HierarchicalSoftmaxClassifier(TREE, max_iter=2, n_iter_no_change=2, random_state=0)
    clf = cls(estimator, **params).fit(X, Y)
    return np.hstack([clf.predict_proba(X), (clf.predict(X)[:, None] == clf.classes_)])


def choose_thresholds(cls, params):
    several = HierarchicalMultilabelClassifier(TREE, max_iter=2, n_iter_no_change=2, random_state=0)
    clf = cls(several, **{"random_state": 0, **params}).fit(X, [[label] for label in Y])
    return np.append(clf.best_threshold_, clf.best_score_)


def induce(cls, params):
    if "random_state" in inspect.signature(cls).parameters:
        params = {"random_state": 0, **params}
    indicator = Hierarchy.to_indicator(cls(**params).fit(X, np.arange(40)).hierarchy_, np.arange(9))
    return np.asarray(indicator)


def prune(cls, params):
    inducer = cls(TREE, Judge(), **{"random_state": 0, **params}).fit(X, Y)
    return np.array([accuracy for _, accuracy in inducer.scores_])


class Judge(NearestCentroid):
    """A classifier that does not look at its hierarchy."""

    def __init__(self, hierarchy=None):
        super().__init__()
        self.hierarchy = hierarchy


# How each kind of object is put to work.
WORK = {
    "hierclf": lambda cls, params: classify(**params),
    "hierclf.encoders": lambda cls, params: classify(IDS, encoder=cls(**params)),
    "hierclf.heads": lambda cls, params: several(
        HierarchicalMultilabelClassifier, {"head": cls(**params)}
    ),
    "hierclf.losses": lambda cls, params: classify(loss=cls(**params)),
    "hierclf.decisions": decide,
    "hierclf.text": lambda cls, params: cls(**params).fit_transform(TEXTS),
    "hierclf.induction": induce,
    FlatSoftmaxClassifier: flat,
    HierarchicalLinearClassifier: margins,
    HierarchicalMultilabelClassifier: several,
    ModuleEncoder: lambda cls, params: classify(encoder=cls(lambda: Linear(3, 4), **params)),
    PrunedHierarchy: prune,
    InformationGainClassifier: around,
    HierarchicalThresholdClassifierCV: choose_thresholds,
    TemperatureScalingClassifier: around,
}
# Values that do more than the defaults or take less time, and some where those are None.
VALUES = {
    "max_iter": 3, "n_iter_no_change": 3, "random_state": 1, "verbose": 0, "dropout": 0.1,
    "hidden_layer_sizes": 200, "batch_size": 16, "learning_rate": 0.01, "num_layers": 2,
    "hidden_size": 150, "embedding_dim": 7, "label_smoothing": 0.1, "logit_adjustment": 0.5,
    "alpha": 1, "beta": 5, "max_features": 3, "max_length": 2, "branching": 2, "n_jobs": 1,
    "max_fits": 3, (heads.HMCN, "beta"): 0.25, "node_dim": 96, "max_parameters": 65000.0, "cv": 2,
    "threshold": 0.7, "trade_off": 2,
}  # fmt: skip
REAL = {"alpha", "beta", "trade_off"}  # which may be integers or floats
GIVEN = {
    "validation_fraction": {"early_stopping": True},
    "dropout": {"hidden_layer_sizes": 8},
}


def numbers():
    """List every numeric parameter of every public object, with each kind of number."""
    found = []
    for module in (hierclf, encoders, heads, losses, decisions, text, induction, calibration):
        for cls in (getattr(module, name) for name in module.__all__):
            if not hasattr(cls, "_parameter_constraints") or cls is TransformerEncoder:
                continue
            for name, parameter in inspect.signature(cls).parameters.items():
                value = VALUES.get((cls, name), VALUES.get(name, parameter.default))
                if isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                kinds = [] if isinstance(value, float) else [np.int64, np.uint8]
                if isinstance(value, float) or name in REAL:
                    kinds += [np.float64, np.float32, np.float16]
                work = WORK.get(cls) or WORK[module.__name__]
                found += [(cls, name, work, kind(value)) for kind in kinds]
    return found


NUMBERS = numbers()


def test_all_public_objects_are_looked_at():
    """TransformerEncoder has a test of its own; the other objects have no numbers."""
    assert {cls.__name__ for cls, *_ in NUMBERS} == {
        "HierarchicalSoftmaxClassifier", "FlatSoftmaxClassifier", "LSTMEncoder", "ConvGRUEncoder",
        "HierarchicalLinearClassifier", "HierarchicalMultilabelClassifier",
        "HMCN", "HiAGM", "HiTIN", "HiMTL",
        "ModuleEncoder", "PathCrossEntropy", "HierarchicalCrossEntropy", "SoftLabelCrossEntropy",
        "Threshold", "InformationGain", "InformationGainClassifier",
        "HierarchicalThresholdClassifierCV", "SequenceVectorizer",
        "BalancedHierarchy", "TemperatureScalingClassifier", "RandomHierarchy",
        "HuffmanHierarchy", "KMeansHierarchy", "AgglomerativeHierarchy", "PrunedHierarchy",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Training stopped", "ignore:accuracy=")
@pytest.mark.parametrize(
    ("cls", "name", "work", "number"),
    NUMBERS,
    ids=[f"{cls.__name__}-{name}-{number.dtype}" for cls, name, _, number in NUMBERS],
)
def test_numpys_scalars_are_taken_for_pythons_numbers(cls, name, work, number):
    """A small type must not overflow: 2 * np.uint8(150) is 44, and -np.uint8(1) is 255."""
    given = GIVEN.get(name, {}) if work in (WORK[hierclf.__name__], flat, several) else {}
    expected = work(cls, {**given, name: number.item()})
    np.testing.assert_array_equal(work(cls, {**given, name: number}), expected)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_numpys_scalars_in_sequences(kind):
    sizes = np.array([200, 3], dtype=kind)
    expected = classify(hidden_layer_sizes=(200, 3))
    for same in (sizes, list(sizes), tuple(sizes)):
        np.testing.assert_array_equal(classify(hidden_layer_sizes=same), expected)
    np.testing.assert_array_equal(
        classify(hidden_layer_sizes=np.array(4, dtype=kind)), classify(hidden_layer_sizes=4)
    )
    widths = {"hidden_size": 3, "n_filters": 2, "embedding_dim": 2}
    encoder = encoders.ConvGRUEncoder(**widths, kernel_sizes=np.array([2, 3], dtype=kind))
    expected = classify(IDS, encoder=encoders.ConvGRUEncoder(**widths, kernel_sizes=(2, 3)))
    np.testing.assert_array_equal(classify(IDS, encoder=encoder), expected)
    weights = losses.PathCrossEntropy(np.array([200, 100], dtype=kind))
    expected = classify(loss=losses.PathCrossEntropy([200.0, 100.0]))
    np.testing.assert_array_equal(classify(loss=weights), expected)


def test_an_array_that_is_no_scalar_is_refused_by_name():
    for params in ({"batch_size": np.array(8)}, {"dropout": np.array(0.5)}):
        with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
            classify(**params)


def test_a_length_of_numpys_reaches_the_tokenizer(bert_folder):
    def ids(max_length):
        encoder = TransformerEncoder(bert_folder, max_length=max_length)
        return encoder.build_tokenizer()(TEXTS)

    for kind in (np.int64, np.uint8):
        np.testing.assert_array_equal(ids(kind(3)), ids(3))


def test_a_threshold_of_numpys_compares_as_pythons():
    """float32(0.7) is less than float64(0.7), and equal to 0.7, which has no type."""
    proba = np.float32([[0.7, 0.3]])
    for threshold in (0.7, np.float64(0.7)):
        answer = Threshold(threshold).decide(proba, ["x", "y"], {"a": ["x", "y"]})
        assert answer.tolist() == ["x"]


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_sizes_of_modules(kind):
    def built(module, *sizes, **more):
        made = module(*sizes, **more, generator=torch.Generator().manual_seed(0))
        return torch.cat([parameter.flatten() for parameter in made.parameters()])

    def words():
        return nn.WordEmbedding(torch.ones(4, 5))

    for module in (nn.Linear, nn.FeatureLinear):
        assert torch.equal(built(module, kind(200), kind(3)), built(module, 200, 3))
    for number in (kind, int):
        cases = {
            nn.RaggedRNN: ("lstm", number(5), number(150)),
            nn.RecurrentEncoder: (words(), number(150)),
            nn.ConvGRU: (words(), number(150)),
        }
        weights = {module: built(module, *sizes) for module, sizes in cases.items()}
        if number is kind:
            found = weights
    for module, expected in weights.items():
        assert torch.equal(found[module], expected)
    tree = Hierarchy.from_dict(TREE)
    networks = [
        nn.HierarchyNetwork(n(3), tree, hidden_layer_sizes=(n(200),), dropout=p, seed=n(4))
        for n, p in ((kind, np.float32(0.5)), (int, 0.5))
    ]
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(one, other)
