"""Texts to sequences: by hand, and against CountVectorizer."""

import csv
import gzip
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Set
from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_param_validation,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

from hierclf.text import SequenceVectorizer, _vocabulary

TEXTS = ["b a b", "A c! a", "", "d b, a a"]  # a: 5 times in 3 texts; b: 3 in 2; c, d: once


def test_by_hand():
    vectorizer = SequenceVectorizer()
    ids = vectorizer.fit_transform(TEXTS)
    assert vectorizer.vocabulary_ == {"a": 2, "b": 3, "c": 4, "d": 5}
    assert list(vectorizer.vocabulary_) == ["a", "b", "c", "d"]
    assert ids.tolist() == [[3, 2, 3, 0], [2, 4, 2, 0], [0, 0, 0, 0], [5, 3, 2, 2]]
    assert ids.dtype == np.int32
    assert ids.flags.c_contiguous
    names = vectorizer.get_feature_names_out()
    assert names.tolist() == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert vectorizer.transform(["c x", "C"]).tolist() == [[4, 1], [4, 0]]
    assert vectorizer.inverse_transform([[4, 1], [4, 0]]) == [["c", "<unk>"], ["c"]]


@pytest.mark.parametrize(
    ("params", "vocabulary", "rows"),
    [
        ({"min_df": 2}, "ab", [[3, 2, 3, 0], [2, 1, 2, 0], [0] * 4, [1, 3, 2, 2]]),
        ({"min_df": 0.5}, "ab", [[3, 2, 3, 0], [2, 1, 2, 0], [0] * 4, [1, 3, 2, 2]]),
        ({"min_df": 0.6}, "a", [[1, 2, 1, 0], [2, 1, 2, 0], [0] * 4, [1, 1, 2, 2]]),
        ({"max_features": 3}, "abc", [[3, 2, 3, 0], [2, 4, 2, 0], [0] * 4, [1, 3, 2, 2]]),
        ({"max_features": 9}, "abcd", [[3, 2, 3, 0], [2, 4, 2, 0], [0] * 4, [5, 3, 2, 2]]),
        # The vocabulary comes from whole texts.
        ({"max_length": 2}, "abcd", [[3, 2], [2, 4], [0, 0], [5, 3]]),
        ({"max_length": None}, "abcd", [[3, 2, 3, 0], [2, 4, 2, 0], [0] * 4, [5, 3, 2, 2]]),
        ({"lowercase": False}, "abAcd", [[3, 2, 3, 0], [4, 5, 2, 0], [0] * 4, [6, 3, 2, 2]]),
        ({"token_pattern": r"(\w),"}, "b", [[0], [0], [0], [2]]),
        ({"vocabulary": ["b", "c"]}, "bc", [[2, 1, 2, 0], [1, 3, 1, 0], [0] * 4, [1, 2, 1, 1]]),
        ({"vocabulary": {"c", "b"}}, "bc", [[2, 1, 2, 0], [1, 3, 1, 0], [0] * 4, [1, 2, 1, 1]]),
        (
            {"vocabulary": {"c": 3, "b": 2}},
            "bc",
            [[2, 1, 2, 0], [1, 3, 1, 0], [0] * 4, [1, 2, 1, 1]],
        ),
    ],
)
def test_parameters_by_hand(params, vocabulary, rows):
    vectorizer = SequenceVectorizer(**params)
    assert vectorizer.fit_transform(TEXTS).tolist() == rows
    assert list(vectorizer.vocabulary_.items()) == [(w, i) for i, w in enumerate(vocabulary, 2)]
    again = clone(vectorizer).fit(TEXTS)
    assert again.vocabulary_ == vectorizer.vocabulary_
    assert again.transform(TEXTS).tolist() == rows


def test_width_is_that_of_the_call():
    vectorizer = SequenceVectorizer(max_length=3).fit(TEXTS)
    widths = [vectorizer.transform(texts).shape for texts in ([], [""], ["a a"], ["a b c d", "a"])]
    assert widths == [(0, 1), (1, 1), (1, 2), (2, 3)]


