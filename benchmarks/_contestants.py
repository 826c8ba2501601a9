"""Who is measured over many classes: each fits some rows and says what that cost.

A contestant is a function of a :class:`Problem` that returns its figures: "us fit" (a row and
epoch), "set-up s", "us top-1", "us top-5" and so on (a row), "accuracy". It imports what it needs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _simulated import N_FEATURES, Rows

from hierclf import Hierarchy

BATCH, LEAST_OF = 256, 3
N_TOP = 5
# Values of all leaves that a contestant who looks at all may compute in one measurement, and those
# that the answers of a search are compared with.
DENSE_VALUES, COMPARED_VALUES = 5e7, 1e9


class Problem(NamedTuple):
    """What is to be learnt.

    ``labels`` are the names of the classes, in the order in which ``rows.y`` counts them;
    ``n_batches`` is None for whole epochs, else the number of batches that stand for one.
    """

    hierarchy: Hierarchy
    labels: np.ndarray
    rows: Rows
    n_epochs: int
    n_batches: int | None

    def few(self, n_values: float = DENSE_VALUES) -> np.ndarray:
        """Return as many test rows as a look at all leaves of each may have."""
        n_rows = int(np.clip(n_values / len(self.hierarchy), 64, len(self.rows.X_test)))
        return self.rows.X_test[:n_rows]


class EnoughError(Exception):
    """As many batches as were wanted."""


def microseconds(function: Callable[[], Any], n_rows: int) -> float:
    """Return the least of a few measurements, for each row."""
    found = []
    for _ in range(LEAST_OF):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return 1e6 * min(found) / n_rows


def ours(problem: Problem, *, flat: bool = False, numba: bool = True, **params: Any) -> dict:
    """Fit a classifier of the package."""
    if not numba:
        sys.modules["numba"] = None  # as if it were not installed
    import torch
    from skorch.callbacks import Callback

    from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier

    class Clock(Callback):
        """Notes the times of the epochs; not copied, to be read afterwards."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def __deepcopy__(self, memo: Any) -> Clock:
            return self

        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            self.start = time.process_time()

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            self.times.append(time.process_time() - self.start)

    class Part(Clock):
        """Notes when batches end, and stops after some."""

        def on_batch_end(self, net: Any, **kwargs: Any) -> None:
            self.times.append(time.process_time())
            if len(self.times) > problem.n_batches:
                raise EnoughError

    torch.set_num_threads(1)
    clock = Part() if problem.n_batches else Clock()
    classifier = (FlatSoftmaxClassifier if flat else HierarchicalSoftmaxClassifier)(
        problem.hierarchy,
        hidden_layer_sizes=(),
        batch_size=BATCH,
        max_iter=problem.n_epochs,
        n_iter_no_change=problem.n_epochs,
        callbacks=[clock],
        random_state=0,
        **params,
    )
    X, X_test = problem.rows.X, problem.rows.X_test
    y, y_test = (problem.labels[part] for part in (problem.rows.y, problem.rows.y_test))
    start = time.process_time()
    try:
        classifier.fit(X, y)
    except EnoughError:
        found = {"us fit": 1e6 * float(np.diff(clock.times).min()) / BATCH}
        return found | {"set-up s": clock.start - start} | _dense(_head(problem, flat), problem)
    seconds = time.process_time() - start
    found = {
        "us fit": 1e6 * min(clock.times[1:]) / len(X),
        "us fit, wall": 1e6 * min(classifier.net_.history[1:, "dur"]) / len(X),
        "set-up s": seconds - sum(clock.times),
        "fit s": seconds,
    }
    asked = X_test if params.get("computation") == "path" else problem.few()
    found["us predict"] = microseconds(lambda: classifier.predict(asked), len(asked))
    for k in (1, N_TOP):
        top = partial(classifier.predict_topk, asked, k)
        found[f"us top-{k}"] = microseconds(top, len(asked))
    y_top = classifier.predict_topk(X_test, N_TOP)[0]
    return found | _scores(y_test, y_top) | _dense(classifier.net_.module_.head, problem, y_top)


