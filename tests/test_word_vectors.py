"""Word vectors: the files they come in, the embedding made of them, and what they cover."""

import csv
import gzip
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from hierclf.text import SequenceVectorizer, WordVectors, load_word_vectors

WORDS = ("the", "é", "a")
VECTORS = np.array([[1.5, -2.0], [0.25, 3.0], [-1.0, 0.0]])
GLOVE = "the 1.5 -2.0\né 0.25 3e0\na -1 0\n".encode()
BOUND = np.sqrt(0.06)


def write(path, content):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.txt", content)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".vec", ".GZ", ".gz", ".zip", ""])
@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        GLOVE.rstrip(b"\n"),
        GLOVE + b"\n\n",
        b"3 2\n" + GLOVE,
        b"\xef\xbb\xbf" + GLOVE,
        GLOVE.replace(b"\n", b"\r\n"),
        # word2vec and fastText end their lines with a space.
        b"3 2\n" + GLOVE.replace(b"\n", b" \n"),
        GLOVE + b"the 9 9\n",
    ],
    ids=["glove", "no end", "blank lines", "header", "mark", "crlf", "spaces", "twice"],
)
def test_text_files(tmp_path, suffix, content):
    if suffix == ".GZ":
        content = gzip.compress(content)
    vectors = load_word_vectors(write(tmp_path / f"vectors{suffix}", content))
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.vectors, VECTORS)
    assert vectors.vectors.dtype == np.float32


def sources(folder):
    np.savez(folder / "v.npz", words=np.array(WORDS), vectors=VECTORS.astype(np.float16))
    np.savez_compressed(folder / "c.npz", words=np.array(WORDS), vectors=VECTORS)
    yield write(folder / "v.txt", GLOVE)
    yield str(write(folder / "v.zip", GLOVE))
    yield folder / "v.npz"
    yield str(folder / "c.npz")
    yield SimpleNamespace(key_to_index={"the": 0, "é": 1, "a": 2}, vectors=VECTORS)
    yield SimpleNamespace(key_to_index={"the": 1, "é": 2, "a": 0}, vectors=VECTORS[[2, 0, 1]])
    yield SimpleNamespace(key_to_index={"the": 0, "é": 1, "a": 2}, vectors=VECTORS.tolist())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, "float64"])
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (None, [0, 1, 2]),
        (["a", "iliad", "the"], [0, 2]),
        ({"é": 2}, [1]),
        (("é",), [1]),
        ({"iliad"}, []),
        (["\ud800"], []),  # cannot be encoded
    ],
)
def test_words_and_dtype_are_chosen(tmp_path, words, rows, dtype):
    for source in sources(tmp_path):
        vectors = load_word_vectors(source, words and iter(words), dtype=dtype)
        assert vectors.words == tuple(WORDS[row] for row in rows)
        assert {type(word) for word in vectors.words} <= {str}
        assert vectors.vectors.dtype == dtype
        np.testing.assert_array_equal(vectors.vectors, VECTORS[rows])


def test_words_that_look_like_white_space(tmp_path):
    # All of these occur in published files.
    words = (". . .", "to name@domain.com", "\xa0", "\x85", "\u2028", "\x0b", "", "12", "#")
    content = "".join(f"{word} 1 {i}\n" for i, word in enumerate(["first", *words])).encode()
    vectors = load_word_vectors(write(tmp_path / "v.txt", content))
    assert vectors.words == ("first", *words)
    assert vectors.vectors[:, 1].tolist() == list(range(len(words) + 1))


@pytest.mark.parametrize("gap", [b"", b"\n\n"])
@pytest.mark.parametrize("word", [". . .", "at name@domain.com", "1 a"])
def test_the_first_word_may_hold_spaces(tmp_path, word, gap):
    path = write(tmp_path / "v.txt", gap + f"{word} 7 8\n".encode() + gap + GLOVE)
    vectors = load_word_vectors(path)
    assert vectors.words == (word, *WORDS)
    np.testing.assert_array_equal(vectors.vectors, [[7, 8], *VECTORS.tolist()])
    # Also where it is not wanted.
    assert load_word_vectors(path, ["the"])["the"].tolist() == [1.5, -2]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters=" \n\r"), min_size=1),
             min_size=1, max_size=6, unique=True),
    st.integers(2, 5),
    st.booleans(),
    st.data(),
)  # fmt: skip
def test_written_and_read(tmp_path_factory, words, dimension, header, data):
    if words[0].startswith("\ufeff"):
        return
    finite = {"allow_nan": False, "allow_infinity": False}
    values = data.draw(
        arrays(np.float64, (len(words), dimension), elements=st.floats(width=64, **finite))
    )
    lines = [f"{len(words)} {dimension}"] if header else []
    lines += [" ".join([w, *map(repr, row.tolist())]) for w, row in zip(words, values, strict=True)]
    path = tmp_path_factory.mktemp("written") / "v.txt.gz"
    write(path, "\n".join(lines).encode())
    vectors = load_word_vectors(path, dtype=np.float64)
    assert vectors.words == tuple(words)
    np.testing.assert_array_equal(vectors.vectors, values)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.txt", content)
        archive.writestr("__MACOSX/._a.txt", "junk")
    return path


