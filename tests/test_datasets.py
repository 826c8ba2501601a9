import os
import re
import subprocess
import sys
import textwrap
from collections import Counter, defaultdict
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.datasets import load_digits
from sklearn.utils.discovery import all_estimators

from hierclf.datasets import _docstrings, load_digits_hierarchy, load_docstrings
from hierclf.datasets._docstring_cleaning import clean_docstring, summarize_docstring

VARIANTS = [(levels, text) for levels in (2, 3) for text in ("summary", "full")]


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Add arguments.", "Add arguments."),
        # Signatures, as compiled functions have them.
        ("add(x1, x2, /, out=None)\n\nAdd arguments.", "Add arguments."),
        ("conv1d(input, stride=(1, 1)) -> Tensor\n\nConvolves.", "Convolves."),
        ("full(a,\n     b)\nFills.", "Fills."),
        ("min(input) -> Tensor\n\nmin(input, dim) -> Tensor\n\nSmallest.", "Smallest."),
        ("BoolDType()\n--\n\nThe type of bools.", "The type of bools."),
        ("out = sep(input, row)\n\nConvolve.", "Convolve."),
        ("softmax(x) is a vector.", "softmax(x) is a vector."),
        # Paths keep their last name; "e.g.", numbers and ellipses are not paths.
        ("See scipy.stats.norm and np.ndarray.", "See norm and ndarray."),
        ("See :func:`~torch.nn.functional.relu`, x.shape.", "See relu, shape."),
        ("See :class:`ReLU <torch.nn.ReLU>` and `.linalg.norm`.", "See ReLU and norm."),
        ("In C++ torch::jit::Module.", "In C++ Module."),
        ("E.g. 0.5, i.e. a half, x[..., 0].", "E.g. 0.5, i.e. a half, x[..., 0]."),
        # Names of libraries.
        ("A NumPy array, PyTorch's tensor.", "A array, tensor."),
        ("Base class in scikit-learn.", "Base class."),
        ("With ``__torch_function__`` and TORCH_LOGS.", "With __function__ and LOGS."),
        ("Use `scikit-\nlearn` now.", "Use now."),
        # Imports, doctests and links.
        ("Do.\n\nimport numpy as np\nfrom torch import nn\n\nEnd.", "Do.\n\nEnd."),
        ("Do ``from torch import nn`` first.", "Do first."),
        ("Do.\n\n>>> f(1)\n2\n\nEnd.", "Do.\n\nEnd."),
        ("Do.\n\nExamples\n--------\n>>> f(1)\n2\n", "Do."),
        ("Do.\n\nExample::\n\n    >>> f(1)\n    2\n", "Do."),
        ("See <https://scipy.org/a.html> or http://x.org now.", "See or now."),
        ("As `Knuth <https://a.org>`_ says [1]_.\n\n.. _a: https://a.org", "As Knuth says."),
        # Directives: some go whole, of some the body stays.
        ("Do.\n\n.. versionadded:: 1.2\n   Or so.\n\nEnd.", "Do.\n\nEnd."),
        ("Do.\n\n.. math::\n\n    a^2\n\n    b\n\nEnd.", "Do.\n\nEnd."),
        ("Do.\n\n.. note::\n    Mind it.", "Do.\n\n    Mind it."),
        ("Do.\n\n.. note ::  Mind it.", "Do.\n\n  Mind it."),
        # Lines stay lines.
        ("Do.\n\nReturns\n-------\nx : int\n    1.", "Do.\n\nReturns\n-------\nx : int\n    1."),
    ],
)  # fmt: skip
def test_clean_docstring(docstring, expected):
    assert clean_docstring(docstring) == expected


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("\n    Sort an array\n    in place.\n\n    More.\n    ", "Sort an array in place."),
        ("f(x)\n\n.. math:: a\n\nThe square, where::\n\n    a", "The square, where"),
        ("Parameters\n----------\nx : int", ""),
        ("Sorts.\nArgs:\n    x: what", "Sorts."),
        ("f(x)", ""),
    ],
)
def test_summarize_docstring(docstring, expected):
    assert summarize_docstring(docstring) == expected


