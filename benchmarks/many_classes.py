"""Thousands of classes over short texts, a hidden layer beside linear trees.

    python benchmarks/many_classes.py --peers ~/peers/bin/python
    python benchmarks/many_classes.py --report      # print what is there

Diagnoses and procedures in a few words, and their codes: icd10cm3 (1,918 classes), icd10cm (36,343)
and icd10pcs (68,367), which are looked for in ``--data`` or HIERCLF_DATA. Texts become tf-idf of
words and pairs of words that occur at least twice, the same for all but fastText, which reads the
texts. "hierarchical linear, siblings" is the HierarchicalLinearClassifier against siblings, at its
defaults. "hierarchical" is the HierarchicalSoftmaxClassifier with a hidden layer, over the
taxonomy; its settings were chosen on rows held out of the training part (``--study``), those of the
others are their defaults, fastText's apart. PECOS and napkinXC have the taxonomy, Omikuji learns
three trees of its own, fastText has the Huffman tree of the classes.

One thread, one seed. Each contestant has a process of its own, where it is first fitted to a
thousand rows, so that what is compiled or loaded counts for none: "MB" is its peak memory, and
"added" what fit and predict add to that of data and libraries. Times are CPU time, so that other
work on the machine counts little. "distance": the mean number of edges between a mistake and the
truth. Predictions are of the five likeliest, in microseconds a row.

Every result is written to ``--out`` as soon as it is there; a second run skips what it finds. PECOS
needs an old numpy, hence an environment of its own, whose Python is ``--peers``: ``pip install
libpecos omikuji napkinxc fasttext-wheel``. What is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from _own_process import add_arguments, answer, ask, peak_memory
from _report import print_table, resume, significant

from hierclf import Hierarchy

NAMES = ("icd10cm3", "icd10cm", "icd10pcs")
N_TOP, N_HELD_OUT, N_WARM_UP = 5, 4000, 1000
# Seconds that a contestant may take.
LIMIT = 1800
RESULTS = Path("benchmarks/results/many_classes")


class Task(NamedTuple):
    """What a contestant reads; y are positions among the labels, which are sorted."""

    X: sp.csr_matrix
    y: np.ndarray
    X_test: sp.csr_matrix
    texts: np.ndarray
    texts_test: np.ndarray
    labels: np.ndarray
    hierarchy: Hierarchy


class Answer(NamedTuple):
    """``y_top`` are positions among the labels, the likeliest first; -1 is none."""

    y_top: np.ndarray
    fit_seconds: float
    predict_seconds: float


def prepare(name: str, folder: Path | None, is_study: bool, to: Path) -> None:
    """Write what the contestants read, which are processes of their own."""
    from _data import load
    from sklearn.feature_extraction.text import TfidfVectorizer

    data = load(name, folder)
    train, test = (data.X_train, data.y_train), (data.X_test, data.y_test)
    if is_study:
        held_out = hold_out(*train)
        train, test = ([part[rows] for part in train] for rows in (~held_out, held_out))
    labels = np.unique(train[1])
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, dtype=np.float32)
    write(to, vectorizer, train, test, labels, data.hierarchy.prune(labels.tolist()))


def write(
    to: Path,
    vectorizer: Any,
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    labels: np.ndarray,
    hierarchy: Hierarchy,
) -> float:
    """Write texts, features and labels of both parts, where ``labels`` are all there are.

    Returns the seconds that the features of the training part take.
    """
    X, seconds = clock(lambda: vectorizer.fit_transform(train[0]))
    sp.save_npz(to / "X.npz", X, compressed=False)
    sp.save_npz(to / "X_test.npz", vectorizer.transform(test[0]), compressed=False)
    np.savez(
        to / "rest.npz",
        texts=train[0].astype(str),
        texts_test=test[0].astype(str),
        y=np.searchsorted(labels, train[1]),
        y_test=np.searchsorted(labels, test[1]),
        labels=labels,
        edges=np.array(hierarchy.edges),
    )
    return seconds


def hold_out(texts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Choose the shortest text of some classes that have several: mostly an abbreviation.

    So it is in the test part. Every class keeps a text.
    """
    order = np.lexsort((list(map(len, texts)), labels))
    sorted_labels = labels[order]
    starts = np.flatnonzero(np.append(True, sorted_labels[1:] != sorted_labels[:-1]))
    counts = np.diff(np.append(starts, len(labels)))
    candidates = order[starts[counts > 1]]
    chosen = np.random.default_rng(0).permutation(candidates)[:N_HELD_OUT]
    return np.isin(np.arange(len(labels)), chosen)


