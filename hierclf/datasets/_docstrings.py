"""The docstrings of numpy, scipy, scikit-learn and torch, to be sorted into their modules.

This is a text classification task without a download: everyone who has installed this package has
the texts, and every reader knows the classes.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from types import ModuleType
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from hierclf.datasets._bunches import TextArrays, TextBunch
from hierclf.datasets._docstring_cleaning import clean_docstring, summarize_docstring
from hierclf.hierarchy import Hierarchy

MIN_TEXTS = 8
"""Classes with fewer texts are left out: they are too few to learn from and to test on."""

MIN_WORDS = 3
"""Shorter texts ("Bessel function.") say too little."""

# The public modules of the four libraries, less the deprecated ones, those whose import is heavy,
# warns or needs optional packages, and the estimator checks. A list rather than a walk
# over the packages: it gives the same modules on every platform, in milliseconds. Modules that
# the installed version does not have are skipped.
_MODULES = {
    "numpy": """
        ctypeslib dtypes exceptions fft lib lib.array_utils lib.format lib.introspect lib.mixins
        lib.npyio lib.recfunctions lib.scimath lib.stride_tricks linalg ma ma.mrecords polynomial
        polynomial.chebyshev polynomial.hermite polynomial.hermite_e polynomial.laguerre
        polynomial.legendre polynomial.polynomial polynomial.polyutils random rec strings testing
    """,
    "scipy": """
        cluster.hierarchy cluster.vq constants datasets differentiate fft integrate interpolate
        io io.arff io.matlab io.wavfile linalg linalg.blas linalg.interpolative linalg.lapack
        ndimage optimize optimize.elementwise signal signal.windows sparse sparse.csgraph
        sparse.linalg spatial spatial.distance spatial.transform special stats stats.contingency
        stats.mstats stats.qmc stats.sampling
    """,
    "sklearn": """
        base calibration callback cluster compose covariance cross_decomposition datasets
        decomposition discriminant_analysis dummy ensemble exceptions feature_extraction
        feature_extraction.image feature_extraction.text feature_selection frozen
        gaussian_process gaussian_process.kernels impute inspection isotonic
        kernel_approximation kernel_ridge linear_model manifold metrics metrics.cluster
        metrics.pairwise mixture model_selection multiclass multioutput naive_bayes neighbors
        neural_network pipeline preprocessing random_projection semi_supervised svm tree utils
        utils.arrayfuncs utils.class_weight utils.discovery utils.extmath utils.graph
        utils.metadata_routing utils.metaestimators utils.multiclass utils.murmurhash
        utils.parallel utils.random utils.sparsefuncs utils.validation
    """,
    "torch": """
        accelerator accelerator.memory amp autograd autograd.forward_ad autograd.function
        autograd.functional autograd.graph autograd.profiler backends.cpu backends.cuda
        backends.cusparselt backends.mha backends.mkl backends.mps backends.nnpack
        backends.openmp compiler cpu cuda cuda.memory cuda.nvtx cuda.tunable distributed
        distributions distributions.constraints distributions.transforms export fft func futures
        fx fx.traceback hub jit library linalg masked monitor mps mtia nested nn nn.attention
        nn.functional nn.init nn.parallel nn.utils nn.utils.fusion nn.utils.parametrizations
        nn.utils.parametrize nn.utils.prune nn.utils.rnn nn.utils.stateless onnx optim
        optim.lr_scheduler optim.swa_utils overrides package profiler random serialization
        signal.windows sparse special testing utils utils.checkpoint
        utils.data utils.hooks xpu
    """,
}

# Only there once somebody has imported sklearn.experimental, and the texts must not depend on that.
_EXPERIMENTAL = {"HalvingGridSearchCV", "HalvingRandomSearchCV", "IterativeImputer"}

_DESCR = """\
Docstrings of numpy, scipy, scikit-learn and torch
==================================================

{n_texts} texts in {n_classes} classes: {text_description} of the public
functions and classes of {versions},
as they are installed here. The task: which module does the text belong to? The class is the
module, its parent the library{levels_description}. What is right in a
library or in a divided module, not in a submodule, is in a class such as "numpy (top level)".

Texts per library: {counts}.

What would give the answer away is taken out: the signatures of compiled functions, import
statements and doctests (``>>>``), URLs, cross-reference markup, directives about versions, the
names of the four libraries, and all of a dotted path but its last name (``scipy.stats.norm``
becomes ``norm``). The words of the prose stay, those that also occur in a module's name among
them.

