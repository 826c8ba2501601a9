"""Paths, inner nodes and names that occur twice as labels, and hierarchies of any shape."""

import copy
import csv
import datetime
import enum
import gzip
import json
import pickle
import re
from decimal import Decimal

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from strategies import dags, trees

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalMultilabelClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.decisions import Argmax, MinimumRisk, Threshold, TopDown
from hierclf.induction import BalancedHierarchy

BOTH = pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
SHOP = {"root": ["food", "toys", "other"], "food": ["fruit", "bread"], "toys": ["doll", "car"]}


def make(cls=HierarchicalSoftmaxClassifier, hierarchy=SHOP, *, epochs=20, **params):
    params = {"hidden_layer_sizes": (), "random_state": 0, "learning_rate_init": 0.05} | params
    return cls(hierarchy, **params, max_iter=epochs, n_iter_no_change=epochs)


def rows_of(labels, *, n=120, noise=0.5, seed=0):
    """Rows near one corner for each label, and the position of each row's label."""
    rng = np.random.default_rng(seed)
    which = np.arange(n) % len(labels)
    X = np.eye(len(labels))[which] * 2 + noise * rng.normal(size=(n, len(labels)))
    return X, which


# -- paths

PATHS = [("A", "x"), ("A", "other"), ("B", "other"), ("B", "y"), ("C",)]


def as_paths(form, which, names=PATHS):
    chosen = [names[i] for i in which]
    if form == "ragged":
        return [list(path) for path in chosen]
    if form == "tuples":
        return chosen
    if form == "object array":
        ragged = np.empty(len(chosen), dtype=object)
        ragged[:] = [list(path) for path in chosen]
        return ragged
    padding = {"array": "", "None": None, "frame": np.nan, "categories": None}[form]
    padded = np.array([[*path, padding][:2] for path in chosen], dtype=object)
    if form == "array":
        return padded.astype(str)
    if form == "frame":
        return pd.DataFrame(padded, columns=["top", "bottom"], index=np.arange(len(padded)) + 7)
    if form == "categories":
        return pd.DataFrame(padded, columns=["top", "bottom"]).astype("category")
    return padded


FORMS = ["array", "None", "ragged", "tuples", "object array", "frame", "categories"]


@BOTH
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", [True, False])
def test_paths_in_and_out(cls, form, given):
    X, which = rows_of(PATHS)
    y = as_paths(form, which)
    hierarchy = Hierarchy.from_paths([list(p) for p in [*PATHS, ("D", "z")]]) if given else None
    clf = make(cls, hierarchy).fit(X, y)
    assert clf.hierarchy_ == Hierarchy.from_paths([list(path) for path in PATHS])
    # "other" is two nodes, and "C" a leaf of the top level; no padding is a class.
    assert set(clf.classes_.tolist()) == {"x", ("A", "other"), ("B", "other"), "y", "C"}
    predicted = clf.predict(X)
    assert predicted.shape == (len(X), 2)
    expected = as_paths("array", which)
    assert (predicted == expected).mean() > 0.9
    np.testing.assert_array_equal(predicted, clf.predict_path(X))
    right = (predicted == expected).all(axis=1)
    assert clf.score(X, y) == right.mean()
    weight = np.random.default_rng(0).random(len(X))
    assert clf.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))
    top = np.array(clf.hierarchy_.level(0))[clf.predict_proba(X, level=0).argmax(axis=1)]
    np.testing.assert_array_equal(clf.predict(X, level=0), top)
    # The same as 1-D labels of the same hierarchy.
    flat = clone(clf).set_params(hierarchy=clf.hierarchy_)
    flat.fit(X, clf.hierarchy_.leaves_from_paths(as_paths("ragged", which)))
    np.testing.assert_array_equal(flat.predict_proba(X), clf.predict_proba(X))


@BOTH
def test_integers_stay_integers(cls):
    names = [(1, 10), (1, 11), (2, 20)]
    X, which = rows_of(names)
    Y = np.array(names)[which]
    clf = make(cls, None).fit(X, Y)
    assert clf.classes_.tolist() == [10, 11, 20]
    assert clf.classes_.dtype.kind == clf.predict(X).dtype.kind == "i"
    assert (clf.predict(X) == Y).mean() > 0.9
    small = make(cls, {1: [10, 11], 2: [20]}).fit(X, Y[:, 1].astype(np.int16))
    assert small.classes_.dtype == small.predict(X).dtype == np.int16
    # A row that is known only as a 1 does not make the classes wider, or floats.
    y = Y[:, 1].astype(np.int16)
    y[0] = 1
    assert make(cls, {1: [10, 11], 2: [20]}).fit(X, y).classes_.dtype == np.int16


@BOTH
def test_predictions_keep_the_width_of_y(cls):
    """A fold may hold no row of the deepest level."""
    X, which = rows_of(["a", "b"])
    Y = np.array([["a", ""], ["b", ""]])[which]
    predicted = make(cls, None).fit(X, Y).predict(X)
    assert predicted.shape == Y.shape
    assert (predicted[:, 1] == "").all()


@BOTH
@pytest.mark.parametrize("form", ["ragged", "array"])
def test_folds_predict_paths_as_long_as_the_hierarchy_is_deep(cls, form):
    """The deepest row, and the deepest leaf below a coarse label, are in one fold each."""
    paths = [["a", "b"], ["c"]] * 6 + [["a", "d", "e"], ["f", "g"]] + [["c"], ["a", "b"]] * 2
    y = paths if form == "ragged" else np.array([[*row, "", ""][:3] for row in paths])
    hierarchy = Hierarchy.from_paths([*paths, ["f", "g", "h", "i"]])
    clf = make(cls, hierarchy, learning_rate_init=0.5, epochs=5)
    X = np.eye(len(paths))
    predicted = cross_val_predict(clf, X, y, cv=KFold(3))
    assert predicted.shape == (len(paths), 4)
    for train, test in KFold(3).split(X):
        alone = clf.fit(X[train], [y[i] for i in train] if form == "ragged" else y[train])
        np.testing.assert_array_equal(predicted[test], alone.predict(X[test]))
    # The hierarchy of the paths themselves will do, and the paths alone will not.
    own = clone(clf).set_params(hierarchy=Hierarchy.from_paths(y))
    assert cross_val_predict(own, X, y, cv=KFold(3)).shape == (len(paths), 3)
    if form == "ragged":
        with pytest.raises(ValueError, match="array dimensions"):
            cross_val_predict(clone(clf).set_params(hierarchy=None), X, y, cv=KFold(3))
    assert clf.fit(X, y).score(X, y) == np.mean(
        [
            row == [*true, "", "", ""][:4]
            for row, true in zip(clf.predict(X).tolist(), paths, strict=True)
        ]
    )


