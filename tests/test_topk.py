"""The k likeliest classes of a classifier, against a sort of the columns of predict_proba."""

import warnings

import by_hand
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hierclf._utils.memory as memory
from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.classifiers._single_label import SingleLabelClassifier
from hierclf.decisions import MinimumRisk, Threshold
from hierclf.metrics import hierarchical_distance_at_k, make_hierarchical_scorer

TREE = {"animal": ["cat", "dog", "cow"], "plant": ["oak", "elm"], "dog": ["poodle", "collie"]}
DAG = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "z"), ("top", "a"), ("top", "b")]
LEAVES = ["cat", "cow", "oak", "elm", "poodle", "collie"]
CASES = {
    "leaves": (HierarchicalSoftmaxClassifier, TREE, LEAVES, {}),
    "not all seen": (HierarchicalSoftmaxClassifier, TREE, ["cat", "cow", "poodle"], {}),
    "coarse": (HierarchicalSoftmaxClassifier, TREE, ["dog", "plant", "cat"], {}),
    "itself": (HierarchicalSoftmaxClassifier, TREE, ["dog", *LEAVES], {"inner_labels": "itself"}),
    "flat": (FlatSoftmaxClassifier, TREE, LEAVES, {}),
    "no hierarchy": (HierarchicalSoftmaxClassifier, None, LEAVES, {}),
    "DAG": (HierarchicalSoftmaxClassifier, DAG, ["x", "y", "z"], {}),
    "numbers": (HierarchicalSoftmaxClassifier, {"a": [9, 7], "b": [8, 3]}, [3, 7, 8, 9], {}),
    "paths": (HierarchicalSoftmaxClassifier, None, [["a", "x"], ["a", "y"], ["b", "x"]], {}),
}


@pytest.fixture(params=["as it is", "search"])
def searched(request, monkeypatch):
    """Search the smallest of trees, too."""
    if request.param == "search":
        by_hand.search_everything(monkeypatch)
    return request.param == "search"


def fitted(case, n=60, **params):
    make, hierarchy, labels, options = CASES[case]
    rng = np.random.default_rng(0)
    X, which = rng.standard_normal((n, 4)), rng.integers(len(labels), size=n)
    which[: len(labels)] = np.arange(len(labels))
    y = np.array(labels)[which]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = make(hierarchy, max_iter=3, random_state=0, **options, **params).fit(X, y)
    return clf, X, y


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layers", [(), (5,)])
def test_the_likeliest_are_the_largest_columns_of_predict_proba(searched, case, layers):
    clf, X, _ = fitted(case, hidden_layer_sizes=layers)
    proba, classes = clf.predict_proba(X), clf.classes_
    for k in range(1, len(classes) + 1):
        labels, likeliest = clf.predict_topk(X, k)
        order = np.argsort(-proba, axis=1)[:, :k]
        assert labels.dtype == classes.dtype
        assert labels.tolist() == classes[order].tolist()
        np.testing.assert_allclose(likeliest, np.take_along_axis(proba, order, 1), rtol=1e-10)
    if case != "paths":
        assert clf.predict(X).tolist() == labels[:, 0].tolist()
        ends = [[name for name in row if name != ""][-1] for row in clf.predict_path(X).tolist()]
        assert ends == labels[:, 0].tolist()


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("layers", [(), (5,)])
def test_sparse_features(searched, capsys, form, layers):
    _, X, y = fitted("leaves")
    X = form(np.where(X > 0, X, 0))
    options = {"max_iter": 3, "n_iter_no_change": 3, "random_state": 0}
    clf = HierarchicalSoftmaxClassifier(TREE, hidden_layer_sizes=layers, **options).fit(X, y)
    proba = clf.predict_proba(X)
    clf.verbose = 1
    labels, _ = clf.predict_topk(X, 3)
    assert labels.tolist() == clf.classes_[np.argsort(-proba, axis=1)[:, :3]].tolist()
    n_dense = 0 if searched and layers else 60
    assert capsys.readouterr().out == f"{n_dense} of 60 samples took the pass over all 6 classes\n"
    clf.set_params(decision="top_down", verbose=0)
    assert clf.predict(X).tolist() == greedy(clf, X)


def greedy(clf, X):
    """Go down from the root of each row, by the probabilities of all nodes."""
    found, h = [], clf.hierarchy_
    for row in clf.predict_node_proba(X):
        mass, node = dict(zip(h.nodes, row, strict=True)), h.root
        while h.children(node):
            node = max(h.children(node), key=mass.get)
        found.append(node)
    return found