def of_no_weights(problem: Problem, *, numba: bool = True) -> dict[str, float]:
    """Look for the likeliest leaves where every leaf is as likely: no search can pay."""
    if not numba:
        sys.modules["numba"] = None
    import torch

    from hierclf.nn import PathSoftmax

    torch.set_num_threads(1)
    head = PathSoftmax(N_FEATURES, problem.hierarchy)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    rows = torch.from_numpy(problem.few())
    found = {
        f"us top-{k}": microseconds(partial(head.topk_leaves, rows, k), len(rows))
        for k in (1, N_TOP)
    }
    return found | _dense(head, problem)


def rule(problem: Problem, *, batch_size: int, numba: bool = True, **params: Any) -> dict[str, Any]:
    """Fit with both computations in turn, and look which one "auto" takes for a long fit."""
    if not numba:
        sys.modules["numba"] = None
    import torch

    from hierclf import HierarchicalSoftmaxClassifier
    from hierclf.nn import PathSoftmax

    torch.set_num_threads(1)
    classifier = HierarchicalSoftmaxClassifier(
        problem.hierarchy, hidden_layer_sizes=(), batch_size=batch_size, random_state=0, **params
    )
    y = problem.labels[problem.rows.y]
    times: dict[str, list[float]] = {"dense": [], "path": []}
    for _ in range(problem.n_epochs):
        for computation, found in times.items():
            classifier.set_params(computation=computation, max_iter=3, n_iter_no_change=3)
            classifier.fit(problem.rows.X, y)
            found += classifier.net_.history[1:, "dur"]
    # As many epochs as make it worth while to load numba; the second is the last.
    long = {"max_iter": 2000, "n_iter_no_change": 1, "tol": 1e9}
    classifier.set_params(computation="auto", **long).fit(problem.rows.X, y)
    chosen = "path" if isinstance(classifier.net_.module_.head, PathSoftmax) else "dense"
    scale = 1e6 / len(y)
    return {"auto": chosen} | {f"us {name}": scale * min(found) for name, found in times.items()}


def _head(problem: Problem, flat: bool) -> Any:
    """Return a head that knows nothing: a look at all leaves takes it as long as any other."""
    from hierclf.nn import FlatSoftmax, HierarchicalSoftmax

    return (FlatSoftmax if flat else HierarchicalSoftmax)(N_FEATURES, problem.hierarchy)


def _dense(head: Any, problem: Problem, y_top: np.ndarray | None = None) -> dict[str, float]:
    """Find the likeliest through the probabilities of all leaves.

    Counts the rows of which ``y_top`` differs other than in the order of equal ones.
    """
    import torch

    few = problem.few()
    found = {}
    with torch.inference_mode():

        def dense(X: np.ndarray, k: int) -> list[Any]:
            parts = torch.from_numpy(X).split(BATCH)
            return [torch.topk(head.leaf_log_proba(rows), k) for rows in parts]

        for k in (1, N_TOP):
            found[f"us dense top-{k}"] = microseconds(partial(dense, few, k), len(few))
        if y_top is not None:
            n_wrong, compared = 0, problem.few(COMPARED_VALUES)
            leaves = {leaf: place for place, leaf in enumerate(problem.hierarchy.leaves)}
            # Few at a time: the peak memory of this process is a result.
            step = min(BATCH, len(few))
            for start in range(0, len(compared), step):
                rows = torch.from_numpy(compared[start : start + step])
                log_proba = head.leaf_log_proba(rows)
                places = [
                    [leaves[leaf] for leaf in row]
                    for row in y_top[start : start + len(rows)].tolist()
                ]
                own = log_proba.gather(1, torch.tensor(places))
                best = torch.topk(log_proba, N_TOP).values
                n_wrong += int((own - best).abs().amax(dim=1).gt(1e-4).sum())
            found |= {"wrong rows": n_wrong, "compared rows": len(compared)}
    return found


def _scores(y_test: np.ndarray, y_top: np.ndarray) -> dict[str, float]:
    hits = np.asarray(y_top) == np.asarray(y_test)[:, None]
    return {"accuracy": float(hits[:, 0].mean()), "accuracy top-5": float(hits.any(axis=1).mean())}


