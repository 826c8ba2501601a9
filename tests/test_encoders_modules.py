"""Modules as encoders, and encoders of arrays."""

import copy
import os
import re
import warnings

import numpy as np
import pytest
import torch
from encoder_cases import (
    BOTH,
    IMAGE_Y,
    IMAGES,
    LSTM,
    Cnn,
    Lazy,
    batch_norm,
    make,
    refuse,
    refuse_case,
    seeded,
)
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from hierclf import HierarchicalSoftmaxClassifier
from hierclf.encoders import BaseEncoder, ModuleEncoder
from hierclf.encoders._module_encoder import as_encoder


class TupleOfStates(nn.GRU):
    def __init__(self):
        super().__init__(8, 3, batch_first=True)


def weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch has a new one
        return nn.utils.weight_norm(nn.Linear(8, 3))


def encoder_weights(clf):
    return copy.deepcopy(clf.net_.module_.encoder.state_dict())


@pytest.mark.parametrize("wrap", [lambda module: module, ModuleEncoder], ids=["bare", "wrapped"])
def test_a_module_is_where_each_fit_starts(wrap):
    module = seeded(Cnn)
    before = copy.deepcopy(module.state_dict())
    slow = make(wrap(module), learning_rate_init=1e-30).fit(IMAGES, IMAGE_Y)
    for name, value in encoder_weights(slow).items():
        assert torch.equal(value, before[name])
    clf = make(wrap(module)).fit(IMAGES, IMAGE_Y)
    again = clone(clf).fit(IMAGES, IMAGE_Y)
    assert not torch.equal(encoder_weights(clf)["0.weight"], before["0.weight"])
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    # what it computes, by hand
    with torch.no_grad():
        states = clf.net_.module_.encoder(torch.from_numpy(IMAGES))
        head = clf.net_.module_.head
        expected = head.leaf_log_proba(states).exp()
    np.testing.assert_allclose(clf.predict_proba(IMAGES), expected, rtol=1e-5)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), clf.predict_proba(IMAGES))


def test_class_factory_and_module_are_the_same_encoder():
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Cnn()
    found = [
        make(encoder).fit(IMAGES, IMAGE_Y).predict_proba(IMAGES)
        for encoder in (Cnn, lambda: Cnn(), module, ModuleEncoder(Cnn), ModuleEncoder(module))
    ]
    for proba in found[1:]:
        np.testing.assert_array_equal(proba, found[0])


@pytest.mark.parametrize(
    "function",
    [
        lambda module: lambda: module,
        lambda module: lambda: nn.Sequential(module, nn.Identity()),
        lambda module: type("Holds", (nn.Sequential,), {
            "__init__": lambda self: nn.Sequential.__init__(self, module)
        }),
    ],
    ids=["the module", "around it", "class"],
)  # fmt: skip
def test_each_fit_has_weights_of_its_own_whatever_a_function_returns(function):
    module = seeded(Cnn)
    before = copy.deepcopy(module.state_dict())
    X = IMAGES.astype(np.float64)  # the network gets that type, and the module stays
    clf = make(function(module)).fit(X, IMAGE_Y)
    proba = clf.predict_proba(X)
    again = clone(clf).fit(X, IMAGE_Y)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(make(module).fit(X, IMAGE_Y).predict_proba(X), proba)
    assert module[0].weight.grad is None
    for name, value in module.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])


def test_a_part_whose_train_does_nothing_keeps_its_statistics():
    class Fixed(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    module = nn.Sequential(nn.Flatten(), Fixed(64).requires_grad_(False), nn.BatchNorm1d(64))
    before = copy.deepcopy(module.state_dict())
    after = encoder_weights(make(module).fit(IMAGES, IMAGE_Y))
    same = {name: torch.equal(value, before[name]) for name, value in after.items()}
    assert same == {name: name.startswith("1.") for name in before}


def test_statistics_of_batch_norm_by_hand():
    module = seeded(batch_norm)
    params = {"epochs": 1, "batch_size": len(IMAGES), "learning_rate_init": 1e-30}
    clf = make(module, **params).fit(IMAGES, IMAGE_Y)
    norm = clf.net_.module_.encoder[1]
    flat = IMAGES.reshape(len(IMAGES), -1)
    mean, variance = 0.1 * flat.mean(axis=0), 0.9 + 0.1 * flat.var(axis=0, ddof=1)
    np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, variance, rtol=1e-5)
    with torch.no_grad():
        scaled = torch.from_numpy((flat - mean) / np.sqrt(variance + 1e-5))
        expected = clf.net_.module_.head.leaf_log_proba(module[3](module[2](scaled))).exp()
    np.testing.assert_allclose(clf.predict_proba(IMAGES), expected, rtol=1e-4)


def test_batch_norm_where_one_row_is_left_over():
    clf = make(seeded(batch_norm), batch_size=31).fit(IMAGES, IMAGE_Y)
    assert clf.n_iter_ == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_network_follows_the_float_type_of_arrays(dtype):
    clf = make(seeded(batch_norm)).fit(IMAGES.astype(dtype), IMAGE_Y)
    assert {p.detach().numpy().dtype for p in clf.net_.module_.parameters()} == {np.dtype(dtype)}
    proba = clf.predict_proba(IMAGES)
    assert proba.dtype == dtype
    # the same weights in the wider type give the same, up to rounding
    wide = copy.deepcopy(clf.net_.module_).double()
    with torch.no_grad():
        expected = wide.leaf_log_proba(torch.from_numpy(IMAGES).double()).exp()
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(proba, expected, rtol=tolerance)