def test_default_length_is_the_first_512_words():
    words = [f"w{i}" for i in range(600)]
    vectorizer = SequenceVectorizer()
    for ids in (
        vectorizer.fit_transform([" ".join(words)]),
        vectorizer.transform([" ".join(words)]),
    ):
        assert vectorizer.inverse_transform(ids) == [words[:512]]
    assert len(vectorizer.vocabulary_) == 600


class OrderedWords(Set):
    """A set with an order, as several packages have."""

    def __init__(self, words):
        self.words = list(words)

    def __contains__(self, word):
        return word in self.words

    def __iter__(self):
        return iter(self.words)

    def __len__(self):
        return len(self.words)


def test_a_set_with_an_order_keeps_it():
    vectorizer = SequenceVectorizer(vocabulary=OrderedWords("cab"))
    assert clone(vectorizer).fit(TEXTS).vocabulary_ == {"c": 2, "a": 3, "b": 4}


documents = st.lists(st.text("abcAÉ0_ ,.\n", max_size=30), min_size=1, max_size=8)


@given(
    documents,
    documents,
    st.booleans(),
    st.sampled_from([r"(?u)\b\w+\b", r"(?u)\b\w\w+\b", r"\S+", r"(\w)\w*"]),
    st.one_of(st.integers(1, 4), st.floats(0.0, 1.0)),
)
def test_same_words_as_count_vectorizer(texts, others, lowercase, token_pattern, min_df):
    params = {"lowercase": lowercase, "token_pattern": token_pattern, "min_df": min_df}
    ours, theirs = SequenceVectorizer(**params), CountVectorizer(**params)
    try:
        theirs.fit(texts)
    except ValueError:
        with pytest.raises(ValueError, match=r"X holds no words|leaves no words"):
            ours.fit(texts)
        return
    assert ours.fit_transform(texts).tolist() == ours.transform(texts).tolist()
    assert set(ours.vocabulary_) == set(theirs.vocabulary_)
    assert list(ours.vocabulary_.values()) == list(range(2, 2 + len(ours.vocabulary_)))
    # The same words in the same order, and so the same counts.
    analyze = theirs.build_analyzer()
    for text, words in zip(others, ours.inverse_transform(ours.transform(others)), strict=True):
        assert words == [w if w in theirs.vocabulary_ else "<unk>" for w in analyze(text)]
    names = ours.get_feature_names_out()
    counts = [np.bincount(row, minlength=len(names)) for row in ours.transform(others)]
    theirs_by_id = theirs.transform(others).toarray()[:, [theirs.vocabulary_[w] for w in names[2:]]]
    np.testing.assert_array_equal(np.array(counts)[:, 2:], theirs_by_id)


@given(documents, st.integers(1, 6))
def test_max_features_takes_the_most_frequent(texts, max_features):
    theirs = CountVectorizer(token_pattern=r"\S+")
    try:
        counts = theirs.fit_transform(texts).toarray().sum(axis=0)
    except ValueError:
        return
    ours = SequenceVectorizer(token_pattern=r"\S+", max_features=max_features).fit(texts)
    ranked = sorted(zip(-counts, theirs.get_feature_names_out(), strict=True))
    assert list(ours.vocabulary_) == [word for _, word in ranked[:max_features]]


@given(st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=7), st.integers(1, 8))
def test_words_are_counted(rows, block):
    with mock.patch.object(_vocabulary, "_BLOCK", block):
        counts, n_rows = _vocabulary.count_words([np.array(row, np.int32) for row in rows], 7)
    occurrences = Counter(number for row in rows for number in row)
    in_rows = Counter(number for row in rows for number in set(row))
    assert counts.tolist() == [occurrences[number] for number in range(7)]
    assert n_rows.tolist() == [in_rows[number] for number in range(7)]


