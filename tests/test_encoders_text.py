"""Encoders of texts: those of word ids, and the transformer."""

import copy
import pickle
from itertools import pairwise
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from encoder_cases import (
    BOTH,
    IDS,
    LSTM,
    N_IDS,
    TEXTS,
    VECTORIZER,
    VECTORS,
    BagOfVectors,
    Y,
    load,
    make,
    refuse,
    refuse_case,
    seeded,
)
from hypothesis import strategies as st
from sklearn.base import clone
from skorch.callbacks import GradientNormClipping
from torch import nn

from hierclf.classifiers._features import _check_tokens
from hierclf.encoders import ConvGRUEncoder, LSTMEncoder, ModuleEncoder, TransformerEncoder
from hierclf.encoders._base import output_size
from hierclf.nn import ConvGRU, LazyAdamW, RecurrentEncoder
from hierclf.text import WordVectors


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
    layers = [[*directions] for directions in network.encoder.recurrent.layers]
    assert {type(run) for directions in layers for run in directions} == {nn.GRU}
    assert [[(run.input_size, run.hidden_size) for run in d] for d in layers] == [
        [(7, 5)],
        [(5, 5)],
    ]
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
    forwards, backwards = network.encoder.recurrent.layers[0]
    (_, (first, _)), (_, (second, _)) = forwards(by_hand), backwards(by_hand.flip(1))
    by_hand = network.head.leaf_log_proba(torch.cat([first[0], second[0]], dim=1)).exp()
    for found in long:
        np.testing.assert_allclose(found, by_hand.detach().numpy()[0], rtol=1e-5)
    assert not hasattr(clf, "n_features_in_")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64, np.int8, np.int16, ">i4"])
def test_types_of_token_ids(dtype):
    clf = make(LSTM).fit(IDS, Y)
    other = make(LSTM).fit(IDS.astype(dtype), Y)
    expected = clf.predict_proba(IDS)
    assert expected.dtype == np.float32
    for given in (IDS.astype(dtype), IDS.tolist(), pd.DataFrame(IDS), np.asfortranarray(IDS)):
        np.testing.assert_array_equal(other.predict_proba(given), expected)


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
    absent = IDS[0, 0]
    X = np.where(absent == IDS, absent + 1, IDS)
    clf = make(LSTMEncoder(3, word_vectors=more)).fit(X, Y)
    proba = clf.predict_proba([[N_IDS], [absent], [1], [N_IDS + 1]])
    assert not np.allclose(proba[0], proba[2])
    assert not np.allclose(proba[1], proba[2])
    np.testing.assert_allclose(proba[2], proba[3], rtol=1e-5)


@pytest.mark.parametrize(
    "encoder", [LSTM, ConvGRUEncoder(4, embedding_dim=6, n_filters=5)], ids=["lstm", "conv"]
)
def test_ids_that_fit_has_not_seen_are_unknown(encoder, monkeypatch):
    monkeypatch.setattr("hierclf._utils.blocks.BLOCK", 3 * IDS.shape[1])  # several, in a few rows
    X = np.where(IDS < 4, IDS, IDS + 3)  # 4, 5 and 6 do not occur, nor does 1
    absent = [i for i in range(1, X.max() + 4) if i not in X]
    assert absent == [1, 4, 5, 6, *range(N_IDS + 3, N_IDS + 6)]
    clf = make(encoder, warm_start=True).fit(X, Y)
    again = pickle.loads(pickle.dumps(clf))
    for model in (clf, again):
        proba = model.predict_proba([[8, i, 9] for i in range(1, X.max() + 4)])
        is_unknown = np.isclose(proba, proba[0], rtol=1e-5).all(axis=1)
        assert (np.flatnonzero(is_unknown) + 1).tolist() == absent
    # The first weights are those of rows with all ids, of which nothing need be known.
    start, full = (
        encoder.build(rows, dtype=torch.float32, seed=0).embedding
        for rows in (X, np.arange(2, X.max() + 1)[None])
    )
    assert torch.equal(start.weight, full.weight)
    assert np.flatnonzero(~start.known).tolist() == [4, 5, 6]
    assert full.known is None
    # Going on, it learns an id that is new and not too large.
    weight = clf.net_.module_.encoder.embedding.weight
    before = weight.detach().clone()
    new = np.where(X == 8, 5, X)
    clf.fit(new, Y)
    assert not torch.allclose(weight[5], before[5], rtol=1e-2)
    proba = clf.predict_proba([[5], [1], [4]])
    assert not np.allclose(proba[0], proba[1])
    np.testing.assert_allclose(proba[1], proba[2], rtol=1e-5)