@BOTH
def test_a_decision_that_stops_early_gives_a_path_that_ends(cls):
    X, which = rows_of(PATHS)
    clf = make(cls, None, decision=Threshold(1.0)).fit(X, as_paths("array", which))
    assert (clf.predict(X)[:, 1] == "").all()


@BOTH
def test_single_columns_and_tuples_that_are_nodes_are_labels(cls):
    X, which = rows_of(PATHS[:4])
    hierarchy = Hierarchy.from_paths([list(path) for path in PATHS[:4]])
    y = np.empty(len(X), dtype=object)
    y[:] = [[("A", "other"), ("B", "other")][i % 2] for i in which]
    clf = make(cls, hierarchy).fit(X, y)
    assert clf.predict(X).shape == (len(X),)
    assert set(clf.predict(X)) == {("A", "other"), ("B", "other")}
    assert clf.score(X, y) == np.mean([a == b for a, b in zip(clf.predict(X), y, strict=True)])


@BOTH
def test_a_type_too_narrow_for_the_classes_is_not_kept(cls):
    tree = {0: [1, 2], 5: [3, 300]}
    clf = make(cls, tree).fit(np.eye(4), np.array([1, 2, 3, 5], dtype=np.int8))
    assert clf.classes_.tolist() == [1, 2, 3, 300]


@BOTH
@pytest.mark.parametrize("form", [list, lambda y: np.array(y, dtype=object)])
def test_numbers_below_names(cls, form):
    tree = {"a": [1, 2], "b": [3, 4]}
    X, which = rows_of([1, 2, 3, "b"])
    y = [[1, 2, 3, "b"][i] for i in which]
    clf = make(cls, tree).fit(X, form(y))
    assert clf.classes_.tolist() == [1, 2, 3, 4]
    assert clf.score(X[which < 3], [label for label in y if label != "b"]) > 0.9
    # Leaves that are numbers, and predictions that stop at a name.
    X, which = rows_of([1, 2, 3, 4])
    y = which + 1
    for threshold in (0.9, 1.0):
        clf = make(cls, tree, decision=Threshold(threshold)).fit(X, y)
        predicted = clf.predict(X).tolist()
        assert clf.score(X, y) == np.mean([a == b for a, b in zip(predicted, y, strict=True)])
        assert clf.score(X, y, np.arange(len(y))) == pytest.approx(
            np.average(
                [a == b for a, b in zip(predicted, y, strict=True)], weights=np.arange(len(y))
            )
        )
    assert set(predicted) == {"a", "b"}


@BOTH
def test_a_column_of_tuples_is_a_column_of_labels(cls):
    with pytest.warns(DataConversionWarning):
        clf = make(cls, {"r": ["a", "b"]}).fit(np.eye(2), [("a",), ("b",)])
    assert clf.predict(np.eye(2)).tolist() == ["a", "b"]


@BOTH
def test_tuples_are_nodes_of_a_dict_too(cls):
    clf = make(cls, {"r": [("x", 1), ("y", 2)]}).fit(np.eye(2), [("x", 1), ("y", 2)])
    assert clf.predict(np.eye(2)).tolist() == [("x", 1), ("y", 2)]


# -- labels of types that scikit-learn does not know


class Kind(enum.Enum):
    CAT, DOG = "cat", "dog"


class Name(str, enum.Enum):
    CAT, DOG = "cat", "dog"


KINDS = {
    "object integers": (1, 2),
    "numpy integers": (np.int64(1), np.int64(2)),
    "large integers": (2**70, 2**71),
    "Enum": (Kind.CAT, Kind.DOG),
    "Enum of strings": (Name.CAT, Name.DOG),
    "date": (datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)),
    "datetime": (datetime.datetime(2020, 1, 1), datetime.datetime(2021, 1, 1)),
    "Timestamp": (pd.Timestamp(2020, 1, 1), pd.Timestamp(2021, 1, 1)),
    "Decimal": (Decimal("0.1"), Decimal("0.2")),
    "frozenset": (frozenset("ab"), frozenset("b")),  # these two have no order
    "bytes": (b"cat", b"dog"),
    "float": (0.1, 0.2),
    "types": (int, str),
}


@BOTH
@pytest.mark.parametrize("form", ["list", "object array", "series"])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_types_that_scikit_learn_does_not_know(cls, kind, given, form):
    names = KINDS[kind]
    X, which = rows_of(names, n=12, noise=0.1)
    labels = [names[i] for i in which]
    y = np.empty(len(labels), dtype=object)
    y[:] = labels
    y = {"list": labels, "object array": y, "series": pd.Series(labels)}[form]
    clf = make(cls, {"top": list(names)} if given else None, learning_rate_init=0.5)
    if kind == "float" and not given:
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            clf.fit(X, y)
        return
    clf.fit(X, y)
    assert set(clf.classes_.tolist()) == set(names)
    assert clf.predict(X).tolist() == labels
    assert clf.score(X, y) == 1.0
    wrong = [names[1 - i] for i in which[:3]] + labels[3:]
    assert clf.score(X, wrong) == 0.75
    with pytest.raises(ValueError, match="labels that are not in the hierarchy: 'zebra'"):
        make(cls, {"top": list(names)}).fit(X, ["zebra", *labels[1:]])


UNREADABLE = {
    "a label among paths": (
        [["a", "x"], "b", ["a", "y"]],
        "row 0 of y is the list ['a', 'x'], and row 1 is 'b', which is no list: give each row a "
        "path, in a list, or each row a label",
    ),
    "a path among labels": (
        ["b", "b", ["a", "y"]],
        "row 2 of y is the list ['a', 'y'], and row 0 is 'b', which is no list: give each row a "
        "path, in a list, or each row a label",
    ),
    "None": (["a", None, "b"], "row 1 of y has no label: it is None"),
    "NaN": (["a", "b", np.nan], "row 2 of y has no label: it is nan"),
    "a dict": (
        ["a", {}, "b"],
        "row 1 of y is {}: a label must be hashable, as strings, numbers and tuples of them are",
    ),
}


@BOTH
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_row_that_cannot_be_read_is_named(cls, case, given):
    y, message = UNREADABLE[case]
    array = np.empty(3, dtype=object)
    array[:] = y
    for form in (y, array):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            make(cls, {"a": ["x", "y"], "b": ["z"]} if given else None).fit(np.eye(3), form)


