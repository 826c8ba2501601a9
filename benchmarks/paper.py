"""The paper's experiment: flat against hierarchical softmax over LSTM and BiLSTM encoders.

    python benchmarks/paper.py trec r8 r52 20ng

Tables 1 to 4 of "Global Hierarchical Neural Networks using Hierarchical Softmax"
(arXiv 2308.01210). For each cell (data set, encoder, softmax) the hidden size is chosen by
macro-F1 in 4-fold cross-validation on the training part (20 Newsgroups: on one stratified
fifth of it); then the network is trained once per seed and asked once for the test part.
Each training, those of the cross-validation included, holds a tenth of its rows out, stops when
their macro-F1 has not improved for five epochs, and keeps the best weights. Adam 1e-3, dropout 0.5
on the encoded text, gradients clipped to a norm of 5, words that occur in at least two training
texts, cut at 256 tokens; recurrent layers compute in bfloat16, for time.

Every trained network is written to ``--out`` as soon as it is done, one file per cell, and a
second run goes on from there. ``--report`` prints the tables of what is there.

``--vectors`` takes GloVe or word2vec files; without it the word vectors are drawn at random.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _data import Data, load
from _measures import MEASURES, folds, measure
from _report import mean_sd, print_table, save, save_picture, saved
from scipy.stats import t, ttest_1samp
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from skorch.callbacks import Callback, GradientNormClipping

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.encoders import LSTMEncoder
from hierclf.text import SequenceVectorizer, WordVectors, load_word_vectors

NAMES = ("trec", "r8", "r52", "20ng")
ENCODERS = {"LSTM": False, "BiLSTM": True}
HEADS = {"flat": FlatSoftmaxClassifier, "hierarchical": HierarchicalSoftmaxClassifier}
HIDDEN_SIZES = (50, 100, 150)
# The authors' batch of 10 would take days on a processor.
BATCH_SIZES = {"trec": 32, "r8": 32, "r52": 32, "20ng": 64}
MAX_EPOCHS = {"trec": 60, "r8": 30, "r52": 30, "20ng": 15}
SEEDS = {"trec": 5, "r8": 5, "r52": 5, "20ng": 3}
# What the paper reports for its hierarchical BiLSTM, in percent: macro-F1 and accuracy; and the
# accuracy it quotes as the state of the art.
PAPER = {
    "trec": (74.3, 86.0, 97.2),
    "r8": (92.9, 97.8, 97.8),
    "r52": (64.4, 93.4, 95.0),
    "20ng": (82.5, 82.9, 88.5),
}


class BestMacroF1(Callback):
    """Stop when macro-F1 on the held-out rows stands still, and keep the best weights.

    The loss on them is least long before: it counts how sure the network is where it is wrong.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.best_, self.epoch_ = -1.0, 0

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **kwargs: Any) -> None:
        truth = dataset_valid.target.numpy()
        found = f1_score(truth, net.predict(dataset_valid), average="macro", zero_division=0)
        epoch = len(net.history)
        if found > self.best_:
            self.best_, self.epoch_ = found, epoch
            self.weights_ = copy.deepcopy(net.module_.state_dict())
        elif epoch - self.epoch_ >= self.patience:
            raise KeyboardInterrupt  # how a skorch callback ends a training

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.weights_)


def train_and_predict(
    data: Data, cell: dict[str, str], size: int, rows: np.ndarray, X: Any, seed: int, vectors: Any
) -> tuple[np.ndarray, int]:
    """Train one network on some training rows; return its predictions and epochs."""
    name = cell["data"]
    vectorizer = SequenceVectorizer(min_df=2, max_length=256).fit(data.X_train[rows])
    matrix = vectors.matrix(vectorizer, random_state=seed).astype("f4") if vectors else None
    encoder = LSTMEncoder(
        size,
        bidirectional=ENCODERS[cell["encoder"]],
        word_vectors=matrix,
        dropout=0.5,
        precision="bfloat16",
    )
    classifier = HEADS[cell["softmax"]](
        data.hierarchy,
        encoder=encoder,
        optimizer="adam",
        weight_decay=0.0,
        batch_size=BATCH_SIZES[name],
        max_iter=MAX_EPOCHS[name],
        early_stopping=True,
        n_iter_no_change=MAX_EPOCHS[name],  # not by the loss
        callbacks=[GradientNormClipping(5), BestMacroF1()],
        random_state=seed,
    )
    model: Pipeline = make_pipeline(vectorizer, classifier).fit(
        data.X_train[rows], data.y_train[rows]
    )
    return model.predict(X), classifier.n_iter_