An object that is found in several modules counts for the shortest path; of several, for the
module that it says it is from, else the first by name. No text occurs twice: a text that two
classes share (as those that numpy.ma copies from numpy) is in neither, for it has no right
answer. Left out are texts of fewer than {min_words} words, mere aliases, and classes with fewer
than {min_texts} texts.

The four libraries are under the 3-clause BSD licence (torch: a BSD-style licence); their
docstrings are theirs.
"""


class _Docstring(NamedTuple):
    module: str  # under which users find the object
    name: str
    text: str


_Path = tuple[str, ...]  # of a class: ("torch", "torch.nn"), the library first
_Row = tuple[str, _Path]  # a text and its class


@overload
def load_docstrings(
    levels: Literal[2, 3] = ...,
    text: Literal["summary", "full"] = ...,
    *,
    return_X_y: Literal[False] = ...,
) -> TextBunch: ...
@overload
def load_docstrings(
    levels: Literal[2, 3] = ...,
    text: Literal["summary", "full"] = ...,
    *,
    return_X_y: Literal[True],
) -> TextArrays: ...
@overload
def load_docstrings(
    levels: Literal[2, 3] = ...,
    text: Literal["summary", "full"] = ...,
    *,
    return_X_y: bool,
) -> TextBunch | TextArrays: ...
def load_docstrings(
    levels: Literal[2, 3] = 2,
    text: Literal["summary", "full"] = "summary",
    *,
    return_X_y: bool = False,
) -> TextBunch | TextArrays:
    """Load the docstrings of numpy, scipy, scikit-learn and torch, labelled by module.

    Nothing is downloaded: the texts come from the installed libraries. The same versions of the
    libraries give the same texts.

    Parameters
    ----------
    levels : {2, 3}, default=2
        Number of levels of the hierarchy.

        - 2: library and module, such as "torch" and "torch.nn".
        - 3: a module is divided if at least two of its parts have 8 texts. The parts are its
          submodules, such as "torch.nn.functional", and "torch.nn (top level)" for the texts
          that are in no submodule. The texts of smaller parts are left out. A module that is
          not divided stays a leaf.
    text : {"summary", "full"}, default="summary"
        "summary" is the first paragraph, about ten words. "full" is the whole docstring.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : Bunch
        An object with the attributes

        data : ndarray of shape (n_texts,), object
            The texts, each a str.
        target : ndarray of shape (n_texts,), str
            The module of each text, a leaf of the hierarchy.
        hierarchy : Hierarchy
            The modules under their libraries.
        DESCR : str
            A description of the data: the source and the number of the texts, and what was
            taken out of them.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `levels` or `text` is not one of these values.
    RuntimeError
        If Python was started with ``-OO`` and there are no docstrings.

    Examples
    --------
    >>> from hierclf.datasets import load_docstrings
    >>> docstrings = load_docstrings()
    >>> [str(library) for library in docstrings.hierarchy.level(0)]
    ['numpy', 'scipy', 'sklearn', 'torch']
    >>> "scipy.stats" in docstrings.target
    True
    """
    if levels not in (2, 3):
        raise ValueError(f"levels must be 2 or 3, got {levels!r}")
    if text not in ("summary", "full"):
        raise ValueError(f"text must be 'summary' or 'full', got {text!r}")
    if sys.flags.optimize >= 2:
        raise RuntimeError("there are no docstrings to load: Python was started with -OO")

    rows = _labelled_texts(int(levels), text)
    data = np.array([row[0] for row in rows], dtype=object)
    target = np.array([row[1][-1] for row in rows])
    if return_X_y:
        return data, target
    edges = sorted({edge for _, path in rows for edge in pairwise(path)})
    return TextBunch(
        data=data,
        target=target,
        hierarchy=Hierarchy(edges),
        DESCR=_describe(rows, levels, text),
    )


def _labelled_texts(levels: int, text: str) -> list[_Row]:
    """Return each text with the path of its class."""
    rows = _distinct(
        (cleaned, _path(module, levels)) for module, cleaned in _cleaned_docstrings(text)
    )
    rows = _with_enough_texts(_undivided(rows))
    missing = _MODULES.keys() - {path[0] for _, path in rows}
    if missing:
        raise RuntimeError(f"no docstrings found in {', '.join(sorted(missing))}")
    return rows


@lru_cache
def _cleaned_docstrings(text: str) -> tuple[tuple[str, str], ...]:
    """Return the module and the cleaned text of every docstring that says something."""
    clean = summarize_docstring if text == "summary" else clean_docstring
    cleaned = ((docstring.module, clean(docstring.text)) for docstring in _public_docstrings())
    return tuple(row for row in cleaned if _is_informative(row[1]))


def _is_informative(text: str) -> bool:
    is_alias = re.match(r"(?:this is an )?alias (?:for|of|to)\b", text, re.IGNORECASE)
    return not is_alias and len(re.findall(r"[A-Za-z]{2,}", text)) >= MIN_WORDS


def _path(module: str, levels: int) -> _Path:
    """Return the path of a module's class: ("torch", "torch.nn", "torch.nn (top level)").

    Every class is a leaf, so what is right in a library, or right in a module that has
    submodules, needs a leaf of its own beside them.
    """
    parts = module.split(".")[:levels]
    path = tuple(".".join(parts[:i]) for i in range(1, len(parts) + 1))
    return path if len(parts) == levels else (*path, f"{module} (top level)")


def _distinct(rows: Iterable[_Row]) -> list[_Row]:
    """Keep each text once, and none that occurs under several classes."""
    paths = defaultdict(set)
    for text, path in rows:
        paths[text].add(path)
    return [(text, path) for text, (path, *others) in paths.items() if not others]


def _undivided(rows: list[_Row]) -> list[_Row]:
    """Make leaves of the modules that have fewer than two parts with enough texts."""
    sizes = Counter(path for _, path in rows)
    n_parts = Counter(path[:2] for path, size in sizes.items() if size >= MIN_TEXTS)
    return [(text, path if n_parts[path[:2]] >= 2 else path[:2]) for text, path in rows]


def _with_enough_texts(rows: list[_Row]) -> list[_Row]:
    sizes = Counter(path for _, path in rows)
    return [(text, path) for text, path in rows if sizes[path] >= MIN_TEXTS]


@lru_cache(maxsize=1)
def _public_docstrings() -> tuple[_Docstring, ...]:
    """Return the docstring of every public function and class, each object once."""
    found: dict[int, tuple[object, list[tuple[str, str]]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated names and missing hardware
        for library, submodules in _MODULES.items():
            for module in (library, *(f"{library}.{name}" for name in submodules.split())):
                for name, value in _public_objects(module):
                    # torch wraps torch.manual_seed once its compiler is loaded, not its twin.
                    value = inspect.unwrap(value) if inspect.isfunction(value) else value
                    found.setdefault(id(value), (value, []))[1].append((module, name))
    return tuple(
        sorted(
            _Docstring(*min(places, key=lambda place: _rank(place, value)), str(value.__doc__))
            for value, places in found.values()
        )
    )


def _public_objects(module_name: str) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes that a module offers as its own."""
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    for name in getattr(module, "__all__", dir(module)):
        if name in _EXPERIMENTAL:
            continue
        try:
            value = getattr(module, name)
        except (AttributeError, ImportError):  # lazy attributes whose module is missing
            continue
        if not name.startswith("_") and _has_docstring(value) and _is_offered(value, module):
            yield name, value