@pytest.mark.parametrize("text", ["summary", "full"])
def test_texts_do_not_name_their_module(text):
    # The texts of levels=3 are among these (test_three_levels_refine_two).
    data = load_docstrings(text=text).data
    joined = "\n\0\n".join(data)
    for leak in (
        r"(?i)numpy|scipy|sklearn|scikit.{0,3}learn|torch",
        r"\b(?:np|sp|plt|nn|linalg|stats|optim|metrics|random|signal|fft|special)\.[a-z]",
        r"(?m)^\s*(?:import|from\s+\S+\s+import)\s+[a-z]\w*\s*$|\bimport [a-z]",
        r">>>",
        r"https?://",
        r"(?m)`|^\s*\.\. ",
    ):
        assert re.findall(leak, joined) == []
    for leaf in load_docstrings(levels=3).hierarchy.leaves:
        module = leaf.removesuffix(" (top level)")
        assert "." not in module or module not in joined


@pytest.mark.parametrize(("levels", "text"), VARIANTS)
def test_corpus(levels, text):
    bunch = load_docstrings(levels, text)
    assert bunch.data.dtype == object
    assert {type(x) for x in bunch.data} == {str}
    assert bunch.target.dtype.kind == "U"
    assert bunch.data.shape == bunch.target.shape
    assert len(set(bunch.data)) == len(bunch.data)
    assert min(Counter(bunch.target).values()) >= 8
    assert set(bunch.target) == set(bunch.hierarchy.leaves)
    assert list(bunch.hierarchy.level(0)) == ["numpy", "scipy", "sklearn", "torch"]
    assert bunch.hierarchy.depth == levels
    for label in set(bunch.target):
        path = [str(node) for node in bunch.hierarchy.path(label)][-levels:]
        assert all(label.startswith(node.split(" ")[0]) for node in path if "." in node)
    assert f"{len(bunch.data):,} texts in {len(set(bunch.target))} classes" in bunch.DESCR
    assert max(map(len, bunch.DESCR.splitlines())) <= 100


def test_size():
    # As many texts as today's versions give, within a fifth or so.
    data, target = load_docstrings(return_X_y=True)
    expected = {"numpy": 780, "scipy": 1450, "sklearn": 520, "torch": 1550}
    assert Counter(re.match(r"\w+", label)[0] for label in target) == {
        library: pytest.approx(n, rel=0.25) for library, n in expected.items()
    }
    assert len(set(target)) == pytest.approx(74, rel=0.15)
    assert np.mean([len(text.split()) for text in data]) == pytest.approx(11, rel=0.1)


def test_whole_families_are_there():
    """What the libraries themselves list by kind, under the module that they give it."""
    families = defaultdict(list, {
        "scipy.stats": [
            value for value in vars(scipy.stats).values()
            if isinstance(value, (scipy.stats.rv_continuous, scipy.stats.rv_discrete))
        ],
        "torch.nn": [
            value for value in vars(torch.nn).values()
            if isinstance(value, type) and issubclass(value, torch.nn.Module)
        ],
    })  # fmt: skip
    for _, estimator in all_estimators():
        families[".".join(estimator.__module__.split(".")[:2])].append(estimator)
    corpus = dict(zip(*load_docstrings(return_X_y=True), strict=True))
    n_expected, missing = 0, []
    for label, members in families.items():
        if label not in set(corpus.values()):  # too few texts
            continue
        for text in {summarize_docstring(member.__doc__ or "") for member in members}:
            if len(re.findall("[A-Za-z]{2,}", text)) >= 3:
                assert corpus.get(text, label) == label
                n_expected += 1
                missing += [text] * (text not in corpus)
    assert n_expected > 350
    # A few are not there, since another module has an object of the same text.
    assert len(missing) < 0.03 * n_expected, missing