def run_cell(data: Data, cell: dict[str, str], file: Path, vectors: Any) -> None:
    """Go on with a cell from wherever its file says it is."""
    done: dict[str, Any] = {**cell, "cv": {}, "tests": {}, "seconds": 0.0, "vectors": repr(vectors)}
    done |= saved(file)
    if done["vectors"] != repr(vectors):
        raise SystemExit(
            f"{file} has results with {done['vectors']}, this run has {vectors}: give it a "
            "folder of its own with --out"
        )

    def fit(size: int, rows: np.ndarray, valid_or_test: Any, seed: int) -> tuple[np.ndarray, int]:
        start = time.perf_counter()
        result = train_and_predict(data, cell, size, rows, valid_or_test, seed, vectors)
        done["seconds"] += time.perf_counter() - start
        return result

    def save_cell(what: str) -> None:
        save(file, done)
        print(f"{' '.join(cell.values())}: {what}  [{done['seconds'] / 3600:.2f} h]", flush=True)

    y = data.y_train
    if cell["data"] == "20ng":
        rows = np.arange(len(y))
        splits = [train_test_split(rows, test_size=0.2, stratify=y, random_state=0)]
    else:
        splits = list(folds(y, 4, seed=0))
    for size in HIDDEN_SIZES:
        scores = done["cv"].setdefault(str(size), [])
        for train, valid in splits[len(scores) :]:
            predicted, epochs = fit(size, train, data.X_train[valid], seed=0)
            scores.append(measure(data.hierarchy, y[valid], predicted)["macro-F1"])
            save_cell(f"{size} units, fold {len(scores)}: {scores[-1]:.3f} after {epochs} epochs")
    size = max(HIDDEN_SIZES, key=lambda size: np.mean(done["cv"][str(size)]))
    done["hidden_size"] = size
    for seed in range(SEEDS[cell["data"]]):
        if str(seed) not in done["tests"]:
            predicted, epochs = fit(size, np.arange(len(y)), data.X_test, seed)
            found = measure(data.hierarchy, data.y_test, predicted)
            done["tests"][str(seed)] = found | {"epochs": epochs}
            quality = f"{found['macro-F1']:.3f} macro-F1, {found['accuracy']:.3f} accuracy"
            save_cell(f"seed {seed}: {quality}")


def report(cells: list[dict[str, Any]]) -> None:
    """Print a table for each data set, and what tells flat from hierarchical."""
    for name in NAMES:
        found = [cell for cell in cells if cell["data"] == name and cell["tests"]]
        if not found:
            continue
        print(f"\n{name}: {found[0]['vectors']}\n")
        rows = [
            (
                f"{cell['encoder']} {cell['softmax']}",
                cell["hidden_size"],
                *(mean_sd([t[m] for t in cell["tests"].values()]) for m in MEASURES),
                len(cell["tests"]),
                f"{cell['seconds'] / 3600:.1f}",
            )
            for cell in found
        ]
        macro_f1, accuracy, best = (value / 100 for value in PAPER[name])
        blank = ("",) * 2
        rows += [
            (
                "paper, BiLSTM hier.",
                "",
                f"{macro_f1:.3f}",
                *blank,
                f"{accuracy:.3f}",
                *blank,
                "",
                "",
            ),
            ("paper, best known", "", "", *blank, f"{best:.3f}", *blank, "", ""),
        ]
        print_table(("", "units", *MEASURES, "seeds", "hours"), rows)
        for encoder in ENCODERS:
            gains = differences(found, name, encoder)
            if gains:
                print(f"\n{encoder}, hierarchical minus flat, {len(gains['accuracy'])} seeds:")
            for m, gain in gains.items():
                p = float(ttest_1samp(gain, 0).pvalue)
                verdict = "" if p < 0.05 else "  within the noise"
                print(f"  {m:<14}{mean_sd(gain)}  p = {p:.3f}{verdict}")


def differences(cells: list[dict[str, Any]], name: str, encoder: str) -> dict[str, np.ndarray]:
    """Subtract flat from hierarchical, measure by measure, for each seed that both have."""
    pair = {
        cell["softmax"]: cell["tests"]
        for cell in cells
        if (cell["data"], cell["encoder"]) == (name, encoder)
    }
    seeds = sorted(set.intersection(*map(set, pair.values()))) if len(pair) == 2 else []
    if len(seeds) < 2:
        return {}
    flat, tree = ({m: [pair[h][s][m] for s in seeds] for m in MEASURES} for h in HEADS)
    return {m: np.subtract(tree[m], flat[m]) for m in MEASURES}


def picture(cells: list[dict[str, Any]], file: Path) -> None:
    """Draw what the hierarchical softmax gains, seed by seed, with 95 % intervals of the mean."""
    rows = {
        f"{name}, {encoder}": gains
        for name in NAMES
        for encoder in ENCODERS
        if (gains := differences(cells, name, encoder))
    }
    shown = ("macro-F1", "accuracy", "top accuracy", "distance")
    figure, grid = plt.subplots(
        1, len(shown), figsize=(10, 0.6 + 0.34 * len(rows)), layout="constrained", sharey=True
    )
    for axes, m in zip(grid, shown, strict=True):
        for place, gains in enumerate(rows.values()):
            gain = gains[m]
            half = t.ppf(0.975, len(gain) - 1) * np.std(gain, ddof=1) / len(gain) ** 0.5
            axes.scatter(gain, [place] * len(gain), color="0.75", s=9)
            axes.errorbar(np.mean(gain), place, xerr=half, color="tab:blue", marker="o", ms=5)
        axes.axvline(0, color="0.4", lw=0.8)
        axes.set_title(m + (" (less is better)" if m == "distance" else ""), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_yticks(range(len(rows)), rows)
    grid[0].invert_yaxis()
    figure.supxlabel("hierarchical minus flat", fontsize=9)
    save_picture(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder of the data sets; None downloads them")
    parser.add_argument("--vectors", type=Path, help="word vectors: GloVe, word2vec or npz")
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=[*ENCODERS])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/paper"))
    parser.add_argument("--report", action="store_true", help="only print the tables")
    parser.add_argument("--picture", type=Path, help="draw the differences there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # classes of one row in the held-out tenth
    vectors: WordVectors | None = load_word_vectors(args.vectors) if args.vectors else None
    for name in [] if args.report else args.names:
        data = load(name, args.data)
        for encoder in args.encoders:
            for softmax in HEADS:
                cell = {"data": name, "encoder": encoder, "softmax": softmax}
                run_cell(data, cell, args.out / f"{'-'.join(cell.values())}.json", vectors)
    files = sorted(args.out.glob("*.json"))
    cells = [json.loads(file.read_text("utf-8")) for file in files]
    report(cells)
    if args.picture:
        picture(cells, args.picture)


if __name__ == "__main__":
    main()