def _has_docstring(value: Any) -> bool:
    """Tell functions, classes and documented callables from mere instances of a class."""
    doc = getattr(value, "__doc__", None)
    return callable(value) and isinstance(doc, str) and doc != type(value).__doc__


def _is_offered(value: object, module: ModuleType) -> bool:
    """Tell what a module offers from what it only imports for its own use."""
    home = getattr(value, "__module__", None)
    library = module.__name__.partition(".")[0]
    if not isinstance(home, str):
        return hasattr(module, "__all__")  # compiled functions, such as ufuncs, have no home
    if hasattr(module, "__all__"):
        return home.partition(".")[0] in (library, "builtins")
    # torch.linalg and torch.nn.functional, without __all__, offer functions compiled elsewhere.
    return _is_within(home, module.__name__) or home == "torch" or home.startswith("torch._C._")


def _is_within(home: str, module: str) -> bool:
    return f"{home}.".startswith(f"{module}.")


def _rank(place: tuple[str, str], value: object) -> tuple[int, bool, tuple[str, str]]:
    """Rank the places of an object: the shortest path, then its home, then by name."""
    module = place[0]
    home = getattr(value, "__module__", None) or ""
    return module.count("."), not _is_within(home, module), place


def _describe(rows: list[_Row], levels: int, text: str) -> str:
    counts = Counter(path[0] for _, path in rows)
    return _DESCR.format(
        n_texts=f"{len(rows):,}",
        n_classes=len({path for _, path in rows}),
        text_description=(
            "the docstrings" if text == "full" else "the first paragraphs of the docstrings"
        ),
        versions=", ".join(f"{name} {sys.modules[name].__version__}" for name in _MODULES),
        levels_description=" (or a module divided into its parts)" if levels == 3 else "",
        counts=", ".join(f"{name} {counts[name]:,}" for name in _MODULES),
        min_words=MIN_WORDS,
        min_texts=MIN_TEXTS,
    )