def adaptive(problem: Problem, *, rate: float) -> dict[str, float]:
    """Fit torch's AdaptiveLogSoftmaxWithLoss in a bare loop."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    n_classes = len(problem.labels)
    start = time.process_time()
    # Of several, the cutoffs that are fastest at 100,000 classes.
    cutoffs = sorted({max(2, int(share * n_classes)) for share in (0.003, 0.03, 0.3)})
    module = torch.nn.AdaptiveLogSoftmaxWithLoss(N_FEATURES, n_classes, cutoffs)
    module_loss = lambda X, y: module(X, y).loss  # noqa: E731
    found = bare_loop(problem, module, module_loss, rate, start)
    X = torch.from_numpy(problem.few())
    with torch.inference_mode():

        def top(k: int) -> Any:
            parts = [torch.topk(module.log_prob(rows), k).indices for rows in X.split(BATCH)]
            return torch.cat(parts).numpy()

        found["us predict"] = microseconds(
            lambda: [module.predict(r) for r in X.split(BATCH)], len(X)
        )
        for k in (1, N_TOP):
            found[f"us top-{k}"] = microseconds(partial(top, k), len(X))
        scores = {} if problem.n_batches else _scores(problem.rows.y_test[: len(X)], top(N_TOP))
    return found | scores


def bare_loop(
    problem: Problem, module: Any, loss: Callable[..., Any], rate: float, start: float
) -> dict[str, float]:
    """Train a module of torch with AdamW, the whole or a part of an epoch."""
    import torch

    X, y = torch.from_numpy(problem.rows.X), torch.from_numpy(problem.rows.y)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    set_up = time.process_time() - start
    epochs, steps = [], []
    for _ in range(1 if problem.n_batches else problem.n_epochs):
        epoch = time.process_time()
        for batch in torch.randperm(len(X)).split(BATCH):
            step = time.process_time()
            optimizer.zero_grad()
            loss(X[batch], y[batch]).backward()
            optimizer.step()
            steps.append(time.process_time() - step)
            if problem.n_batches and len(steps) > problem.n_batches:
                break
        epochs.append(time.process_time() - epoch)
    if problem.n_batches:
        return {"us fit": 1e6 * min(steps[1:]) / BATCH, "set-up s": set_up}
    return {
        "us fit": 1e6 * min(epochs[1:]) / len(X),
        "set-up s": set_up,
        "fit s": time.process_time() - start,
    }


def hierarchicalsoftmax(problem: Problem, *, rate: float) -> dict[str, float]:
    """Fit the package of that name, whose loss is a Python loop over rows and levels."""
    import torch
    from hierarchicalsoftmax import HierarchicalSoftmaxLinear, HierarchicalSoftmaxLoss, SoftmaxNode

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tree = problem.hierarchy
    start = time.process_time()
    root = SoftmaxNode("root")
    nodes: list[Any] = []
    for position, above in enumerate(tree.arrays.edge_parents.tolist()):
        nodes.append(SoftmaxNode(str(position), parent=root if above < 0 else nodes[above]))
    root.set_indexes()
    leaf = tree.node_indices(problem.labels).tolist()
    leaves = np.array([root.node_to_id[nodes[position]] for position in leaf])
    module = HierarchicalSoftmaxLinear(in_features=N_FEATURES, root=root)
    loss = HierarchicalSoftmaxLoss(root=root)
    rows = problem.rows._replace(y=leaves[problem.rows.y])
    return bare_loop(
        problem._replace(rows=rows), module, lambda X, y: loss(module(X), y), rate, start
    )


def napkinxc(problem: Problem, **params: Any) -> dict[str, float]:
    """Fit the hierarchical softmax of napkinXC with the same tree."""
    from napkinxc.models import HSM

    hierarchy = problem.hierarchy
    X, y, X_test, y_test = problem.rows
    start = time.process_time()
    label = np.full(len(hierarchy), -1)
    label[hierarchy.node_indices(problem.labels)] = np.arange(len(problem.labels))
    above = hierarchy.arrays.edge_parents + 1  # the root is 0
    own = np.arange(1, len(hierarchy) + 1)
    edges = zip(above.tolist(), own.tolist(), label.tolist(), strict=True)
    tree = [(-1, 0, -1), *edges]
    targets = y.tolist()
    with tempfile.TemporaryDirectory() as folder:
        model = HSM(str(Path(folder) / "model"), tree_structure=tree, threads=1, seed=0, **params)
        set_up = time.process_time() - start
        model.fit(X, targets)
        seconds = time.process_time() - start - set_up
        model.predict(X_test[:1], top_k=1)  # reads the model
        found = {"us fit": 1e6 * seconds / len(X), "set-up s": set_up, "fit s": seconds + set_up}
        for k in (1, N_TOP):
            found[f"us top-{k}"] = microseconds(
                lambda k=k: model.predict(X_test, top_k=k), len(X_test)
            )
        y_top = np.full((len(X_test), N_TOP), -1)
        for row, top in enumerate(model.predict(X_test, top_k=N_TOP)):
            y_top[row, : len(top)] = top
    return found | _scores(y_test, y_top)


def fasttext(problem: Problem, **params: Any) -> dict[str, float]:
    """Fit fastText with its own Huffman tree on words: which eighth each number is in."""
    import fasttext
    from scipy.stats import norm

    X, y, X_test, y_test = problem.rows
    bounds = norm.ppf(np.arange(1, 8) / 8) * X[:10_000].std()
    start = time.process_time()

    def lines(X: np.ndarray) -> list[str]:
        words = np.array(
            [[f"{column}_{part}" for part in range(8)] for column in range(X.shape[1])]
        )
        parts = np.searchsorted(bounds, X)
        return [" ".join(row) for row in words[np.arange(X.shape[1]), parts].tolist()]

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        with file.open("w") as out:
            out.writelines(
                f"__label__{label} {line}\n" for label, line in zip(y, lines(X), strict=True)
            )
        set_up = time.process_time() - start
        model = fasttext.train_supervised(
            str(file),
            loss="hs",
            dim=N_FEATURES,
            minCount=1,
            thread=1,
            verbose=0,
            epoch=problem.n_epochs,
            **params,
        )
        seconds = time.process_time() - start - set_up
    asked = [line + "\n" for line in lines(X_test)]
    found = {
        "us fit": 1e6 * seconds / len(X) / problem.n_epochs,
        "set-up s": set_up,
        "fit s": seconds + set_up,
    }
    for k in (1, N_TOP):
        found[f"us top-{k}"] = microseconds(
            lambda k=k: model.f.multilinePredict(asked, k, -1.0, "strict"), len(asked)
        )
    y_top = np.full((len(X_test), N_TOP), -1)
    for row, top in enumerate(model.f.multilinePredict(asked, N_TOP, -1.0, "strict")[0]):
        y_top[row, : len(top)] = [int(name.removeprefix("__label__")) for name in top]
    return found | _scores(y_test, y_top)


def limit(problem: Problem) -> dict[str, float]:
    """Read and write the weights and both moments of random groups, as AdamW must.

    The arithmetic is the least that uses them, so that memory is what is measured.
    """
    import numba

    hierarchy = problem.hierarchy
    offsets = hierarchy.arrays.group_offsets
    width = round(len(hierarchy) / len(offsets)) * (N_FEATURES + 1)
    tables = np.zeros((3, len(offsets), width), dtype=np.float32)

    @numba.njit(fastmath=True)
    def update(tables: np.ndarray, groups: np.ndarray) -> None:
        for group in groups:
            for column in range(tables.shape[2]):
                first = 0.9 * tables[1, group, column] + np.float32(0.1)
                second = 0.999 * tables[2, group, column] + np.float32(0.001)
                tables[1, group, column] = first
                tables[2, group, column] = second
                tables[0, group, column] -= np.float32(1e-3) * first * second

    rng = np.random.default_rng(0)
    groups = rng.integers(len(offsets), size=200_000)
    update(tables, groups)
    us_group = microseconds(lambda: update(tables, groups), len(groups))
    per_row = groups_per_row(hierarchy, rng)
    return {"us group": us_group, "groups a row": per_row, "us fit": us_group * per_row}


def groups_per_row(hierarchy: Hierarchy, rng: np.random.Generator) -> float:
    """Return how many groups of siblings a batch meets, for each of its rows."""
    found = []
    parents = hierarchy.arrays.edge_parents
    for _ in range(20):
        nodes = rng.choice(hierarchy.leaf_indices, BATCH)
        met = set()
        while len(nodes):
            above = parents[nodes]
            met.update(above.tolist())
            nodes = above[above >= 0]
        found.append(len(met) / BATCH)
    return float(np.mean(found))