@pytest.mark.parametrize(
    ("levels", "text", "label"),
    [
        (2, "Convert angles from degrees to radians.", "numpy (top level)"),  # a ufunc
        (2, "Compute the determinant of an array.", "numpy.linalg"),
        (2, "A normal continuous random variable.", "scipy.stats"),  # documented instance
        (2, "Return the Hamming window.", "numpy (top level)"),
        (2, "Return a Hamming window.", "scipy.signal"),
        (3, "Return a Hamming window.", "scipy.signal.windows"),
        (2, "Standardize features by removing the mean and scaling to unit variance.",
         "sklearn.preprocessing"),
        (3, "Compute cosine distance between samples in X and Y.", "sklearn.metrics.pairwise"),
        (2, "Convert a collection of raw documents to a matrix of TF-IDF features.",
         "sklearn.feature_extraction"),
        (2, "Fill the input Tensor with a (semi) orthogonal matrix.", "torch.nn"),
        (3, "Fill the input Tensor with a (semi) orthogonal matrix.", "torch.nn.init"),
    ],
)  # fmt: skip
def test_known_texts(levels, text, label):
    data, target = load_docstrings(levels, return_X_y=True)
    assert target[data == text].tolist() == [label]


def test_three_levels_refine_two():
    coarse = dict(zip(*load_docstrings(2, return_X_y=True), strict=True))
    fine = dict(zip(*load_docstrings(3, return_X_y=True), strict=True))
    assert fine.keys() < coarse.keys()
    for text, label in fine.items():
        assert re.match(re.escape(coarse[text].split(" ")[0]) + r"(?:$|\.| \()", label)


def _corpus(*rows):
    return lambda: tuple(_docstrings._Docstring(*row) for row in rows)


def test_labelled_texts(monkeypatch):
    # By hand, with at least 2 texts per class and one word per text.
    monkeypatch.setattr(_docstrings, "MIN_TEXTS", 2)
    monkeypatch.setattr(_docstrings, "MIN_WORDS", 1)
    monkeypatch.setattr(_docstrings, "_MODULES", {"lib": ""})
    monkeypatch.setattr(
        _docstrings,
        "_public_docstrings",
        _corpus(
            ("lib", "f", "one"),
            ("lib", "g", "two"),
            ("lib", "h", "alias for two"),
            ("lib.few", "f", "three"),  # the only text of its class
            ("lib.nn", "f", "four"),
            ("lib.nn", "g", "five"),
            ("lib.nn", "h", "five"),  # twice in one class: kept once
            ("lib.nn", "i", "shared"),  # in two classes: in neither
            ("lib.nn.init", "f", "six"),
            ("lib.nn.init", "g", "seven"),
            ("lib.nn.rare", "f", "eight"),  # too small a part: only with levels=2
            ("lib.sub", "f", "shared"),
            ("lib.sub.only", "f", "nine"),  # one part with enough texts: not divided
            ("lib.sub.only", "g", "ten"),
            ("lib.sub.other", "g", "eleven"),
        ),
    )
    uncached = _docstrings._cleaned_docstrings.__wrapped__
    monkeypatch.setattr(_docstrings, "_cleaned_docstrings", uncached)
    load = _docstrings._labelled_texts
    top, nn, sub = ("lib", "lib (top level)"), ("lib", "lib.nn"), ("lib", "lib.sub")
    assert load(2, "summary") == [
        ("one", top), ("two", top),
        ("four", nn), ("five", nn), ("six", nn), ("seven", nn), ("eight", nn),
        ("nine", sub), ("ten", sub), ("eleven", sub),
    ]  # fmt: skip
    nn_own, nn_init = (*nn, "lib.nn (top level)"), (*nn, "lib.nn.init")
    assert load(3, "full") == [
        ("one", top), ("two", top),
        ("four", nn_own), ("five", nn_own), ("six", nn_init), ("seven", nn_init),
        ("nine", sub), ("ten", sub), ("eleven", sub),
    ]  # fmt: skip

    monkeypatch.setattr(_docstrings, "_MODULES", {"lib": "", "bare": "", "gone": ""})
    with pytest.raises(RuntimeError, match="no docstrings found in bare, gone"):
        load(2, "summary")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.linalg.norm, True),
        (np.add, True),
        (np.ndarray, True),
        (scipy.stats.norm, True),  # an instance that documents itself
        (partial(print), False),  # the docstring is that of the class
        (3, False),
        (np.pi, False),
        (type("Undocumented", (dict,), {}), False),
    ],
)
def test_has_docstring(value, expected):
    assert _docstrings._has_docstring(value) is expected