def test_zip_with_several_files(tmp_path):
    path = zipped(tmp_path / "v.zip", a=b"x 1\n", b=GLOVE)
    assert load_word_vectors(path, member="b.txt").words == WORDS
    with pytest.raises(ValueError, match=r"v\.zip: choose a member; it holds \['a.txt', 'b.txt'\]"):
        load_word_vectors(path)
    with pytest.raises(ValueError, match=r"no member is called 'c.txt'; it holds \['a.txt'"):
        load_word_vectors(path, member="c.txt")
    with pytest.raises(ValueError, match=r"member='b.txt' is for .zip files, got .*v\.txt"):
        load_word_vectors(tmp_path / "v.txt", member="b.txt")
    assert load_word_vectors(zipped(tmp_path / "one.zip", b=GLOVE)).words == WORDS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"v\.txt: the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"2 3\n", "announces 2 words, but 0 follow: the file is incomplete"),
        (b"4 2\n" + GLOVE, "announces 4 words, but 3 follow"),
        (b"3 4\n" + GLOVE, r"v\.txt, line 2: expected 4 values as in the lines before, got 2"),
        (b"3 1\n" + GLOVE, "line 2: expected 1 values .* got 2: 'the 1.5 -2.0'"),
        (b"3 0\n" + GLOVE, "line 1: expected a word and its values"),
        (b"word\n", "line 1: expected a word and its values, .* got 'word'"),
        (b"a 1 2 3\nb 1 2\n", "line 2: expected 3 values as in the lines before, got 2: 'b 1 2'"),
        (b"a 1 2 x\nb 1 2 3\n", "line 1, word 'a': .*'x'"),
        (b"a 1 x\n", "line 1, word 'a': .*'x'"),
        (b"a 1 2\nb\n", "line 2: expected 2 values .* got 0: 'b'"),
        (b"a\t1\t2\n", r"line 1: expected .* separated by single spaces, got 'a\\t1"),
        (GLOVE + b"b 1\n", "line 4: expected 2 values .* got 1: 'b 1'"),
        (GLOVE + b"\nb 1 2 3\n", "line 5: expected 2 values .* got 3: 'b 1 2 3'"),
        (GLOVE + b"b 1 2,5\n", "line 4, word 'b': .*2,5"),
        (GLOVE + b"b  1\n", "line 4, word 'b': could not convert"),
        (GLOVE + b"b nan 1\n", "line 4: the vector of 'b' holds NaN or infinity"),
        (GLOVE + b"\xff 2 1\n", "line 4: the word is not UTF-8"),
        (GLOVE + b"b " + b"1 " * 99, r"line 4: .* got 99: 'b 1.*\.\.\.$"),
    ],
)
def test_damaged_text_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_word_vectors(write(tmp_path / "v.txt", content))


@pytest.mark.parametrize("suffix", [".gz", ".zip", ".npz"])
def test_damaged_archives_are_refused(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"v{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, words=np.array(WORDS), vectors=rng.random((3, 500)))
    else:
        numbers = " ".join(map(str, rng.random(500)))
        write(path, f"a {numbers}\nb {numbers}\n".encode())
    whole = path.read_bytes()
    load_word_vectors(path)
    middle = len(whole) // 2
    changed = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 40])
    changed += whole[middle + 40 :]
    for content in (whole[:middle], changed, b"no archive at all", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"v\{suffix}\b"):
            load_word_vectors(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"words": WORDS}, r"v\.npz: needs the arrays 'words' and 'vectors', has \['words'\]"),
        ({"words": WORDS, "vectors": VECTORS[:2]}, "for each of the 3 words, got shape"),
        ({"words": WORDS, "vectors": VECTORS[:, 0]}, r"got shape \(3,\)"),
        ({"words": WORDS, "vectors": VECTORS.astype(str)}, "of dtype <U"),
        ({"words": [1, 2, 3], "vectors": VECTORS}, "'words' must be a 1-D array of strings"),
        ({"words": [WORDS], "vectors": VECTORS}, r"1-D .* got shape \(1, 3\)"),
        (
            {"words": np.array(WORDS, dtype=object), "vectors": VECTORS},
            r"v\.npz: cannot be read as an \.npz of plain arrays",
        ),
    ],
)
def test_wrong_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        load_word_vectors(tmp_path / "v.npz")