def test_order_does_not_depend_on_hash_seed():
    code = (
        "from hierclf.text import SequenceVectorizer as S;"
        "t = ['k j i h', 'h g f e d', 'a b c'];"
        "print(S().fit(t).vocabulary_, S(vocabulary=set('xyz')).fit(t).vocabulary_)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith(b"{'h': 2, 'a': 3, 'b': 4, 'c': 5, 'd': 6")


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        iter,
        np.array,
        partial(np.array, dtype=object),
        pd.Series,
        partial(pd.Series, index=[7, 5, 3, 1]),
        partial(pd.Series, dtype="category"),
        partial(pd.Series, dtype="string"),
    ],
)
def test_containers_of_texts(container):
    expected = SequenceVectorizer().fit_transform(TEXTS)
    vectorizer = SequenceVectorizer()
    np.testing.assert_array_equal(vectorizer.fit_transform(container(TEXTS)), expected)
    np.testing.assert_array_equal(vectorizer.transform(container(TEXTS)), expected)
    np.testing.assert_array_equal(vectorizer.fit(container(TEXTS)).transform(TEXTS), expected)
    assert {type(word) for word in vectorizer.vocabulary_} == {str}


BAD = {
    "one string": ({}, "a b", ValueError, "got a single str: put it in a list"),
    "bytes": ({}, b"a b", ValueError, "got a single bytes"),
    "frame": (
        {},
        pd.DataFrame({"text": TEXTS}),
        ValueError,
        r"got DataFrame of shape \(4, 1\): pass the column",
    ),
    "2-D": ({}, np.array([TEXTS]), ValueError, r"ndarray of shape \(1, 4\)"),
    "0-D": ({}, np.array("a"), ValueError, r"shape \(\)"),
    "set": ({}, {"a", "b"}, TypeError, "got set"),
    "dict": ({}, {"a": "b"}, TypeError, "got dict"),
    "number": ({}, 3, TypeError, "got int"),
    "none": ({}, None, TypeError, "got NoneType"),
    "item": ({}, ["a", "b", 3.5], TypeError, r"item 2 of X must be a str, got float 3\.5"),
    "missing": ({}, pd.Series(["a", None]), TypeError, "item 1 of X must be a str"),
    "bytes item": ({}, ["a", b"b"], TypeError, "item 1 .* got bytes b'b': decode it first"),
    "long item": ({}, [["x" * 99]], TypeError, r"item 0 .* got list \['x{55}\.\.\."),
    "no texts": ({}, [], ValueError, "X holds no texts"),
    "no words": ({}, ["", "!"], ValueError, r"nothing in 2 texts matches token_pattern="),
    "no word left": (
        {"min_df": 4},
        TEXTS,
        ValueError,
        "min_df=4 leaves no words: no word occurs in more than 3 of the 4 texts",
    ),
    "min_df 0": ({"min_df": 0}, TEXTS, ValueError, "'min_df' parameter"),
    "min_df 1.5": ({"min_df": 1.5}, TEXTS, ValueError, "'min_df' parameter"),
    "min_df str": ({"min_df": "2"}, TEXTS, ValueError, "'min_df' parameter"),
    "max_features": ({"max_features": 0}, TEXTS, ValueError, "'max_features' parameter"),
    "max_length": ({"max_length": 0}, TEXTS, ValueError, "'max_length' parameter"),
    "lowercase": ({"lowercase": "yes"}, TEXTS, ValueError, "'lowercase' parameter"),
    "pattern": ({"token_pattern": "(a"}, TEXTS, ValueError, r"token_pattern='\(a' is not a reg"),
    "groups": ({"token_pattern": "(a)(b)"}, TEXTS, ValueError, "token_pattern=.* 2 capturing"),
    "vocabulary str": ({"vocabulary": "abc"}, TEXTS, ValueError, "got the string 'abc'"),
    "vocabulary int": ({"vocabulary": 3}, TEXTS, ValueError, "'vocabulary' parameter"),
    "no vocabulary": ({"vocabulary": []}, TEXTS, ValueError, "vocabulary is empty"),
    "set of others": ({"vocabulary": {"b", 7}}, TEXTS, TypeError, "must hold words, got 7"),
    "keys": (
        {"vocabulary": {"b": 2, "a": 3}.keys()},
        TEXTS,
        TypeError,
        r"vocabulary is a dict_keys, which can be neither cloned .* or list\(\.\.\.\)",
    ),
    "no id": ({"vocabulary": {"a": 2, "b": None}}, TEXTS, ValueError, "got None for 'b'"),
    "text id": ({"vocabulary": {"a": "2", "b": 3}}, TEXTS, ValueError, "got '2' for 'a'"),
    "twice": ({"vocabulary": ["b", "a", "b"]}, TEXTS, ValueError, "'b' more than once"),
    "no word": ({"vocabulary": ["b", 7]}, TEXTS, TypeError, "must hold words, got 7"),
    "ids": (
        {"vocabulary": {"a": 0, "b": 1}},
        TEXTS,
        ValueError,
        "ids 2 to 3, each once, got 0 for 'a'; give a list",
    ),
    "same ids": ({"vocabulary": {"a": 2, "b": 2}}, TEXTS, ValueError, "got 2 for 'b'"),
    "both": (
        {"vocabulary": ["b"], "min_df": 2},
        TEXTS,
        ValueError,
        "leave min_df at 1 .* got min_df=2",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_bad_input_is_refused(name, method):
    params, X, error, message = BAD[name]
    vectorizer = SequenceVectorizer().fit(["old"])
    vectorizer.set_params(**params)
    with pytest.raises(error, match=message):
        getattr(vectorizer, method)(X)
    assert vectorizer.vocabulary_ == {"old": 2}


@pytest.mark.parametrize("name", [name for name, (_, X, *_) in BAD.items() if X is not TEXTS])
def test_bad_input_is_refused_by_transform(name):
    _, X, error, message = BAD[name]
    if name in ("no texts", "no words"):
        return
    with pytest.raises(error, match=message):
        SequenceVectorizer().fit(TEXTS).transform(X)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([2, 3], r"2-D array of token ids, got shape \(2,\)"),
        ([[2.0]], "dtype float64"),
        ([[2], [6]], "row 1 of X holds the id 6: ids are 0 to 5"),
        ([[2, -1]], "row 0 of X holds the id -1"),
    ],
)
def test_inverse_transform_refuses(ids, message):
    with pytest.raises(ValueError, match=message):
        SequenceVectorizer().fit(TEXTS).inverse_transform(ids)


