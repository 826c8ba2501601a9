"""Displays: the data they draw and where, by hand and by brute force; no pixels."""

import subprocess
import sys
from itertools import combinations
from unittest import mock

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from strategies import dags, trees

from hierclf import HierarchicalMultilabelClassifier, Hierarchy
from hierclf.decisions import Argmax, HierarchicalThresholdClassifierCV
from hierclf.plotting import (
    AccuracySpecificityDisplay,
    HierarchyDisplay,
    LevelConfusionMatrixDisplay,
    PredictionPathDisplay,
)
from hierclf.plotting._layout import ring_angles, tree_positions
from hierclf.tables import prediction_table

TREE = Hierarchy.from_dict({"animal": ["cat", "dog", "emu"], "plant": ["oak"], "rock": []})
DAG = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow", "dog"]})
DEEP = Hierarchy.from_dict(
    {"life": ["animal", "plant"], "animal": ["cat", "dog", "emu"], "plant": ["elm", "oak"], "x": []}
)


@pytest.fixture(autouse=True)
def figures():
    mpl.use("Agg")
    yield
    plt.close("all")


class Fixed(ClassifierMixin, BaseEstimator):
    """A classifier that returns what it is given, as its features."""

    def __init__(self, hierarchy=None, classes=None, predictions=None):
        self.hierarchy = hierarchy
        self.classes = classes
        self.predictions = predictions

    def fit(self, X, y=None):
        self.classes_ = np.asarray(self.classes)
        if self.hierarchy is not None:
            self.hierarchy_ = self.hierarchy
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        if self.predictions is not None:
            return np.asarray(self.predictions)[: len(X)]
        return self.classes_[np.asarray(X).argmax(axis=1)]


def undrawn(display):
    """Skip the drawing where only the numbers matter."""
    return mock.patch.object(display, "plot", lambda self, **params: self)


def leaves_below(hierarchy, node):
    below = {node, *hierarchy.descendants(node)}
    return [leaf for leaf in hierarchy.leaves if leaf in below]


def path_up(hierarchy, node):
    """Return the node and its ancestors but the root."""
    return {node, *hierarchy.ancestors(node)} - {hierarchy.root}


# -- layouts


@given(trees())
def test_tree_rows_are_leaves_and_parents_are_at_the_mean_of_their_children(h):
    positions = tree_positions(h)
    at = dict(zip([*h.nodes, h.root], positions.tolist(), strict=True))
    assert sorted(at[leaf][1] for leaf in h.leaves) == list(range(len(h.leaves)))
    for node in [h.root, *h.nodes]:
        assert at[node][0] == (len(h.path(node)) if node != h.root else 0)
        children = h.children(node)
        if children:
            assert at[node][1] == pytest.approx(np.mean([at[c][1] for c in children]))
            rows = sorted(at[leaf][1] for leaf in leaves_below(h, node))
            assert rows == list(range(int(rows[0]), int(rows[0]) + len(rows)))


@given(trees())
def test_wedges_are_as_wide_as_their_leaves_and_inside_their_parents(h):
    angles = dict(zip(h.nodes, ring_angles(h).tolist(), strict=True))
    angles[h.root] = [-270, 90]
    for node in h.nodes:
        first, last = angles[node]
        assert last - first == pytest.approx(360 * len(leaves_below(h, node)) / len(h.leaves))
    for node in [h.root, *h.nodes]:
        ends = [angles[node][1]]
        for child in h.children(node):  # clockwise, one after the other
            assert angles[child][1] == pytest.approx(ends[-1])
            ends.append(angles[child][0])
        if h.children(node):
            assert ends[-1] == pytest.approx(angles[node][0])


@given(dags())
def test_nodes_of_a_dag_have_places_of_their_own(h):
    positions = tree_positions(h)
    assert len(np.unique(positions.round(9), axis=0)) == len(h) + 1
    assert_array_equal(positions[:-1, 0], h.depths)
    rows = positions[:-1, 1][h.leaf_indices]
    assert len(set(rows)) == len(rows)
    assert_array_equal(rows, rows.round())


# -- the hierarchy


def test_tree_draws_nodes_edges_and_names_where_the_layout_says():
    values = {"animal": 0.25, "cat": 1.0, "plant": 0.0}
    display = HierarchyDisplay(TREE, values, label="Value")
    assert display.plot() is display
    assert display.figure_ is display.ax_.figure
    at = dict(zip(TREE.nodes, display.positions_.tolist(), strict=False))
    # cat, dog, emu, oak, rock from top to bottom; rock is at the top level.
    assert at == {
        "animal": [1, 1],
        "plant": [1, 3],
        "rock": [1, 4],
        "cat": [2, 0],
        "dog": [2, 1],
        "emu": [2, 2],
        "oak": [2, 3],
    }
    assert_allclose(display.positions_[-1], [0, (1 + 3 + 4) / 3])
    assert_allclose(display.nodes_.get_offsets(), display.positions_[:-1])
    names = [TREE.root, *TREE.nodes]
    at[TREE.root] = display.positions_[-1].tolist()
    for line, (parent, child) in zip(display.edges_.get_segments(), TREE.edges, strict=True):
        assert parent in names
        assert_allclose(line[[0, -1]], [at[parent], at[child]])
    for line, node in zip(display.branches_.get_segments(), TREE.nodes, strict=True):
        assert_allclose(line[1], at[node])
        assert line[0][1] == line[1][1]
    assert {node: text.get_text() for node, text in display.texts_.items()} == {
        node: node for node in TREE.nodes
    }
    assert all(list(display.texts_[node].xy) == at[node] for node in TREE.nodes)
    assert display.ax_.yaxis_inverted()


