"""HierarchicalLinearClassifier against what a user of tf-idf features has now.

    python benchmarks/linear.py --picture docs/_static/linear_curves.png

choices      the settings of LinearSVC and of the margins, of eight candidates each: for LinearSVC
             four values of C, with and without class weights, which it has for rare classes; for
             the margins two path weights, and four pairs of C and of what helps rare classes
tuned        both with these settings
calibration  log loss and calibration error, beside LinearSVC under CalibratedClassifierCV and
             LogisticRegression
embeddings   over the sentence embeddings of a small transformer, 384 numbers a text, all with their
             defaults (with the extra ``bench``)
curves       learning curves over rows per class, all with their defaults, with the flat softmax and
             HiClass (logistic regression for each parent; with the extra ``bench``)

Texts become tf-idf of words and pairs of words that occur at least twice in the training part,
sublinear, in float32. What is chosen is chosen on held-out training rows: in "choices" by the mean
of macro-F1 over three fifths of the rows, which are others for each seed; in "calibration" by log
loss on a fifth, between two values of C for each classifier. Then all training rows are learnt from
and the test part is asked once.
The margins first had other candidates: C of 0.3 and 1, and no class weights; then C of 1 and 3,
with a logit adjustment of 0.4 or class weights. After a look at what came of them on the test parts
they were replaced, at last by quick ones that did about best on held-out training rows of all sets.
CalibratedClassifierCV has 5 folds, or as many as the smallest class has rows, and refuses with
less than 2. LogisticRegression is too slow for a choice on the four largest sets, and has C=10
there.

What stands after a sign ± of a difference is its standard error over the test rows, from 500 draws
of them for what is tuned; elsewhere it is the standard deviation over seeds. Times are CPU seconds
of one thread. Every result is written to ``--out`` as soon as it is there, and a second run skips
what it finds. ``--report`` prints the tables of what is there.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
import torch
from _data import Data, load, minilm
from _measures import folds, measure
from _report import mean_sd, print_table, resume, save_picture, saved
from peers import MARGINS, HiClass, features
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import ParameterGrid
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from hierclf import FlatSoftmaxClassifier, HierarchicalLinearClassifier, Hierarchy
from hierclf.metrics import level_calibration_error

NAMES = ("trec", "r8", "r52", "hwu64", "amazon3", "goemotions", "20ng")
EMBEDDED = ("trec", "hwu64", "amazon3", "goemotions")
CURVES = ("trec", "hwu64", "r52", "amazon3")
SHOWN = ("macro-F1", "accuracy", "top accuracy")
MACHINE, ROUGH, OWN = "LinearSVC", "LinearSVC, tol=0.1", "margins"
CALIBRATED, LOGISTIC = "LinearSVC, calibrated", "LogisticRegression"
GRIDS = {
    MACHINE: {"C": [0.1, 0.3, 1.0, 3.0], "class_weight": [None, "balanced"]},
    OWN: MARGINS,
}
# For probabilities.
PENALTIES = {OWN: (0.3, 1.0), CALIBRATED: (0.3, 1.0), LOGISTIC: (3.0, 30.0)}
TOO_SLOW = {(name, LOGISTIC): (10.0,) for name in ("r52", "amazon3", "goemotions", "20ng")}
PROBABILITIES = ("log loss", "top log loss", "ECE", "top ECE")
MOST_FOLDS = 5
N_FIFTHS = 3
ROWS_PER_CLASS = (1, 2, 5, 10, 20)
N_DRAWS = 500


@lru_cache(maxsize=1)
def read(name: str) -> tuple[Data, Any, Any]:
    """Return a data set, and the features of both parts."""
    data = load(name)
    return data, *features(data)


def fit(model: Any, X: Any, y: np.ndarray) -> tuple[Any, float]:
    """Return the fitted model and the CPU seconds that it took."""
    start = time.process_time()
    fitted = model.fit(X, y)
    return fitted, time.process_time() - start


def fit_all(
    models: dict[str, Any], X: Any, y: np.ndarray, X_test: Any, data: Data
) -> dict[str, dict[str, float]]:
    """Fit each model, and score what it says of the test part."""
    found = {}
    for kind, model in models.items():
        fitted, seconds = fit(model, X, y)
        scores = measure(data.hierarchy, data.y_test, fitted.predict(X_test))
        found[kind] = {score: scores[score] for score in SHOWN} | {"fit s": seconds}
    return found


# Tuned against tuned.


def build(kind: str, hierarchy: Hierarchy, seed: int, settings: dict[str, Any]) -> Any:
    if kind == OWN:
        return HierarchicalLinearClassifier(hierarchy, **settings)
    return LinearSVC(random_state=seed, **settings)


def choose(name: str, kind: str, seed: int) -> dict[str, Any]:
    """Return the settings of the best macro-F1 on held-out training rows."""
    data, X, _ = read(name)
    y = data.y_train
    candidates = list(ParameterGrid(GRIDS[kind]))
    scores = np.zeros(len(candidates))
    for train, valid in itertools.islice(folds(y, 5, seed), N_FIFTHS):
        for place, settings in enumerate(candidates):
            fitted = build(kind, data.hierarchy, seed, settings).fit(X[train], y[train])
            labels = fitted.predict(X[valid])
            scores[place] += f1_score(y[valid], labels, average="macro", zero_division=0)
    return candidates[int(np.argmax(scores))]


def tune(name: str, seed: int, choices: Path) -> dict[str, Any] | None:
    """Fit both on all training rows, and ask for the test part."""
    chosen = {
        row["model"]: row["scores"]
        for row in saved(choices).get("results", [])
        if (row["data"], row["seed"]) == (name, seed)
    }
    if len(chosen) < len(GRIDS):
        return None
    data, X, X_test = read(name)
    found: dict[str, Any] = {}
    predicted = {}
    for model, kind, settings in (
        (MACHINE, MACHINE, chosen[MACHINE]),
        (ROUGH, MACHINE, chosen[MACHINE] | {"tol": 0.1}),
        (OWN, OWN, chosen[OWN]),
    ):
        fitted, seconds = fit(build(kind, data.hierarchy, seed, settings), X, data.y_train)
        predicted[model] = fitted.predict(X_test)
        scores = measure(data.hierarchy, data.y_test, predicted[model])
        found[model] = {score: scores[score] for score in SHOWN} | {"fit s": seconds}
    errors = standard_errors(data.hierarchy, data.y_test, predicted[OWN], predicted[MACHINE])
    return found | {"standard error": errors}


def standard_errors(hierarchy: Hierarchy, y_true: Any, first: Any, second: Any) -> dict[str, float]:
    """Return those of the differences between two predictions, from draws of the test rows."""
    labels, codes = np.unique([y_true, first, second], return_inverse=True)
    true, *both = codes.reshape(3, -1)
    _, top = np.unique(hierarchy.paths_from_leaves(labels)[:, 0], return_inverse=True)

    def scores(codes: np.ndarray, weight: np.ndarray) -> list[float]:
        hit = codes == true
        counts = [
            np.bincount(label[rows], weight[rows], len(labels))
            for label, rows in ((true, hit), (true, slice(None)), (codes, slice(None)))
        ]
        both = counts[1] + counts[2]
        f1 = (2 * counts[0][both > 0] / both[both > 0]).mean()
        return [f1, weight @ hit / len(true), weight @ (top[codes] == top[true]) / len(true)]

    rng = np.random.default_rng(0)
    differences = []
    for _ in range(N_DRAWS):
        weight = np.bincount(rng.integers(len(true), size=len(true)), minlength=len(true)) * 1.0
        own, other = (scores(codes, weight) for codes in both)
        differences.append(np.subtract(own, other))
    errors = np.std(differences, axis=0, ddof=1)
    return dict(zip(SHOWN, map(float, errors), strict=True))


# Probabilities.


def probabilities(kind: str, hierarchy: Hierarchy, penalty: float, y: np.ndarray) -> Any:
    if kind == OWN:
        return HierarchicalLinearClassifier(hierarchy, C=penalty)
    if kind == LOGISTIC:
        return LogisticRegression(C=penalty, max_iter=200)
    n_folds = int(min(MOST_FOLDS, np.unique(y, return_counts=True)[1].min()))
    return CalibratedClassifierCV(LinearSVC(C=penalty, random_state=0), cv=max(2, n_folds))


def log_losses(model: Any, X: Any, y: np.ndarray) -> np.ndarray:
    """Return the loss of each row."""
    proba = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return -np.log(np.maximum(proba, np.finfo(np.float32).tiny))


def calibrate(name: str) -> dict[str, Any]:
    """Choose C, fit on all training rows, and look at the probabilities of the test part."""
    data, X, X_test = read(name)
    y, y_test, hierarchy = data.y_train, data.y_test, data.hierarchy
    train, valid = next(folds(y, 5, 0))
    found: dict[str, Any] = {}
    losses: dict[str, list[np.ndarray]] = {}
    for kind, penalties in PENALTIES.items():
        candidates = TOO_SLOW.get((name, kind), penalties)
        try:
            scores = []
            for penalty in candidates if len(candidates) > 1 else ():
                model = probabilities(kind, hierarchy, penalty, y[train])
                fitted = model.fit(X[train], y[train])
                scores.append(log_losses(fitted, X[valid], y[valid]).mean())
            penalty = candidates[int(np.argmin(scores))] if scores else candidates[0]
            fitted, seconds = fit(probabilities(kind, hierarchy, penalty, y), X, y)
        except ValueError as error:
            if kind != CALIBRATED:
                raise
            found[kind] = {"refused": str(error)}
            continue
        proba, classes = fitted.predict_proba(X_test), fitted.classes_
        top = hierarchy.aggregate(proba, classes, 0)
        column = {node: place for place, node in enumerate(hierarchy.level_classes(0).tolist())}
        tops = [column[node] for node in hierarchy.paths_from_leaves(y_test)[:, 0].tolist()]
        of_top = np.maximum(top[np.arange(len(tops)), tops], np.finfo(np.float32).tiny)
        losses[kind] = [log_losses(fitted, X_test, y_test), -np.log(of_top)]
        errors = (
            level_calibration_error(
                y_test, proba, hierarchy=hierarchy, level=level, labels=classes, n_bins=15
            )
            for level in ("leaf", 0)
        )
        values = (*(loss.mean() for loss in losses[kind]), *errors)
        found[kind] = dict(zip(PROBABILITIES, map(float, values), strict=True))
        found[kind] |= {"fit s": seconds, "C": penalty}
        if kind != OWN:
            found[kind]["standard error"] = [
                float((own - other).std(ddof=1) / len(own) ** 0.5)
                for own, other in zip(losses[OWN], losses[kind], strict=True)
            ]
    return found


# Over embeddings.


def embed(texts: Any) -> np.ndarray:
    """Return the mean of the token vectors of each text, of length 1."""
    from transformers import AutoModel, AutoTokenizer

    folder = minilm()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    found = np.empty((len(texts), model.config.hidden_size), np.float32)
    by_length = np.argsort([len(text) for text in texts])
    with torch.inference_mode():
        for rows in np.split(by_length, range(64, len(texts), 64)):
            tokens = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=128,
                return_tensors="pt",
            )
            is_token = tokens["attention_mask"].unsqueeze(2)
            total = (model(**tokens).last_hidden_state * is_token).sum(1)
            found[rows] = torch.nn.functional.normalize(total, dim=1).numpy()
    return found


def over_embeddings(name: str) -> dict[str, dict[str, float]] | None:
    """Fit all classifiers with their defaults to the embeddings of the training part."""
    if minilm() is None:
        return None
    data = load(name)
    X, X_test = embed(data.X_train), embed(data.X_test)
    models = {
        OWN: HierarchicalLinearClassifier(data.hierarchy),
        MACHINE: LinearSVC(random_state=0),
        ROUGH: LinearSVC(random_state=0, tol=0.1),
        LOGISTIC: LogisticRegression(max_iter=1000),
    }
    return fit_all(models, X, data.y_train, X_test, data)


# Learning curves.


def learn(name: str, n_rows: int, seed: int) -> dict[str, dict[str, float]]:
    """Fit all classifiers on some rows of each class, or on all of it if it has fewer."""
    data, X, X_test = read(name)
    y, hierarchy = data.y_train, data.hierarchy
    order = np.random.default_rng(seed).permutation(len(y))
    rows = np.concatenate([order[y[order] == label][:n_rows] for label in np.unique(y)])
    models = {
        OWN: HierarchicalLinearClassifier(hierarchy),
        MACHINE: LinearSVC(random_state=seed),
        "flat softmax": FlatSoftmaxClassifier(hierarchy, random_state=seed),
    }
    if find_spec("hiclass"):
        models["HiClass"] = HiClass("LocalClassifierPerParentNode", hierarchy)
    return fit_all(models, X[rows], y[rows], X_test, data)


# What to run, and what to print.

Trials = Iterator[tuple[dict[str, Any], Callable[[], Any]]]


def all_choices(names: list[str], n_seeds: int, out: Path) -> Trials:
    for seed, name, kind in itertools.product(range(n_seeds), names, GRIDS):
        yield {"data": name, "model": kind, "seed": seed}, partial(choose, name, kind, seed)


def tunings(names: list[str], n_seeds: int, out: Path) -> Trials:
    for seed, name in itertools.product(range(n_seeds), names):
        yield {"data": name, "seed": seed}, partial(tune, name, seed, out / "choices.json")


def calibrations(names: list[str], n_seeds: int, out: Path) -> Trials:
    for name in names:
        yield {"data": name}, partial(calibrate, name)


def embeddings(names: list[str], n_seeds: int, out: Path) -> Trials:
    for name in (name for name in EMBEDDED if name in names):
        yield {"data": name}, partial(over_embeddings, name)


def lessons(names: list[str], n_seeds: int, out: Path) -> Trials:
    for name in (name for name in CURVES if name in names):
        for n_rows, seed in itertools.product(ROWS_PER_CLASS, range(n_seeds)):
            what = {"data": name, "rows per class": n_rows, "seed": seed}
            yield what, partial(learn, name, n_rows, seed)


def print_choices(results: list[dict[str, Any]]) -> None:
    print("\nChosen on held-out training rows, by seed\n")
    rows = []
    for name, kind in itertools.product(NAMES, GRIDS):
        found = [r for r in results if (r["data"], r["model"]) == (name, kind)]
        settings = (
            ", ".join(f"{key}={value}" for key, value in sorted(row["scores"].items()) if value)
            for row in sorted(found, key=lambda row: row["seed"])
        )
        if found:
            rows.append((name, kind, "; ".join(dict.fromkeys(settings))))
    print_table(("data", "model", "settings"), rows)


def print_tuned(results: list[dict[str, Any]]) -> None:
    by_name = _by_data(results)
    print("\nTuned against tuned: points on the test part, mean and spread over seeds\n")
    rows = []
    for name, found in by_name.items():
        for model in (MACHINE, ROUGH, OWN):
            own = [row[model] for row in found]
            cells = (mean_sd([100 * scores[score] for scores in own], 1) for score in SHOWN)
            rows.append((name, model, *cells, f"{_mean(own, 'fit s'):.2f}"))
    print_table(("data", "model", *SHOWN, "fit s"), rows)
    print(
        "\nThe margins less LinearSVC: points and their standard error, and ratios of fit times\n"
    )
    rows = []
    for name, found in by_name.items():
        cells = []
        for score in SHOWN:
            gain = 100 * np.mean([row[OWN][score] - row[MACHINE][score] for row in found])
            error = 100 * np.mean([row["standard error"][score] for row in found])
            cells.append(f"{gain:+.1f} ± {error:.1f}")
        own, *others = (
            _mean([row[model] for row in found], "fit s") for model in (OWN, MACHINE, ROUGH)
        )
        rows.append((name, *cells, *(f"{own / other:.2f}" for other in others), len(found)))
    print_table(("data", *SHOWN, "time", "time, tol=0.1", "seeds"), rows)


def print_calibration(results: list[dict[str, Any]]) -> None:
    print("\nProbabilities: log loss and calibration error, of classes and of the top level\n")
    rows = []
    for name, (found,) in _by_data(results).items():
        for kind, scores in found.items():
            if "refused" in scores:
                rows.append((name, kind, "", "refuses", *[""] * 4))
                continue
            values = (f"{scores[score]:.3f}" for score in PROBABILITIES)
            rows.append((name, kind, f"{scores['C']:g}", *values, f"{scores['fit s']:.2f}"))
    print_table(("data", "model", "C", *PROBABILITIES, "fit s"), rows)
    print("\nLog loss of the margins less that of the others, and its standard error\n")
    rows = []
    for name, (found,) in _by_data(results).items():
        cells = []
        for kind, place in itertools.product((CALIBRATED, LOGISTIC), (0, 1)):
            if "refused" in found[kind]:
                cells.append("refuses")
                continue
            score = PROBABILITIES[place]
            gain = found[OWN][score] - found[kind][score]
            cells.append(f"{gain:+.3f} ± {found[kind]['standard error'][place]:.3f}")
        rows.append((name, *cells))
    kinds = (CALIBRATED, "top", LOGISTIC, "top")
    print_table(("data", *kinds), rows)


def print_embeddings(results: list[dict[str, Any]]) -> None:
    print("\nOver sentence embeddings, defaults against defaults: points on the test part\n")
    rows = []
    for name, (found,) in _by_data(results).items():
        for kind, scores in found.items():
            cells = (f"{100 * scores[score]:.1f}" for score in SHOWN)
            ratio = f"{scores['fit s'] / found[MACHINE]['fit s']:.2f}"
            rows.append((name, kind, *cells, f"{scores['fit s']:.2f}", ratio))
    print_table(("data", "model", *SHOWN, "fit s", "time"), rows)


def print_curves(results: list[dict[str, Any]]) -> None:
    for score in ("macro-F1", "top accuracy"):
        print(f"\nRows per class: {score} on the test part, mean and spread over seeds\n")
        rows = []
        for name, found in _by_rows(results).items():
            for n_rows, trials in found.items():
                cells = (
                    mean_sd([100 * trial[kind][score] for trial in trials], 1) for kind in trials[0]
                )
                rows.append((name, n_rows, *cells))
                kinds = list(trials[0])
        print_table(("data", "rows", *kinds), rows)
    print("\nRows per class: points of the margins less the others, trained on the same rows\n")
    rows = []
    others = kinds[1:]
    for name, found in _by_rows(results).items():
        for n_rows, trials in found.items():
            gains = (
                [100 * (trial[OWN][score] - trial[other][score]) for trial in trials]
                for other, score in itertools.product(others, ("macro-F1", "top accuracy"))
            )
            rows.append((name, n_rows, *(_signed(gain) for gain in gains)))
    columns = (column for other in others for column in (other, "top"))
    print_table(("data", "rows", *columns), rows)


def _signed(values: list[float]) -> str:
    found = mean_sd(values, 1)
    return found if found.startswith("-") else f"+{found}"


def _mean(rows: list[dict[str, float]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _by_data(results: list[dict[str, Any]]) -> dict[str, list[Any]]:
    by_name = {name: [r["scores"] for r in results if r["data"] == name] for name in NAMES}
    return {name: found for name, found in by_name.items() if found}


def _by_rows(results: list[dict[str, Any]]) -> dict[str, dict[int, list[Any]]]:
    found: dict[str, dict[int, list[Any]]] = {}
    for row in results:
        of_name = found.setdefault(row["data"], {})
        of_name.setdefault(row["rows per class"], []).append(row["scores"])
    return found


def picture(results: list[dict[str, Any]], file: Path) -> None:
    """Draw the learning curves: classes above, the top level below."""
    found = _by_rows(results)
    figure, grid = plt.subplots(
        2, len(found), figsize=(11, 5), layout="constrained", squeeze=False, sharex="col"
    )
    looks = {OWN: ("tab:blue", "o"), MACHINE: ("tab:orange", "s"), "flat softmax": ("0.4", "^")}
    looks["HiClass"] = ("tab:green", "v")
    for line, score in zip(grid, ("macro-F1", "top accuracy"), strict=True):
        line[0].set_ylabel(score)
        for axes, (name, of_name) in zip(line, found.items(), strict=True):
            places = np.arange(len(of_name))
            for kind in next(iter(of_name.values()))[0]:
                scores = [[trial[kind][score] for trial in trials] for trials in of_name.values()]
                mean, sd = (np.array([f(some) for some in scores]) for f in (np.mean, np.std))
                color, marker = looks[kind]
                label = "HierarchicalLinearClassifier" if kind == OWN else kind
                axes.plot(places, mean, color=color, marker=marker, ms=4, label=label)
                axes.fill_between(places, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
            axes.set_xticks(places, list(of_name))
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
            if score == "macro-F1":
                axes.set_title(name, fontsize=10)
    grid[0, 0].legend(frameon=False, fontsize=8)
    figure.supxlabel("rows per class", fontsize=10)
    save_picture(figure, file)


PARTS = {
    "choices": (all_choices, print_choices),
    "tuned": (tunings, print_tuned),
    "calibration": (calibrations, print_calibration),
    "embeddings": (embeddings, print_embeddings),
    "curves": (lessons, print_curves),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--names", nargs="+", default=list(NAMES), help="data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/linear"))
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    parser.add_argument("--picture", type=Path, help="draw the learning curves there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", "The number of unique classes")  # few rows per class
    files = {part: args.out / f"{part}.json" for part in PARTS}
    if not args.report:
        sparse = sp.eye_array(100, format="csr", dtype=np.float32)
        for X in (sparse, sparse.toarray()):  # compiles the loops
            HierarchicalLinearClassifier().fit(X, np.arange(100) % 2)
    for part in [] if args.report else args.parts or PARTS:
        with threadpool_limits(1):
            trials = PARTS[part][0](args.names, args.seeds, args.out)
            for results in resume(files[part], trials, "scores"):
                if results:
                    print(results[-1], flush=True)
    for part, file in files.items():
        if results := saved(file).get("results"):
            PARTS[part][1](results)
    if args.picture:
        picture(saved(files["curves"])["results"], args.picture)


if __name__ == "__main__":
    main()
