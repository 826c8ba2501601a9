"""Several labels per sample: the table of C-HMCNN, by its protocol.

    python benchmarks/hmc.py --data ~/hmc                      # all sets there, all methods
    python benchmarks/hmc.py cellcycle_FUN --only MCLoss       # some of both
    python benchmarks/hmc.py --report                          # print what is there

The protocol is that of E. Giunchiglia and T. Lukasiewicz, "Coherent Hierarchical Multi-Label
Classification Networks", NeurIPS 2020, as their public code has it: a missing number is the mean
of its column in the same file; features are standardised by training and validation rows together;
two hidden layers of a size and a number of epochs that the authors chose for each set; dropout 0.7;
Adam with an L2 penalty of 1e-5, a rate of 1e-4 (1e-5 outside of the genes) and batches of 4;
trained on training and validation rows, scored on the test file by micro-averaged average
precision, AU(PRC). The three roots of the Gene Ontology do not count in the score.

"plain" has no constraint, "at prediction" is the same network with the max-constraint over its
predictions, and "MCLoss" has it in the loss, too: C-HMCNN(h). "MCLoss, batches of 32" is the same
in larger steps: eight times the batch at four times the rate, in the same number of epochs.
"HMCN-F" and "HMCN-R" (Wehrmann et al., ICML 2018) have 384 units and batches of 32, and as many
epochs as are best for a held-out third of the training rows; their predictions are closed by the
max-constraint. "ours" is the mean of five networks of "MCLoss, batches of 32". That five are better
than one was found on the validation files, after training on the training files alone: "validation"
has both.

The data are the functional genomics sets of CLUS and the sets of Enron and ImCLEF, one folder each
with train.arff, valid.arff (or none) and test.arff, which may be compressed; --data is the folder
that holds them, HIERCLF_DATA/hmc by default. Published columns are as printed by C-HMCNN. Every
result is written as soon as it is there, and a second run goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _report import mean_sd, print_table, resume
from sklearn.metrics import average_precision_score

from hierclf import HierarchicalMultilabelClassifier, Hierarchy
from hierclf.datasets import load_arff_hierarchy
from hierclf.metrics import consistency_score

# Size of the hidden layers and number of epochs, as published.
SETTINGS = {
    "cellcycle_FUN": (500, 106),
    "derisi_FUN": (500, 67),
    "gasch1_FUN": (1000, 42),
    "gasch2_FUN": (500, 123),
    "seq_FUN": (2000, 13),
    "spo_FUN": (250, 115),
    "Enron_corr": (1000, 133),
    "cellcycle_GO": (1000, 62),
    "derisi_GO": (500, 91),
    "gasch2_GO": (500, 177),
    "spo_GO": (500, 103),
    "ImCLEF07D": (1000, 588),
    "ImCLEF07A": (1000, 592),
}
# AU(PRC): C-HMCNN(h), HMCN-F, HMCN-R, Clus-Ens.
PUBLISHED = {
    "cellcycle_FUN": (0.255, 0.252, 0.247, 0.227),
    "derisi_FUN": (0.195, 0.193, 0.189, 0.187),
    "gasch1_FUN": (0.286, 0.284, 0.283, 0.267),
    "gasch2_FUN": (0.258, 0.254, 0.249, 0.231),
    "seq_FUN": (0.292, 0.291, 0.290, 0.284),
    "spo_FUN": (0.215, 0.211, 0.210, 0.211),
    "Enron_corr": (0.756, 0.724, 0.710, 0.696),
    "cellcycle_GO": (0.413, 0.400, 0.395, 0.387),
    "derisi_GO": (0.370, 0.369, 0.368, 0.361),
    "gasch2_GO": (0.414, 0.465, 0.463, 0.395),
    "spo_GO": (0.382, 0.376, 0.375, 0.371),
    "ImCLEF07D": (0.927, 0.920, 0.897, 0.881),
    "ImCLEF07A": (0.956, 0.950, 0.904, 0.803),
}
NOT_SCORED = ("GO0003674", "GO0005575", "GO0008150")
RESULTS = Path("benchmarks/results/hmc.json")
N_VOTES = 5


class Split(NamedTuple):
    """Standardised features and indicator matrices of a set; ``scored`` are columns."""

    hierarchy: Hierarchy
    X: np.ndarray
    y: Any
    X_test: np.ndarray
    y_test: np.ndarray
    scored: np.ndarray


@cache
def read(folder: Path, parts: tuple[str, ...] = ("train", "valid", "test")) -> Split:
    """Read a set, and prepare it as the protocol says; the last of the parts is asked for."""
    paths = {part: file_of(folder, part) for part in parts}
    files = {part: load_arff_hierarchy(path) for part, path in paths.items() if path}
    hierarchy = files["train"].hierarchy
    rows = {part: filled(bunch.data) for part, bunch in files.items()}
    training = [part for part in parts[:-1] if part in files]
    X = np.concatenate([rows[part] for part in training])
    mean, sd = X.mean(axis=0), X.std(axis=0)
    sd[sd == 0] = 1
    labels = [row for part in training for row in files[part].target]
    X, X_test = (((part - mean) / sd).astype(np.float32) for part in (X, rows[parts[-1]]))
    return Split(
        hierarchy,
        X,
        hierarchy.to_indicator(labels),
        X_test,
        np.asarray(hierarchy.to_indicator(files[parts[-1]].target)),
        np.flatnonzero([node not in NOT_SCORED for node in hierarchy.nodes]),
    )


def file_of(folder: Path, part: str) -> Path | None:
    """Return the file of a part, if there is one."""
    paths = (folder / f"{part}.arff{end}" for end in ("", ".gz"))
    return next((path for path in paths if path.exists()), None)


def filled(X: np.ndarray) -> np.ndarray:
    """Put the mean of its column in place of what is missing; 0 where all is missing."""
    is_missing = np.isnan(X)
    counts = np.maximum((~is_missing).sum(axis=0), 1)
    means = np.where(is_missing, 0, X).sum(axis=0) / counts
    return np.where(is_missing, means, X)


def fit(name: str, data: Split, seed: int, **params: Any) -> HierarchicalMultilabelClassifier:
    """Train a network by the protocol, but for some parameters."""
    size, n_epochs = SETTINGS[name]
    is_genes = name.endswith(("_FUN", "_GO"))
    rate = (1e-4 if is_genes else 1e-5) * params.pop("rate", 1)
    defaults = {
        "hidden_layer_sizes": (size, size),
        "dropout": 0.7,
        "optimizer": "adam",
        "learning_rate_init": rate,
        "weight_decay": 1e-5,
        "batch_size": 4,
        "max_iter": n_epochs,
        "n_iter_no_change": n_epochs,
        "random_state": seed,
    }
    classifier = HierarchicalMultilabelClassifier(data.hierarchy, **(defaults | params))
    return classifier.fit(data.X, data.y)


def area(data: Split, proba: np.ndarray) -> float:
    """Return AU(PRC), micro-averaged over the nodes that count."""
    columns = data.scored
    true, found = data.y_test[:, columns], proba[:, columns]
    return float(average_precision_score(true, found, average="micro"))


def violations(data: Split, proba: np.ndarray) -> int:
    """Count the pairs of a parent and a child of which the child is the likelier."""
    arrays = data.hierarchy.arrays
    below = arrays.edge_parents >= 0
    parents, children = arrays.edge_parents[below], arrays.edge_children[below]
    return int((proba[:, children] > proba[:, parents]).sum())


def plain(name: str, data: Split, seed: int, **params: Any) -> dict[str, Any]:
    """Train without the constraint; score with it at prediction, too."""
    start = time.process_time()
    classifier = fit(name, data, seed, constraint=None, **params)
    seconds = time.process_time() - start
    proba = classifier.predict_proba(data.X_test)
    import torch

    closed = classifier.net_.module_.head.constraint(torch.from_numpy(proba)).numpy()
    return {
        "AU(PRC)": area(data, proba),
        "closed": area(data, closed),
        "violations": violations(data, proba),
        "closed violations": violations(data, closed),
        "consistency": consistency_score((proba >= 0.5).astype(int), hierarchy=data.hierarchy),
        "seconds": seconds,
    }


def constrained(
    name: str, data: Split, seed: int, *, mode: str = "loss", **params: Any
) -> dict[str, Any]:
    """Train with the constraint in the loss, or at prediction."""
    start = time.process_time()
    classifier = fit(name, data, seed, constraint=mode, **params)
    seconds = time.process_time() - start
    proba = classifier.predict_proba(data.X_test)
    return {"AU(PRC)": area(data, proba), "violations": violations(data, proba)} | {
        "epochs": classifier.n_iter_,
        "seconds": seconds,
    }


def votes(name: str, data: Split, seed: int, **params: Any) -> dict[str, Any]:
    """Average the probabilities of some networks."""
    start = time.process_time()
    proba, alone = np.zeros(data.y_test.shape), []
    for number in range(N_VOTES):
        classifier = fit(name, data, 100 + N_VOTES * seed + number, constraint="loss", **params)
        own = classifier.predict_proba(data.X_test)
        proba += own / N_VOTES
        alone.append(area(data, own))
    return {
        "AU(PRC)": area(data, proba),
        "of one": float(np.mean(alone)),
        "violations": violations(data, proba),
        "seconds": time.process_time() - start,
    }


def hmcn(name: str, data: Split, seed: int, *, recurrent: bool) -> dict[str, Any]:
    """Train HMCN."""
    from hierclf.heads import HMCN

    return constrained(
        name,
        data,
        seed,
        head=HMCN(recurrent=recurrent),
        hidden_layer_sizes=(),
        dropout=0.0,
        learning_rate_init=1e-3,
        weight_decay=0.0,
        batch_size=32,
        max_iter=100,
        n_iter_no_change=10,
        early_stopping=True,
        validation_fraction=1 / 3,
        refit=True,
        mode="prediction",
    )


LARGE = {"batch_size": 32, "rate": 4}
METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "plain": plain,
    "MCLoss": constrained,
    "HMCN-F": partial(hmcn, recurrent=False),
    "HMCN-R": partial(hmcn, recurrent=True),
    "plain, batches of 32": partial(plain, **LARGE),
    "MCLoss, batches of 32": partial(constrained, **LARGE),
    "ours": partial(votes, **LARGE),
    "validation": partial(votes, **LARGE),
}


def trials(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield what is to be measured, and how: a seed of everything, then the next."""
    names = args.sets or [name for name in SETTINGS if (args.data / name).is_dir()]
    for seed in range(args.seeds):
        for name in names:
            for method in METHODS:
                if not args.only or method in args.only:
                    task = {"set": name, "method": method, "seed": seed}
                    yield task, partial(run, method, args.data / name, name, seed)