@pytest.mark.parametrize("case", ["leaves", "not all seen", "coarse", "numbers"])
def test_other_decisions(searched, case):
    clf, X, _ = fitted(case, decision="top_down")
    assert clf.predict(X).tolist() == greedy(clf, X)
    assert clf.predict(X, level="leaf").tolist() == greedy(clf, X)
    proba = clf.predict_proba(X)
    for decision in (Threshold(0.3), MinimumRisk(), MinimumRisk(over="nodes")):
        clf.decision = decision
        expected = decision.decide(proba, clf.classes_, clf.hierarchy_)
        assert clf.predict(X).tolist() == expected.tolist()


def test_through_a_pipeline(searched):
    _, X, y = fitted("leaves")
    model = HierarchicalSoftmaxClassifier(TREE, max_iter=3, n_iter_no_change=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    labels, proba = pipeline.predict(X, top_k=2)
    expected = pipeline[-1].predict_topk(pipeline[:-1].transform(X), 2)
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(proba, expected[1])
    assert labels.shape == (60, 2)
    with pytest.raises(ValueError, match=r"top_k=2 .*, and level='parent' for nodes of a level"):
        pipeline.predict(X, level="parent", top_k=2)


@pytest.mark.parametrize("case", [*CASES])
def test_in_a_metric(case):
    clf, X, y = fitted(case)
    hierarchy = (
        clf.hierarchy
        if clf.hierarchy is not None
        else Hierarchy.from_paths(
            [[label] for label in LEAVES] if case == "no hierarchy" else y.tolist()
        )
    )
    labels, _ = clf.predict_topk(X, 2)
    of_labels = hierarchical_distance_at_k(y, labels, hierarchy=hierarchy)
    of_scores = hierarchical_distance_at_k(
        y, clf.predict_proba(X), hierarchy=hierarchy, k=2, labels=clf.classes_
    )
    assert of_labels == pytest.approx(of_scores)
    scorer = make_hierarchical_scorer(hierarchical_distance_at_k, hierarchy, k=2)
    assert scorer(clf, X, y) == pytest.approx(-of_scores)


def test_a_scorer_needs_no_probabilities_of_all_classes(monkeypatch):
    clf, X, y = fitted("leaves")
    scorer = make_hierarchical_scorer(hierarchical_distance_at_k, k=2)
    in_pipeline = scorer(make_pipeline(clf).fit(X, y), X, y)  # there are no other methods
    monkeypatch.delattr(SingleLabelClassifier, "predict_proba")
    assert scorer(clf, X, y) == pytest.approx(in_pipeline)


def test_what_is_not_finite_names_the_row(searched):
    clf, X, _ = fitted("leaves", hidden_layer_sizes=())
    clf.net_.module_.head.linear.weight.data *= 100
    X[7] = 1e308
    for ask in (lambda: clf.predict_topk(X, 2), lambda: clf.predict(X)):
        with pytest.raises(ValueError, match=r"output for row 7 of X overflows float64"):
            ask()
    clf.decision = "top_down"
    with pytest.raises(ValueError, match=r"output for row 7 of X overflows float64"):
        clf.predict(X)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "k=0, and there are 6 classes"),
        (7, ValueError, "k=7, and there are 6 classes"),
        (2.0, TypeError, r"k must be an integer, got 2\.0"),
        (None, TypeError, "k must be an integer, got None"),
        (True, TypeError, "k must be an integer, got True"),
    ],
)
def test_bad_k(k, error, message):
    clf, X, _ = fitted("leaves")
    with pytest.raises(error, match=message):
        clf.predict_topk(X, k)


def test_tables_are_read():
    clf, X, _ = fitted("leaves")
    labels, _ = clf.predict_topk(pd.DataFrame(X).to_numpy().tolist(), 1)
    assert labels[:, 0].tolist() == clf.predict(X).tolist()


# -- results that do not fit


def test_probabilities_that_do_not_fit_are_refused(monkeypatch):
    clf, X, _ = fitted("leaves")
    size = 60 * 6 * 8
    monkeypatch.setattr(memory, "physical_memory", lambda: 2 * size)
    assert clf.predict_proba(X).nbytes == size
    monkeypatch.setattr(memory, "physical_memory", lambda: 2 * size - 1)
    for ask in (clf.predict_proba, clf.predict_log_proba):
        with pytest.raises(MemoryError, match=r"is 60 rows x 6 columns x 8 bytes = .*predict_topk"):
            ask(X)
    for level in ("parent", 0):
        assert clf.predict_proba(X, level=level).shape == (60, len(clf.level_classes(level)))
    with pytest.raises(MemoryError, match="60 rows x 9 columns"):
        clf.predict_node_proba(X)
    clf.predict(X)
    clf.predict_topk(X, 6)


def test_the_memory_of_a_machine(monkeypatch):
    """A machine that runs these tests has more than a gigabyte, and less than a petabyte."""
    assert 1 << 30 < memory.physical_memory() < 1 << 50
    monkeypatch.delattr("os.sysconf")
    assert memory.physical_memory() == 16 << 30