@pytest.mark.parametrize("kind", ["tree", "sunburst"])
def test_colours_are_those_of_the_values(kind):
    values = {"animal": 0.25, "cat": 1.0, "plant": 0.0, "dog": np.nan}
    display = HierarchyDisplay(TREE, values, label="Value").plot(kind=kind, cmap="plasma")
    plasma, grey = mpl.colormaps["plasma"], mpl.colors.to_rgba("0.75")
    expected = [grey if np.isnan(v) else plasma(v) for v in display.values]
    assert_array_equal(np.isnan(display.values), [0, 0, 1, 0, 1, 1, 1])
    assert_allclose(display.nodes_.get_facecolors(), expected)
    if kind == "tree":
        assert_allclose(display.branches_.get_colors(), expected)
    assert display.colorbar_.ax.get_ylabel() == "Value"
    assert (display.colorbar_.vmin, display.colorbar_.vmax) == (0, 1)
    display.plot(kind=kind, vmin=-1, vmax=3, colorbar=False)
    assert_allclose(display.nodes_.get_facecolors()[0], mpl.colormaps["viridis"](1.25 / 4))
    assert display.colorbar_ is None


def test_without_values_all_nodes_are_alike():
    display = HierarchyDisplay(TREE).plot()
    assert len(np.unique(display.nodes_.get_facecolors(), axis=0)) == 1
    assert display.colorbar_ is None
    nothing = HierarchyDisplay(TREE, {}).plot()
    assert_allclose(nothing.nodes_.get_facecolors(), [mpl.colors.to_rgba("0.75")] * 7)


def test_wedges_are_drawn_at_their_angles_and_depths():
    display = HierarchyDisplay(TREE, np.arange(7)).plot(kind="sunburst")
    # 5 leaves of 72 degrees, clockwise from the top
    angles = dict(zip(TREE.nodes, display.angles_.tolist(), strict=True))
    assert angles["animal"] == [-126, 90]
    assert angles["cat"] == [18, 90]
    assert angles["oak"] == angles["plant"] == [-198, -126]
    assert angles["rock"] == [-270, -198]
    assert display.positions_ is display.edges_ is display.branches_ is None
    radii = []
    for path, (first, last) in zip(display.nodes_.get_paths(), angles.values(), strict=True):
        x, y = path.vertices[:-1].T
        middle = np.radians((first + last) / 2)
        turned = np.arctan2(
            y * np.cos(middle) - x * np.sin(middle), x * np.cos(middle) + y * np.sin(middle)
        )
        assert np.degrees(turned).max() <= (last - first) / 2 + 1e-6
        ends = path.vertices[[0, -3]]
        radii.append(np.hypot(*ends.T).max())
    assert_allclose(np.array(radii) - radii[0], TREE.depths - 1, atol=1e-12)


def test_a_dag_has_each_node_once_with_all_its_edges():
    display = HierarchyDisplay(DAG).plot()
    assert len(display.nodes_.get_offsets()) == len(DAG) == 5
    # dog is placed below farm, which comes first
    at = dict(zip(DAG.nodes, display.positions_[:, 1].tolist(), strict=False))
    assert at == {"farm": 0.5, "pet": 2, "cat": 2, "cow": 0, "dog": 1}
    lines = dict(zip(DAG.edges, display.edges_.get_segments(), strict=True))
    assert len(lines[("pet", "dog")]) == 2
    assert len(lines[("farm", "dog")]) == 4
    dashes = [dash for _, dash in display.edges_.get_linestyle()]
    assert [edge for edge, dash in zip(DAG.edges, dashes, strict=True) if dash] == [("pet", "dog")]
    with pytest.raises(ValueError, match=r'"sunburst" needs a tree.*DAG: use kind="tree"'):
        HierarchyDisplay(DAG).plot(kind="sunburst")


def big_tree(n_leaves, depth=3):
    branching = round(n_leaves ** (1 / depth))
    return Hierarchy.balanced([f"class number {i}" for i in range(n_leaves)], branching + 1)


