"""Classifiers with encoders of any kind: what is trained, kept, gone on with and refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from encoder_cases import (
    BOTH,
    CLASSIFIERS,
    IDS,
    IMAGE_Y,
    IMAGES,
    LSTM,
    N_IDS,
    PROBLEMS,
    TEXTS,
    VECTORS,
    Cnn,
    Y,
    load,
    make,
    rates,
    refuse_case,
    seeded,
)
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from skorch.callbacks import Callback

from hierclf.encoders import ConvGRUEncoder, LSTMEncoder, ModuleEncoder, TransformerEncoder
from hierclf.text import SequenceVectorizer


@pytest.fixture(
    scope="module",
    params=[(cls, name) for name in PROBLEMS for cls in CLASSIFIERS],
    ids=lambda param: f"{param[1]}, {param[0].__name__[:4]}",
)
def fitted(request, bert_folder):
    cls, name = request.param
    (X, y), encoder = PROBLEMS[name]
    return make(encoder(bert_folder), cls, epochs=25).fit(X, y), X, y


def permuted(X, order):
    return [X[i] for i in order] if isinstance(X, list) else X[order]


def test_learns_a_problem_that_can_be_separated(fitted):
    clf, X, y = fitted
    assert clf.score(X, y) == 1
    assert clf.n_iter_ == 25


def test_a_parent_is_the_sum_of_its_leaves(fitted):
    clf, X, _ = fitted
    leaves = clf.predict_proba(X)
    assert clf.hierarchy_.level("parent") == ("x", "y")
    expected = np.stack([leaves[:, :2].sum(axis=1), leaves[:, 2:].sum(axis=1)], axis=1)
    np.testing.assert_allclose(clf.predict_proba(X, level="parent"), expected, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)


def test_a_row_s_prediction_does_not_depend_on_the_others(fitted):
    clf, X, _ = fitted
    proba = clf.predict_proba(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(
        clf.predict_proba(permuted(X, order)), proba[order], rtol=1e-4, atol=1e-7
    )
    for i in (3, 17):
        alone = clf.predict_proba(permuted(X, [i]))
        np.testing.assert_allclose(alone, proba[[i]], rtol=1e-4, atol=1e-7)


def test_a_pickle_predicts_the_same(fitted):
    clf, X, _ = fitted
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_a_clone_with_the_same_seed_learns_the_same(fitted):
    clf, X, y = fitted
    other = clone(clf).set_params(max_iter=2, n_iter_no_change=2)
    before = torch.random.get_rng_state()
    first = other.fit(X, y).predict_proba(X)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)  # the global generator plays no part
        again = clone(other).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(clone(other).set_params(random_state=1).fit(X, y).predict_proba(X),
                              first)  # fmt: skip


@pytest.mark.parametrize("batch_size", [32, 8])
@pytest.mark.parametrize("name", ["lstm", "transformer", "class"])
def test_warm_start_goes_on_as_one_longer_fit(name, batch_size, bert_folder):
    (X, y), encoder = PROBLEMS[name]
    params = {"batch_size": batch_size}
    whole = make(encoder(bert_folder), epochs=4, **params).fit(X, y)
    parts = make(encoder(bert_folder), epochs=2, warm_start=True, **params).fit(X, y)
    parts = pickle.loads(pickle.dumps(parts)).fit(X, y)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), rtol=1e-4, atol=1e-7)


class KeepValid(Callback):
    valid = None  # a class attribute: callbacks are copied, classes are not

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        KeepValid.valid = dataset_valid


@pytest.mark.parametrize("name", ["lstm", "transformer", "class"])
def test_early_stopping_keeps_the_best_weights(name, bert_folder):
    (X, y), encoder = PROBLEMS[name]
    clf = make(encoder(bert_folder), epochs=6, early_stopping=True, validation_fraction=0.3)
    clf.set_params(learning_rate_init=0.3, callbacks=[KeepValid()]).fit(X, y)
    losses = clf.net_.history[:, "valid_loss"]
    valid = KeepValid.valid
    assert len(valid) == round(0.3 * len(y))
    column = [clf.classes_.tolist().index(clf.hierarchy_.nodes[i]) for i in valid.target.tolist()]
    # Held out are rows of X, or, of raw texts, of their ids, which the network reads.
    log_proba = clf.net_.collect(valid.X.numpy(), lambda network, x: network.leaf_log_proba(x))
    loss = -log_proba[np.arange(len(valid)), column].mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_zero_weights_drop_rows():
    weight = np.ones(len(Y))
    weight[5:9] = 0
    rare = IDS.copy()
    rare[5, 0] = 500  # a word of dropped rows alone gets no vector
    clf = make(LSTM).fit(rare, Y, sample_weight=weight)
    expected = make(LSTM).fit(IDS[weight > 0], Y[weight > 0])
    np.testing.assert_allclose(clf.loss_curve_, expected.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(clf.predict_proba(IDS), expected.predict_proba(IDS), rtol=1e-5)
    assert len(clf.net_.module_.encoder.embedding.weight) == N_IDS


def test_a_refit_from_features_to_tokens_forgets_the_features():
    clf = make(None, epochs=1).fit(pd.DataFrame(IDS.astype(float)).add_prefix("c"), Y)
    assert clf.n_features_in_ == IDS.shape[1]
    assert clf.feature_names_in_[0] == "c0"
    clf.set_params(encoder=LSTM).fit(IDS, Y)
    assert not {"n_features_in_", "feature_names_in_"} & set(vars(clf))
    assert clf.net_.module_.encoder is not None


# -- parameters that the classifiers have for encoders


@BOTH
@pytest.mark.parametrize(
    ("encoder", "sizes", "same", "shape"),
    [
        (None, None, (100,), (IDS.shape[1], 100)),
        (Cnn, None, (), None),
        (Cnn, 5, [5], (144, 5)),  # 4 filters at 6 x 6 places
    ],
    ids=["features", "encoder", "both"],
)
def test_hidden_layers_by_default(cls, encoder, sizes, same, shape):
    X, y = (IDS.astype(np.float32), Y) if encoder is None else (IMAGES, IMAGE_Y)
    clf = make(encoder, cls, hidden_layer_sizes=sizes).fit(X, y)
    proba = clf.predict_proba(X)
    expected = make(encoder, cls, hidden_layer_sizes=same).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(proba, expected)
    # by hand: encoder, hidden layer, head
    network = clf.net_.module_
    with torch.no_grad():
        states = torch.from_numpy(X)
        if encoder is not None:
            states = network.encoder(states)
        if shape is not None:
            weight, bias = network.hidden.parameters()
            weight = weight if encoder is None else weight.T  # features have rows of their own
            assert weight.shape == shape
            states = (states @ weight + bias).relu()
        expected = network.head.leaf_log_proba(states).exp()
    np.testing.assert_allclose(proba, expected, rtol=1e-4)


def test_learning_rate_of_the_encoder(bert_folder):
    encoder = ModuleEncoder(Cnn, learning_rate=0.5)
    clf = make(encoder, epochs=1, warm_start=True).fit(IMAGES, IMAGE_Y)
    assert rates(clf) == [(0.5, {"encoder"}), (0.03, {"head"})]
    clf.encoder.learning_rate = 0.25
    clf.set_params(learning_rate_init=0.01).fit(IMAGES, IMAGE_Y)
    assert rates(clf) == [(0.25, {"encoder"}), (0.01, {"head"})]
    clf.encoder.learning_rate = None
    clf.fit(IMAGES, IMAGE_Y)
    assert rates(clf) == [(0.01, {"encoder"}), (0.01, {"head"})]
    plain = make(Cnn, epochs=1, warm_start=True).fit(IMAGES, IMAGE_Y)
    assert rates(plain) == [(0.03, {"encoder"}), (0.03, {"head"})]
    transformer = make(TransformerEncoder(bert_folder), epochs=1, warm_start=True)
    assert rates(transformer.fit(TEXTS, Y)) == [(5e-5, {"encoder"}), (0.03, {"head"})]
    for build in (LSTMEncoder, ConvGRUEncoder):
        words = make(build(3, embedding_dim=6, learning_rate=0.5), epochs=1, warm_start=True)
        assert rates(words.fit(IDS, Y)) == [(0.5, {"encoder"}), (0.03, {"head"})]
    # one that has kept the weights alone
    weights_only = make(ModuleEncoder(Cnn, learning_rate=0.5), epochs=1).fit(IMAGES, IMAGE_Y)
    weights_only.encoder.learning_rate = 0.125
    weights_only.set_params(warm_start=True).fit(IMAGES, IMAGE_Y)
    assert rates(weights_only) == [(0.125, {"encoder"}), (0.03, {"head"})]


@pytest.mark.parametrize("keeps_optimizer", [True, False])
def test_learning_rate_of_the_encoder_from_the_second_fit_on(keeps_optimizer):
    clf = make(ModuleEncoder(Cnn), epochs=1, warm_start=keeps_optimizer).fit(IMAGES, IMAGE_Y)
    clf.encoder.learning_rate = 0.25
    clf.set_params(warm_start=True).fit(IMAGES, IMAGE_Y)
    assert rates(clf) == [(0.25, {"encoder"}), (0.03, {"head"})]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", torch.optim.RMSprop])
def test_an_encoder_with_a_learning_rate_of_nothing_stays(optimizer, bert_folder):
    encoder = TransformerEncoder(bert_folder, learning_rate=1e-30)
    clf = make(encoder, optimizer=optimizer).fit(TEXTS, Y)
    model, _ = load(bert_folder)
    state = clf.net_.module_.encoder.model.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-12)
    # and the head learns what it can from embeddings that do not change
    rest = make(encoder, optimizer=optimizer, learning_rate_init=1e-30).fit(TEXTS, Y)
    weight, start = (c.net_.module_.head.linear.weight.detach() for c in (clf, rest))
    assert (weight != start).all()


# -- warm start


REFUSED_WARM_STARTS = {
    "hidden_size": (LSTMEncoder(5, embedding_dim=6), "encoder__hidden_size was 4 and is now 5"),
    "cell": (
        LSTMEncoder(4, embedding_dim=6, cell="gru"),
        "encoder__cell was 'lstm' and is now 'gru'",
    ),
    "kind": (ConvGRUEncoder(4, embedding_dim=6), "encoder was .*LSTMEncoder.* now .*ConvGRU"),
    "none": (None, "encoder was .*LSTMEncoder.* is now None"),
    "vectors": (LSTMEncoder(4, word_vectors=VECTORS), "encoder__(embedding_dim|word_vectors) was"),
}


@pytest.mark.parametrize("case", REFUSED_WARM_STARTS)
def test_warm_start_refuses_another_encoder(case):
    encoder, message = REFUSED_WARM_STARTS[case]
    clf = make(clone(LSTM), warm_start=True, epochs=1, hidden_layer_sizes=()).fit(IDS, Y)
    before, proba = dict(vars(clf)), clf.predict_proba(IDS)
    with pytest.raises(ValueError, match="warm_start=True goes on .*" + message):
        clf.set_params(encoder=encoder).fit(IDS if encoder else IDS.astype(float), Y)
    assert vars(clf) == before | {"encoder": encoder}
    np.testing.assert_array_equal(clf.predict_proba(IDS), proba)
    # an encoder of the same parameters goes on
    assert clf.set_params(encoder=clone(LSTM)).fit(IDS, Y).n_iter_ == 2


def test_warm_start_notices_a_parameter_that_was_set_in_place():
    clf = make(clone(LSTM), warm_start=True, epochs=1).fit(IDS, Y)
    with pytest.raises(ValueError, match=r"encoder__dropout was 0\.0 and is now 0\.5"):
        clf.set_params(encoder__dropout=0.5).fit(IDS, Y)


# -- scikit-learn's conventions


@BOTH
def test_tags(cls, tmp_path):
    def tags(encoder):
        found = get_tags(cls(encoder=encoder)).input_tags
        names = ("sparse", "two_d_array", "three_d_array", "one_d_array", "string",
                 "positive_only")  # fmt: skip
        return {name for name in names if getattr(found, name)}

    assert tags(None) == {"sparse", "two_d_array"}
    assert tags(LSTM) == tags(ConvGRUEncoder()) == {"two_d_array", "positive_only"}
    assert tags(TransformerEncoder(tmp_path)) == {"one_d_array", "string"}
    assert tags(Cnn) == tags(seeded(Cnn)) == tags(ModuleEncoder(Cnn)) == tags(Cnn)
    assert tags(Cnn) == {"two_d_array", "three_d_array"}
    assert tags(ModuleEncoder(Cnn, input_kind="tokens")) == tags(LSTM)


def test_grid_search_in_a_pipeline():
    pipe = Pipeline([("words", SequenceVectorizer()), ("clf", make(LSTM, epochs=6))])
    name = "clf__encoder__hidden_size"
    search = GridSearchCV(pipe, {name: [1, 5]}, cv=2, scoring="neg_log_loss").fit(TEXTS, Y)
    expected = [
        cross_val_score(
            clone(pipe).set_params(clf__encoder=LSTMEncoder(size, embedding_dim=6)),
            TEXTS, Y, cv=2, scoring="neg_log_loss",
        ).mean()
        for size in (1, 5)
    ]  # fmt: skip
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-5)
    best = (1, 5)[int(np.argmax(expected))]
    assert search.best_params_ == {name: best}
    network = search.best_estimator_[-1].net_.module_
    assert network.encoder.recurrent.layers[0][0].hidden_size == best
    assert LSTM.hidden_size == 4  # the encoder that was given is no one's to change


# -- what is refused

ERRORS = {
    "class": ({"encoder": LSTMEncoder}, {}, r"encoder is the class LSTMEncoder: pass LSTMEnc"),
    "number": ({"encoder": 3}, {}, "encoder must be an encoder of hierclf.encoders, .* got 3"),
    "no rows": ({}, {"X": IDS[:0], "y": Y[:0]}, r"0 sample\(s\)"),
    "longer y": ({}, {"y": [*Y, "a"]}, r"inconsistent numbers of samples: \[32, 33\]"),
    "no y": ({}, {"y": None}, "requires y to be passed"),
}


@BOTH
@pytest.mark.parametrize("case", ERRORS)
def test_refuses(case, cls):
    refuse_case(cls, *ERRORS[case])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_path"])
def test_refuses_to_predict(method, bert_folder):
    images = make(Cnn, epochs=1).fit(IMAGES, IMAGE_Y)
    ids = make(LSTM, epochs=1).fit(IDS, Y)
    texts = make(TransformerEncoder(bert_folder, freeze=True), epochs=1).fit(TEXTS, Y)
    for clf, X, message in [
        (images, IMAGES[:, :, :7], r"rows of shape \(1, 7, 8\), and the encoder was fitted to "
         r"rows of shape \(1, 8, 8\)"),
        (images, IMAGES[:, :, 0], r"rows of shape \(1, 8\), and the encoder was fitted"),
        (images, IMAGES[:, 0], "X has 8 features, .* is expecting 1"),
        (images, IMAGES[0, 0, 0], "Expected 2D array, got 1D array|features"),
        (ids, IDS * 1.0, "2-D array of token ids, integers"),
        (ids, IDS - 1, "row 0 of X holds -1"),
        (ids, IDS[:, ::-1], "row 0 of X holds a token id after a 0"),
        (ids, [[2, 3], [4]], "the rows of X differ in length"),
        (ids, TEXTS, "2-D array of token ids, integers"),
        (texts, IDS, "1-D array of texts, got ndarray"),
        (texts, "an ant", "got a single str"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            getattr(clf, method)(X)


@pytest.mark.parametrize("encoder", [None, Cnn, seeded(Cnn)], ids=["none", "class", "module"])
def test_parameters_of_an_encoder_need_one(encoder):
    clf = make(encoder)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="encoder__hidden_size sets a parameter of an object, "):
        clf.set_params(encoder__hidden_size=3)
    assert vars(clf) == before
    clf.set_params(encoder=clone(LSTM), encoder__hidden_size=7)
    assert clf.encoder.hidden_size == 7