@pytest.mark.parametrize(
    "call",
    [
        lambda v: v.transform(TEXTS),
        lambda v: v.inverse_transform([[2]]),
        lambda v: v.get_feature_names_out(),
    ],
)
def test_unfitted(call):
    with pytest.raises(NotFittedError):
        call(SequenceVectorizer())


def test_capitals_that_no_text_can_match():
    with pytest.warns(UserWarning, match="capital letters, such as 'Ab'") as record:
        SequenceVectorizer(vocabulary=["b", "Ab"]).fit(TEXTS)
    assert record[0].filename == __file__
    SequenceVectorizer(vocabulary=["b", "Ab"], lowercase=False).fit(TEXTS)


@pytest.mark.parametrize(
    "check",
    [
        check_do_not_raise_errors_in_init_or_set_params,
        check_estimator_cloneable,
        check_estimator_repr,
        check_get_params_invariance,
        check_mixin_order,
        check_no_attributes_set_in_init,
        check_param_validation,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ],
)
def test_scikit_learn_check(check):
    """The checks that need no matrix: check_estimator runs only the clone one on texts."""
    check("SequenceVectorizer", SequenceVectorizer())


def test_tags_are_those_of_count_vectorizer():
    ours, theirs = get_tags(SequenceVectorizer()), get_tags(CountVectorizer())
    assert ours.input_tags == theirs.input_tags
    assert ours.target_tags == theirs.target_tags
    assert not ours.target_tags.required
    assert ours.requires_fit


def test_output_stays_an_array():
    vectorizer = SequenceVectorizer()
    with sklearn.config_context(transform_output="pandas"):
        assert type(vectorizer.fit_transform(TEXTS)) is np.ndarray
    # The next step gets an array, so that it names the columns itself.
    pipe = make_pipeline(vectorizer, StandardScaler()).set_output(transform="pandas")
    assert list(pipe.fit_transform(TEXTS)) == ["x0", "x1", "x2", "x3"]
    assert vectorizer.set_output(transform="polars") is vectorizer
    assert clone(vectorizer).set_output().get_params() == vectorizer.get_params()


