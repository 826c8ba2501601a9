"""Predictions as tables, levels by name, and which column is which."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.datasets import load_digits_hierarchy
from hierclf.tables import prediction_table

# Leaves of the last level in another order than the nodes: b hangs higher than the others.
EDGES = {"top": ["z", "b"], "z": ["d", "a"]}


def samples(seed=0, n=60):
    rng = np.random.default_rng(seed)
    y = np.array(["a", "b", "d"])[rng.integers(3, size=n)]
    centres = {"a": [0.0, 0], "b": [4.0, 0], "d": [0.0, 4]}
    return rng.normal([centres[label] for label in y], 0.5), y


def make(cls=HierarchicalSoftmaxClassifier, hierarchy=EDGES, **params):
    options = {"max_iter": 30, "n_iter_no_change": 30, "random_state": 0}
    return cls(hierarchy, learning_rate_init=0.02, **(options | params))


BOTH = pytest.mark.parametrize("cls", [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier])


@BOTH
def test_names_zipped_to_columns_are_right(cls):
    X, y = samples()
    clf = make(cls).fit(X, y)
    assert clf.hierarchy_.leaves == ("b", "a", "d")  # not the order of classes_
    assert clf.level_classes().tolist() == ["a", "b", "d"]
    for level in (None, 0, 1, -1, "leaf", "parent"):
        names, proba = clf.level_classes(level), clf.predict_proba(X, level=level)
        by_name = dict(zip(names.tolist(), proba.T, strict=True))
        true = y if len(names) == 3 else np.where(y == "b", "b", "z")
        likeliest = np.array(list(by_name))[np.argmax(list(by_name.values()), axis=0)]
        assert (likeliest == true).mean() > 0.95
    columns = clf.predict_proba(X, level="all").T
    nodes = dict(zip(clf.level_classes("all").tolist(), columns, strict=True))
    assert tuple(nodes) == clf.hierarchy_.nodes
    np.testing.assert_allclose(nodes["z"], nodes["a"] + nodes["d"], rtol=1e-10)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X, level="all")).T, columns)


def test_a_pipeline_passes_paths_and_all_nodes_on():
    X, y = samples()
    pipe = make_pipeline(StandardScaler(), make()).fit(X, y)
    Z = pipe[0].transform(X)
    np.testing.assert_array_equal(pipe.predict(X, level="path"), pipe[-1].predict_path(Z))
    np.testing.assert_array_equal(
        pipe.predict_proba(X, level="all"), pipe[-1].predict_node_proba(Z)
    )
    ends = {"a": ["z", "a"], "b": ["b", ""], "d": ["z", "d"]}
    assert pipe.predict(X, level="path").tolist() == [ends[label] for label in pipe.predict(X)]


def test_levels_are_named_by_the_columns_of_y():
    X, y = samples()
    frame = pd.DataFrame({"order": np.where(y == "b", "b", "z"), "species": y})
    frame.loc[y == "b", "species"] = None
    clf = make(hierarchy=None).fit(X, frame)
    for name, number in (("order", 0), ("species", 1)):
        np.testing.assert_array_equal(
            clf.predict_proba(X, level=name), clf.predict_proba(X, level=number)
        )
        assert clf.predict(X, level=name).tolist() == clf.predict(X, level=number).tolist()
        assert clf.level_classes(name).tolist() == clf.level_classes(number).tolist()
    message = (
        r"an integer, \"leaf\", \"parent\" or a column of y \('order', 'species'\), got 'genus'"
    )
    for method in (clf.predict, clf.predict_proba, clf.predict_log_proba):
        with pytest.raises(ValueError, match=message):
            method(X, level="genus")
    with pytest.raises(ValueError, match=message):
        clf.level_classes("genus")
    # Labels have no columns, so nothing but numbers and words names a level.
    with pytest.raises(ValueError, match=r'an integer, "leaf" or "parent", got \'order\''):
        make().fit(X, y).predict(X, level="order")


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_levels_are_named_by_the_columns_of_other_tables(package):
    module = pytest.importorskip(package)
    X, y = samples()
    columns = {"order": np.where(y == "b", "c", "z").tolist(), "species": y.tolist()}
    table = module.DataFrame(columns) if package == "polars" else module.table(columns)
    clf = make(hierarchy=None).fit(X, table)
    assert clf.level_classes("order").tolist() == ["c", "z"]


def expected_table(clf, X, hierarchy):
    """The table, row by row, from predict_path and the probabilities of single nodes."""
    proba = clf.predict_node_proba(X)
    rows = []
    for path, p in zip(clf.predict_path(X).tolist(), proba, strict=True):
        row = []
        for k in range(hierarchy.n_levels):
            at_end = k >= len(path) or path[k] in ("", None)
            row += [None, np.nan] if at_end else [path[k], p[hierarchy.nodes.index(path[k])]]
        rows.append(row)
    return rows


@BOTH
def test_a_table_of_predictions(cls):
    X, y = samples()
    frame = pd.DataFrame({"order": np.where(y == "b", "b", "z"), "species": y})
    frame.loc[y == "b", "species"] = ""
    rows = pd.DataFrame(X, columns=["u", "v"], index=[f"s{i}" for i in range(len(X))])
    clf = make(cls, hierarchy=None).fit(rows, frame)
    table = prediction_table(clf, rows)
    assert table.columns.tolist() == ["order", "order_proba", "species", "species_proba"]
    assert table.index.tolist() == rows.index.tolist()
    expected = pd.DataFrame(
        expected_table(clf, rows, clf.hierarchy_), columns=table.columns, index=rows.index
    )
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert table["species"].isna().sum() == (clf.predict_path(rows)[:, 1] == "").sum() > 0


def test_a_table_through_pipelines_and_searches():
    digits = load_digits_hierarchy()
    X, y = digits.data[:400] / 16, digits.target[:400]
    grid = {"hierarchicalsoftmaxclassifier__hidden_layer_sizes": [(), (8,)]}
    pipe = make_pipeline(StandardScaler(), make(hierarchy=digits.hierarchy, max_iter=5))
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    best = search.best_estimator_
    table = prediction_table(search, X)
    assert table.columns.tolist() == ["level_0", "level_0_proba", "level_1", "level_1_proba"]
    expected = expected_table(best[-1], best[0].transform(X), best[-1].hierarchy_)
    pd.testing.assert_frame_equal(
        table, pd.DataFrame(expected, columns=table.columns), check_dtype=False
    )


def test_a_table_of_a_dag_follows_the_likeliest_path():
    X, y = samples()
    dag = Hierarchy([("r", "p"), ("r", "q"), ("p", "a"), ("q", "a"), ("p", "b"), ("q", "d")])
    clf = make(hierarchy=dag).fit(X, y)
    table = prediction_table(clf, X)
    expected = expected_table(clf, X, clf.hierarchy_)
    pd.testing.assert_frame_equal(
        table, pd.DataFrame(expected, columns=table.columns), check_dtype=False
    )