@pytest.mark.parametrize(("n_nodes", "names_leaves"), [(80, True), (800, False)])
def test_names_of_a_tree_do_not_overlap(n_nodes, names_leaves):
    heap = Hierarchy([(f"node {(i - 1) // 3}", f"node {i}") for i in range(1, n_nodes)])
    _, ax = plt.subplots(figsize=(9, 9))
    display = HierarchyDisplay(heap).plot(ax)
    named = [leaf in display.texts_ for leaf in display.hierarchy.leaves]
    assert all(named) if names_leaves else not any(named)
    assert len(display.texts_) > 5
    display.figure_.draw_without_rendering()
    boxes = [text.get_window_extent() for text in display.texts_.values()]
    for a, b in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Lines may be as close as those of a page.
        assert across <= 1 or down <= 0.2 * min(a.height, b.height)
    frame = ax.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_names_of_wedges_stay_inside_them():
    h = big_tree(60)
    display = HierarchyDisplay(h).plot(kind="sunburst")
    display.figure_.draw_without_rendering()
    scale = display.ax_.transData.transform([1, 0])[0] - display.ax_.transData.transform([0, 0])[0]
    assert 20 < len(display.texts_) <= len(h)
    hole = 0.6
    for node, text in display.texts_.items():
        rotation = np.radians(text.get_rotation())
        text.set_rotation(0)
        box = text.get_window_extent()
        half = np.array([box.width, 0.7 * box.height]) / 2 / scale  # letters, not the line
        corners = np.array([[i, j] for i in (-1, 1) for j in (-1, 1)]) * half
        turn = np.array(
            [[np.cos(rotation), np.sin(rotation)], [-np.sin(rotation), np.cos(rotation)]]
        )
        x, y = (text.get_position() + corners @ turn).T
        i = h.nodes.index(node)
        radius = np.hypot(x, y) - hole - h.depths[i]
        assert radius.min() >= -1.02
        assert radius.max() <= 0.02
        first, last = np.radians(display.angles_[i])
        middle = (first + last) / 2
        around = np.angle(np.exp(1j * (np.arctan2(y, x) - middle)))
        assert np.abs(around).max() <= (last - first) / 2 + 0.01
        assert -np.pi / 2 - 1e-6 <= np.angle(np.exp(1j * rotation)) <= np.pi / 2 + 1e-6


def test_max_labels_keeps_leaves_or_the_largest_inner_nodes():
    display = HierarchyDisplay(TREE).plot(max_labels=5)
    assert set(display.texts_) == set(TREE.leaves)
    display.plot(max_labels=6)
    assert set(display.texts_) == {*TREE.leaves, "animal"}
    display.plot(max_labels=1)
    assert set(display.texts_) == {"animal"}
    display.plot(max_labels=0)
    assert not display.texts_
    display.plot(kind="sunburst", max_labels=1)
    assert set(display.texts_) == {"animal"}


def test_the_axes_given_are_used():
    figure, axes = plt.subplots(1, 2)
    display = HierarchyDisplay(TREE, np.arange(7)).plot(axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].collections


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], r"each of the 7 nodes.*shape is \(2,\)"),
        (np.ones((7, 1)), r"shape is \(7, 1\)"),
        ({"cat": 1.0, "cow": 2.0}, "no nodes: 'cow'"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        HierarchyDisplay(TREE, values)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"kind": "icicle"}, ValueError, 'kind must be "tree" or "sunburst", got \'icicle\''),
        ({"max_labels": -1}, ValueError, "max_labels must not be negative"),
        ({"colour": "red"}, TypeError, "HierarchyDisplay.plot: .*colour"),
    ],
)
def test_parameters_are_refused_before_anything_is_predicted(params, error, message):
    class Silent(Fixed):
        def predict_proba(self, X):
            raise AssertionError("predicted")

    clf = Silent(TREE, TREE.leaves).fit(None)
    with pytest.raises(error, match=message):
        HierarchyDisplay.from_estimator(clf, [[0.2] * 5], **params)
    with pytest.raises(error, match=message):
        HierarchyDisplay.from_predictions(["cow"], ["cat"], hierarchy=TREE, **params)


def test_probabilities_of_a_row_are_sums_of_classes_wherever_the_hierarchy_is_kept():
    row = [[0.5, 0.125, 0.125, 0.0, 0.25]]
    expected = [0.75, 0.0, 0.25, 0.5, 0.125, 0.125, 0.0]
    classes = ["cat", "dog", "emu", "oak", "rock"]
    clf = Fixed(TREE, classes).fit(None)
    pipe = make_pipeline(FunctionTransformer(), Fixed(TREE, classes)).fit(row * 4, ["cat"] * 4)
    search = GridSearchCV(pipe, {"fixed__predictions": [None]}, cv=2).fit(row * 4, ["cat"] * 4)
    for estimator in (clf, pipe, search):
        display = HierarchyDisplay.from_estimator(estimator, row)
        assert_allclose(display.values, expected)
        assert display.colorbar_.vmin == 0
        assert display.colorbar_.vmax == 1
        assert display.label == "Probability"
    other = Fixed(None, classes).fit(None)
    display = HierarchyDisplay.from_estimator(other, row, hierarchy=TREE, vmax=0.5)
    assert_allclose(display.values, expected)
    assert display.colorbar_.vmax == 0.5
    with pytest.raises(ValueError, match=r"Fixed knows no hierarchy .* pass hierarchy="):
        HierarchyDisplay.from_estimator(other, row)
    with pytest.raises(NotFittedError):
        HierarchyDisplay.from_estimator(Fixed(TREE, classes), row)


def test_a_classifier_that_knows_every_node_is_asked():
    class Knows(Fixed):
        def predict_node_proba(self, X):
            return np.linspace(0, 1, 7)[None]

    clf = Knows(TREE, TREE.leaves).fit(None)
    row = [[0.0, 0.0, 0.0, 0.0, 1.0]]
    assert_allclose(HierarchyDisplay.from_estimator(clf, row).values, np.linspace(0, 1, 7))
    # Its own columns do not fit another hierarchy.
    flat = Hierarchy.flat(TREE.leaves)
    display = HierarchyDisplay.from_estimator(clf, row, hierarchy=flat)
    assert display.values.tolist() == [float(node == TREE.leaves[4]) for node in flat]


