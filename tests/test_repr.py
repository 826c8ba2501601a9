"""The repr of an estimator with a large hierarchy."""

import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from hierclf import HierarchicalSoftmaxClassifier, Hierarchy
from hierclf._repr import with_short_repr
from hierclf.decisions import Threshold


@with_short_repr
class Classifier(HierarchicalSoftmaxClassifier):
    pass


class Counted(str):
    """A label that counts how often it is printed."""

    n_printed = 0

    def __repr__(self):
        Counted.n_printed += 1
        return super().__repr__()


def labels(n):
    return [Counted(f"label {i}") for i in range(n)]


SMALL = [
    {},
    {"hierarchy": {"a": ["x", "y"], "b": ["z"]}, "max_iter": 3, "decision": Threshold(0.7)},
    {"hierarchy": Hierarchy.flat(range(1000)), "hidden_layer_sizes": (20, 20), "dropout": 0.5},
    {"hierarchy": {f"a{i}": [f"b{i}"] for i in range(60)}, "class_weight": {"b1": 2}},
]


@pytest.mark.parametrize("params", SMALL)
@pytest.mark.parametrize("n_char_max", [100, 700])
def test_small_ones_are_scikit_learns(params, n_char_max):
    kind = type(
        "Classifier", (HierarchicalSoftmaxClassifier,), {"__repr__": BaseEstimator.__repr__}
    )
    clf, plain = Classifier(**params), kind(**params)
    assert clf.__repr__(N_CHAR_MAX=n_char_max) == plain.__repr__(N_CHAR_MAX=n_char_max)
    assert repr(make_pipeline(clf)) == repr(make_pipeline(plain))
    assert repr(GridSearchCV(clf, {"tol": [0]})) == repr(GridSearchCV(plain, {"tol": [0]}))


@pytest.mark.parametrize(
    ("hierarchy", "expected"),
    [
        ({"r": labels(50_000)}, "{'r': ['label 0', 'label 1', 'label 2', 'label 3', ...]}"),
        (
            {f"p{i}": labels(3) for i in range(2000)},
            "{'p0': ['label 0', 'label 1', 'label 2'], 'p1': ",
        ),
        ([("r", label) for label in labels(50_000)], "[('r', 'label 0'), ('r', 'label 1'), "),
        (
            {"r": {"s": {"t": {"u": labels(1000)}}}},
            "{'r': {'s': {'t': {...}}}}",
        ),
    ],
)
def test_of_large_ones_only_the_items_shown_are_printed(hierarchy, expected):
    clf = Classifier(hierarchy, max_iter=7)
    Counted.n_printed = 0
    text = " ".join(repr(clf).split())
    assert text.startswith(f"Classifier(hierarchy={expected}")
    assert text.endswith(", max_iter=7)")
    assert Counted.n_printed < 200
    assert clf.hierarchy is hierarchy
    text = " ".join(repr(make_pipeline(clf)).split())
    assert f"Classifier(hierarchy={expected}" in text
    assert "max_iter=7" in text
    assert "Classifier" in clf._repr_html_()
