"""Classifiers with encoders: texts, word ids and arrays; what is trained, and what refused."""

import copy
import os
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.encoders import (
    BaseEncoder,
    ConvGRUEncoder,
    LSTMEncoder,
    ModuleEncoder,
    TransformerEncoder,
)
from hierclf.encoders._base import output_size
from hierclf.encoders._modules import as_encoder
from hierclf.nn import ConvGRU, LazyAdamW, RecurrentEncoder
from hierclf.text import SequenceVectorizer, WordVectors

CLASSIFIERS = [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier]
BOTH = pytest.mark.parametrize("cls", CLASSIFIERS)
TREE = {"root": ["x", "y"], "x": ["a", "b"], "y": ["c", "d"]}
KEYWORDS = {"a": "ant", "b": "bee", "c": "car", "d": "dam"}
FILLERS = ["the", "of", "one", "two"]


def make(encoder, cls=HierarchicalSoftmaxClassifier, *, epochs=3, **params):
    defaults = {"learning_rate_init": 0.03, "batch_size": 8, "random_state": 0}
    return cls(
        TREE, encoder=encoder, max_iter=epochs, n_iter_no_change=epochs, **{**defaults, **params}
    )


def _corpus():
    """Return texts of 1 to 7 words, one of which tells the class, and the classes."""
    rng = np.random.default_rng(0)
    y = np.array(list("abcd"))[np.arange(32) % 4]
    texts = []
    for i, label in enumerate(y.tolist()):
        words = rng.choice(FILLERS, i % 7).tolist()
        words.insert(int(rng.integers(len(words) + 1)), KEYWORDS[label])
        texts.append(" ".join(words))
    return texts, y


TEXTS, Y = _corpus()
VECTORIZER = SequenceVectorizer().fit(TEXTS)
IDS = VECTORIZER.transform(TEXTS)
N_IDS = len(VECTORIZER.vocabulary_) + 2
_digits = load_digits()
_rows = np.concatenate([np.flatnonzero(_digits.target == k)[:8] for k in range(4)])
IMAGES = (_digits.images[_rows] / 16)[:, None].astype(np.float32)
IMAGE_Y = np.array(list("abcd"))[_digits.target[_rows]]
VECTORS = np.random.default_rng(0).normal(size=(N_IDS, 4))

LSTM = LSTMEncoder(hidden_size=4, embedding_dim=6)


class Cnn(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())


class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(8), nn.Tanh())


class BagOfVectors(nn.EmbeddingBag):
    def __init__(self):
        super().__init__(N_IDS, 6, mode="mean", padding_idx=0)


class TupleOfStates(nn.GRU):
    def __init__(self):
        super().__init__(8, 3, batch_first=True)


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build()


