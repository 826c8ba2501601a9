"""``optimizer="newton"``: the optimum of linear softmaxes, against other ways to it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback, LRScheduler

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalMultilabelClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.encoders import ConvGRUEncoder
from hierclf.losses import HierarchicalCrossEntropy, PathCrossEntropy, SoftLabelCrossEntropy
from hierclf.nn import FeatureLinear, HierarchicalSoftmax, NewtonCG, PathLoss

TREE = {"root": ["a", "b", "c"], "a": ["a1", "a2"], "b": ["b1", "b2", "b3"]}
LEAVES = ["a1", "a2", "b1", "b2", "b3", "c"]
DECAY = 1e-3
EXACT = {"optimizer": "newton", "weight_decay": DECAY, "tol": 1e-12, "random_state": 0}


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    y = rng.choice(LEAVES, 120, p=[0.3, 0.1, 0.2, 0.1, 0.1, 0.2])
    centres = dict(zip(LEAVES, rng.normal(size=(6, 5)), strict=True))
    X = np.array([centres[label] for label in y]) + rng.normal(size=(120, 5))
    X[:, 2] *= 20  # no two features are alike
    X[rng.random(X.shape) < 0.3] = 0
    return X, y


def logistic(X, y, n_samples, sample_weight=None):
    """Fit scikit-learn's, with a penalty on the intercept as on a feature."""
    penalty = {"C": 1 / (n_samples * DECAY), "fit_intercept": False}
    model = LogisticRegression(**penalty, tol=1e-10, max_iter=10_000, solver="newton-cg")
    return model.fit(np.column_stack([X, np.ones(len(X))]), y, sample_weight)


def proba_of(model, X):
    return model.predict_proba(np.column_stack([X, np.ones(len(X))]))


@pytest.mark.parametrize("as_input", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_the_flat_optimum_is_that_of_logistic_regression(samples, as_input):
    X, y = samples
    clf = FlatSoftmaxClassifier(TREE, **EXACT).fit(as_input(X), y)
    np.testing.assert_allclose(
        clf.predict_proba(as_input(X)), proba_of(logistic(X, y, 120), X), atol=1e-6
    )
    assert clf.n_iter_ < 30


def test_each_softmax_is_the_logistic_regression_of_its_samples(samples):
    X, y = samples
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
    weight /= weight.mean()
    clf = HierarchicalSoftmaxClassifier(TREE, **EXACT).fit(sp.csr_matrix(X), y, weight)
    top = np.array([label[0] for label in y])
    of_top = proba_of(logistic(X, top, 120, weight), X)
    np.testing.assert_allclose(clf.predict_proba(X, level=0), of_top, atol=1e-6)
    below = top == "b"
    of_b = proba_of(logistic(X[below], y[below], 120, weight[below]), X)
    expected = of_top[:, [1]] * of_b
    columns = np.flatnonzero([label.startswith("b") for label in clf.classes_])
    np.testing.assert_allclose(clf.predict_proba(X)[:, columns], expected, atol=3e-5)


@pytest.mark.parametrize(
    "loss",
    [
        PathCrossEntropy(label_smoothing=0.1),
        PathCrossEntropy(logit_adjustment=0.7),
        PathCrossEntropy(level_weights=[1.0, 3.0]),
        HierarchicalCrossEntropy(alpha=0.5),
        SoftLabelCrossEntropy(beta=4),
    ],
    ids=repr,
)
@pytest.mark.parametrize("cls", [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier])
def test_the_gradient_of_any_loss_vanishes(samples, cls, loss):
    X, y = samples
    y[:10] = "b"  # inner nodes, over which a flat softmax has no convex loss
    clf = cls(TREE, loss=loss, **EXACT).fit(X, y)
    assert gradient_of_objective(clf, X, y) < 1e-6


def test_the_gradient_vanishes_in_a_dag(samples):
    X, y = samples
    dag = {"root": ["a", "b", "c"], "a": ["a1", "a2", "b1"], "b": ["b1", "b2", "b3"]}
    clf = HierarchicalSoftmaxClassifier(dag, **EXACT).fit(X, y)
    assert gradient_of_objective(clf, X, y) < 1e-6


def gradient_of_objective(clf, X, y):
    """Return the largest slope of loss and penalty at the weights, by backward passes."""
    network, hierarchy = clf.net_.module_, clf.hierarchy_
    network.zero_grad()
    target = torch.tensor(hierarchy.node_indices(y))
    loss = clf.net_.criterion_(network.head, torch.from_numpy(X), target)
    parameters = list(network.parameters())
    (loss + DECAY / 2 * sum((p**2).sum() for p in parameters)).backward()
    return max(float(p.grad.abs().max()) for p in parameters)


def test_a_step_is_newtons(samples):
    """With enough conjugate gradients it solves the system of the whole second derivative."""
    X, y = samples
    X = X[:, :2] / [1, 5]
    tree = Hierarchy.from_dict({"root": ["a", "b", "c"]})
    head = HierarchicalSoftmax(2, tree, linear=FeatureLinear, dtype=torch.float64)
    newton = NewtonCG(head.parameters(), weight_decay=DECAY)
    newton.begin()
    target = torch.tensor(tree.node_indices([label[0] for label in y]))
    x = torch.from_numpy(X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hierclf.nn.newton._CG_SHARE", 1e-20)
        progress = newton.minimize(head, PathLoss(), x, target)

    def objective(flat):
        logits = x @ flat[:6].view(2, 3) + flat[6:]
        return torch.nn.functional.cross_entropy(logits, target) + DECAY / 2 * (flat**2).sum()

    start = torch.zeros(9, dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(objective, start)
    curvature = torch.autograd.functional.hessian(objective, start)
    step = -torch.linalg.solve(curvature, slope)
    found = torch.cat([head.linear.weight.detach().flatten(), head.linear.bias.detach()])
    torch.testing.assert_close(found, step, atol=1e-8, rtol=1e-8)
    assert progress.gain == pytest.approx(float(-slope @ step / 2))


def test_a_step_that_does_not_descend_is_halved():
    """At one sample far away Newton's whole step goes much too far."""
    tree = Hierarchy.from_dict({"root": ["a", "b"]})
    head = HierarchicalSoftmax(1, tree, linear=FeatureLinear, dtype=torch.float64)
    newton = NewtonCG(head.parameters(), lr=64.0, weight_decay=0.1)
    newton.begin()
    x, target = torch.tensor([[1.0], [1.0], [2.0]], dtype=torch.float64), torch.tensor([0, 1, 1])
    before = PathLoss()(head, x, target).item()
    newton.minimize(head, PathLoss(), x, target)
    weights = sum((p**2).sum() for p in head.parameters())
    assert PathLoss()(head, x, target).item() + 0.05 * weights.item() < before


def test_the_seed_changes_nothing_and_the_record_is_of_the_steps(samples):
    X, y = samples
    first = HierarchicalSoftmaxClassifier(TREE, **EXACT).fit(X, y)
    other = HierarchicalSoftmaxClassifier(TREE, **EXACT | {"random_state": 1}).fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), other.predict_proba(X))
    gains = first.net_.history[:, "gain"]
    assert gains[-1] <= 1e-12 < min(gains[:-1])
    nll = -first.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(first.classes_, y)].mean()
    assert first.loss_curve_[-1] == pytest.approx(nll)