def test_a_classifier_that_knows_every_node_is_asked_inside_of_others():
    """In a DAG a node is no sum of the classes below it: dog is in both."""

    class Knows(Fixed):
        def predict_node_proba(self, X):
            return np.column_stack([X, np.asarray(X).sum(axis=1) / 4, np.ones(len(X))])

    row = [[0.125, 0.25, 0.5]]
    alone = Knows(DAG, DAG.leaves).fit(None)
    pipe = make_pipeline(FunctionTransformer(np.fliplr), FunctionTransformer(np.sqrt), alone)
    rows, y = row * 4, ["cat"] * 4
    search = GridSearchCV(make_pipeline(pipe), {"pipeline__knows__predictions": [None]}, cv=2)
    shown = np.sqrt([[0.5, 0.25, 0.125]])
    for estimator, seen in [
        (alone, row), (make_pipeline(alone), row), (pipe.fit(rows, y), shown),
        (search.fit(rows, y), shown),
    ]:  # fmt: skip
        display = HierarchyDisplay.from_estimator(estimator, row)
        assert_allclose(display.values, alone.predict_node_proba(seen)[0])
        # Its own columns do not fit another hierarchy: there its classes are added up.
        flat = HierarchyDisplay.from_estimator(estimator, row, hierarchy=Hierarchy.flat(DAG.leaves))
        assert_allclose(np.sort(flat.values), np.sort(seen[0]))
    with pytest.raises(ValueError, match=r"Fixed.predict_proba returned .* row 0 has -1.0 for"):
        HierarchyDisplay.from_estimator(Fixed(TREE, TREE.leaves).fit(None), [[0, 0, -1.0, 1, 1]])


@pytest.mark.parametrize("X_row", [np.ones((2, 5)), np.ones(5), "text", []])
def test_only_one_row_is_taken(X_row):
    clf = Fixed(TREE, TREE.leaves).fit(None)
    for display in (HierarchyDisplay, PredictionPathDisplay):
        with pytest.raises(ValueError, match=r"X_row must (have|be) one row.*X\[:1\]"):
            display.from_estimator(clf, X_row)


@given(st.one_of(trees(), dags()), st.data())
@settings(max_examples=50, deadline=None)
def test_statistics_of_nodes_by_brute_force(h, data):
    nodes = st.lists(st.sampled_from(h.nodes), min_size=6, max_size=6)
    y_true, y_pred = data.draw(nodes), data.draw(nodes)
    weight = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
    with undrawn(HierarchyDisplay):
        displays = {
            statistic: HierarchyDisplay.from_predictions(
                y_true, y_pred, hierarchy=h, statistic=statistic, sample_weight=weight
            ).values
            for statistic in ("accuracy", "support")
        }
    for i, node in enumerate(h.nodes):
        rows = [r for r in range(6) if node in path_up(h, y_true[r])]
        support = sum(weight[r] for r in rows)
        hits = sum(weight[r] for r in rows if node in path_up(h, y_pred[r]))
        accuracy = hits / support if support else np.nan
        assert_allclose(displays["accuracy"][i], accuracy)
        assert_allclose(displays["support"][i], support or np.nan)


def test_support_is_coloured_by_logarithm():
    y = ["cat"] * 99 + ["oak"]
    display = HierarchyDisplay.from_predictions(y, y, hierarchy=TREE, statistic="support")
    assert isinstance(display.colorbar_.norm, mpl.colors.LogNorm)
    assert_allclose([display.colorbar_.vmin, display.colorbar_.vmax], [1, 99])
    with pytest.raises(ValueError, match=r'"accuracy" or "support", got \'recall\''):
        HierarchyDisplay.from_predictions(y, y, hierarchy=TREE, statistic="recall")


# -- confusion matrices


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
@pytest.mark.parametrize("level", [0, 1, "leaf"])
def test_confusion_matrix_is_that_of_labels_carried_up(level, normalize):
    rng = np.random.default_rng(0)
    y_true = rng.choice(["cat", "dog", "emu", "elm", "x"], 40)
    y_pred = rng.choice(["cat", "dog", "elm", "oak", "x"], 40)
    depth = {0: 1, 1: 2, "leaf": 3}[level]
    order = {
        0: ["life", "x"],
        1: ["x", "animal", "plant"],
        "leaf": ["x", "cat", "dog", "emu", "elm", "oak"],
    }[level]

    def carry_up(labels):
        return [DEEP.path(label)[:depth][-1] for label in labels.tolist()]

    for sample_weight in (rng.random(40), None):
        with undrawn(LevelConfusionMatrixDisplay):
            display = LevelConfusionMatrixDisplay.from_predictions(
                y_true,
                y_pred,
                hierarchy=DEEP,
                level=level,
                normalize=normalize,
                sample_weight=sample_weight,
            )
        expected = confusion_matrix(
            carry_up(y_true),
            carry_up(y_pred),
            labels=order,
            normalize=normalize,
            sample_weight=sample_weight,
        )
        assert list(display.labels) == order
        assert_allclose(display.confusion_matrix, expected)
        assert display.confusion_matrix.dtype == expected.dtype


def frame(rectangle):
    return (*rectangle.get_xy(), rectangle.get_width(), rectangle.get_height())