def batch_norm():
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 8), nn.Tanh())


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """Return the folder of a tiny transformer of random weights and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    words = tmp_path_factory.mktemp("words")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *FILLERS, *KEYWORDS.values()]
    (words / "vocab.txt").write_text("\n".join(vocabulary))
    folder = tmp_path_factory.mktemp("bert")
    transformers.BertTokenizerFast.from_pretrained(words).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    seeded(lambda: transformers.BertModel(config)).save_pretrained(folder)
    return str(folder)


def load(folder):
    """Return the model and the tokenizer, by transformers alone."""
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(folder).eval()
    return model, transformers.BertTokenizerFast.from_pretrained(folder)


def embeddings_by_hand(folder, texts):
    """Return the mean over the tokens of each text."""
    model, tokenizer = load(folder)
    with torch.no_grad():
        outputs = [model(**tokenizer(text, return_tensors="pt")) for text in texts]
    return np.stack([output.last_hidden_state[0].mean(dim=0).numpy() for output in outputs])


# What each problem is: X, y, the encoder given the folder of a transformer, and its epochs.
TOKENS, RAW, ARRAYS = (IDS, Y), (TEXTS, Y), (IMAGES, IMAGE_Y)
PROBLEMS = {
    "lstm": (TOKENS, lambda _: LSTM),
    "gru": (
        TOKENS,
        lambda _: LSTMEncoder(4, cell="gru", num_layers=2, bidirectional=False, embedding_dim=6),
    ),
    "conv gru": (TOKENS, lambda _: ConvGRUEncoder(4, n_filters=6, embedding_dim=6)),
    "bag": (TOKENS, lambda _: ModuleEncoder(BagOfVectors, input_kind="tokens")),
    "transformer": (RAW, lambda folder: TransformerEncoder(folder, learning_rate=3e-3)),
    "cls": (RAW, lambda folder: TransformerEncoder(folder, learning_rate=3e-3, pooling="cls")),
    "class": (ARRAYS, lambda _: ModuleEncoder(Cnn)),
    "bare factory": (ARRAYS, lambda _: Lazy),
    "bare module": (ARRAYS, lambda _: seeded(Cnn)),
    "batch norm": (ARRAYS, lambda _: ModuleEncoder(seeded(batch_norm), learning_rate=0.01)),
}


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


# -- all encoders


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


def test_order_of_the_words_counts(bert_folder):
    texts = [f"{one} {a} the {b}" for one in ("", "one", "two one")
             for a, b in (("ant", "bee"), ("bee", "ant"))]  # fmt: skip
    y = ["a", "b"] * 3
    ids = VECTORIZER.transform(texts)
    plain = ConvGRUEncoder(4, n_filters=6, embedding_dim=6, embedding_dropout=0, dropout=0)
    for encoder, X in [
        (LSTM, ids),
        (plain, ids),
        (TransformerEncoder(bert_folder, learning_rate=0.01), texts),
    ]:
        assert make(encoder, epochs=40).fit(X, y).score(X, y) == 1
    bag = ModuleEncoder(BagOfVectors, input_kind="tokens")
    proba = make(bag, epochs=40).fit(ids, y).predict_proba(ids)
    np.testing.assert_allclose(proba[::2], proba[1::2], rtol=1e-5)


# -- word ids


def test_encoders_make_the_networks_they_describe():
    lstm = LSTMEncoder(5, cell="gru", num_layers=2, bidirectional=False, embedding_dim=7)
    clf = make(lstm, epochs=1, hidden_layer_sizes=(3,)).fit(IDS, Y)
    network = clf.net_.module_
    assert isinstance(network.encoder, RecurrentEncoder)
    assert isinstance(network.encoder.recurrent, nn.GRU)
    shapes = [(gru := network.encoder.recurrent).input_size, gru.hidden_size, gru.num_layers]
    assert shapes == [7, 5, 2]
    assert network.encoder.embedding.weight.shape == (N_IDS, 7)
    assert network.hidden[0].weight.shape == (3, 5)
    conv = ConvGRUEncoder(5, n_filters=6, kernel_sizes=np.array([1, 5]), embedding_dim=7,
                          embedding_dropout=0.25, dropout=0.75)  # fmt: skip
    network = make(conv, epochs=1).fit(IDS, Y).net_.module_
    assert isinstance(network.encoder, ConvGRU)
    assert [layer.weight.shape for layer in network.encoder.convolutions] == [
        (6, 10, 1),
        (6, 10, 5),
    ]
    assert (network.encoder.embedding_dropout.p, network.encoder.dropout.p) == (0.25, 0.75)
    assert network.head.linear.weight.shape[1] == 12


def test_defaults_are_those_of_the_papers():
    lstm = LSTMEncoder().build(IDS, dtype=torch.float32, seed=0)
    assert output_size(lstm, torch.from_numpy(IDS[:2]), seed=0) == 200
    assert lstm.embedding.weight.shape == (N_IDS, 300)
    words = lstm.embedding.weight.detach()[1:]
    assert 0.99 < words.abs().max() / 0.06**0.5 <= 1
    assert words.std().item() == pytest.approx(0.02**0.5, rel=0.05)  # of GloVe's
    conv = ConvGRUEncoder().build(IDS, dtype=torch.float32, seed=0)
    assert output_size(conv, torch.from_numpy(IDS[:2]), seed=0) == 300
    assert [layer.weight.shape for layer in conv.convolutions] == [
        (100, 128, width) for width in (2, 3, 4)
    ]


def test_texts_to_predict_may_be_longer_and_hold_new_words():
    clf = make(LSTM).fit(IDS, Y)
    expected = clf.predict_proba(IDS)
    wider = np.pad(IDS, ((0, 0), (0, 9)))
    np.testing.assert_allclose(clf.predict_proba(wider), expected, rtol=1e-5)
    row = [*range(2, N_IDS), 1] * 3
    unknown = [N_IDS if i == 1 else i for i in row]
    long = clf.predict_proba(np.array([row, unknown, [1000 if i == 1 else i for i in row]]))
    network = clf.net_.module_
    by_hand = network.encoder.embedding.weight[row].unsqueeze(0)
    _, (state, _) = network.encoder.recurrent(by_hand)
    by_hand = network.head.leaf_log_proba(torch.cat([state[0], state[1]], dim=1)).exp()
    for found in long:
        np.testing.assert_allclose(found, by_hand.detach().numpy()[0], rtol=1e-5)
    assert not hasattr(clf, "n_features_in_")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64])
def test_types_of_token_ids(dtype):
    clf = make(LSTM).fit(IDS, Y)
    other = make(LSTM).fit(IDS.astype(dtype), Y)
    expected = clf.predict_proba(IDS)
    assert expected.dtype == np.float32
    for given in (IDS.astype(dtype), IDS.tolist(), pd.DataFrame(IDS), np.asfortranarray(IDS)):
        np.testing.assert_array_equal(other.predict_proba(given), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, ">i4"])
def test_other_types_of_token_ids(dtype):
    test_types_of_token_ids(dtype)


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


@pytest.mark.parametrize("build", [LSTMEncoder, ConvGRUEncoder])
def test_frozen_word_vectors_stay_and_trainable_ones_move(build):
    given = VECTORS.astype(np.float32)  # the type of the network, which need not be a copy
    expected = given.copy()
    expected[0] = 0
    params = {"hidden_size": 3, "word_vectors": given}
    frozen = make(build(**params, freeze=True)).fit(IDS, Y).net_.module_.encoder
    np.testing.assert_array_equal(frozen.embedding.weight.detach(), expected)
    weight = make(build(**params)).fit(IDS, Y).net_.module_.encoder.embedding.weight.detach()
    assert (weight.numpy() != expected).any(axis=1).tolist() == [False] + [True] * (N_IDS - 1)
    np.testing.assert_array_equal(given, VECTORS.astype(np.float32))
    # where they start: at a learning rate of about nothing
    slow = make(build(**params), learning_rate_init=1e-30).fit(IDS, Y).net_.module_.encoder
    np.testing.assert_array_equal(slow.embedding.weight.detach(), expected)


def test_word_vectors_beyond_the_words_of_the_rows_are_used():
    more = np.concatenate([VECTORS, np.full((1, 4), 3.0)])
    clf = make(LSTMEncoder(3, word_vectors=more)).fit(IDS, Y)
    proba = clf.predict_proba([[N_IDS], [1], [N_IDS + 1]])
    assert not np.allclose(proba[0], proba[1])
    np.testing.assert_array_equal(proba[1], proba[2])


@pytest.mark.parametrize("encoder", [LSTM, ConvGRUEncoder(4, embedding_dim=6, n_filters=5)])
def test_sparse_gradients_train_as_dense_ones_if_every_batch_holds_every_word(encoder):
    one_batch = {"batch_size": len(Y), "weight_decay": 0.1, "epochs": 4}
    sparse = make(encoder, **one_batch).fit(IDS, Y)
    clipping = [GradientNormClipping(1e9)]
    dense = [
        make(encoder, **one_batch, optimizer=torch.optim.AdamW).fit(IDS, Y),
        # torch cannot clip a sparse gradient
        make(encoder, **one_batch, callbacks=clipping).fit(IDS, Y),
    ]
    assert sparse.net_.module_.encoder.embedding.sparse_grad
    assert sparse.net_.optimizer is LazyAdamW
    for clf in dense:
        assert not clf.net_.module_.encoder.embedding.sparse_grad
        np.testing.assert_allclose(clf.loss_curve_, sparse.loss_curve_, rtol=1e-5)
        np.testing.assert_allclose(
            clf.net_.module_.encoder.embedding.weight.detach(),
            sparse.net_.module_.encoder.embedding.weight.detach(),
            rtol=1e-4,
            atol=1e-6,
        )


def test_clipped_gradients_are_those_of_the_whole_network():
    # A norm of about nothing stops an optimiser whose steps follow the gradient.
    params = {"optimizer": "sgd", "weight_decay": 0.0}
    start = make(LSTM, learning_rate_init=1e-30, **params).fit(IDS, Y)
    clf = make(LSTM, callbacks=[GradientNormClipping(1e-12)], **params).fit(IDS, Y)
    for one, other in zip(
        clf.net_.module_.parameters(), start.net_.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def test_warm_start_with_a_callback_that_clips_gradients():
    clf = make(LSTM, warm_start=True).fit(IDS, Y)
    clf.set_params(callbacks=[GradientNormClipping(1e9)]).fit(IDS, Y)
    assert clf.n_iter_ == 6
    assert not clf.net_.module_.encoder.embedding.sparse_grad


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
    assert network.encoder.recurrent.hidden_size == best
    assert LSTM.hidden_size == 4  # the encoder that was given is no one's to change


# -- raw texts


def test_frozen_transformer_is_a_classifier_of_its_embeddings(bert_folder):
    embeddings = embeddings_by_hand(bert_folder, TEXTS)
    frozen = make(TransformerEncoder(bert_folder, freeze=True), epochs=8)
    clf = frozen.fit(TEXTS, Y)
    plain = make(None, epochs=8, hidden_layer_sizes=()).fit(embeddings, Y)
    np.testing.assert_allclose(clf.loss_curve_, plain.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(
        clf.predict_proba(TEXTS), plain.predict_proba(embeddings), rtol=1e-3, atol=1e-6
    )
    assert clf.predict(TEXTS).tolist() == plain.predict(embeddings).tolist()
    assert clf.net_.module_.encoder is None
    # Going on, the frozen model is the same as well.
    going_on = make(TransformerEncoder(bert_folder, freeze=True), epochs=4, warm_start=True)
    going_on = pickle.loads(pickle.dumps(going_on.fit(TEXTS, Y))).fit(TEXTS, Y)
    np.testing.assert_allclose(going_on.loss_curve_, clf.loss_curve_, rtol=1e-5)


def test_freezing_leaves_the_given_model_as_it_is(bert_folder):
    model, tokenizer = load(bert_folder)
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    before = copy.deepcopy(model.state_dict())
    for freeze in (True, False):
        encoder = TransformerEncoder(model, tokenizer=tokenizer, freeze=freeze, learning_rate=0.1)
        clf = make(encoder, epochs=2).fit(TEXTS, Y)
        trained = clf._reader._frozen if freeze else clf.net_.module_.encoder
        state = trained.model.state_dict()
        same = [torch.equal(state[name], value) for name, value in before.items()]
        assert all(same) == freeze
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
        if freeze:  # and what it computes is what it computes without dropout
            expected = make(TransformerEncoder(bert_folder, freeze=True), epochs=2).fit(TEXTS, Y)
            proba = expected.predict_proba(TEXTS)
            np.testing.assert_allclose(clf.predict_proba(TEXTS), proba, rtol=1e-5)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("freeze", [True, False])
def test_a_model_and_a_tokenizer_do_as_well_as_their_folder(bert_folder, freeze):
    model, tokenizer = load(bert_folder)
    expected = make(TransformerEncoder(bert_folder, freeze=freeze)).fit(TEXTS, Y)
    proba = expected.predict_proba(TEXTS)
    for params in ({"model": model, "tokenizer": tokenizer}, {"model": model}):
        clf = make(TransformerEncoder(**params, freeze=freeze)).fit(TEXTS, Y)
        np.testing.assert_allclose(clf.predict_proba(TEXTS), proba, rtol=1e-6)
    containers = [np.array(TEXTS, dtype=object), np.array(TEXTS), pd.Series(TEXTS, index=Y)]
    for texts in (*containers, tuple(TEXTS)):
        np.testing.assert_array_equal(expected.predict_proba(texts), proba)
    clf = make(TransformerEncoder(bert_folder, freeze=freeze)).fit(containers[-1], pd.Series(Y))
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), proba)
    assert not hasattr(clf, "n_features_in_")


def test_texts_are_cut_to_max_length(bert_folder):
    # Of five tokens two are special ones.
    clf = make(TransformerEncoder(bert_folder, max_length=5)).fit(TEXTS, Y)
    long, short = "ant the bee of two", "ant the bee"
    proba = clf.predict_proba([long, short, "ant the"])
    np.testing.assert_allclose(proba[0], proba[1], rtol=1e-6)
    assert not np.allclose(proba[1], proba[2])
    # None is the most that the model takes: 256 with these two.
    frozen = TransformerEncoder(bert_folder, max_length=None, freeze=True)
    clf = make(frozen, epochs=1).fit(TEXTS, Y)
    texts = [" ".join(["ant"] * n) for n in (254, 255, 300)]
    proba = clf.predict_proba([*texts, " ".join(["ant"] * 253 + ["dam"])])
    np.testing.assert_allclose(proba[1:3], proba[[0, 0]], rtol=1e-6)
    assert not np.array_equal(proba[3], proba[0])


def test_a_transformer_whose_positions_start_late(tmp_path, bert_folder):
    # RoBERTa's positions begin after that of the padding: 12 of them leave room for 10 tokens,
    # which its tokenizer knows.
    transformers = pytest.importorskip("transformers")
    _, tokenizer = load(bert_folder)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=12, pad_token_id=1,
    )  # fmt: skip
    model = seeded(lambda: transformers.RobertaModel(config))
    tokenizer.model_max_length = 10
    encoder = TransformerEncoder(model, tokenizer=tokenizer, max_length=None)
    clf = make(encoder, epochs=1).fit([*TEXTS[:-1], " ".join(["dam"] * 50)], Y)
    proba = clf.predict_proba([" ".join(["dam"] * n) for n in (8, 50)])
    np.testing.assert_allclose(proba[0], proba[1], rtol=1e-6)


# -- arrays


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


# -- parameters that the classifiers have for encoders


@BOTH
def test_hidden_layers_by_default(cls):
    with_encoder = make(Cnn, cls, epochs=1).fit(IMAGES, IMAGE_Y).net_.module_
    assert len(with_encoder.hidden) == 0
    assert with_encoder.head.linear.weight.shape[1] == 144  # 4 filters at 6 x 6 places
    without = make(None, cls, epochs=1).fit(IDS.astype(float), Y).net_.module_
    assert [tuple(p.shape) for p in without.hidden.parameters()] == [(IDS.shape[1], 100), (100,)]
    given = make(Cnn, cls, epochs=1, hidden_layer_sizes=5).fit(IMAGES, IMAGE_Y).net_.module_
    assert given.hidden[0].weight.shape == (5, 144)


def rates(clf):
    """Return the learning rate of each group, and what is in it."""
    names = {parameter: name for name, parameter in clf.net_.module_.named_parameters()}
    return [
        (group["lr"], {names[p].partition(".")[0] for p in group["params"]})
        for group in clf.net_.optimizer_.param_groups
    ]


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
    # encoders
    "class": ({"encoder": LSTMEncoder}, {}, r"encoder is the class LSTMEncoder: pass LSTMEnc"),
    "number": ({"encoder": 3}, {}, "encoder must be an encoder of hierclf.encoders, .* got 3"),
    "no module": (
        {"encoder": lambda: 3},
        {"X": IMAGES},
        "must return a torch.nn.Module, got int",
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
    # parameters of those for words
    "hidden_size": ({"encoder": LSTMEncoder(0)}, {}, "'hidden_size' parameter of LSTMEncoder"),
    "dropout": (
        {"encoder": LSTMEncoder(dropout=1)},
        {},
        r"'dropout' parameter of LSTMEncoder .*\[0.0, 1.0\). Got 1",
    ),
    "cell": ({"encoder": LSTMEncoder(cell="rnn")}, {}, "'cell' parameter .* Got 'rnn'"),
    "no kernels": (
        {"encoder": ConvGRUEncoder(kernel_sizes=())},
        {},
        r"kernel_sizes must hold integers of at least 1, got \(\)",
    ),
    "kernel": (
        {"encoder": ConvGRUEncoder(kernel_sizes=(2, 0))},
        {},
        r"kernel_sizes must hold integers of at least 1, got \(2, 0\)",
    ),
    "float kernel": (
        {"encoder": ConvGRUEncoder(kernel_sizes=(2.5,))},
        {},
        r"kernel_sizes must hold integers .* got \(2.5,\)",
    ),
    "one kernel": (
        {"encoder": ConvGRUEncoder(kernel_sizes=3)},
        {},
        "'kernel_sizes' parameter of ConvGRUEncoder .* Got 3",
    ),
    "words' dropout": (
        {"encoder": ConvGRUEncoder(embedding_dropout=-0.1)},
        {},
        "'embedding_dropout' parameter of ConvGRUEncoder",
    ),
    "few vectors": (
        {"encoder": LSTMEncoder(word_vectors=VECTORS[:-1])},
        {},
        f"has rows for the token ids below {N_IDS - 1}, and X holds {N_IDS - 1}: make both",
    ),
    "WordVectors": (
        {"encoder": LSTMEncoder(word_vectors=WordVectors(["ant"], np.ones((1, 2), np.float32)))},
        {},
        r"WordVectors knows words, not ids: pass word_vectors.matrix\(vectorizer\)",
    ),
    "integer vectors": (
        {"encoder": LSTMEncoder(word_vectors=VECTORS.astype(int))},
        {},
        rf"2-D array of floats, .* got shape \({N_IDS}, 4\) of dtype int",
    ),
    "one vector": (
        {"encoder": LSTMEncoder(word_vectors=VECTORS[0])},
        {},
        r"2-D array of floats, .* got shape \(4,\)",
    ),
    "freeze": (
        {"encoder": LSTMEncoder(freeze=True)},
        {},
        "freeze=True .* without word_vectors they are random: pass word_vectors",
    ),
    # rows of ids
    "floats": ({}, {"X": IDS / 2}, r"2-D array of token ids, integers, .* of dtype float64"),
    "whole floats": ({}, {"X": IDS * 1.0}, "2-D array of token ids, integers"),
    "booleans": ({}, {"X": IDS > 0}, "2-D array of token ids, integers, .* of dtype bool"),
    "negative": (
        {},
        {"X": np.where(np.arange(len(Y))[:, None] == 3, -2, IDS)},
        "row 3 of X holds -2: token ids are 0 or more",
    ),
    "one row": ({}, {"X": IDS[:, 0]}, r"2-D array of token ids, .* got shape \(32,\)"),
    "three dimensions": ({}, {"X": IDS[:, :, None]}, "Found array with dim 3"),
    "large": (
        {},
        {"X": IDS.astype(np.int64) + 2**31},
        "X holds the token id 21474836[0-9]+; ids are at most 2147483647",
    ),
    "texts for ids": ({}, {"X": TEXTS}, r"2-D array of token ids, integers, .* shape \(32,\)"),
    "no words": ({}, {"X": IDS[:, :0]}, r"0 feature\(s\)"),
    "no rows": ({}, {"X": IDS[:0], "y": Y[:0]}, r"0 sample\(s\)"),
    "longer y": ({}, {"y": [*Y, "a"]}, r"inconsistent numbers of samples: \[32, 33\]"),
    "no y": ({}, {"y": None}, "requires y to be passed"),
    "longer y of images": (
        {"encoder": Cnn},
        {"X": IMAGES, "y": [*IMAGE_Y, "a"]},
        r"inconsistent numbers of samples: \[32, 33\]",
    ),
    "NaN": ({"encoder": Cnn}, {"X": np.full_like(IMAGES, np.nan)}, "Input X contains NaN"),
    "texts for arrays": ({"encoder": Cnn}, {"X": [["an ant"]] * 32}, "could not convert string"),
}


def refuse(clf, X, y, message):
    before = dict(vars(clf))
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}") as info:
        clf.fit(X, y)
    assert len(str(info.value)) < 700
    assert vars(clf) == before


@BOTH
@pytest.mark.parametrize("case", ERRORS)
def test_refuses(case, cls):
    params, given, message = ERRORS[case]
    given = {"X": IDS, "y": Y, **given}
    refuse(make(**{"encoder": LSTM, **params}, cls=cls), given["X"], given["y"], message)


TEXT_ERRORS = {
    "numbers": ({}, IDS, r"1-D array of texts, got ndarray of shape \(32, 7\): pass the column"),
    "a number": ({}, [*TEXTS[:-1], 3], "item 31 of X must be a str, got int 3"),
    "missing": ({}, pd.Series([None, *TEXTS[1:]]), "item 0 of X must be a str, got"),
    "one string": ({}, "an ant", "got a single str: put it in a list"),
    "no texts": ({}, [], "X holds no texts: at least one is required"),
    "column": ({}, np.array(TEXTS)[:, None], r"shape \(32, 1\): pass the column"),
    "fewer": ({}, TEXTS[1:], r"inconsistent numbers of samples: \[31, 32\]"),
    "long": ({"max_length": 257}, TEXTS, "max_length=257 is more than the 256 tokens"),
    "none": ({"max_length": 0}, TEXTS, "'max_length' parameter of TransformerEncoder"),
    "pooling": ({"pooling": "max"}, TEXTS, "'pooling' parameter of TransformerEncoder .*'max'"),
    "freeze": ({"freeze": "all"}, TEXTS, "'freeze' parameter of TransformerEncoder .*'all'"),
}


@pytest.mark.parametrize("case", TEXT_ERRORS)
def test_refuses_texts(case, bert_folder):
    params, X, message = TEXT_ERRORS[case]
    refuse(make(TransformerEncoder(bert_folder, **params)), X, Y, message)


def test_a_model_in_memory_needs_a_tokenizer(bert_folder):
    transformers = pytest.importorskip("transformers")
    model, _ = load(bert_folder)
    model = seeded(lambda: transformers.BertModel(model.config))
    model.config._name_or_path = model.name_or_path = ""
    refuse(make(TransformerEncoder(model)), TEXTS, Y, "without a tokenizer: pass tokenizer")


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
    with pytest.raises(ValueError, match="encoder__hidden_size sets a parameter of an encoder, "):
        clf.set_params(encoder__hidden_size=3)
    assert vars(clf) == before
    clf.set_params(encoder=clone(LSTM), encoder__hidden_size=7)
    assert clf.encoder.hidden_size == 7


def test_as_encoder_wraps_modules():
    assert as_encoder(None) is None
    assert as_encoder(LSTM) is LSTM
    for module in (seeded(Cnn), Cnn):
        wrapped = as_encoder(module)
        assert isinstance(wrapped, ModuleEncoder)
        assert wrapped.get_params() == ModuleEncoder(module).get_params()


def test_messages_name_the_user_s_module():
    message = re.escape("the encoder Cnn cannot read a batch of shape (2, 7)")
    refuse(make(Cnn), IMAGES[:, 0, 0, :7], IMAGE_Y, message)
