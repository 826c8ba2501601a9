"""Answers that trade accuracy for information, and the search for the right trade."""

from math import log2

import numpy as np
import pytest
from held_out_cases import at_or_below, peak_memory, sample, table
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC
from strategies import dags, trees

from hierclf import Hierarchy
from hierclf._utils import blocks as _blocks
from hierclf.decisions._information_gain_classifier import (
    InformationGain,
    InformationGainClassifier,
    lower_bound,
    weighted_bound,
)

ANIMALS = {"life": ["animal", "plant"], "animal": ["cat", "dog", "emu"], "plant": ["fir", "oak"]}
CLASSES = ["cat", "dog", "emu", "fir", "oak"]


def rewards_by_hand(hierarchy, classes):
    """Return the reward of each candidate by the definition."""
    counts = {v: len(at_or_below(hierarchy, v) & set(classes)) for v in hierarchy.nodes}
    bits = log2(len(classes)) if len(classes) > 1 else 1.0
    return {v: 1 - log2(count) / bits for v, count in counts.items() if count}


@given(st.data(), st.one_of(trees(), dags()), st.sampled_from([0.0, 0.25, 1.0, 7.0, 1e3]))
def test_decision_is_the_best_of_all_nodes(data, hierarchy, trade_off):
    # Classes may be inner nodes, and need not be all the leaves.
    classes = data.draw(
        st.one_of(
            st.just(list(hierarchy.leaves)),
            st.lists(st.sampled_from(hierarchy.nodes), min_size=1, unique=True),
        )
    )
    rows = st.lists(st.integers(0, 8), min_size=len(classes), max_size=len(classes))
    proba = np.array(data.draw(st.lists(rows, min_size=1, max_size=4))) / 256  # sums below 1
    chosen = InformationGain(trade_off).decide(proba, classes, hierarchy)

    rewards = rewards_by_hand(hierarchy, classes)
    for row, answer in zip(proba, chosen, strict=True):
        masses = dict(zip(classes, row, strict=True))
        values = {
            v: (reward + trade_off) * sum(masses.get(c, 0) for c in at_or_below(hierarchy, v))
            for v, reward in rewards.items()
        }
        best = max(values.values())
        equals = [v for v, value in values.items() if value >= best - 1e-12]
        depths = dict(zip(hierarchy.nodes, hierarchy.depths, strict=True))
        assert answer in equals
        assert depths[answer] == max(depths[v] for v in equals)


def test_decision_promises_no_level():
    with pytest.raises(ValueError, match="cannot promise a node of level 0"):
        InformationGain().decide([[1.0]], ["cat"], {"animal": ["cat"]}, level=0)


@pytest.mark.parametrize("trade_off", [-0.1, np.inf, "much"])
def test_trade_off_is_checked(trade_off):
    with pytest.raises(ValueError, match="'trade_off' parameter of InformationGain"):
        InformationGain(trade_off).decide([[1.0]], ["cat"], {"animal": ["cat"]})