def test_siblings_are_framed():
    y = ["cat", "elm", "x"]
    display = LevelConfusionMatrixDisplay.from_predictions(y, y, hierarchy=DEEP)
    # x | cat dog emu | elm oak
    order = ["x", "cat", "dog", "emu", "elm", "oak"]
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == order
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == order
    assert_array_equal(display.im_.get_array(), display.confusion_matrix)
    assert {node: frame(box) for node, box in display.outlines_.items()} == {
        "animal": (0.5, 0.5, 3, 3),
        "plant": (3.5, 3.5, 2, 2),
    }
    texts = display.parent_texts_
    assert {node: (t.get_text(), t.xy) for node, t in texts.items()} == {
        "animal": ("animal", (5.5, 2)),
        "plant": ("plant", (5.5, 4.5)),
    }
    top = LevelConfusionMatrixDisplay.from_predictions(y, y, hierarchy=DEEP, level=0)
    assert not top.outlines_
    present = LevelConfusionMatrixDisplay.from_predictions(
        y, ["cat", "oak", "x"], hierarchy=DEEP, include_absent=False
    )
    assert present.labels == ("x", "cat", "elm", "oak")
    assert_array_equal(
        present.confusion_matrix, np.diag([1, 1, 0, 0]) + np.eye(4, k=1) * [0, 0, 0, 1]
    )
    assert frame(present.outlines_["animal"]) == (0.5, 0.5, 1, 1)
    assert frame(present.outlines_["plant"]) == (1.5, 1.5, 2, 2)


def test_leaves_of_a_dag_are_framed_where_they_are_placed():
    display = LevelConfusionMatrixDisplay.from_predictions(["cow"], ["dog"], hierarchy=DAG)
    assert display.labels == DAG.leaves
    sizes = {node: frame(box)[2] for node, box in display.outlines_.items()}
    assert sizes == {"farm": 2, "pet": 1}


def test_values_are_written_where_they_are_few():
    y_true, y_pred = ["cat", "cat", "dog"], ["cat", "dog", "dog"]
    display = LevelConfusionMatrixDisplay.from_predictions(y_true, y_pred, hierarchy=TREE)
    row = [text.get_text() for text in display.text_[TREE.leaves.index("cat")]]
    assert row == ["1" if leaf in ("cat", "dog") else "0" for leaf in TREE.leaves]
    assert display.plot(include_values=False).text_ is None
    shares = LevelConfusionMatrixDisplay(np.eye(5) / 2, TREE)
    assert shares.plot().text_[3, 3].get_text() == "0.50"
    assert shares.plot(values_format=".1f").text_[3, 3].get_text() == "0.5"
    many = Hierarchy.flat(range(21))
    assert LevelConfusionMatrixDisplay(np.eye(21), many).plot().text_ is None


def test_many_nodes_are_named_by_their_parents():
    many = Hierarchy.from_dict({f"p{i}": [f"c{i}.{j}" for j in range(60)] for i in range(5)})
    display = LevelConfusionMatrixDisplay(np.eye(300), many).plot()
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == [
        f"p{i}" for i in range(5)
    ]
    assert display.ax_.get_yticks().tolist() == [29.5, 89.5, 149.5, 209.5, 269.5]
    assert not display.parent_texts_


def test_confusion_matrix_of_an_estimator_is_of_what_it_predicts():
    classes = ["cat", "dog", "emu", "oak", "rock"]
    clf = Fixed(TREE, classes).fit(None)
    X = np.eye(5)[[0, 1, 3, 3]]
    display = LevelConfusionMatrixDisplay.from_estimator(
        clf, X, ["dog", "dog", "oak", "cat"], level=0
    )
    assert display.labels == ("animal", "plant", "rock")
    assert_array_equal(display.confusion_matrix, [[2, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert display.colorbar_.ax.get_ylabel() == "Number of samples"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"y_pred": ["cat", "animal"]}, "y_pred has labels that stop above level 'leaf': 'animal'"),
        ({"y_true": ["life", "cat"], "level": 1}, "y_true .* above level 1: 'life'"),
        ({"y_true": ["cow", "cat"]}, "not in the hierarchy: 'cow'"),
        ({"y_true": ["cat"]}, "y_true has 1 rows, y_pred has 2"),
        ({"level": 3}, "there is no level 3"),
        ({"hierarchy": DAG, "level": 0}, "not defined in a DAG"),
        ({"normalize": "rows"}, "normalize must be .* got 'rows'"),
    ],
)
def test_confusions_that_cannot_be_counted_are_refused(params, message):
    given = {"y_true": ["cat", "dog"], "y_pred": ["cat", "dog"], "hierarchy": DEEP}
    with pytest.raises(ValueError, match=message):
        LevelConfusionMatrixDisplay.from_predictions(**given | params)


@pytest.mark.parametrize(
    ("matrix", "labels", "message"),
    [
        (np.eye(2), None, r"each of the 5 labels, its shape is \(2, 2\)"),
        (np.eye(2), ["cat", "plant"], "not on level 'leaf': 'plant'"),
        (np.eye(2), ["dog", "cat"], "in the order of hierarchy.nodes"),
    ],
)
def test_a_matrix_must_fit_its_labels(matrix, labels, message):
    with pytest.raises(ValueError, match=message):
        LevelConfusionMatrixDisplay(matrix, TREE, labels=labels)