@pytest.mark.parametrize("configure", ["globally", "by set_output"])
def test_columns_of_a_table_are_numbered(configure):
    # As many words as columns: names of the ids would fit, and be wrong.
    frame = pd.DataFrame({"text": ["b a b b", "a"], "n": [1.0, 3.0]}, index=[7, 5])
    transformer = make_column_transformer((SequenceVectorizer(), "text"), (StandardScaler(), ["n"]))
    expected = transformer.fit_transform(frame)
    assert expected.tolist() == [[2, 3, 2, 2, -1], [3, 0, 0, 0, 1]]
    with pytest.raises(AttributeError, match="positions in a text and have no names"):
        transformer.get_feature_names_out()
    if configure == "by set_output":
        transformer.set_output(transform="pandas")
    with sklearn.config_context(transform_output="pandas" if configure == "globally" else None):
        table = transformer.fit_transform(frame)
        wider = transformer.transform(pd.DataFrame({"text": ["a b a b"], "n": [2.0]}))
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected, index=[7, 5]))
    pd.testing.assert_frame_equal(wider, pd.DataFrame([[3, 2, 3, 2, 0]], dtype=float))


def test_pickle():
    vectorizer = SequenceVectorizer(min_df=2).fit(TEXTS)
    loaded = pickle.loads(pickle.dumps(vectorizer))
    assert loaded.vocabulary_ == vectorizer.vocabulary_
    assert loaded.transform(TEXTS).tolist() == vectorizer.transform(TEXTS).tolist()


def one_hot_counts(ids):
    return np.stack([np.bincount(row, minlength=8)[1:8] for row in ids])


def test_in_a_searched_pipeline():
    texts, y = ["a b", "a a b", "c d", "d c c"] * 3, [0, 0, 1, 1] * 3
    pipe = make_pipeline(SequenceVectorizer(), FunctionTransformer(one_hot_counts), MultinomialNB())
    search = GridSearchCV(
        pipe, {"sequencevectorizer__max_length": [1, None], "sequencevectorizer__min_df": [1, 0.9]}
    )
    # min_df=0.9 leaves no words, so that its fits fail.
    with (
        pytest.warns(FitFailedWarning, match=r"min_df=0\.9 leaves no words"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.fit(texts, y)
    assert search.best_score_ == 1
    assert search.predict(["b a", "c"]).tolist() == [0, 1]


def read_texts(path):
    csv.field_size_limit(2**30)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("params", [{}, {"min_df": 2}, {"min_df": 0.001}])
def test_real_texts_against_count_vectorizer(data_home, params):
    texts = read_texts(data_home / "20ng" / "raw_train.csv.gz")[::8]
    ours = SequenceVectorizer(**params, max_length=None)
    theirs = CountVectorizer(**params, token_pattern=r"(?u)\b\w+\b")
    ids, counts = ours.fit_transform(texts), theirs.fit_transform(texts)
    assert set(ours.vocabulary_) == set(theirs.vocabulary_)
    analyze = theirs.build_analyzer()
    lengths = [len(analyze(text)) for text in texts]
    assert ids.shape == (len(texts), max(lengths))
    assert (ids != 0).sum(axis=1).tolist() == lengths
    assert (ids > 1).sum(axis=1).tolist() == np.asarray(counts.sum(axis=1)).ravel().tolist()
    np.testing.assert_array_equal(
        np.bincount(ids.ravel())[2:],
        np.asarray(counts.sum(axis=0)).ravel()[[theirs.vocabulary_[w] for w in ours.vocabulary_]],
    )
    known = set(ours.vocabulary_)
    for words, text in zip(ours.inverse_transform(ids[:50]), texts, strict=False):
        assert words == [w if w in known else "<unk>" for w in re.findall(r"\b\w+\b", text.lower())]