def test_npz_with_a_word_twice(tmp_path):
    np.savez(tmp_path / "v.npz", words=["a", "b", "a"], vectors=VECTORS)
    vectors = load_word_vectors(tmp_path / "v.npz")
    assert vectors.words == ("a", "b")
    np.testing.assert_array_equal(vectors.vectors, VECTORS[:2])


@pytest.mark.parametrize(
    ("source", "params", "error", "message"),
    [
        ("none.txt", {}, FileNotFoundError, "none.txt"),
        ("none.bin", {}, ValueError, r"none\.bin: binary files.*load_word2vec_format"),
        (SimpleNamespace(wv=3), {}, TypeError, r"of a gensim model, its \.wv\), got SimpleNames"),
        (["a"], {}, TypeError, "source must be a path .* got list"),
        ("none.txt", {"words": "a b"}, ValueError, "words must be a collection .* 'a b'"),
        (
            "none.txt",
            {"words": SequenceVectorizer()},
            TypeError,
            r"words must be .* got SequenceVectorizer: give words=vectorizer\.vocabulary_",
        ),
        ("none.txt", {"words": 3}, TypeError, "words must be a collection of words, got int$"),
        ("none.txt", {"words": ["a", 3]}, TypeError, "words must hold words, got 3"),
        ("none.txt", {"words": [["a"]]}, TypeError, r"words must hold words, got \['a'\]"),
        ("none.txt", {"dtype": int}, ValueError, "dtype must be a floating type, got int"),
    ],
)
def test_wrong_arguments_are_refused(source, params, error, message):
    with pytest.raises(error, match=message):
        load_word_vectors(source, **params)


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        (["a", "b"], [[1.0]], r"each of the 2 words, got shape \(1, 1\)"),
        (["a"], [1.0], r"got shape \(1,\)"),
        (["a"], [[]], r"got shape \(1, 0\)"),
        (["a", "b", "a"], [[1], [2], [3]], "the word 'a' occurs more than once"),
        (["a", "b"], [[1], [np.inf]], "the vector of 'b' holds NaN or infinity"),
    ],
)
def test_wrong_vectors_are_refused(words, vectors, message):
    with pytest.raises(ValueError, match=message):
        WordVectors(words, vectors)


def test_word_vectors_are_a_value():
    vectors = WordVectors(WORDS, VECTORS)
    assert len(vectors) == 3
    assert "é" in vectors
    assert "b" not in vectors
    assert vectors["é"].tolist() == [0.25, 3.0]
    with pytest.raises(KeyError, match="b"):
        vectors["b"]
    with pytest.raises(ValueError, match="read-only"):
        vectors.vectors[0, 0] = 7
    assert VECTORS.flags.writeable
    assert np.shares_memory(vectors.vectors, VECTORS)
    loaded = pickle.loads(pickle.dumps(vectors))
    assert loaded.words == WORDS
    np.testing.assert_array_equal(loaded.vectors, VECTORS)
    assert not loaded.vectors.flags.writeable
    assert repr(vectors) == "WordVectors(3 words, dimension 2)"


def test_clone_shares_them():
    class Holder(BaseEstimator):
        def __init__(self, word_vectors=None):
            self.word_vectors = word_vectors

    vectors = WordVectors(WORDS, VECTORS)
    holder = Holder(vectors)
    assert clone(holder).word_vectors is vectors
    assert repr(holder) == "Holder(word_vectors=WordVectors(3 words, dimension 2))"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrix_by_hand(dtype):
    vectors = WordVectors(WORDS, VECTORS.astype(dtype))
    vectorizer = SequenceVectorizer(vocabulary=["a", "iliad", "é", "moon"]).fit(["a"])
    matrix = vectors.matrix(vectorizer, random_state=3)
    drawn = np.random.RandomState(3).uniform(-BOUND, BOUND, size=(3, 2)).astype(dtype)
    expected = np.array([[0, 0], drawn[0], VECTORS[2], drawn[1], VECTORS[1], drawn[2]], dtype)
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == dtype
    assert matrix.flags.writeable
    np.testing.assert_array_equal(vectors.matrix(vectorizer.vocabulary_, 3), expected)
    # With a vector for none of the words, and for no words.
    assert vectors.matrix({"x": 2}, 0)[0].tolist() == [0, 0]
    assert vectors.matrix({}, 0).shape == (2, 2)