def read(folder: Path) -> Task:
    """Read what was prepared."""
    rest = np.load(folder / "rest.npz")
    X, X_test = (sp.load_npz(folder / f"{name}.npz") for name in ("X", "X_test"))
    hierarchy = Hierarchy(rest["edges"].tolist())
    parts = (rest[name] for name in ("y", "texts", "texts_test", "labels"))
    y, texts, texts_test, labels = parts
    return Task(X, y, X_test, texts, texts_test, labels, hierarchy)


def clock(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and the seconds that it computes."""
    start = time.process_time()
    return function(), time.process_time() - start


def hierarchical(task: Task, **params: Any) -> Answer:
    from hierclf import HierarchicalSoftmaxClassifier

    classifier = HierarchicalSoftmaxClassifier(task.hierarchy, random_state=0, **params)
    y = task.labels[task.y]
    _, fit = clock(lambda: classifier.fit(task.X, y))
    (names, _), predict = clock(lambda: classifier.predict_topk(task.X_test, N_TOP))
    return Answer(np.searchsorted(task.labels, names), fit, predict)


def linear(task: Task, **params: Any) -> Answer:
    from hierclf import HierarchicalLinearClassifier

    classifier = HierarchicalLinearClassifier(task.hierarchy, **params)
    y = task.labels[task.y]
    _, fit = clock(lambda: classifier.fit(task.X, y))
    (names, _), predict = clock(lambda: classifier.predict_topk(task.X_test, N_TOP))
    return Answer(np.searchsorted(task.labels, names), fit, predict)


def pecos(task: Task) -> Answer:
    """XR-Linear with a cluster for each node of each level; it wants all leaves on the last."""
    from pecos.utils.cluster_util import ClusterChain
    from pecos.xmc.xlinear.model import XLinearModel

    def matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csc_matrix:
        return sp.csc_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)

    on_levels = paths(task.hierarchy, task.labels)
    chain, above, n_above = [], np.zeros(len(task.labels), np.int64), 1
    for nodes in on_levels.T:
        _, first, own = np.unique(nodes, return_index=True, return_inverse=True)
        chain.append(matrix(np.arange(len(first)), above[first], (len(first), n_above)))
        above, n_above = own, len(first)
    # "own" are the places of the labels on the last level.
    Y = matrix(np.arange(len(task.y)), own[task.y], (len(task.y), len(own)))
    model, fit = clock(lambda: XLinearModel.train(task.X, Y, C=ClusterChain(chain), threads=1))
    found, predict = clock(lambda: model.predict(task.X_test, only_topk=N_TOP, threads=1))
    label = np.argsort(own)
    y_top = np.full((found.shape[0], N_TOP), -1)
    for row, (start, stop) in enumerate(zip(found.indptr[:-1], found.indptr[1:], strict=True)):
        order = np.argsort(-found.data[start:stop])[:N_TOP]
        y_top[row, : len(order)] = label[found.indices[start:stop][order]]
    return Answer(y_top, fit, predict)


def paths(hierarchy: Hierarchy, labels: np.ndarray) -> np.ndarray:
    """Return the nodes from the top level to each label, which is repeated to the last level."""
    parents = hierarchy.arrays.edge_parents
    found = np.repeat(hierarchy.node_indices(labels)[:, None], hierarchy.depth, axis=1)
    depths = hierarchy.depths[found[:, 0]]
    for level in range(hierarchy.depth - 2, -1, -1):
        is_below = level < depths - 1
        found[is_below, level] = parents[found[is_below, level + 1]]
    return found


def omikuji(task: Task) -> Answer:
    """Three trees of its own, from a file; it refuses rows without features."""
    from omikuji import Model

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"

        def train() -> Any:
            rows = np.flatnonzero(np.diff(task.X.indptr))
            with file.open("w") as out:
                out.write(f"{len(rows)} {task.X.shape[1]} {len(task.labels)}\n")
                for row in rows:
                    out.write(f"{task.y[row]} {line(task.X, row)}\n")
            hyper_parameters = Model.default_hyper_param()
            return Model.train_on_data(str(file), hyper_parameters, 1)

        model, fit = clock(train)
        model.init_prediction_thread_pool(1)

        def ask_for(row: int) -> list[int]:
            part = slice(task.X_test.indptr[row], task.X_test.indptr[row + 1])
            pairs = zip(
                task.X_test.indices[part].tolist(), task.X_test.data[part].tolist(), strict=True
            )
            return [label for label, _ in model.predict(list(pairs), top_k=N_TOP)]

        tops, predict = clock(lambda: [ask_for(row) for row in range(task.X_test.shape[0])])
    return Answer(padded(tops), fit, predict)


def line(X: sp.csr_matrix, row: int) -> str:
    part = slice(X.indptr[row], X.indptr[row + 1])
    pairs = sorted(zip(X.indices[part].tolist(), X.data[part].tolist(), strict=True))
    return " ".join(f"{column}:{value:.6g}" for column, value in pairs)


def padded(tops: list[list[int]]) -> np.ndarray:
    found = np.full((len(tops), N_TOP), -1)
    for row, top in enumerate(tops):
        found[row, : len(top)] = top
    return found


def napkinxc(task: Task) -> Answer:
    from napkinxc.models import HSM

    hierarchy = task.hierarchy
    label = np.full(len(hierarchy), -1)
    label[hierarchy.node_indices(task.labels)] = np.arange(len(task.labels))
    columns = (hierarchy.arrays.edge_parents + 1, np.arange(1, len(hierarchy) + 1), label)
    tree = [(-1, 0, -1), *zip(*(column.tolist() for column in columns), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        model = HSM(str(Path(folder) / "model"), tree_structure=tree, threads=1, seed=0)
        _, fit = clock(lambda: model.fit(task.X, task.y.tolist()))
        tops, predict = clock(lambda: model.predict(task.X_test, top_k=N_TOP))
    return Answer(padded(tops), fit, predict)


def fasttext(task: Task, **params: Any) -> Answer:
    import fasttext as package

    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower()))

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"

        def train() -> Any:
            with file.open("w", encoding="utf-8") as out:
                for text, label in zip(task.texts, task.y, strict=True):
                    out.write(f"__label__{label} {words(text)}\n")
            return package.train_supervised(
                str(file), loss="hs", minCount=1, wordNgrams=2, bucket=200_000, thread=1,
                seed=0, verbose=0, **params,
            )  # fmt: skip

        model, fit = clock(train)

    def predict_all() -> list[list[int]]:
        asked = [words(text) + "\n" for text in task.texts_test]
        names, _ = model.f.multilinePredict(asked, N_TOP, -1.0, "strict")
        return [[int(name.removeprefix("__label__")) for name in row] for row in names]

    tops, predict = clock(predict_all)
    return Answer(padded(tops), fit, predict)


# A hidden layer without a bend: the classes share factors of the words, and no more.
FACTORS = {
    "computation": "path",
    "hidden_layer_sizes": (256,),
    "activation": "identity",
    "learning_rate_init": 0.01,
}
# The best of --study. A weight decays at every step, and the sets have different numbers of them.
SETTINGS: dict[str, dict[str, Any]] = {
    "icd10cm3": FACTORS | {"max_iter": 10, "weight_decay": 0.1},
    "icd10cm": FACTORS | {"max_iter": 10, "weight_decay": 0.1},
    "icd10pcs": FACTORS | {"max_iter": 8, "weight_decay": 0.03},
}
# What the study compares: the settings themselves, and one thing that is other.
CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "icd10cm3": ({}, {"weight_decay": 1e-4}),
    "icd10cm": (
        {},
        {"weight_decay": 1e-4},
        {"activation": "relu"},
        {"hidden_layer_sizes": (128,)},
        {"dropout": 0.3},
    ),
    "icd10pcs": ({}, {"max_iter": 4}, {"max_iter": 4, "weight_decay": 1e-4}),
}
OURS = "hierarchical"


class Contestant(NamedTuple):
    measure: Callable[..., Answer]
    is_peer: bool = True


CONTESTANTS = {
    OURS: Contestant(hierarchical, is_peer=False),
    "hierarchical linear, siblings": Contestant(partial(linear, against="siblings"), is_peer=False),
    "PECOS XR-Linear": Contestant(pecos),
    "Omikuji": Contestant(omikuji),
    "napkinXC HSM": Contestant(napkinxc),
    "fastText hs": Contestant(partial(fasttext, lr=0.5, epoch=25)),
}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a contestant in this process, and write what it predicts."""
    folder = Path(task["folder"])
    run = partial(CONTESTANTS[task["contestant"]].measure, **task["params"])
    found, before = run_warm(run, read(folder))
    np.save(folder / "y_top.npy", found.y_top)
    us = 1e6 * found.predict_seconds / len(found.y_top)
    return {"fit s": found.fit_seconds, "us predict": us, "MB before": before}


def run_warm(run: Callable[[Task], Answer], task: Task) -> tuple[Answer, float]:
    """Run with some samples first, so that what is compiled or loaded counts for nothing.

    Returns the memory that there was until then, too.
    """
    some = np.random.default_rng(0).permutation(len(task.y))[:N_WARM_UP]  # they may be sorted
    few = {name: getattr(task, name)[some] for name in ("X", "y", "texts")}
    asked = {name: getattr(task, name)[:N_WARM_UP] for name in ("X_test", "texts_test")}
    run(task._replace(**few, **asked))
    before = peak_memory()
    return run(task), before


def score(folder: Path) -> dict[str, float]:
    """Score what was predicted. A row without an answer counts as wrong."""
    from sklearn.metrics import f1_score

    rest, y_top = np.load(folder / "rest.npz"), np.load(folder / "y_top.npy")
    y_test, hierarchy = rest["y_test"], Hierarchy(rest["edges"].tolist())
    hits = y_top == y_test[:, None]
    wrong = ~hits[:, 0] & (y_top[:, 0] >= 0)
    nodes = hierarchy.node_indices(rest["labels"])
    distances = hierarchy.pair_distances(nodes[y_test[wrong]], nodes[y_top[wrong, 0]])
    return {
        "top-1": float(hits[:, 0].mean()),
        "top-5": float(hits.any(axis=1).mean()),
        # Over the classes of the test part: those of the training part alone cannot be found.
        "macro-F1": float(
            f1_score(
                y_test, y_top[:, 0], labels=np.unique(y_test), average="macro", zero_division=0
            )
        ),
        "distance": float(distances.mean()),
    }


class Prepared:
    """A folder with the features that were asked for last.

    ``make`` writes those of a key there.
    """

    def __init__(
        self, make: Callable[..., Any], data: Path | None, is_study: bool, folder: Path
    ) -> None:
        self.make, self.data, self.is_study, self.folder = make, data, is_study, folder
        self.asked: tuple[Any, ...] = ()
        self.made: Any = None

    def take(self, *key: Any) -> Any:
        """Write the features, if they are not there, and return what ``make`` has returned."""
        if key != self.asked:
            self.made = self.make(*key, self.data, self.is_study, self.folder)
            self.asked = key
        return self.made


def trials(
    prepared: Prepared, names: list[str], contestants: list[str], peers: str
) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield what is to be measured, and how."""
    for name in names:
        for contestant in contestants:
            settings = ({},)
            if contestant == OURS:
                changes = CANDIDATES[name] if prepared.is_study else ({},)
                settings = tuple(SETTINGS[name] | change for change in changes)
            for params in settings:
                what = {"data": name, "contestant": contestant, "params": params}
                what = json.loads(json.dumps(what))  # tuples are lists there
                yield what, partial(one, prepared, what, peers)


def one(prepared: Prepared, what: dict[str, Any], peers: str) -> dict[str, Any] | None:
    prepared.take(what["data"])
    python = peers if CONTESTANTS[what["contestant"]].is_peer else sys.executable
    return fit_and_score(__file__, prepared.folder, what, python)


def fit_and_score(
    script: str, folder: Path, what: dict[str, Any], python: str
) -> dict[str, Any] | None:
    """Have a process fit to what is in a folder, and score what it has written there."""
    found = ask(script, what | {"folder": str(folder)}, python, LIMIT)
    if found is None or "failed" in found:
        return found
    return found | score(folder)


COLUMNS = ("", "top-1", "top-5", "macro-F1", "distance", "fit s", "predict us", "MB", "added")


def report(results: list[dict[str, Any]]) -> None:
    """Print a table for each data set."""
    for name in NAMES:
        rows = []
        for row in results:
            scores = row["scores"]
            if row["data"] != name or scores is None:
                continue
            label = row["contestant"]
            if "failed" in scores:
                rows.append((label, *["-"] * 7, scores["failed"]))
                continue
            rows.append(
                (
                    label,
                    *(f"{100 * scores[key]:.1f}" for key in ("top-1", "top-5", "macro-F1")),
                    f"{scores['distance']:.2f}",
                    *(significant(scores[key]) for key in ("fit s", "us predict")),
                    f"{scores['MB']:.0f}",
                    f"{scores['MB'] - scores['MB before']:.0f}",
                )
            )
        if rows:
            print(f"\n{name}\n")
            print_table(COLUMNS, rows)


def print_study(results: list[dict[str, Any]]) -> None:
    """Print the candidates of each data set, the best first."""
    for name in NAMES:
        found = [row for row in results if row["data"] == name and "top-1" in row["scores"]]
        if not found:
            continue
        print(f"\n{name}, held-out rows\n")
        names = dict.fromkeys(key for row in found for key in row["params"])
        keys = [key for key in names if len({str(row["params"].get(key)) for row in found}) > 1]
        found.sort(key=lambda row: -row["scores"]["top-1"])
        print_table(
            (*keys, "top-1", "top-5", "fit s"),
            (
                (
                    *(str(row["params"].get(key, "")) for key in keys),
                    *(f"{100 * row['scores'][key]:.1f}" for key in ("top-1", "top-5")),
                    f"{row['scores']['fit s']:.0f}",
                )
                for row in found
            ),
        )


class Script(NamedTuple):
    """What a benchmark of contestants in processes of their own consists of.

    Those in pairs are for the test parts, and for the study of settings.
    """

    doc: str
    measure: Callable[[dict[str, Any]], dict[str, Any]]
    prepare: Callable[..., Any]
    trials: Callable[..., Iterator[tuple[dict[str, Any], Callable[[], Any]]]]
    names: tuple[Sequence[str], Sequence[str]]
    contestants: tuple[Iterable[str], Iterable[str]]
    reports: tuple[Callable[[list[dict[str, Any]]], None], ...]
    results: Path

    def main(self) -> None:
        """Read the command line, run what is not there yet, and print all."""
        parser = argparse.ArgumentParser(description=self.doc.splitlines()[0])
        parser.add_argument("names", nargs="*", help="data sets: " + ", ".join(self.names[0]))
        parser.add_argument("--data", type=Path, help="folder of the data sets")
        parser.add_argument("--study", action="store_true", help="how the settings were chosen")
        parser.add_argument("--out", type=Path, default=self.results)
        add_arguments(parser)
        args = parser.parse_args()
        if args.task:
            answer(args.task, self.measure)
            return
        file = args.out / ("study.json" if args.study else "test.json")
        wanted = args.only or [""]
        contestants = [
            name for name in self.contestants[args.study] if any(part in name for part in wanted)
        ]
        names = args.names or list(self.names[args.study])
        with tempfile.TemporaryDirectory() as folder:
            prepared = Prepared(self.prepare, args.data, args.study, Path(folder))
            todo = [] if args.report else self.trials(prepared, names, contestants, args.peers)
            for results in resume(file, todo, "scores"):
                if not args.report and results:
                    print(json.dumps(results[-1]), flush=True)
        self.reports[args.study](results)


if __name__ == "__main__":
    Script(
        __doc__,
        measure,
        prepare,
        trials,
        names=(NAMES, NAMES),
        contestants=(CONTESTANTS, [OURS]),
        reports=(report, print_study),
        results=RESULTS,
    ).main()