# -- accuracy and specificity


def brute_force_curve(y_true, proba, classes, h, thresholds, weight):
    accuracy, specificity = [], []
    candidates = [node for node in h.nodes if any(node in path_up(h, c) for c in classes)]
    depth = dict(zip(h.nodes, h.depths.tolist(), strict=True))
    for threshold in thresholds:
        right, gain = [], []
        for label, row in zip(y_true, proba, strict=True):
            mass = {
                node: sum(p for p, c in zip(row, classes, strict=True) if node in path_up(h, c))
                for node in candidates
            }
            enough = [node for node in candidates if mass[node] >= threshold]
            if not enough:
                enough = [node for node in candidates if depth[node] == 1]
            chosen = max(enough, key=lambda node: (depth[node], mass[node]))
            right.append(chosen in path_up(h, label))
            n_below, n = len(leaves_below(h, chosen)), len(h.leaves)
            gain.append(1 - np.log(n_below) / np.log(n) if n > 1 else 1.0)
        accuracy.append(np.average(right, weights=weight))
        specificity.append(np.average(gain, weights=weight))
    return accuracy, specificity


@given(st.one_of(trees(max_leaves=8), dags(max_nodes=9)), st.data())
@settings(max_examples=50, deadline=None)
def test_curve_by_brute_force(h, data):
    classes = data.draw(st.lists(st.sampled_from(h.nodes), min_size=1, unique=True))
    counts = st.lists(st.integers(0, 8), min_size=len(classes), max_size=len(classes))
    # Eighths, so that sums are exact and meet thresholds.
    proba = np.array(data.draw(st.lists(counts, min_size=4, max_size=4))) / 8
    # A class may be above another, and then no row may sum to more than 1.
    proba /= 2.0 ** np.ceil(np.log2(max(1, proba.sum(axis=1).max())))
    y_true = data.draw(st.lists(st.sampled_from(h.nodes), min_size=4, max_size=4))
    weight = data.draw(st.lists(st.integers(1, 3), min_size=4, max_size=4))
    with undrawn(AccuracySpecificityDisplay):
        display = AccuracySpecificityDisplay.from_predictions(
            y_true, proba, classes=classes, hierarchy=h, thresholds=9, sample_weight=weight
        )
    assert_array_equal(display.thresholds, np.arange(9) / 8)
    accuracy, specificity = brute_force_curve(y_true, proba, classes, h, display.thresholds, weight)
    assert_allclose(display.accuracy, accuracy)
    assert_allclose(display.specificity, specificity, atol=1e-12)