def test_an_encoder_of_one_s_own():
    class Scale(BaseEncoder):
        input_kind = "array"
        _parameter_constraints = {"factor": "no_validation"}  # noqa: RUF012

        def __init__(self, factor=1.0):
            self.factor = factor

        def build(self, X, *, dtype, seed):
            linear = nn.Linear(X.shape[1], X.shape[1], bias=False, dtype=dtype)
            linear.weight.data = torch.eye(X.shape[1], dtype=dtype) * self.factor
            return linear.requires_grad_(False)

    X = IMAGES.reshape(len(IMAGES), -1)
    clf, expected = make(Scale(3.0)).fit(X, IMAGE_Y), make(Scale()).fit(X * 3, IMAGE_Y)
    np.testing.assert_allclose(clf.predict_proba(X), expected.predict_proba(X * 3), rtol=1e-4)
    assert not np.allclose(clf.predict_proba(X), expected.predict_proba(X), rtol=1e-2)


def test_an_encoder_of_one_s_own_needs_no_constraints():
    class Flat(BaseEncoder):
        input_kind = "array"

        def build(self, X, *, dtype, seed):
            return nn.Flatten()

    clf = make(Flat(), epochs=25).fit(IMAGES, IMAGE_Y)
    assert clf.score(IMAGES, IMAGE_Y) == 1


def test_as_encoder_wraps_modules():
    assert as_encoder(None) is None
    assert as_encoder(LSTM) is LSTM
    for module in (seeded(Cnn), Cnn):
        wrapped = as_encoder(module)
        assert isinstance(wrapped, ModuleEncoder)
        assert wrapped.get_params() == ModuleEncoder(module).get_params()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_check_estimator():
    assert os.environ.get("SCIPY_ARRAY_API") in (None, "0", "1")
    encoder = ModuleEncoder(Lazy)
    clf = HierarchicalSoftmaxClassifier(encoder=encoder, max_iter=30, learning_rate_init=0.01)
    results = check_estimator(clf, on_skip=None, on_fail="raise")
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert sum(result["status"] == "passed" for result in results) > 40


# -- what is refused

ERRORS = {
    # modules
    "no module": (
        {"encoder": lambda: 3},
        {"X": IMAGES},
        "must return a torch.nn.Module, got int",
    ),
    "no copy": (
        {"encoder": weight_norm},
        {"X": IMAGES},
        "encoder Linear cannot be copied, .* take torch.nn.utils.parametrizations.weight_norm",
    ),
    "wrapped number": (
        {"encoder": ModuleEncoder(3)},
        {"X": IMAGES},
        "'module' parameter of ModuleEncoder .* Got 3",
    ),
    "kind": (
        {"encoder": ModuleEncoder(Cnn, input_kind="images")},
        {"X": IMAGES},
        "'input_kind' parameter of ModuleEncoder .*'images'",
    ),
    "module's rate": (
        {"encoder": ModuleEncoder(Cnn, learning_rate=0)},
        {"X": IMAGES},
        "'learning_rate' parameter of ModuleEncoder",
    ),
    "four dimensions": (
        {"encoder": nn.Identity()},
        {"X": IMAGES},
        r"encoder Identity must return .* \(2, size\) for 2 rows, got shape \(2, 1, 8, 8\) of "
        r"torch.float32; end it with torch.nn.Flatten\(\)",
    ),
    "a tuple": (
        {"encoder": TupleOfStates},
        {"X": IMAGES[:, 0]},
        "TupleOfStates must return .*, got <class 'tuple'>",
    ),
    "rows lost": (
        {"encoder": nn.Flatten(0, 1)},
        {"X": IMAGES[:, 0, :, 0]},
        r"Flatten must return .* got shape \(16,\)",
    ),
    "cannot read": (
        {"encoder": nn.Linear(5, 3)},
        {"X": IMAGES},
        r"encoder Linear cannot read a batch of shape \(2, 1, 8, 8\) and type torch.float32: mat1",
    ),
    # arrays
    "longer y of images": (
        {"encoder": Cnn},
        {"X": IMAGES, "y": [*IMAGE_Y, "a"]},
        r"inconsistent numbers of samples: \[32, 33\]",
    ),
    "NaN": ({"encoder": Cnn}, {"X": np.full_like(IMAGES, np.nan)}, "Input X contains NaN"),
    "texts for arrays": ({"encoder": Cnn}, {"X": [["an ant"]] * 32}, "could not convert string"),
}


@BOTH
@pytest.mark.parametrize("case", ERRORS)
def test_refuses(case, cls):
    refuse_case(cls, *ERRORS[case])


def test_messages_name_the_user_s_module():
    message = re.escape("the encoder Cnn cannot read a batch of shape (2, 7)")
    refuse(make(Cnn), IMAGES[:, 0, 0, :7], IMAGE_Y, message)