@pytest.mark.parametrize(
    ("module", "offered", "imported"),
    [
        ("sklearn.dummy", "DummyClassifier", "check_array"),
        ("sklearn.metrics.pairwise", "cosine_distances", "normalize"),
        ("torch.linalg", "det", "Tensor"),
        ("torch.nn.functional", "conv1d", "has_torch_function_unary"),
        ("scipy.linalg", "det", "LinAlgError"),  # numpy's
        ("numpy.fft", "fft", "test"),
        ("no_such_library", None, "anything"),
    ],
)
def test_public_objects(module, offered, imported):
    names = {name for name, _ in _docstrings._public_objects(module)}
    assert offered is None or offered in names
    assert imported not in names


def test_places_are_ranked():
    value = SimpleNamespace(__module__="lib.strings._core")
    places = [("lib.strings.more", "f"), ("lib.char", "f"), ("lib.strings", "f"), ("lib", "f")]
    ranked = sorted(places, key=lambda place: _docstrings._rank(place, value))
    assert [module for module, _ in ranked] == [
        "lib",
        "lib.strings",
        "lib.char",
        "lib.strings.more",
    ]


def test_neither_the_hash_seed_nor_other_imports_matter():
    program = textwrap.dedent(
        """
        import hashlib
        from hierclf.datasets import load_docstrings

        rows = [list(map(str, row)) for row in zip(*load_docstrings(return_X_y=True))]
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()
        """
    )
    here = {}
    exec(program, here)
    enable = (
        "from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer\n"
        "import torch._dynamo"
    )
    there = subprocess.run(
        [sys.executable, "-c", f"{enable}\n{program}\nprint(digest)"],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here["digest"]
    assert there.stderr == ""


def test_each_call_gives_its_own_arrays():
    first = load_docstrings()
    texts, labels = first.data.tolist(), first.target.tolist()
    first.data[:] = ""
    first.target[:] = ""
    again = load_docstrings()
    assert again.data.tolist() == texts
    assert again.target.tolist() == labels


@pytest.mark.parametrize("levels", [1, 4, "2", None])
def test_levels_are_checked(levels):
    with pytest.raises(ValueError, match=rf"levels must be 2 or 3, got {levels!r}"):
        load_docstrings(levels=levels)


@pytest.mark.parametrize("text", ["title", None, 2])
def test_text_is_checked(text):
    with pytest.raises(ValueError, match=rf"text must be 'summary' or 'full', got {text!r}"):
        load_docstrings(text=text)


def test_without_docstrings(monkeypatch):
    # As under ``python -OO``.
    monkeypatch.setattr(_docstrings, "sys", SimpleNamespace(flags=SimpleNamespace(optimize=2)))
    with pytest.raises(RuntimeError, match="-OO"):
        load_docstrings()


def test_digits():
    digits, original = load_digits_hierarchy(), load_digits()
    np.testing.assert_array_equal(digits.data, original.data)
    np.testing.assert_array_equal(digits.images, original.images)
    np.testing.assert_array_equal(digits.target.astype(int), original.target)
    tree = digits.hierarchy
    assert {parent: set(tree.children(parent)) for parent in tree.level(0)} == {
        "closed loop": {"0", "6", "8", "9"},
        "open curve": {"2", "3", "5"},
        "straight strokes": {"1", "4", "7"},
    }
    assert set(tree.leaves) == set(np.unique(digits.target))
    assert "closed loop: 0, 6, 8, 9" in digits.DESCR
    data, target = load_digits_hierarchy(return_X_y=True)
    np.testing.assert_array_equal(data, digits.data)
    np.testing.assert_array_equal(target, digits.target)