def test_curves_of_several_estimators_share_axes_and_a_legend(monkeypatch):
    classes = ["cat", "dog", "emu", "oak", "rock"]
    y = ["dog", "oak", "cat", "rock"]
    X = np.array([[4, 3, 1, 0, 0], [0, 0, 4, 4, 0], [8, 0, 0, 0, 0], [2, 0, 0, 1, 5]]) / 8
    clf = Fixed(TREE, classes).fit(None)
    thresholds = [0.0, 0.5, 0.6, 1.0]
    first = AccuracySpecificityDisplay.from_estimator(clf, X, y, thresholds=thresholds)
    second = AccuracySpecificityDisplay.from_estimator(
        clf, X[::-1], y, name="backwards", ax=first.ax_, color="red", hierarchy=TREE
    )
    assert first.ax_ is second.ax_
    assert first.name == "Fixed"
    assert_array_equal(second.thresholds, np.linspace(0, 1, 101))
    assert_array_equal(first.line_.get_xdata(), first.specificity)
    assert_array_equal(first.line_.get_ydata(), first.accuracy)
    assert second.line_.get_color() == "red"
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert legend == ["Fixed", "backwards"]
    # Blocks of rows give the same.
    monkeypatch.setattr("hierclf._utils.blocks.BLOCK", 14)
    blocks = AccuracySpecificityDisplay.from_estimator(clf, X, y, thresholds=thresholds)
    assert_array_equal(blocks.accuracy, first.accuracy)
    assert_array_equal(blocks.specificity, first.specificity)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"thresholds": 0}, "at least 1 or an array, got 0"),
        ({"thresholds": [0.5, 1.5]}, "from 0 to 1, got 1.5"),
        ({"thresholds": [[0.5]]}, "from 0 to 1, got"),
        ({"y_true": ["cat"]}, "y_true has 1 rows, y_proba has 2"),
        ({"classes": ["cat", "cow"]}, "not in the hierarchy: 'cow'"),
        ({"classes": ["cat"]}, r"one column for each of the 1 classes"),
        ({"classes": ["cat", "cat"]}, "classes given twice: 'cat'"),
        ({"y_proba": [[np.nan, 1], [0, 1]]}, "y_proba must .* row 0 has nan for class 'cat'"),
        ({"y_proba": [[0, 1], [-1, 2]]}, "y_proba must .* row 1 has -1.0 for class 'cat'"),
        ({"y_proba": [[0, 1], [0, np.inf]]}, "y_proba must .* row 1 has inf for class 'dog'"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(params, message):
    given = {"y_true": ["cat", "dog"], "y_proba": np.eye(2), "classes": ["cat", "dog"]}
    with pytest.raises(ValueError, match=message):
        AccuracySpecificityDisplay.from_predictions(**given | params, hierarchy=TREE)


def test_a_curve_is_of_one_length():
    with pytest.raises(ValueError, match=r"one length, their shapes are \(2,\), \(1,\) and \(2,\)"):
        AccuracySpecificityDisplay([1, 1], [1], [0, 1])


# -- the path of a prediction


def test_steps_of_a_path_by_hand():
    #        animal .75: cat .5, dog .125, emu .125; plant 0: oak 0; rock .25
    node_proba = TREE.aggregate(
        [[0.5, 0.125, 0.125, 0.0, 0.25]], ["cat", "dog", "emu", "oak", "rock"]
    )
    display = PredictionPathDisplay.from_predictions(node_proba[0], hierarchy=TREE, n_rivals=1)
    assert display.path == ("animal", "cat")
    top, below = display.steps
    assert (top.parent, top.nodes, top.chosen, top.n_others) == (
        TREE.root,
        ("animal", "rock"),
        0,
        1,
    )
    assert (below.parent, below.nodes, below.chosen, below.n_others) == (
        "animal",
        ("cat", "dog"),
        0,
        1,
    )
    assert_allclose(top.proba, [0.75, 0.25])
    assert_allclose(below.proba, [2 / 3, 1 / 6])
    assert (top.path_proba, below.path_proba) == (0.75, 0.5)
    widths = [[bar.get_width() for bar in bars] for bars in display.bars_]
    assert_allclose(widths, [[0.75, 0.25], [2 / 3, 1 / 6]])
    colors = [[bar.get_facecolor() for bar in bars] for bars in display.bars_]
    chosen, rival = mpl.colors.to_rgba("C0"), mpl.colors.to_rgba("0.75")
    assert colors == [[chosen, rival], [chosen, rival]]
    labels = display.ax_.get_yticklabels()
    assert [text.get_text() for text in labels] == ["animal", "rock", "cat", "dog"]
    assert [text.get_weight() for text in labels] == ["bold", "normal", "bold", "normal"]
    titles = [text.get_text() for text in display.titles_]
    assert "animal" in titles[2]
    assert ["0.750" in titles[1], "0.500" in titles[3]] == [True, True]


def test_the_chosen_child_is_shown_even_where_rivals_are_likelier():
    node_proba = [0.75, 0.0, 0.25, 0.375, 0.25, 0.125, 0.0]
    display = PredictionPathDisplay(node_proba, TREE, "emu", n_rivals=1)
    step = display.steps[1]
    assert (step.nodes, step.chosen) == (("cat", "emu"), 1)
    assert_allclose(step.proba, [1 / 2, 1 / 6])
    bars = display.plot(color="red").bars_[1]
    assert bars[1].get_facecolor() == mpl.colors.to_rgba("red")
    impossible = PredictionPathDisplay(node_proba, TREE, "oak").steps
    assert_array_equal(impossible[1].proba, [0.0])
    assert PredictionPathDisplay(node_proba, TREE, "plant", n_rivals=0).path == ("plant",)


@given(trees(), st.integers(0, 3), st.data())
def test_steps_multiply_to_the_probability_of_the_prediction(h, n_rivals, data):
    counts = data.draw(st.lists(st.integers(1, 9), min_size=len(h.leaves), max_size=len(h.leaves)))
    proba = np.array(counts) / sum(counts)
    display = PredictionPathDisplay(h.aggregate([proba], h.leaves)[0], h, n_rivals=n_rivals)
    product = 1.0
    for node, step in zip(display.path, display.steps, strict=True):
        assert step.nodes[step.chosen] == node
        product *= step.proba[step.chosen]
        assert step.path_proba == pytest.approx(product)
        siblings = set(h.children(step.parent))
        assert set(step.nodes) <= siblings
        assert len(step.nodes) == min(1 + n_rivals, len(siblings)) == len(siblings) - step.n_others
        share = {}
        for sibling in siblings:
            mass = [
                p for p, leaf in zip(proba, h.leaves, strict=True) if sibling in path_up(h, leaf)
            ]
            share[sibling] = sum(mass) * step.proba[step.chosen] / step.path_proba
        assert_allclose(step.proba, [share[n] for n in step.nodes])
        assert list(step.proba) == sorted(step.proba, reverse=True)
        hidden = [share[n] for n in siblings - set(step.nodes)]
        rivals = [share[n] for n in step.nodes if n != node]
        assert max(hidden, default=0) <= min(rivals, default=1) + 1e-12
    assert product == pytest.approx(max(proba))


@pytest.mark.parametrize("predictions", [["animal"], [["animal", ""]]])
def test_path_ends_where_the_estimator_stops(predictions):
    clf = Fixed(TREE, ["cat", "dog", "emu", "oak", "rock"], predictions).fit(None)
    display = PredictionPathDisplay.from_estimator(clf, [[0.25, 0.25, 0.25, 0.0, 0.25]])
    assert display.path == ("animal",)
    assert_allclose(display.node_proba, [0.75, 0, 0.25, 0.25, 0.25, 0.25, 0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hierarchy": DAG}, "needs a tree, and the hierarchy is a DAG"),
        ({"node_proba": [0.5]}, r"each of the 7 nodes.*shape is \(1,\)"),
        ({"node_proba": [0.5] * 6 + [2]}, "that of 'oak' is 2.0"),
        ({"node_proba": [0.5] * 6 + [np.nan]}, "that of 'oak' is nan"),
        ({"prediction": "cow"}, "not in the hierarchy: 'cow'"),
        ({"n_rivals": -1}, "n_rivals must be an integer of at least 0, got -1"),
        ({"n_rivals": 1.5}, "n_rivals must be an integer"),
    ],
)
def test_paths_that_cannot_be_drawn_are_refused(params, message):
    given = {"node_proba": [0.5] * 7, "hierarchy": TREE}
    with pytest.raises(ValueError, match=message):
        PredictionPathDisplay.from_predictions(**given | params)


# -- matplotlib


def test_matplotlib_is_imported_when_something_is_drawn():
    code = "import sys, hierclf.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: HierarchyDisplay(TREE).plot(),
        lambda: HierarchyDisplay.from_predictions(["cat"], ["cat"], hierarchy=TREE),
        lambda: LevelConfusionMatrixDisplay(np.eye(5), TREE).plot(),
        lambda: AccuracySpecificityDisplay([1], [1], [0]).plot(),
        lambda: PredictionPathDisplay([0.5] * 7, TREE).plot(),
    ],
)
def test_without_matplotlib_the_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: .*the extra 'plot' of hierclf"):
        draw()