# -- tables of other libraries


class PolarsColumn:
    """What is used of a polars.Series."""

    def __init__(self, values):
        self.values = values

    def to_list(self):
        return list(self.values)


class PolarsFrame:
    """What is used of a polars.DataFrame."""

    def __init__(self, columns):
        self.columns = columns

    def get_columns(self):
        return [PolarsColumn(values) for values in self.columns.values()]

    def __len__(self):
        return len(next(iter(self.columns.values())))


class ArrowColumn:
    """What is used of a pyarrow.Array or ChunkedArray."""

    def __init__(self, values):
        self.values = values

    def to_pylist(self):
        return list(self.values)


class ArrowTable:
    """What is used of a pyarrow.Table or RecordBatch."""

    def __init__(self, columns):
        self.columns = columns

    def itercolumns(self):
        return map(ArrowColumn, self.columns.values())


def table_of(library):
    """Return what makes a table of columns, and what makes one column, in a library."""
    if library == "polars":
        pl = pytest.importorskip("polars")
        return pl.DataFrame, pl.Series
    if library == "pyarrow":
        pa = pytest.importorskip("pyarrow")
        return pa.table, pa.array
    return {
        "as polars": (PolarsFrame, PolarsColumn),
        "as pyarrow": (ArrowTable, ArrowColumn),
        "pandas": (pd.DataFrame, pd.Series),
    }[library]


LIBRARIES = pytest.mark.parametrize(
    "library", ["polars", "pyarrow", "as polars", "as pyarrow", "pandas"]
)


@BOTH
@LIBRARIES
@pytest.mark.parametrize("given", [True, False])
def test_tables_of_paths(cls, library, given):
    make_table, _ = table_of(library)
    X, which = rows_of(PATHS, n=25, noise=0.1)
    y = as_paths("None", which)
    table = make_table({"top": y[:, 0].tolist(), "bottom": y[:, 1].tolist()})
    hierarchy = Hierarchy.from_paths([list(path) for path in PATHS]) if given else None
    clf = make(cls, hierarchy, learning_rate_init=0.5).fit(X, table)
    assert clf.hierarchy_ == Hierarchy.from_paths([list(path) for path in PATHS])
    assert clf.predict(X).tolist() == as_paths("array", which).tolist()
    assert clf.score(X, table) == 1.0
    wrong = make_table({"top": y[:, 0].tolist(), "bottom": [*y[1:, 1].tolist(), "y"]})
    right = [(a == b).all() for a, b in zip(y, np.c_[y[:, 0], [*y[1:, 1], "y"]], strict=True)]
    assert clf.score(X, wrong) == np.mean(right) < 1
    weight = np.arange(25)
    assert clf.score(X, wrong, weight) == pytest.approx(np.average(right, weights=weight))
    dropped = make(cls, None).fit(X, table, sample_weight=which != 0)  # without A, x
    assert set(dropped.classes_) == {("A", "other"), ("B", "other"), "y", "C"}


@BOTH
@LIBRARIES
@pytest.mark.parametrize("labels", [["a", "b"], [1, 2], [datetime.date(2020, 1, 1), "b"]])
def test_columns_of_labels(cls, library, labels):
    make_table, make_column = table_of(library)
    if library in ("polars", "pyarrow") and "b" in labels and "a" not in labels:
        pytest.skip("a column has one type")
    X, which = rows_of(labels, n=12, noise=0.1)
    y = [labels[i] for i in which]
    clf = make(cls, {"top": labels}, learning_rate_init=0.5).fit(X, make_column(y))
    assert clf.classes_.tolist() == labels
    assert clf.predict(X).tolist() == y
    assert clf.score(X, make_column(y[6:] + y[:6])) == np.mean(np.array(y) == y[6:] + y[:6])
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        column = make(cls, {"top": labels}, learning_rate_init=0.5).fit(X, make_table({"y": y}))
    np.testing.assert_array_equal(column.predict_proba(X), clf.predict_proba(X))
    assert column.score(X, make_table({"y": y})) == 1.0


@BOTH
@LIBRARIES
def test_tables_of_several_labels_per_row_are_refused(cls, library):
    make_table, _ = table_of(library)
    table = make_table({"x": [1, 0], "y": [0, 1]})
    with pytest.raises(ValueError, match=r"^y holds several labels per row \(its 2 columns hold "):
        make(cls, None).fit(np.eye(2), table)


@LIBRARIES
def test_tables_of_several_labels_per_row_are_for_the_classifier_of_several(library):
    make_table, make_column = table_of(library)
    columns = {"x": [1, 0, 1], "a": [1, 0, 1], "b": [0, 1, 0]}
    table = make_table(columns)
    clf = HierarchicalMultilabelClassifier({"a": ["x"], "b": []}, max_iter=2, n_iter_no_change=2)
    clf.set_params(random_state=0).fit(np.eye(3), table)
    assert clf.classes_.tolist() == ["x", "a", "b"]
    expected = clf.predict_proba(np.eye(3))
    assert clf.score(np.eye(3), table) in (0, 1 / 3, 2 / 3, 1)
    clf.fit(np.eye(3), [["x"], ["b"], ["a", "x"]])
    assert clf.predict_proba(np.eye(3))[:, [2, 0, 1]].tolist() == expected.tolist()
    column = make_column(["x", "b", "x"])
    assert clf.fit(np.eye(3), column).classes_.tolist() == ["b", "x"]


# -- score


COLUMNS_OF_ONE = {
    "lists": lambda y: [[label] for label in y],
    "tuples": lambda y: [(label,) for label in y],
    "array": lambda y: np.array(y)[:, None],
    "objects": lambda y: np.array(y, dtype=object)[:, None],
    "frame": lambda y: pd.DataFrame({"label": y}),
}


@BOTH
@pytest.mark.parametrize("labels", [["fruit", "bread", "car"], [1, 2, 3]])
@pytest.mark.parametrize("form", COLUMNS_OF_ONE)
def test_the_score_of_a_single_column_is_that_of_its_labels(cls, form, labels):
    X, which = rows_of(labels, n=30, noise=1.0)
    y = [labels[i] for i in which]
    column = COLUMNS_OF_ONE[form](y)
    tree = {"some": labels[:2], "others": labels[2:]}
    clf = make(cls, tree).fit(X, y)
    right = [a == b for a, b in zip(clf.predict(X).tolist(), y, strict=True)]
    assert 0 < np.mean(right) < 1
    assert clf.score(X, column) == np.mean(right)
    assert clf.score(X, column, which) == pytest.approx(np.average(right, weights=which))
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        scores = cross_val_score(make(cls, tree), X, column, cv=KFold(3), error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(make(cls, tree), X, y, cv=KFold(3)))