def run(method: str, folder: Path, name: str, seed: int) -> dict[str, Any] | None:
    parts = ("train", "valid") if method == "validation" else ("train", "valid", "test")
    if file_of(folder, parts[-1]) is None:
        return None
    return METHODS[method](name, read(folder, parts), seed)


def report(results: list[dict[str, Any]]) -> None:
    """Print the table, and what it took."""

    def values(name: str, method: str, key: str) -> list[float]:
        rows = [row for row in results if (row["set"], row["method"]) == (name, method)]
        return [row["scores"][key] for row in rows if key in row["scores"]]

    def cell(name: str, method: str, key: str = "AU(PRC)") -> str:
        found = values(name, method, key)
        return f"{mean_sd(found)} ({len(found)})" if found else ""

    columns = [
        (title, method, key)
        for method in METHODS
        if method != "validation"
        for title, key in (
            [(method, "AU(PRC)"), (method.replace("plain", "at prediction"), "closed")]
            if method.startswith("plain")
            else [(method, "AU(PRC)")]
        )
        if any(row["method"] == method for row in results)
    ]
    rows = []
    for name in SETTINGS:
        cells = [cell(name, method, key) for _, method, key in columns]
        if any(cells):
            rows.append((name, *cells, *(f"{value:.3f}" for value in PUBLISHED[name])))
    print("AU(PRC): mean, standard deviation and number of seeds; then as published\n")
    heads = ("C-HMCNN", "HMCN-F", "HMCN-R", "Clus-Ens")
    print_table(("", *(title for title, _, _ in columns), *heads), rows)
    print("\nAU(PRC) of the validation files, trained on the training files\n")
    rows = [
        (name, *(cell(name, "validation", key) for key in ("of one", "AU(PRC)")))
        for name in SETTINGS
        if values(name, "validation", "AU(PRC)")
    ]
    print_table(("", "one network", "mean of five"), rows)
    print("\nCPU seconds of a fit; pairs of a parent and a likelier child, in all test rows\n")
    methods = [method for _, method, key in columns if key == "AU(PRC)"]
    rows = []
    for name in SETTINGS:
        seconds = [values(name, method, "seconds") for method in methods]
        if any(seconds):
            cells = [f"{np.mean(found):.0f}" if found else "" for found in seconds]
            free, closed = ([], [])
            for method in methods:
                constrained_ones = closed if "plain" not in method else free
                constrained_ones += values(name, method, "violations")
                closed += values(name, method, "closed violations")
            pairs = [f"{max(found):,.0f}" if found else "" for found in (free, closed)]
            rows.append((name, *cells, *pairs))
    print_table(("", *methods, "without constraint", "with it"), rows)


def main() -> None:
    default = Path(os.environ.get("HIERCLF_DATA", ".")) / "hmc"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETTINGS))
    parser.add_argument("--data", type=Path, default=default, help="folder of the sets")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    if not args.report and not args.data.is_dir():
        sys.exit(f"no folder {args.data}: say with --data where the sets are")
    results: list[dict[str, Any]] = []
    for results in resume(args.out, [] if args.report else trials(args), "scores"):
        if not args.report and results:
            print(results[-1], flush=True)
    report(results)


if __name__ == "__main__":
    main()
