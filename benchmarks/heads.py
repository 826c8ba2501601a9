"""What the heads for several labels cost: weights, and milliseconds of a training step.

    python benchmarks/heads.py --json benchmarks/results/heads.json
    python benchmarks/heads.py --report       # print what is there

A step reads a batch of 64 hidden states of 100 units, with one thread: the loss with the
max-constraint, its gradient, and AdamW. Prediction is of the same batch. The trees are random,
of six levels or more under 18 top nodes, as those of the FunCat data. Of several steps the fastest
counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import print_table, saved, significant, write_json

from hierclf import Hierarchy
from hierclf.heads import HMCN, BaseNodeHead, HiAGM, HiMTL, HiTIN, LinearHead
from hierclf.nn import LeanAdamW, NodeLoss
from hierclf.nn.dropout import drawing_from

RESULTS = Path("benchmarks/results/heads.json")
N_TOP, N_UNITS, BATCH = 18, 100, 64
SMALL: tuple[BaseNodeHead, ...] = (
    LinearHead(),
    HMCN(),
    HMCN(recurrent=True),
    HiAGM(),
    HiAGM(graph="tree_lstm"),
    HiAGM("attention"),
    HiAGM(low_rank=32),
    HiTIN(),
    HiTIN(node_dim=512),
    HiTIN(node_map="matrix"),
    HiMTL(),
    HiMTL(HiAGM()),
    HiMTL(HiTIN()),
)
LARGE: tuple[BaseNodeHead, ...] = (
    LinearHead(),
    HMCN(),
    HiAGM(low_rank=32),
    HiTIN(),
    HiMTL(HiTIN()),
)


def random_tree(n_nodes: int) -> Hierarchy:
    """Hang each node under one that came a while before, so that siblings are three to six."""
    rng = np.random.default_rng(0)
    edges = [("root", node) for node in range(N_TOP)]
    for node in range(N_TOP, n_nodes):
        i = node - N_TOP
        edges.append((int(rng.integers(i // 6, i // 4 + 1)), node))
    return Hierarchy(edges)


def measure(head: BaseNodeHead, tree: Hierarchy, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    hidden = torch.from_numpy(rng.standard_normal((BATCH, N_UNITS), dtype=np.float32))
    labels = rng.integers(len(tree), size=(BATCH, 4))
    target = torch.from_numpy(tree.to_indicator([[tree.nodes[i] for i in row] for row in labels]))
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    module = head.build(tree, counts=np.ones(len(tree)))(N_UNITS, tree, generator=generator)
    seconds: dict[str, Any] = {"build": time.perf_counter() - start, "step": [], "predict": []}
    optimizer, loss = LeanAdamW(module.parameters(), lr=1e-3), NodeLoss(constrained=True)
    with drawing_from(generator, module):
        for _ in range(rounds + 1):
            start = time.perf_counter()
            optimizer.zero_grad()
            loss(module, hidden, target).backward()
            optimizer.step()
            seconds["step"].append(time.perf_counter() - start)
    module.eval()
    with torch.inference_mode():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            module(hidden)
            seconds["predict"].append(time.perf_counter() - start)
    print(".", end="", file=sys.stderr, flush=True)
    n_weights = sum(parameter.numel() for parameter in module.parameters())
    return {"head": repr(head), "nodes": len(tree), "weights": n_weights, **seconds}


def report(results: list[dict[str, Any]]) -> None:
    for number, n_nodes in enumerate(sorted({row["nodes"] for row in results})):
        print(f"{'' if number == 0 else chr(10)}{n_nodes:,} nodes\n")
        print_table(
            ("head", "weights", "step, ms", "predict, ms"),
            (
                (
                    row["head"].removesuffix("()"),
                    f"{row['weights']:,}",
                    *(significant(1000 * min(row[what])) for what in ("step", "predict")),
                )
                for row in results
                if row["nodes"] == n_nodes
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--report", action="store_true", help=f"only print what is in {RESULTS}")
    args = parser.parse_args()
    if args.report:
        report(saved(RESULTS)["results"])
        return
    load = os.getloadavg()[0]
    cases = [(500, head) for head in SMALL] + [(4000, head) for head in LARGE]
    results = [measure(head, random_tree(n), args.rounds) for n, head in cases]
    report(results)
    if args.json:
        settings: dict[str, Any] = {"rounds": args.rounds, "batch": BATCH, "units": N_UNITS}
        settings["load_average"] = [load, os.getloadavg()[0]]  # what else ran at the same time
        write_json(args.json, settings, results)


if __name__ == "__main__":
    main()