@hypothesis.given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.sampled_from([0, 0, 1, 7]), min_size=width, max_size=width), min_size=1
        )
    ),
    st.integers(1, 20),
)
def test_padding_is_at_the_end(rows, block):
    def goes_on(row):
        return any(i == 0 < j for i, j in pairwise(row))

    bad = next((number for number, row in enumerate(rows) if goes_on(row)), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hierclf._utils.blocks.BLOCK", block)
        if bad is None:
            assert _check_tokens(rows).tolist() == rows
        else:
            with pytest.raises(ValueError, match=f"row {bad} of X .* a 0, .*: pad at the end"):
                _check_tokens(rows)


@pytest.mark.parametrize("encoder", [LSTM, ConvGRUEncoder(4, embedding_dim=6, n_filters=5)])
def test_sparse_gradients_train_as_dense_ones_if_every_batch_holds_every_word(encoder):
    one_batch = {"batch_size": len(Y), "weight_decay": 0.1, "epochs": 4}
    sparse = make(encoder, **one_batch).fit(IDS, Y)
    dense = make(encoder, **one_batch, optimizer=torch.optim.AdamW).fit(IDS, Y)
    assert sparse.net_.module_.encoder.embedding.sparse_grad
    assert sparse.net_.optimizer is LazyAdamW
    assert not dense.net_.module_.encoder.embedding.sparse_grad
    np.testing.assert_allclose(dense.loss_curve_, sparse.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(
        dense.net_.module_.encoder.embedding.weight.detach(),
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


# -- raw texts


def embeddings_by_hand(folder, texts):
    """Return the mean over the tokens of each text."""
    model, tokenizer = load(folder)
    with torch.no_grad():
        outputs = [model(**tokenizer(text, return_tensors="pt")) for text in texts]
    return np.stack([output.last_hidden_state[0].mean(dim=0).numpy() for output in outputs])


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


@pytest.mark.parametrize("known", [True, False], ids=["tokenizer knows", "tokenizer does not"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["model", "folder"])
def test_a_transformer_whose_positions_start_late(known, in_memory, tmp_path, bert_folder):
    # RoBERTa's positions begin after that of the padding: 12 of them leave room for 10 tokens.
    transformers = pytest.importorskip("transformers")
    _, tokenizer = load(bert_folder)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=12, pad_token_id=1,
    )  # fmt: skip
    model = seeded(lambda: transformers.RobertaModel(config))
    if known:
        tokenizer.model_max_length = 10
    if not in_memory:
        model.save_pretrained(tmp_path)
        model = tmp_path
    encoder = TransformerEncoder(model, tokenizer=tokenizer, max_length=None)
    clf = make(encoder, epochs=1).fit([*TEXTS[:-1], " ".join(["dam"] * 50)], Y)
    proba = clf.predict_proba([" ".join(["dam"] * n) for n in (7, 8, 50)])
    np.testing.assert_allclose(proba[1], proba[2], rtol=1e-6)
    assert not np.array_equal(proba[0], proba[1])
    refuse(make(clone(encoder).set_params(max_length=11)), TEXTS, Y,
           "max_length=11 is more than the 10 tokens that the model takes")  # fmt: skip


def test_a_transformer_without_a_limit(bert_folder):
    transformers = pytest.importorskip("transformers")
    _, tokenizer = load(bert_folder)
    config = transformers.XLNetConfig(
        vocab_size=len(tokenizer), d_model=8, n_layer=1, n_head=2, d_inner=8
    )
    assert config.max_position_embeddings == -1
    model = seeded(lambda: transformers.XLNetModel(config))
    clf = make(TransformerEncoder(model, tokenizer=tokenizer), epochs=1).fit(TEXTS, Y)
    assert clf.n_iter_ == 1
    clf.set_params(encoder__max_length=None).fit(TEXTS, Y)
    texts = [" ".join(["ant"] * 600 + [last]) for last in ("ant", "bee")]
    proba = clf.predict_proba(texts)
    assert not np.array_equal(proba[0], proba[1])


# -- what is refused

ERRORS = {
    # parameters
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
    "front": (
        {},
        {"X": IDS[:, ::-1]},
        r"row 0 of X holds a token id after a 0, .*: pad at the end",
    ),
    "ragged": (
        {},
        {"X": [[2, 3], [4]], "y": ["a", "b"]},
        "the rows of X differ in length: pad rows with 0 at the end; SequenceVectorizer does",
    ),
    "lists": ({}, {"X": pd.Series([[2, 3], [4]]), "y": ["a", "b"]}, "padded with 0 at the end, as"),
}


@BOTH
@pytest.mark.parametrize("case", ERRORS)
def test_refuses(case, cls):
    refuse_case(cls, *ERRORS[case])


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
    "no folder": ({"model": "./nothing"}, TEXTS, "model='./nothing' is not a folder: give the one"),
    "a file": ({"model": Path(__file__)}, TEXTS, "model='.*test_encoders_text.py' is not a folder"),
}


@pytest.mark.parametrize("case", TEXT_ERRORS)
def test_refuses_texts(case, bert_folder):
    params, X, message = TEXT_ERRORS[case]
    refuse(make(TransformerEncoder(**{"model": bert_folder} | params)), X, Y, message)


def test_refuses_models_that_return_no_states_of_texts(bert_folder):
    transformers = pytest.importorskip("transformers")
    bert, tokenizer = load(bert_folder)
    t5 = transformers.T5Model(transformers.T5Config(
        vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    ))  # fmt: skip
    headed = transformers.BertForSequenceClassification(bert.config)
    for model, message in [
        (nn.Linear(2, 2), "must be a model of transformers, got a Linear: .* encoder=module"),
        (t5, r"T5Model has a decoder, .*: pass the encoder alone, model.get_encoder\(\), or what "
         "T5EncoderModel"),
        (headed, "BertForSequenceClassification returns no last_hidden_state: .*"
         "model.base_model, or what AutoModel loads"),
    ]:  # fmt: skip
        for freeze in (True, False):
            encoder = TransformerEncoder(model, tokenizer=tokenizer, freeze=freeze)
            refuse(make(encoder), TEXTS, Y, message)
    for cure in (t5.get_encoder(), headed.base_model):
        assert make(TransformerEncoder(cure, tokenizer=tokenizer), epochs=1).fit(TEXTS, Y).n_iter_


def test_a_model_in_memory_needs_a_tokenizer(bert_folder):
    transformers = pytest.importorskip("transformers")
    model, _ = load(bert_folder)
    model = seeded(lambda: transformers.BertModel(model.config))
    model.config._name_or_path = model.name_or_path = ""
    refuse(make(TransformerEncoder(model)), TEXTS, Y, "without a tokenizer: pass tokenizer")