def test_a_warm_start_goes_on_from_the_weights(samples):
    X, y = samples
    whole = HierarchicalSoftmaxClassifier(TREE, **EXACT).fit(X, y)
    clf = HierarchicalSoftmaxClassifier(TREE, **EXACT | {"max_iter": 2, "warm_start": True})
    clf.fit(X, y).set_params(max_iter=200).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), whole.predict_proba(X), atol=1e-6)
    before = clf.n_iter_
    clf.set_params(tol=1e-6).fit(X, y)
    assert clf.n_iter_ == before + 1  # little was left to gain


def test_held_out_samples_may_end_it(samples):
    X, y = samples
    clf = HierarchicalSoftmaxClassifier(
        TREE, optimizer="newton", weight_decay=0, early_stopping=True, n_iter_no_change=2, tol=1e-9
    ).fit(X, y)
    held_out = clf.net_.history[:, "valid_loss"]
    assert len(held_out) < 200
    assert int(np.argmin(held_out)) == len(held_out) - 3


def test_the_rate_is_the_length_of_a_step(samples):
    X, y = samples
    params = EXACT | {"max_iter": 1}
    whole, half, scheduled = (
        HierarchicalSoftmaxClassifier(TREE, **params, **more).fit(X, y)
        for more in (
            {},
            {"learning_rate_init": 0.5},
            {"callbacks": [LRScheduler(torch.optim.lr_scheduler.ConstantLR, factor=0.5)]},
        )
    )
    weights = [clf.net_.module_.head.linear.weight for clf in (whole, half, scheduled)]
    torch.testing.assert_close(weights[0] / 2, weights[1])
    torch.testing.assert_close(weights[1], weights[2])


class Clip(Callback):
    def on_grad_computed(self, net, **kwargs):
        """Look at the gradients."""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_layer_sizes": 8}, r"hidden_layer_sizes=\(8,\): give \(\)"),
        ({"encoder": ConvGRUEncoder()}, "not an encoder: give encoder=None"),
        ({"callbacks": [("mine", Clip())]}, "without gradients of weights, which .*Clip"),
        ({"branch_hidden_size": 3}, "branch_hidden_size=3: give branch_hidden_size=None"),
        ({"recursive_regularization": 0.1}, "recursive_regularization=0.1: give .*=0"),
        ({"computation": "path"}, "optimizer='newton' cannot move weights"),
    ],
)
def test_what_it_has_no_form_for_is_named(samples, params, message):
    clf = HierarchicalSoftmaxClassifier(TREE, optimizer="newton", **params)
    with pytest.raises(ValueError, match=message):
        clf.fit(*samples)
    with pytest.raises(NotFittedError):
        clf.predict(samples[0])


def test_blocks_and_several_labels_are_refused(samples):
    X, y = samples
    clf = HierarchicalSoftmaxClassifier(TREE, optimizer="newton")
    assert not hasattr(clf, "partial_fit")
    with pytest.raises(AttributeError) as error:
        clf.partial_fit(X, y)
    assert "call fit, or give another optimizer" in str(error.value.__cause__)
    with pytest.raises(ValueError, match="'optimizer' parameter"):
        HierarchicalMultilabelClassifier(TREE, optimizer="newton").fit(X, [[v] for v in y])