@BOTH
def test_names_and_tuples_beside_each_other(cls):
    """A name that occurs in several branches makes some labels tuples, which no array sorts."""
    paths = [list(path) for path in PATHS]
    hierarchy = Hierarchy.from_paths(paths)
    X, which = rows_of(PATHS, n=60)
    y = hierarchy.leaves_from_paths([paths[i] for i in which])
    assert {type(label) for label in y} == {str, tuple}
    clf = make(cls, hierarchy, early_stopping=True, class_weight={("A", "other"): 2.0, "x": 3.0})
    for form in (y, y.tolist()):
        clf.fit(X, form)
        right = [a == b for a, b in zip(clf.predict(X), y, strict=True)]
        assert clf.score(X, form) == np.mean(right)
        assert clf.score(X, form, which) == pytest.approx(np.average(right, weights=which))
    scores = cross_val_score(make(cls, hierarchy), X, y, cv=KFold(3), error_score="raise")
    as_strings = {("A", "other"): "A/other", ("B", "other"): "B/other"}
    named = np.array([as_strings.get(label, label) for label in y])
    tree = hierarchy.relabel(as_strings)
    np.testing.assert_array_equal(scores, cross_val_score(make(cls, tree), X, named, cv=KFold(3)))
    # Strings are all that scikit-learn needs for stratified splits and for "accuracy".
    cross_val_score(make(cls, tree), X, named, scoring="accuracy", error_score="raise")


