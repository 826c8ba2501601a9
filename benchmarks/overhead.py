"""What the package costs: whole fits and predictions beside a bare torch loop and peers.

    python benchmarks/overhead.py --json benchmarks/results/overhead.json
    python benchmarks/overhead.py --report      # print what is there

One thread, random data, equal epochs and batches. All contestants run in turn in one
process, round after round, and a ratio is the median over rounds of the quotient of
neighbours, so that a machine that changes its speed changes both sides.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import print_table, saved, write_json
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.nn import FlatSoftmax, HierarchicalSoftmax, PathLoss

N_ROWS, N_FEATURES, HIDDEN, BATCH, LEARNING_RATE = 10_000, 64, 128, 128, 1e-3
N_PREDICTED = 100_000
RESULTS = Path("benchmarks/results/overhead.json")
# Predictions of one row in each round: a single one is too short to be timed.
N_CALLS = 20


class BatchLevelCallback(Callback):
    """Does nothing, after every batch."""

    def on_batch_end(self, net, **kwargs):
        pass


def tree(group_sizes: list[int]) -> Hierarchy:
    """Build a tree of depth two over the classes 0, 1, 2, ..."""
    names = iter(range(sum(group_sizes)))
    return Hierarchy.from_dict(
        {f"group {g}": [next(names) for _ in range(size)] for g, size in enumerate(group_sizes)}
    )


def square_root_tree(n_classes: int) -> Hierarchy:
    n_groups = round(math.sqrt(n_classes))
    return tree([n_classes // n_groups + (g < n_classes % n_groups) for g in range(n_groups)])


def data(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES), dtype=np.float32)
    return X, rng.permutation(np.arange(N_ROWS) % n_classes)


def network(n_classes: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(N_FEATURES, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, n_classes)
    )


def bare_loop(X: np.ndarray, y: np.ndarray, n_epochs: int) -> torch.nn.Module:
    """Train as one would by hand: the least that torch can do."""
    rows, target = torch.from_numpy(X), torch.from_numpy(y)
    module = network(int(y.max()) + 1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, fused=True)
    loss_function = torch.nn.CrossEntropyLoss()
    for _ in range(n_epochs):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss_function(module(rows[batch]), target[batch]).backward()
            optimizer.step()
    return module


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time all contestants, one after another, round after round, after a warm-up."""
    for contestant in contestants.values():
        contestant()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(seconds(contestant))
    return times


def ratio(times: dict[str, list[float]], above: str, below: str) -> float:
    return float(np.median(np.divide(times[above], times[below])))