def test_names_are_written_as_they_are():
    h = Hierarchy.from_dict({"$x^$": ["_a", "b$c$"], ("t", 1): ["100%"]})
    for kind in ("tree", "sunburst"):
        display = HierarchyDisplay(h).plot(kind=kind)
        display.figure_.draw_without_rendering()
        assert display.texts_["b$c$"].get_text() == "b$c$"
    assert not display.texts_["$x^$"].get_parse_math()
    LevelConfusionMatrixDisplay(np.eye(3), h).plot().figure_.draw_without_rendering()
    PredictionPathDisplay([0.5] * 5, h).plot().figure_.draw_without_rendering()


# -- several labels per sample


def test_probabilities_of_nodes_by_themselves_are_not_added_up():
    X, y = np.eye(4), [["cat"], ["dog", "oak"], ["rock"], ["emu"]]
    clf = HierarchicalMultilabelClassifier(
        TREE, max_iter=3, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    proba = clf.predict_proba(X[:1])[0]
    assert proba.sum() > 1.01  # it is no distribution
    display = HierarchyDisplay.from_estimator(clf, X[:1])
    assert_allclose(display.values, proba)
    wrapper = HierarchicalThresholdClassifierCV(clf, cv=2).fit(X, y)
    frame = pd.DataFrame(TREE.to_indicator(y), columns=list(TREE.nodes)).iloc[:, ::-1]
    wrapper.fit(X, frame)
    display = HierarchyDisplay.from_estimator(make_pipeline(wrapper).fit(X, frame), X[:1])
    assert_allclose(display.values, wrapper.predict_proba(X[:1])[0][::-1])


@pytest.mark.parametrize(
    ("draw", "cure"),
    [
        (lambda c, X, y: PredictionPathDisplay.from_estimator(c, X[:1]), "HierarchyDisplay"),
        (LevelConfusionMatrixDisplay.from_estimator, "multilabel_confusion_matrix"),
        (AccuracySpecificityDisplay.from_estimator, "PrecisionRecallDisplay"),
        (lambda c, X, y: prediction_table(c, X), "columns=estimator.classes_"),
    ],
)
def test_displays_of_one_label_name_what_serves_several(draw, cure):
    X, y = np.eye(4), TREE.to_indicator([["cat"], ["dog", "oak"], ["rock"], ["emu"]])
    clf = HierarchicalMultilabelClassifier(
        TREE, max_iter=1, n_iter_no_change=1, random_state=0
    ).fit(X, y)
    for estimator in (
        clf,
        make_pipeline(FunctionTransformer(), clf),
        HierarchicalThresholdClassifierCV(clf, cv="prefit").fit(X, y),
    ):
        with pytest.raises(ValueError, match=f"fitted to several.*{cure}"):
            draw(estimator, X, y)
    # One label for each sample is what they show.
    clf.fit(X, ["cat", "dog", "rock", "emu"])
    LevelConfusionMatrixDisplay.from_estimator(clf, X, ["cat", "dog", "rock", "emu"])


def test_matrices_of_several_labels_are_refused():
    y = TREE.to_indicator([["cat"], ["dog", "oak"]])
    with pytest.raises(ValueError, match=r"indicator matrix.*multilabel_confusion_matrix"):
        LevelConfusionMatrixDisplay.from_predictions(y, y, hierarchy=TREE)
    with pytest.raises(ValueError, match=r"indicator matrix.*multilabel_confusion_matrix"):
        HierarchyDisplay.from_predictions(y, y, hierarchy=TREE, statistic="support")
    proba = np.full(y.shape, 0.5)
    with pytest.raises(ValueError, match="'animal' is above the class 'cat'"):
        AccuracySpecificityDisplay.from_predictions(
            ["cat", "dog"], proba, classes=list(TREE.nodes), hierarchy=TREE
        )
    with pytest.raises(ValueError, match=r"the sum of row 0 of proba is 3.5, and .*'animal' is"):
        Argmax().decide(proba, list(TREE.nodes), TREE)