@BOTH
def test_score_says_what_it_cannot_compare(cls):
    clf = make(cls).fit(X, Y)
    with pytest.raises(ValueError, match=r"^y holds paths, and \w+ was fitted to single labels"):
        clf.score(X, P)
    with pytest.raises(ValueError, match=r"^y holds several labels per row \(row 0 is the set"):
        clf.score(X, [{label} for label in Y])
    codes = np.unique(Y, return_inverse=True)[1]
    with pytest.raises(ValueError, match=r"look encoded .* hierarchy\.relabel\("):
        clf.score(X, codes)
    # Of other types than all nodes: not 0, but an error. A label that is merely unseen is wrong.
    numbered = make(cls, {1: [110, 111], 2: [210, 211]}).fit(
        X, np.array([110, 111, 210, 211])[WHICH]
    )
    with pytest.raises(ValueError, match="labels that are not in the hierarchy: '0110', '0111'"):
        numbered.score(X, np.array(["0110", "0111", "0210", "0211"])[WHICH])
    assert numbered.score(X, np.full(len(X), 999)) == 0
    with pytest.raises(ValueError, match="labels that are not in the hierarchy: '0110', '0111'"):
        make(cls, {1: [110, 111]}).fit(X, np.array(["0110", "0111", "110", "111"])[WHICH])
    paths = make(cls, None).fit(X, [[int(i) // 2, int(i) + 10] for i in WHICH])
    with pytest.raises(ValueError, match=r"^row 0, step 0: '0' is not a child of the root"):
        paths.score(X, [[str(i // 2), str(i + 10)] for i in WHICH])
    assert paths.score(X, np.full((len(X), 2), 999)) == 0


# -- several labels per row

FLAGS = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
COLUMNS = "its 3 columns hold nothing but 0 and 1"
SEVERAL = {
    "integers": (FLAGS, COLUMNS),
    "booleans": (FLAGS.astype(bool), COLUMNS),
    "floats": (FLAGS.astype(np.float32), COLUMNS),
    "objects": (FLAGS.astype(object), COLUMNS),
    "lists": (FLAGS.tolist(), COLUMNS),
    "tuples": ([tuple(row) for row in FLAGS.tolist()], COLUMNS),
    "a frame": (pd.DataFrame(FLAGS, columns=["x", "y", "z"]), COLUMNS),
    "a frame of booleans": (pd.DataFrame(FLAGS == 1, columns=["x", "y", "z"]), COLUMNS),
    "sparse": (sp.csr_array(FLAGS), "it is a sparse matrix"),
    "a sparse column": (sp.csr_array(FLAGS[:, :1]), "it is a sparse matrix"),
    "sets": ([{"x"}, {"y"}, {"z"}], "row 0 is the set {'x'}"),
    "a set": (["x", {"y"}, "z"], "row 1 is the set {'y'}"),
}


@BOTH
@pytest.mark.parametrize("hierarchy", [None, {"a": ["x", "y"], "b": ["z"]}, {1: [2, 0], 3: [4]}])
@pytest.mark.parametrize("case", SEVERAL)
def test_several_labels_per_row_are_refused(cls, case, hierarchy):
    y, found = SEVERAL[case]
    cure = "; if these are paths, give hierarchy=Hierarchy.from_paths(y)"
    message = (
        f"y holds several labels per row ({found}), and {cls.__name__} takes one: a label, or "
        f"the path to it{cure if hierarchy is None and found == COLUMNS else ''}. "
        "HierarchicalMultilabelClassifier takes several"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(cls, hierarchy).fit(np.eye(3), y)


@BOTH
@pytest.mark.parametrize(
    ("y", "found"),
    [
        ([frozenset("x"), frozenset("yz")], "row 0 is the set frozenset({'x'})"),
        ([["a", "x"], ["y", "z"]], "row 1 holds the leaves 'y', 'z'"),
        ([["x"], ["y", "x", "z"]], "row 1 holds the leaves 'y', 'x', 'z'"),
    ],
)
def test_several_nodes_per_row_are_refused(cls, y, found):
    message = f"y holds several labels per row ({found}), and {cls.__name__} takes one: "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(cls, {"a": ["x", "y"], "b": ["z"]}).fit(np.eye(2), y)


@BOTH
@pytest.mark.parametrize("form", [np.array, list, pd.DataFrame])
def test_paths_of_numbers_are_paths(cls, form):
    clf = make(cls, None).fit(np.eye(2), form([[1, 0], [2, 3]]))
    assert clf.hierarchy_ == Hierarchy([(Hierarchy.ROOT, 1), (Hierarchy.ROOT, 2), (1, 0), (2, 3)])
    assert clf.predict(np.eye(2)).tolist() == [[1, 0], [2, 3]]
    # With a hierarchy that has them, paths of 0 and 1 are paths, too.
    for y in ([[0, 0], [0, 1], [1, 0]], [[1, 0], [1, 0], [1, 0]]):
        clf = make(cls, Hierarchy.from_paths(y)).fit(np.eye(3), form(y))
        assert clf.predict(np.eye(3)).tolist() == y


# -- rows of weight 0

WITH_ZEROS = {
    "paths": (None, [["a", ""], ["a", "b"], ["a", "c"], ["d", "e"]], ["b", "e"]),
    "ragged paths": (None, [["a"], ["a", "b"], ["a", "c"], ["d", "e"]], ["b", "e"]),
    "a frame": (
        None,
        pd.DataFrame([["a", None], ["a", "b"], ["a", "c"], ["d", "e"]]),
        ["b", "e"],
    ),
    "several types": (None, [1, "b", "c", "e"], [1, "b", "e"]),
    "strings": (None, ["a", "b", "c", "e"], ["a", "b", "e"]),
    "paths in a tree": (
        {"a": ["b", "c"], "d": ["e"], "f": ["g"]},
        [["a", "b"], ["a", "b"], ["f", "g"], ["d", "e"]],
        ["b", "e"],
    ),
    "no path at all": (None, [["a", "b"], ["a", "b"], ["", ""], ["d", "e"]], ["b", "e"]),
    "no node": ({"a": ["b", "c"], "d": ["e"]}, ["b", "c", "zebra", "e"], ["b", "c", "e"]),
}


@BOTH
@pytest.mark.parametrize("case", WITH_ZEROS)
@pytest.mark.parametrize("more", [{}, {"class_weight": "balanced"}, {"early_stopping": True}])
def test_a_row_of_weight_0_is_as_if_it_were_not_there(cls, case, more):
    hierarchy, y, classes = WITH_ZEROS[case]
    times = 5  # so that some can be held out
    X = np.tile(np.eye(4), (times, 1))
    y = pd.concat([y] * times) if isinstance(y, pd.DataFrame) else y * times
    weight = np.array([1.0, 2.0, 0.0, 1.0] * times)
    clf = make(cls, hierarchy, **more).fit(X, y, sample_weight=weight)
    assert clf.classes_.tolist() == classes
    kept = weight > 0
    rest = y[kept] if isinstance(y, pd.DataFrame) else [y[i] for i in np.flatnonzero(kept)]
    without = make(cls, hierarchy, **more).fit(X[kept], rest, sample_weight=weight[kept])
    np.testing.assert_array_equal(clf.predict_proba(X), without.predict_proba(X))


def test_rows_are_numbered_with_those_of_weight_0():
    y = [["food", "bread"], ["toys", "car"], ["toys", "zebra"]]
    with pytest.raises(ValueError, match=r"^row 2, step 1: 'zebra' is not a child of 'toys'"):
        make().fit(np.eye(3), y, sample_weight=[0, 1, 1])


# -- inner nodes as labels


def path_loss(clf, X, labels):
    """Minus the mean log-probability of the nodes, from the probabilities of all nodes."""
    proba = clf.predict_node_proba(X)
    columns = clf.hierarchy_.node_indices(labels)
    return -np.log(proba[np.arange(len(X)), columns]).mean()


@BOTH
def test_the_loss_of_an_inner_node_is_its_own_log_probability(cls):
    X, which = rows_of(["fruit", "bread", "food", "car", "toys", "doll", "other"])
    y = np.array(["fruit", "bread", "food", "car", "toys", "doll", "other"])[which]
    clf = make(cls, learning_rate_init=1e-12, batch_size=len(X), epochs=1, weight_decay=0.0)
    clf.fit(X, y)
    assert clf.loss_curve_[0] == pytest.approx(path_loss(clf, X, y), rel=1e-6)


@BOTH
def test_coarse_rows_alone(cls):
    X, which = rows_of(["food", "toys"])
    y = np.array(["food", "toys"])[which]
    clf = make(cls, learning_rate_init=0.5, epochs=60).fit(X, y)
    assert clf.classes_.tolist() == ["bread", "car", "doll", "fruit"]
    assert (clf.predict(X, level=0) == y).mean() > 0.95
    # Nothing tells the leaves of a branch apart in the hierarchical head.
    if cls is HierarchicalSoftmaxClassifier:
        child = clf.predict_proba(X)[:, [0, 3]] / clf.predict_proba(X, level=0)[:, [0]]
        start = make(cls, learning_rate_init=1e-12, epochs=1).fit(X, y)
        before = start.predict_proba(X)[:, [0, 3]] / start.predict_proba(X, level=0)[:, [0]]
        np.testing.assert_allclose(child, before, atol=0.02)


@BOTH
def test_coarse_rows_do_not_inflate_the_seen_leaves(cls):
    """A row known as food may be bread, which has no row of its own."""
    X, which = rows_of(["fruit", "food", "car"], n=300, noise=0.2)
    y = np.array(["fruit", "food", "car"])[which]
    clf = make(cls, learning_rate_init=0.2, epochs=100, weight_decay=0.0).fit(X, y)
    assert clf.classes_.tolist() == ["bread", "car", "fruit"]
    on_coarse = clf.predict_node_proba(X[which == 1])
    of_food = on_coarse[:, clf.hierarchy_.node_indices(["food"])]
    assert of_food.mean() > 0.95
    # Had its leaf been lost from the hierarchy, "food" would be all "fruit".
    if cls is HierarchicalSoftmaxClassifier:
        # -log P(food) has no gradient in the choice below food: one step on coarse rows alone
        # leaves it exactly as it was.
        weights = []
        for epochs in (1, 2):
            one = make(cls, epochs=epochs, weight_decay=0.0).fit(X[which == 1], y[which == 1])
            below = one.hierarchy_.node_indices(["bread", "fruit"])
            weights.append([p.detach().numpy().T[..., below].copy() for p in
                            one.net_.module_.head.parameters()])  # fmt: skip
        for before, after in zip(*weights, strict=True):
            np.testing.assert_array_equal(before, after)


def test_coarse_rows_help():
    """With the leaf stripped from most rows, they still teach the top level."""
    rng = np.random.default_rng(0)
    leaves = ["fruit", "bread", "doll", "car"]
    top = {"fruit": "food", "bread": "food", "doll": "toys", "car": "toys"}
    X, which = rows_of(leaves, n=2400, noise=1.0)
    X = np.c_[X, rng.normal(size=(2400, 40))]  # features that say nothing
    y = np.array(leaves, dtype=object)[which]
    is_coarse = rng.random(400) < 0.9
    mixed = np.where(is_coarse, [top[leaf] for leaf in y[:400]], y[:400])
    with_coarse = make(epochs=40).fit(X[:400], mixed)
    without = make(epochs=40).fit(X[:400][~is_coarse], mixed[~is_coarse])
    y_top = np.array([top[leaf] for leaf in y[400:]], dtype=object)
    of_top, of_leaves = (
        [accuracy_score(true, clf.predict(X[400:], level=level)) for clf in (with_coarse, without)]
        for level, true in ((0, y_top), (1, y[400:]))
    )
    assert of_top[0] > of_top[1] + 0.1
    assert of_leaves[0] > of_leaves[1] + 0.05


@BOTH
def test_class_weights_of_inner_nodes(cls):
    """A branch's weight is that of its rows, but for those with a nearer one."""
    labels = ["fruit", "bread", "food", "car", "doll", "other"]
    X, which = rows_of(labels)
    y = np.array(labels)[which]
    of_row = {"fruit": 5.0, "bread": 3.0, "food": 3.0, "car": 1.0, "doll": 1.0, "other": 1.0}
    by_branch = make(cls, class_weight={"food": 3.0, "fruit": 5.0}).fit(X, y)
    by_row = make(cls).fit(X, y, sample_weight=[of_row[label] for label in y])
    np.testing.assert_allclose(by_branch.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("hierarchy", "y", "key"),
    [
        (SHOP, ["fruit", "bread", "car"], "doll"),
        (SHOP, ["fruit", "bread", "car"], "toys"),
        (SHOP, [["food", "fruit"], ["food", "bread"], ["toys", "car"]], "doll"),
        (None, ["fruit", "bread", "car"], "doll"),
        (None, [["food", "fruit"], ["food", "bread"], ["toys", "car"]], "doll"),
        (None, [["food", "fruit"], ["food", "bread"], ["toys", "car"]], ("toys", "other")),
        (None, [1, "bread", "car"], "doll"),
        (BalancedHierarchy(branching=2), ["fruit", "bread", "car"], "doll"),
    ],
)
def test_class_weights_of_labels_that_a_fold_lacks_are_ignored(cls, hierarchy, y, key):
    names = [row[-1] if isinstance(row, list) else row for row in y]
    weight = {names[0]: 5.0, names[1]: 3.0, names[2]: 1.0}
    more = make(cls, hierarchy, class_weight=weight | {key: 7.0}).fit(np.eye(3), y)
    by_row = make(cls, hierarchy).fit(np.eye(3), y, sample_weight=[5, 3, 1])
    np.testing.assert_allclose(more.predict_proba(np.eye(3)), by_row.predict_proba(np.eye(3)))


def test_class_weights_in_folds():
    X, which = rows_of(["fruit", "bread", "car"], n=31)
    y = np.array(["fruit", "bread", "car"])[which]
    y[-1] = "doll"
    weight = {"fruit": 5.0, "bread": 3.0, "car": 1.0, "doll": 9.0}
    for hierarchy in (SHOP, None):
        clf = make(hierarchy=hierarchy, class_weight=weight, epochs=2)
        scores = cross_val_score(clf, X, y, cv=KFold(3), error_score="raise")
        assert (scores > 0).all()


@pytest.mark.parametrize(
    ("hierarchy", "weight", "message"),
    [
        (
            SHOP,
            {"fruit": 5.0, "bread": 1.0, "car": 1.0, "bred": 2.0},
            "class_weight has keys that are no labels: ['bred']; labels are such as ['bread', "
            "'car', 'fruit']",
        ),
        (
            None,
            {"fruit": 5.0, "bred": 2.0},
            "class_weight has keys that are no labels: ['bred']; labels are such as ['bread', "
            "'car', 'fruit']. Keys of labels that y lacks are ignored where each label of y has "
            "a weight, or where they are nodes of a given hierarchy; these have none: 'bread', "
            "'car'",
        ),
    ],
)
def test_class_weights_that_may_be_misspelt_are_refused(hierarchy, weight, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(hierarchy=hierarchy, class_weight=weight).fit(np.eye(3), ["fruit", "bread", "car"])


def test_class_weights_of_another_type_say_so():
    """The message is that of the lookup."""
    tree = {1: [110, 111], 2: [210]}
    with pytest.raises(ValueError, match=r"^class_weight has keys that are no labels: .*'0110'"):
        make(hierarchy=tree, class_weight={"0110": 2.0}).fit(np.eye(3), [110, 111, 210])
    with pytest.raises(ValueError, match=r"^class_weight has .* look encoded .*relabel\("):
        make(class_weight={0: 2.0, 1: 3.0}).fit(np.eye(3), ["fruit", "bread", "car"])


@BOTH
def test_balanced_counts_leaf_rows(cls):
    labels = ["fruit"] * 6 + ["bread"] * 2 + ["food"] * 3 + ["car"] * 4 + ["toys"] + ["other"] * 5
    X, which = rows_of(labels)
    y = np.array(labels)[which]
    n = {label: int((y == label).sum()) for label in labels}
    of_row = {leaf: 1 / n[leaf] for leaf in ("fruit", "bread", "car", "other")}
    of_row["food"] = 2 / (n["fruit"] + n["bread"])  # a row of food, on average
    of_row["toys"] = of_row["car"]
    balanced = make(cls, class_weight="balanced").fit(X, y)
    by_row = make(cls).fit(X, y, sample_weight=[of_row[label] for label in y])
    np.testing.assert_allclose(balanced.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)


# -- edges from child to parent

UPWARDS = [("cat", "animal"), ("dog", "animal"), ("oak", "plant")]
REVERSED = {
    "edges": UPWARDS,
    "a dict": {child: [parent] for child, parent in UPWARDS},
    "a graph": nx.DiGraph(UPWARDS),
    "a hierarchy": Hierarchy(UPWARDS),
}


@BOTH
@pytest.mark.parametrize("case", REVERSED)
def test_reversed_edges_are_named(cls, case):
    message = (
        "the edges of the hierarchy seem reversed: no label of y is a leaf, labels such as 'cat', "
        "'dog', 'oak' have no parent, and the only leaves are 'animal', 'plant'. An edge is "
        "(parent, child): if 'animal' is the parent of 'cat', give ('animal', 'cat') and not "
        "('cat', 'animal')"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(cls, REVERSED[case]).fit(np.eye(3), ["cat", "dog", "oak"])


@BOTH
def test_reversed_edges_of_a_dag_and_of_coarse_rows_are_named(cls):
    """An ontology in which a term has several parents, some rows known only to a term above."""
    upwards = [("tomcat", "cat"), ("tomcat", "male"), ("queen", "cat"), ("kitten", "cat"),
               ("cat", "animal"), ("male", "animal"), ("oak", "plant")]  # fmt: skip
    with pytest.raises(
        ValueError, match=r"such as 'kitten', 'tomcat' have .* \('cat', 'kitten'\) "
    ):
        make(cls, upwards).fit(np.eye(3), ["tomcat", "cat", "kitten"])
    downwards = [(parent, child) for child, parent in upwards]
    clf = make(cls, downwards).fit(np.eye(3), ["tomcat", "cat", "kitten"])
    assert clf.classes_.tolist() == ["kitten", "queen", "tomcat"]


@BOTH
@pytest.mark.parametrize(
    ("hierarchy", "y", "classes"),
    [
        ({"a": ["x", "y"], "b": ["z"]}, ["a", "b"], ["x", "y", "z"]),
        ({"a": ["x"], "b": ["y"]}, ["a", "b"], ["x", "y"]),
        ({"a": ["x", "y"], "b": ["y", "z"]}, ["a", "b"], ["x", "y", "z"]),
        # More at the top than leaves, but a leaf is labelled, or the root has a name.
        ({"a": ["x"], "b": ["x"], "c": ["z"]}, ["a", "x"], ["x"]),
        ({"r": ["a", "b", "c"], "a": ["x"], "b": ["x"], "c": ["z"]}, ["a", "c"], ["x", "z"]),
    ],
)
def test_coarse_labels_are_no_reversed_edges(cls, hierarchy, y, classes):
    assert make(cls, hierarchy).fit(np.eye(2), y).classes_.tolist() == classes


# -- hierarchies of any shape


def check_whole(cls, hierarchy, labels, **params):
    """Fit, predict, score, pickle and copy."""
    X, which = rows_of(labels, n=max(60, 3 * len(labels)))
    y = np.empty(len(X), dtype=object)
    y[:] = [labels[i] for i in which]
    clf = make(cls, hierarchy, **params).fit(X, y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-9)
    assert clf.score(X, y) > 0.8
    for other in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        np.testing.assert_array_equal(other.predict_proba(X), proba)
        np.testing.assert_array_equal(other.predict(X), clf.predict(X))
    for decision in (Argmax(), TopDown(), Threshold(0.6), MinimumRisk(), MinimumRisk(over="nodes")):
        clf.set_params(decision=decision)
        found = decision.decide(proba, clf.classes_, clf.hierarchy_)
        assert clf.predict(X).tolist() == found.tolist()
        np.testing.assert_array_equal(clf.predict_proba(X), proba)
    return clf


@BOTH
def test_a_child_of_two_parents(cls):
    dag = Hierarchy([("life", "pet"), ("life", "farm"), ("pet", "cat"), ("pet", "dog"),
                     ("farm", "dog"), ("farm", "cow"), ("farm", "hen")])  # fmt: skip
    clf = check_whole(cls, dag, ["cat", "dog", "cow", "hen"], epochs=60)
    X, which = rows_of(["cat", "dog", "cow", "hen"])
    clf.set_params(decision="argmax")
    paths = clf.predict_path(X)
    assert set(paths[which == 1, 0]) <= {"pet", "farm"}
    for above, node in paths.tolist():
        assert node in dag.children(above)
    with pytest.raises(ValueError, match="not defined in a DAG"):
        clf.predict(X, level=0)
    with pytest.raises(ValueError, match="not defined in a DAG"):
        clf.predict_proba(X, level="parent")


@BOTH
def test_a_long_chain_beside_short_leaves(cls):
    chain = [("r", "c0"), *((f"c{i}", f"c{i + 1}") for i in range(19))]
    tree = Hierarchy([*chain, ("c18", "twin"), ("r", "a"), ("r", "b")])
    assert tree.depth == 20
    clf = check_whole(cls, tree, ["c19", "twin", "a", "b"], epochs=40)
    X, _ = rows_of(["c19", "twin", "a", "b"])
    assert clf.predict_path(X).shape == (len(X), 20)


@BOTH
def test_a_hierarchy_much_larger_than_the_data(cls):
    names = [f"{i:05d}" for i in range(10_000)]
    tree = Hierarchy.balanced(names, branching=10)
    seen = names[::200]
    clf = check_whole(cls, tree, seen, epochs=40)
    assert clf.classes_.tolist() == seen
    assert clf.hierarchy_ == tree.prune(seen)


@BOTH
@given(hierarchy=trees() | dags(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_any_hierarchy_any_labels(cls, hierarchy, seed):
    """Leaves and inner nodes, only children, nodes without rows."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(hierarchy), size=min(4, len(hierarchy)), replace=False)
    labels = [hierarchy.nodes[i] for i in labels]
    # What has more nodes at its top than leaves is taken for edges from child to parent.
    n_top = len(hierarchy.children(hierarchy.root))
    assume(n_top <= len(hierarchy.leaves) or not set(hierarchy.leaves).isdisjoint(labels))
    X, which = rows_of(labels, n=24)
    y = np.array(labels)[which]
    clf = make(cls, hierarchy, epochs=2).fit(X, y)
    assert clf.hierarchy_ == hierarchy.prune(labels)
    assert clf.classes_.tolist() == sorted(clf.hierarchy_.leaves)
    below = {n for label in labels for n in (label, *hierarchy.descendants(label))}
    assert set(clf.classes_) == below & set(hierarchy.leaves)
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1, rtol=1e-9)
    nodes = clf.predict_node_proba(X)
    assert nodes.shape == (24, len(clf.hierarchy_))
    assert (nodes <= 1 + 1e-9).all()
    path = clf.predict_path(X)
    for row, leaf in zip(path.tolist(), clf.predict(X).tolist(), strict=True):
        walked = [name for name in row if name]
        assert walked[-1] == leaf
        steps = zip((hierarchy.root, *walked[:-1]), walked, strict=True)
        assert all(child in hierarchy.children(parent) for parent, child in steps)


def part_below(edges, root):
    """Return the DAG of all that can be reached from a node."""
    below = {}
    for parent, child in edges:
        below.setdefault(parent, []).append(child)
    kept, waiting, seen = [], [root], {root}
    while waiting:
        parent = waiting.pop()
        kept += [(parent, child) for child in below.get(parent, ())]
        new = set(below.get(parent, ())) - seen
        seen |= new
        waiting += sorted(new)
    return Hierarchy(kept, root=root)


def test_a_part_of_wordnet(data_home):
    """Animals, some of which are reached in several ways."""
    file = data_home / "hierarchies" / "wordnet_wn18rr_dag.edges.csv.gz"
    with gzip.open(file, "rt", newline="") as lines:
        edges = [(row["parent"], row["child"]) for row in csv.DictReader(lines)]
    dag = part_below(edges, "00015388")
    n_parents = np.bincount(dag.arrays.edge_children, minlength=len(dag))
    leaves = dag.leaf_indices
    several = [dag.nodes[i] for i in leaves[n_parents[leaves] > 1][:6]]
    others = [dag.nodes[i] for i in leaves[n_parents[leaves] == 1][::200]]
    clf = check_whole(HierarchicalSoftmaxClassifier, dag, [*several, *others], epochs=60)
    assert not clf.hierarchy_.is_tree


def test_a_branch_of_the_gene_ontology(data_home):
    """Genes by their deepest term below "cellular component", an inner node for many."""
    folder = data_home / "hmc" / "cellcycle_GO"
    whole = Hierarchy.from_dict(json.loads((folder / "hierarchy.json").read_text()))
    dag = part_below(whole.edges, "GO0005575")
    assert not dag.is_tree
    values, labels = [], []
    with gzip.open(folder / "train.arff.gz", "rt") as lines:
        for row in lines:
            *cells, terms = row.strip().split(",")
            known = [term for term in terms.split("@") if term in dag]
            if len(cells) == 77 and known:
                values.append([0.0 if cell == "?" else float(cell) for cell in cells])
                labels.append(max(known, key=lambda term: dag.depths[dag.node_indices([term])[0]]))
    X, y = np.array(values), np.array(labels)
    clf = make(hierarchy=dag, epochs=30, learning_rate_init=0.01).fit(X, y)
    assert not np.isin(y, clf.classes_).all()
    assert len(np.unique(y)) > 100
    proba = clf.predict_node_proba(X)
    columns = clf.hierarchy_.node_indices(y)
    found = -np.log(proba[np.arange(len(y)), columns])
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    assert found.mean() < -np.log(counts[codes] / len(y)).mean()  # what the shares alone say
    # No node is likelier than a walk is to visit one of its parents.
    for j, node in enumerate(clf.hierarchy_.nodes):
        parents = [p for p in clf.hierarchy_.parents(node) if p != dag.root]
        if parents and len(parents) == len(clf.hierarchy_.parents(node)):
            above = proba[:, clf.hierarchy_.node_indices(parents)].sum(axis=1)
            assert (proba[:, j] <= above + 1e-9).all()


# -- searches and errors


def test_a_search_over_decisions_and_losses():
    X, which = rows_of(["fruit", "bread", "doll", "car"])
    y = np.array(["fruit", "bread", "doll", "car"])[which]
    search = GridSearchCV(
        make(decision=Threshold(), epochs=5),
        {"decision__threshold": [0.5, 0.99999]},
        cv=KFold(3, shuffle=True, random_state=0),
    )
    assert search.fit(X, y).best_params_ == {"decision__threshold": 0.5}


X, WHICH = rows_of(["fruit", "bread", "doll", "car"])
Y = np.array(["fruit", "bread", "doll", "car"])[WHICH]
ROWS = [["food", "fruit"], ["food", "bread"], ["toys", "doll"], ["toys", "car"]]
P = [ROWS[i] for i in WHICH]
CASES = {
    "unknown": ({}, ["zebra", *Y[1:]], "not in the hierarchy: 'zebra'"),
    "in no branch": (
        {},
        [["food", "zebra"], *P[1:]],
        "row 0, step 1: 'zebra' is not a child of 'food'",
    ),
    "another branch": (
        {},
        [P[0], ["toys", "bread"], *P[2:]],
        "row 1, step 1: 'bread' is not a child of 'toys'; .* 'bread' is below 'food'",
    ),
    "a skipped level": ({}, [["", "fruit"], *P[1:]], "row 0 skips a level"),
    "an empty path": ({}, [*P[:3], [], *P[4:]], "row 3 has no label"),
    "paths for an inducer": (
        {"hierarchy": BalancedHierarchy()},
        P,
        "BalancedHierarchy.* for labels that can be sorted, and y holds paths",
    ),
    "threshold": ({"decision": Threshold(1.5)}, Y, "'threshold' parameter .* Got 1.5"),
    "a cost too small": ({"decision": MinimumRisk(np.ones((2, 2)))}, Y, r"\(4, 4\).*\(2, 2\)"),
    "a negative cost": ({"decision": MinimumRisk(-np.eye(4))}, Y, "-1.*'bread'|'bread'.*-1"),
    "edges read once": (
        {"hierarchy": iter([("r", "fruit"), ("r", "bread")])},
        Y,
        "can be read once only: give the edges in a list",
    ),
    "no decision": ({"decision": "best"}, Y, "no decision 'best'"),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_bad_labels_and_decisions_are_refused_before_any_work(cls, case):
    params, y, message = CASES[case]
    clf = make(cls, **params)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


@BOTH
def test_a_decision_is_asked_of_a_level_it_cannot_give(cls):
    clf = make(cls, decision=Threshold(0.5)).fit(X, Y)
    with pytest.raises(ValueError, match=r"Threshold.* level"):
        clf.predict(X, level=0)


def test_nested_parameters_need_an_object():
    with pytest.raises(ValueError, match=r"hierarchy__branching sets .*BalancedHierarchy"):
        HierarchicalSoftmaxClassifier(SHOP).set_params(hierarchy__branching=3)
    with pytest.raises(ValueError, match=r"decision__threshold sets .* decision is 'threshold'"):
        HierarchicalSoftmaxClassifier(decision="threshold").set_params(decision__threshold=0.1)


@BOTH
def test_a_sparse_table_under_a_dag(cls):
    """The rows and their gradients are sparse, whatever the head; optimisers see the same."""
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("a", "e")])
    X, which = rows_of(["c", "d", "e", "a"])
    X[np.abs(X) < 0.5] = 0
    y = np.array(["c", "d", "e", "a"])[which]
    settings = {"hierarchy": dag, "optimizer": "sgd", "learning_rate_init": 0.1}
    dense = make(cls, **settings).fit(X, y)
    sparse = make(cls, **settings).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(
        sparse.predict_proba(sp.csr_array(X)), dense.predict_proba(X), rtol=1e-9
    )
    assert make(cls, dag).fit(sp.csr_array(X), y).score(sp.csr_array(X), y) > 0.5