@pytest.mark.parametrize(("n_right", "n"), [(0, 5), (5, 5), (7, 9), (930, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_bound_is_that_of_the_exact_binomial_test(n_right, n, confidence):
    test = binomtest(n_right, n, alternative="greater")
    expected = test.proportion_ci(confidence, method="exact").low
    assert lower_bound(n_right, n, confidence) == pytest.approx(expected, abs=1e-12)


def simulate(rng, n, hierarchy, sharpen):
    """Return labels, and their probabilities if not sharpened; the top level is the surest."""
    scores = rng.normal(size=(n, len(hierarchy))) * np.array([0, 8, 4, 2, 1])[hierarchy.depths]
    scores = scores @ hierarchy.to_indicator(hierarchy.leaves).T
    return sample(rng, softmax(scores, axis=1), hierarchy.leaves), softmax(sharpen * scores, axis=1)


def is_right(hierarchy, y, predicted):
    return np.array([t in at_or_below(hierarchy, p) for t, p in zip(y, predicted, strict=True)])


@pytest.mark.parametrize("sharpen", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("accuracy", [0.85, 0.9])
def test_accuracy_holds_on_fresh_rows(sharpen, accuracy):
    hierarchy = Hierarchy.balanced(range(16), 2)
    rng = np.random.default_rng(1)
    y, proba = simulate(rng, 14000, hierarchy, sharpen)
    estimator, X = table(proba, hierarchy.leaves)
    held_out, fresh = slice(4000), slice(4000, None)
    clf = InformationGainClassifier(estimator, accuracy, hierarchy=hierarchy, cv="prefit")
    clf.fit(X[held_out], y[held_out])
    right = is_right(hierarchy, y[fresh], clf.predict(X[fresh]))
    # Reached, and not by much more than was asked for.
    assert accuracy <= right.mean() < accuracy + 0.03

    # What the search says of itself, by way of the labels.
    predicted = clf.predict(X[held_out])
    right = is_right(hierarchy, y[held_out], predicted)
    reward = rewards_by_hand(hierarchy, hierarchy.leaves)
    gain = sum(reward[p] for p, r in zip(predicted.tolist(), right, strict=True) if r) / len(right)
    assert clf.accuracy_ == pytest.approx(right.mean())
    assert clf.information_gain_ == pytest.approx(gain)

    # The bound is kept, and by no smaller trade-off near this one.
    assert lower_bound(right.sum(), len(right), 0.95) >= accuracy
    less = InformationGain(clf.trade_off_ - 1e-6)
    fewer = is_right(
        hierarchy, y[held_out], less.decide(proba[held_out], hierarchy.leaves, hierarchy)
    )
    assert lower_bound(fewer.sum(), len(fewer), 0.95) < accuracy


def test_most_informative_answers_where_they_are_accurate_enough():
    estimator, X = table(np.eye(5)[np.arange(100) % 5], CLASSES)
    y = np.array(CLASSES)[np.arange(100) % 5]
    clf = InformationGainClassifier(estimator, hierarchy=ANIMALS, cv="prefit").fit(X, y)
    assert (clf.trade_off_, clf.accuracy_, clf.information_gain_) == (0.0, 1.0, 1.0)
    assert clf.predict(X).tolist() == y.tolist()
    assert clf.predict(X).dtype == clf.classes_.dtype


def test_search_goes_beyond_the_interval_of_the_paper():
    # Neither subtree is likely; the right one wins by a hair at a trade-off of
    # r * 0.5 / 0.02 only, r the reward of "animal" that stands against 1.
    proba = np.tile([0.17, 0.17, 0.17, 0.49, 0.0], (100, 1))
    estimator, X = table(proba, CLASSES)
    clf = InformationGainClassifier(estimator, 0.7, hierarchy=ANIMALS, cv="prefit")
    clf.fit(X, ["cat"] * 100)
    reward = 1 - log2(3) / log2(5)
    # (reward + t) * 0.51 = (1 + t) * 0.49
    assert clf.trade_off_ == pytest.approx((0.49 - 0.51 * reward) / 0.02)
    assert set(clf.predict(X)) == {"animal"}
    assert clf.information_gain_ == pytest.approx(reward)


def test_accuracy_out_of_reach_warns():
    # A tenth of the plants are called animals with certainty.
    proba = np.array([[1, 0, 0, 0, 0]] * 10 + [[0, 0, 0, 1, 0]] * 90, dtype=float)
    estimator, X = table(proba, CLASSES)
    clf = InformationGainClassifier(estimator, 0.95, hierarchy=ANIMALS, cv="prefit")
    message = r"90 of 100 .* right, 0\.900; .*top level: 'animal', 'plant'"
    with pytest.warns(UserWarning, match=message):
        clf.fit(X, ["fir"] * 100)
    assert clf.accuracy_ == 0.9
    # The upper end of the paper's interval, animals being the least informative answer.
    assert clf.trade_off_ == pytest.approx((0.95 - (1 - log2(3) / log2(5))) / 0.05)


def test_too_few_rows_for_the_bound_warn():
    estimator, X = table(np.eye(5), CLASSES)
    clf = InformationGainClassifier(estimator, 0.95, hierarchy=ANIMALS, cv="prefit")
    with pytest.warns(UserWarning, match="5 of 5 held-out predictions are right"):
        clf.fit(X, CLASSES)
    # 0.05 ** (1 / 5) = 0.549
    assert clf.set_params(accuracy=0.54).fit(X, CLASSES).trade_off_ == 0


def test_label_may_be_an_inner_node_or_no_class():
    # "animal" is right for a row known no further, "cat" is too bold; an animal without a
    # class is an animal still.
    hierarchy = {**ANIMALS, "animal": ["cat", "dog", "emu", "yak"]}
    proba = np.tile([0.4, 0.3, 0.2, 0.1, 0], (60, 1))
    estimator, X = table(proba, CLASSES)
    clf = InformationGainClassifier(estimator, 0.9, hierarchy=hierarchy, cv="prefit")
    clf.fit(X, ["animal"] * 20 + ["yak"] * 20 + ["cat"] * 20)
    assert set(clf.predict(X)) == {"animal"}
    assert clf.accuracy_ == 1


def test_dag():
    # A dog is a pet and a canine: either answer is right.
    dag = Hierarchy([(0, "pet"), (0, "canine"), ("pet", "cat"), ("pet", "dog"), ("canine", "dog"),
                     ("canine", "wolf")])  # fmt: skip
    proba = np.array([[0.45, 0.5, 0.05], [0.05, 0.5, 0.45]] * 40)
    estimator, X = table(proba, ["cat", "dog", "wolf"])
    clf = InformationGainClassifier(estimator, 0.9, hierarchy=dag, cv="prefit")
    clf.fit(X, ["cat", "wolf"] * 40)
    assert clf.predict(X[:2]).tolist() == ["pet", "canine"]
    assert clf.fit(X, ["dog"] * 80).predict(X[:2]).tolist() == ["dog", "dog"]


def test_rows_are_held_out_by_folds_that_may_miss_classes():
    rng = np.random.default_rng(0)
    y = np.array([*rng.choice(CLASSES[:4], 60), "oak"])  # one oak: no fold can find it
    X = np.array([CLASSES.index(label) for label in y])[:, None] + rng.normal(size=(61, 3))
    cv = KFold(3, shuffle=True, random_state=0)
    estimator = LogisticRegression()
    clf = InformationGainClassifier(estimator, 0.7, hierarchy=ANIMALS, cv=cv).fit(X, y)

    right, rewards = [], rewards_by_hand(Hierarchy.from_dict(ANIMALS), CLASSES)
    gains = []
    for train, test in cv.split(X):
        fold = LogisticRegression().fit(X[train], y[train])
        proba = np.zeros((len(test), 5))
        proba[:, np.searchsorted(CLASSES, fold.classes_)] = fold.predict_proba(X[test])
        answers = clf.decision_.decide(proba, CLASSES, ANIMALS)
        now = is_right(Hierarchy.from_dict(ANIMALS), y[test], answers)
        right += now.tolist()
        gains += [rewards[a] * r for a, r in zip(answers.tolist(), now, strict=True)]
    assert clf.accuracy_ == pytest.approx(np.mean(right))
    assert clf.information_gain_ == pytest.approx(np.mean(gains))
    assert clf.trade_off_ > 0
    # The final estimator saw all rows, and speaks for itself.
    assert np.array_equal(clf.classes_, CLASSES)
    expected = LogisticRegression().fit(X, y)
    assert np.array_equal(clf.predict_proba(X), expected.predict_proba(X))
    assert np.array_equal(clf.predict_log_proba(X), expected.predict_log_proba(X))
    chosen = clf.decision_.decide(expected.predict_proba(X), CLASSES, ANIMALS)
    assert np.array_equal(clf.predict(X), chosen)


@pytest.mark.parametrize(
    "params", [{"accuracy": 0}, {"accuracy": 1.0}, {"confidence": 1}, {"confidence": -0.5}]
)
def test_parameters_are_checked(params):
    clf = InformationGainClassifier(LogisticRegression(), hierarchy=ANIMALS).set_params(**params)
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
        clf.fit([[0.0], [1.0]], ["cat", "dog"])


def test_log_proba_only_where_the_estimator_has_it():
    estimator, X = table(np.eye(5), CLASSES)
    clf = InformationGainClassifier(estimator, 0.5, hierarchy=ANIMALS, cv="prefit")
    assert not hasattr(clf.fit(X, CLASSES), "predict_log_proba")
    assert hasattr(InformationGainClassifier(LogisticRegression()), "predict_log_proba")


def test_estimator_needs_probabilities():
    clf = InformationGainClassifier(LinearSVC(), hierarchy=ANIMALS)
    with pytest.raises(ValueError, match=r"'estimator' parameter .* 'predict_proba'"):
        clf.fit([[0.0], [1.0]], ["cat", "dog"])


def test_rejection_is_the_answer_of_the_root():
    """Chosen where trade-off * 1 beats every node, it is right and says nothing."""
    rng = np.random.default_rng(0)
    hierarchy = Hierarchy.balanced([f"c{i:02d}" for i in range(16)], 2)
    y, proba = simulate(rng, 6000, hierarchy, 1.0)
    unsure = rng.random(6000) < 0.5
    proba[unsure] = 1 / 16  # even the top level is a coin to toss
    y[unsure] = rng.choice(hierarchy.leaves, size=int(unsure.sum()))
    estimator, X = table(proba, hierarchy.leaves)
    clf = InformationGainClassifier(
        estimator, 0.9, reject_label="unknown", hierarchy=hierarchy, cv="prefit"
    ).fit(X[:3000], y[:3000])
    predicted = clf.predict(X)
    reward = rewards_by_hand(hierarchy, hierarchy.leaves)
    node_proba = hierarchy.aggregate(proba, hierarchy.leaves)
    rewards = np.array([reward[node] for node in hierarchy.nodes])
    best = (node_proba * (rewards + clf.trade_off_)).max(axis=1)
    rejected = np.array([label == "unknown" for label in predicted])
    np.testing.assert_array_equal(rejected, best < clf.trade_off_)
    assert rejected[unsure].all()
    assert rejected[~unsure].mean() < 0.5
    right = rejected.copy()
    right[~rejected] = is_right(hierarchy, y[~rejected], predicted[~rejected])
    assert clf.accuracy_ == pytest.approx(right[:3000].mean())
    assert 0.89 <= right[3000:].mean() < 0.93
    gain = [
        reward[p] if r and p != "unknown" else 0.0 for p, r in zip(predicted, right, strict=True)
    ]
    assert clf.information_gain_ == pytest.approx(np.mean(gain[:3000]))
    with pytest.warns(UserWarning, match="give a reject_label"):
        clf.set_params(reject_label=None).fit(X[:3000], y[:3000])
    with pytest.raises(ValueError, match="reject_label must not be a node, and 'c03' is one"):
        clf.set_params(reject_label="c03").fit(X[:3000], y[:3000])


@pytest.mark.parametrize(
    ("classes", "reject_label", "rejected_dtype"),
    [
        (np.array([3, 1, 2], dtype=np.int32), -1, np.int64),
        (np.array(["c", "a", "b"]), "unknown", np.dtype("<U7")),
        (np.array(["c", "a", "b"]), 0, object),
        (np.array(["2020-01-03", "2020-01-01", "2020-01-02"], "datetime64[D]"), "unknown", object),
    ],
)
def test_labels_keep_their_type_beside_a_reject_label(classes, reject_label, rejected_dtype):
    hierarchy = Hierarchy.from_edges([("top", c) for c in classes])
    estimator, X = table(np.repeat(np.eye(3), 20, axis=0), classes)
    clf = InformationGainClassifier(
        estimator, 0.8, reject_label=reject_label, hierarchy=hierarchy, cv="prefit"
    ).fit(X, classes.repeat(20))
    for rows in (X, X[:0]):  # nothing is rejected
        assert clf.predict(rows).dtype == classes.dtype
    assert np.array_equal(clf.predict(X), classes.repeat(20))
    estimator.proba[:40] = 1 / 3
    clf.decision_.trade_off = 1.0  # (1 + 1) / 3 < 1
    predicted = clf.predict(X)
    assert predicted.dtype == rejected_dtype
    assert list(predicted[:40]) == [reject_label] * 40
    assert list(predicted[40:]) == [classes[2]] * 20
    if classes.dtype.kind == "M":  # equal to, and not to be taken for, a date of Python's
        assert type(predicted[-1]) is np.datetime64
    assert set(clf.predict(X[:40]).tolist()) == {reject_label}


def test_memory_is_that_of_the_probabilities(monkeypatch):
    rng = np.random.default_rng(0)
    hierarchy = Hierarchy.balanced(range(300), 3)
    proba = rng.dirichlet(np.full(300, 0.002), size=1500)
    estimator, X = table(proba, hierarchy.leaves)
    y = sample(rng, proba, hierarchy.leaves)
    whole = InformationGainClassifier(estimator, 0.8, hierarchy=hierarchy, cv="prefit").fit(X, y)
    monkeypatch.setattr(_blocks, "BLOCK", 1 << 12)
    blocks = InformationGainClassifier(estimator, 0.8, hierarchy=hierarchy, cv="prefit")
    n_nodes = len(hierarchy) / len(hierarchy.leaves)
    assert peak_memory(blocks.fit, X, y) < (1 + n_nodes + 0.7) * proba.nbytes
    assert blocks.trade_off_ == whole.trade_off_ > 0
    assert blocks.predict(X).tolist() == whole.predict(X).tolist()


# -- weights


def test_bound_of_weighted_answers():
    rng = np.random.default_rng(0)
    right, some = rng.random(50) < 0.8, rng.random(50) < 0.5
    # Equal weights are those of an exact test, on whatever scale; rows of weight 0 are none.
    for scale in (1.0, 0.25):
        bound = weighted_bound(right, np.where(some, scale, 0.0), 0.9)
        assert bound == lower_bound(int(right[some].sum()), int(some.sum()), 0.9)
    # Unequal weights: as many rows as have a mean of the same variance, here of n coins.
    weight = rng.integers(1, 4, size=50) / 3
    mean = np.average(right, weights=weight)
    n = 0.25 / np.sum(0.25 * (weight / weight.sum()) ** 2)
    assert weighted_bound(right, weight, 0.9) == pytest.approx(lower_bound(mean * n, n, 0.9))
    assert n < 50
    assert weighted_bound(~right & right, weight, 0.9) == 0
    all_right = weighted_bound(right | ~right, weight, 0.9)
    assert all_right == pytest.approx(0.1 ** (1 / n))


@pytest.mark.parametrize("reject_label", [None, "unknown"])
def test_accuracy_with_weights_is_that_of_rows_met_so_often(reject_label):
    hierarchy = Hierarchy.balanced([f"c{i:02d}" for i in range(16)], 2)
    rng = np.random.default_rng(1)
    y, proba = simulate(rng, 3000, hierarchy, 1.0)
    # Rows of the first classes are often taken for others, and weigh more.
    hard = np.isin(y, hierarchy.leaves[:4])
    proba[hard] = 0.7 * proba[hard] + 0.3 * proba[hard][:, ::-1]
    counts = np.where(hard, 4, 1) * (np.arange(3000) % 5 > 0)
    estimator, X = table(proba, hierarchy.leaves)
    params = {"reject_label": reject_label, "hierarchy": hierarchy, "cv": "prefit"}
    clf = InformationGainClassifier(estimator, 0.85, **params).fit(X, y, sample_weight=counts)

    def judge(trade_off):
        # As so many rows as there are counts.
        clf.decision_ = InformationGain(trade_off, reject_label)
        answers = clf.predict(X)
        pairs = zip(y, answers, strict=True)
        right = np.array([p == reject_label or t in at_or_below(hierarchy, p) for t, p in pairs])
        gains = [reward.get(p, 0.0) * r for p, r in zip(answers.tolist(), right, strict=True)]
        return right, np.repeat(gains, counts)

    found, reward = clf.trade_off_, rewards_by_hand(hierarchy, hierarchy.leaves)
    right, gains = judge(found)
    assert clf.accuracy_ == pytest.approx(right.repeat(counts).mean())
    assert clf.information_gain_ == pytest.approx(gains.mean())
    assert weighted_bound(right, counts, 0.95) >= 0.85
    assert weighted_bound(judge(found - 1e-6)[0], counts, 0.95) < 0.85
    # Without weights it is another answer, that would not do.
    plain = InformationGainClassifier(estimator, 0.85, **params).fit(X, y)
    assert weighted_bound(judge(plain.trade_off_)[0], counts, 0.95) < 0.85


def test_accuracy_out_of_reach_by_weight():
    proba = np.array([[1, 0, 0, 0, 0]] * 10 + [[0, 0, 0, 1, 0]] * 90, dtype=float)
    estimator, X = table(proba, CLASSES)
    clf = InformationGainClassifier(estimator, 0.95, hierarchy=ANIMALS, cv="prefit")
    weight = np.repeat([3.0, 1.0], [10, 90])
    with pytest.warns(UserWarning, match=r"90 of 100 .* right, 0\.750 by weight; .*") as caught:
        clf.fit(X, ["fir"] * 100, sample_weight=weight)
    assert caught[0].filename == __file__
    assert clf.accuracy_ == pytest.approx(0.75)


def test_equals_that_rounding_takes_apart_are_equals():
    """A leaf of 27 says three times as much as a group of 9, which here is as much likelier."""
    leaves = [f"n{i}" for i in range(27)]
    groups = {f"g{i}": leaves[9 * i : 9 * i + 9] for i in range(3)}
    hierarchy = Hierarchy.from_dict({"root": list(groups), **groups})
    for share in (1 / 3, 0.1, 0.07, 1 / 7):
        proba = np.zeros((1, 27))
        proba[0, :3] = share * np.array([1, 1, 1])
        found = InformationGain().decide(proba, leaves, hierarchy)
        assert found.tolist() == ["n0"]