def fits(n_epochs: int, n_classes: int = 50) -> dict[str, Callable[[], object]]:
    X, y = data(n_classes)
    fixed = {"n_iter_no_change": n_epochs, "tol": 0.0, "max_iter": n_epochs, "batch_size": BATCH}
    common = {**fixed, "learning_rate_init": LEARNING_RATE, "random_state": 0}
    common["hidden_layer_sizes"] = (HIDDEN,)
    tree = square_root_tree(n_classes)
    stock = NeuralNetClassifier(
        network(n_classes),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=LEARNING_RATE,
        max_epochs=n_epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    watched = FlatSoftmaxClassifier(callbacks=[BatchLevelCallback()], **common)
    return {
        "bare loop": lambda: bare_loop(X, y, n_epochs),
        "flat": lambda: FlatSoftmaxClassifier(**common).fit(X, y),
        "flat, batch-level callback": lambda: watched.fit(X, y),
        "hierarchical": lambda: HierarchicalSoftmaxClassifier(tree, **common).fit(X, y),
        "MLPClassifier": lambda: MLPClassifier(**common).fit(X, y),
        "stock skorch": lambda: stock.fit(X, y),
    }


def predictions(n_classes: int = 50) -> dict[str, Callable[[], object]]:
    X, y = data(n_classes)
    rng = np.random.default_rng(1)
    many = rng.standard_normal((N_PREDICTED, N_FEATURES), dtype=np.float32)
    module = bare_loop(X, y, 1)
    common = {"max_iter": 1, "n_iter_no_change": 1, "random_state": 0}
    common["hidden_layer_sizes"] = (HIDDEN,)
    flat = FlatSoftmaxClassifier(**common).fit(X, y)
    tree = square_root_tree(n_classes)
    hierarchical = HierarchicalSoftmaxClassifier(tree, **common).fit(X, y)
    mlp = MLPClassifier(**common).fit(X, y)

    def forward() -> None:
        with torch.inference_mode():
            for rows in torch.from_numpy(many).split(1024):
                module(rows)

    return {
        "bare forward pass": forward,
        "flat predict": lambda: flat.predict(many),
        "hierarchical predict": lambda: hierarchical.predict(many),
        "MLPClassifier predict": lambda: mlp.predict(many),
        "flat predict_proba": lambda: flat.predict_proba(many),
        "hierarchical predict_proba": lambda: hierarchical.predict_proba(many),
    }


def one_row(n_classes: int = 50) -> dict[str, Callable[[], object]]:
    """Predictions of a single row, by whom and of what."""
    X, y = data(n_classes)
    fixed = {"hidden_layer_sizes": (HIDDEN,), "max_iter": 1, "random_state": 0}
    tree = square_root_tree(n_classes)
    fitted = {
        "flat": FlatSoftmaxClassifier(tree, n_iter_no_change=1, **fixed).fit(X, y),
        "hierarchical": HierarchicalSoftmaxClassifier(tree, n_iter_no_change=1, **fixed).fit(X, y),
        "MLPClassifier": MLPClassifier(**fixed).fit(X, y),
        "LogisticRegression": LogisticRegression(max_iter=1).fit(X, y),
    }

    def calls(method: Callable[..., object], **kwargs: object) -> Callable[[], object]:
        def run() -> None:
            for _ in range(N_CALLS):
                method(X[:1], **kwargs)

        return run

    found = {}
    for name, clf in fitted.items():
        found[f"{name} predict"] = calls(clf.predict)
        found[f"{name} predict_proba"] = calls(clf.predict_proba)
        if name in ("flat", "hierarchical"):
            found[f"{name} predict_proba, parents"] = calls(clf.predict_proba, level="parent")
    return found


def heads(hierarchy: Hierarchy) -> dict[str, Callable[[], object]]:
    """Loss and gradient of a batch, the hidden states given."""
    torch.manual_seed(0)
    hidden = torch.randn(BATCH, HIDDEN)
    target = torch.from_numpy(np.random.default_rng(0).choice(hierarchy.leaf_indices, BATCH))
    loss = PathLoss()

    def steps(head: torch.nn.Module) -> Callable[[], object]:
        def run() -> None:
            for _ in range(200):
                head.zero_grad()
                loss(head, hidden.requires_grad_(), target).backward()

        return run

    return {
        "flat": steps(FlatSoftmax(HIDDEN, hierarchy)),
        "hierarchical": steps(HierarchicalSoftmax(HIDDEN, hierarchy)),
    }


def head_fits(hierarchy: Hierarchy, n_epochs: int) -> dict[str, Callable[[], object]]:
    X, y = data(len(hierarchy.leaves))
    common = {"max_iter": n_epochs, "n_iter_no_change": n_epochs, "tol": 0.0, "random_state": 0}
    common["hidden_layer_sizes"] = (HIDDEN,)
    return {
        "flat": lambda: FlatSoftmaxClassifier(hierarchy, **common).fit(X, y),
        "hierarchical": lambda: HierarchicalSoftmaxClassifier(hierarchy, **common).fit(X, y),
    }


def run(n_epochs: int, rounds: int) -> dict[tuple[str, str], float]:
    """Measure every ratio, by what it is and what is wanted of it."""
    results = {}
    times = in_turn(fits(n_epochs), rounds)
    for above, below, wanted in (
        ("flat", "bare loop", "<= 1.15"),
        ("flat, batch-level callback", "bare loop", "<= 1.4"),
        ("flat", "MLPClassifier", "<= 1.0"),
        ("hierarchical", "MLPClassifier", "<= 1.1"),
        ("stock skorch", "flat", ">= 1.8"),
    ):
        results[f"fit: {above} / {below}", wanted] = ratio(times, above, below)
    times = in_turn(predictions(), rounds)
    for above, wanted in (
        ("flat predict", "<= 1.3"),
        ("hierarchical predict", ""),
        ("MLPClassifier predict", ""),
        ("flat predict_proba", ""),
        ("hierarchical predict_proba", ""),
    ):
        name = f"100,000 rows: {above} / bare forward pass"
        results[name, wanted] = ratio(times, above, "bare forward pass")
    times = in_turn(one_row(), 20 * rounds)
    for above in times:
        below = "predict" if above.endswith("predict") else "predict_proba"
        if not above.startswith("MLPClassifier"):
            wanted = "" if above.startswith("Logistic") else "<= 1.5"
            name = f"one row: {above} / MLPClassifier {below}"
            results[name, wanted] = ratio(times, above, f"MLPClassifier {below}")
    for name, hierarchy, wanted in (
        ("50 classes", square_root_tree(50), "<= 1.5"),
        ("130 classes", square_root_tree(130), "<= 1.5"),
        ("1,000 classes", square_root_tree(1000), "<= 1.15"),
        ("a group of 300, 20 of 5", tree([300] + [5] * 20), ""),
    ):
        for part, contestants in (
            ("head alone", heads(hierarchy)),
            ("whole fit", head_fits(hierarchy, n_epochs)),
        ):
            times = in_turn(contestants, rounds)
            key = f"{name}: hierarchical / flat, {part}", wanted
            results[key] = ratio(times, "hierarchical", "flat")
    return results


def report(settings: dict[str, object], ratios: list[dict[str, Any]]) -> None:
    print(*(f"{name} {value}" for name, value in settings.items()), sep=", ", end="\n\n")
    print_table(
        ("ratio of times (median over rounds)", "measured", "wanted"),
        ((row["ratio"], f"{row['measured']:.2f}", row["wanted"]) for row in ratios),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--report", action="store_true", help=f"only print what is in {RESULTS}")
    args = parser.parse_args()
    if args.report:
        found = saved(RESULTS)
        report(found["settings"], found["results"])
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # MLPClassifier: so few epochs do not converge
    with threadpool_limits(1):
        results = run(args.epochs, args.rounds)

    settings = {
        "rows": N_ROWS,
        "features": N_FEATURES,
        "hidden": HIDDEN,
        "batch": BATCH,
        "epochs": args.epochs,
        "rounds": args.rounds,
        "threads": 1,
        "dtype": "float32",
    }
    ratios = [
        {"ratio": name, "measured": value, "wanted": wanted}
        for (name, wanted), value in results.items()
    ]
    report(settings, ratios)
    if args.json:
        write_json(args.json, settings, ratios)


if __name__ == "__main__":
    main()