def test_drawn_rows_are_uniform():
    vectors = WordVectors(["a"], np.ones((1, 300)))
    drawn = vectors.matrix({f"w{i}": i for i in range(2, 1002)}, random_state=0)[1:]
    assert np.abs(drawn).max() < BOUND
    assert np.abs(drawn).max() > 0.999 * BOUND
    # Variance b^2 / 3 = 0.02; the standard error of 300,300 draws is about 0.00003.
    assert drawn.var() == pytest.approx(0.02, abs=2e-4)
    assert drawn.mean() == pytest.approx(0, abs=2e-3)


def test_matrix_leaves_the_global_generator_alone():
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    WordVectors(WORDS, VECTORS).matrix({"x": 2}, random_state=0)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)  # noqa: NPY002


@pytest.mark.parametrize("i", [0, -1, 2.0, "2"])
def test_matrix_refuses_ids(i):
    with pytest.raises(ValueError, match=f"gives 'x' the id {i!r}"):
        WordVectors(WORDS, VECTORS).matrix({"x": i})


def test_coverage_by_hand():
    texts = ["The cat, the é", "a moon A"]
    vectors = WordVectors(WORDS, VECTORS)
    # the 2, cat 1, é 1, a 2, moon 1: without a vector are cat and moon.
    report = vectors.coverage(SequenceVectorizer().fit(texts), texts)
    assert report.types == pytest.approx(3 / 5)
    assert report.running_words == pytest.approx(5 / 7)
    assert report.missing == [("cat", 1), ("moon", 1)]
    # With min_df=2 no word is left but those of both texts; "the" reaches no vector.
    both = [*texts, "the"]
    report = vectors.coverage(SequenceVectorizer(min_df=2).fit(both), texts)
    assert report.types == pytest.approx(1 / 5)
    assert report.running_words == pytest.approx(2 / 7)
    assert report.missing == [("a", 2), ("cat", 1), ("moon", 1), ("é", 1)]
    # Words of one letter are none for CountVectorizer.
    report = vectors.coverage(CountVectorizer().fit(texts), texts)
    assert (report.types, report.running_words) == pytest.approx((1 / 3, 2 / 4))


def test_coverage_refuses():
    vectors = WordVectors(WORDS, VECTORS)
    with pytest.raises(NotFittedError):
        vectors.coverage(SequenceVectorizer(), ["a"])
    with pytest.raises(NotFittedError):
        vectors.matrix(SequenceVectorizer())
    with pytest.raises(ValueError, match="texts hold no words"):
        vectors.coverage(SequenceVectorizer().fit(["a"]), ["", "!"])
    with pytest.raises(ValueError, match="a single str"):
        vectors.coverage(SequenceVectorizer().fit(["a"]), "a")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["a"], "list"),
        ("a", "str"),
        (None, "NoneType"),
        (make_pipeline(SequenceVectorizer()).fit(["a"]), "Pipeline"),
    ],
)
def test_what_is_no_vectorizer_is_named(value, kind):
    vectors = WordVectors(WORDS, VECTORS)
    right = f"a fitted SequenceVectorizer or a mapping, got {kind}"
    with pytest.raises(TypeError, match=f"^vocabulary must be {right}"):
        vectors.matrix(value)
    with pytest.raises(TypeError, match=f"^vectorizer must be a fitted Seq.*, got {kind}"):
        vectors.coverage(value, ["a"])


def test_coverage_of_trec(data_home):
    with gzip.open(data_home / "trec" / "train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    path = data_home / "embeddings" / "glove_twitter_25d.npz"
    # The questions come split at spaces; these are the figures of the data's README.
    vectorizer = SequenceVectorizer(token_pattern=r"\S+").fit(texts)
    vectors = load_word_vectors(path, vectorizer.vocabulary_)
    report = vectors.coverage(vectorizer, texts)
    assert round(report.types, 2) == 0.54
    assert round(report.running_words, 2) == 0.76
    assert report.missing[0] == ("?", sum(text.split().count("?") for text in texts))
    assert len(vectors) == round(report.types * len(vectorizer.vocabulary_))
    # Without punctuation, and by an independent route.
    vectorizer = SequenceVectorizer().fit(texts)
    report = load_word_vectors(path).coverage(vectorizer, texts)
    names, ids = vectorizer.get_feature_names_out(), vectorizer.transform(texts)
    known = np.isin(names, np.load(path)["words"])
    assert report.types == pytest.approx(known[2:].mean())
    assert report.running_words == pytest.approx(known[ids[ids > 0]].mean())
    matrix = vectors.matrix(vectorizer, random_state=0)
    assert matrix.shape == (len(names), 25)
    np.testing.assert_array_equal(matrix[vectorizer.vocabulary_["who"]], vectors["who"])
