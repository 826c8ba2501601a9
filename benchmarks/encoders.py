"""What makes encoders fast: how rows are batched, run, and how their word vectors are updated.

    python benchmarks/encoders.py

One thread, random texts of the lengths of news stories. All contestants run in turn in one
process, round after round, and a ratio is the median over rounds of the quotient of neighbours.
The transformer comes with the extra ``bench``; without it its rows are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _data import minilm
from _report import print_table, write_json
from overhead import in_turn, ratio
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from hierclf.classifiers._batches import Batches, Rows
from hierclf.nn import LazyAdamW, RecurrentEncoder, WordEmbedding
from hierclf.nn.text import token_lengths

N_TEXTS, N_IDS, DIMENSION, HIDDEN, BATCH = 640, 20_000, 300, 100, 32


def texts() -> np.ndarray:
    """Return token ids, 0 after the end of a text; a few words make up most of the texts."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(4, 0.8, N_TEXTS).astype(int).clip(5, 256)
    ids = rng.zipf(1.3, (N_TEXTS, lengths.max())).clip(1, N_IDS - 2) + 1
    ids[np.arange(ids.shape[1]) >= lengths[:, np.newaxis]] = 0
    return ids.astype(np.int32)


class Packed(nn.Module):
    """A bidirectional LSTM over packed sequences, as one would write it by hand."""

    def __init__(self, embedding: WordEmbedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.recurrent = nn.LSTM(DIMENSION, HIDDEN, bidirectional=True, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = token_lengths(ids)
        packed = pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, (state, _) = self.recurrent(packed)
        return torch.cat(tuple(state), dim=1)


def embedding(*, sparse: bool = True) -> WordEmbedding:
    weight = torch.randn(N_IDS, DIMENSION, generator=torch.Generator().manual_seed(0)) / 10
    found = WordEmbedding(weight)
    found.sparse_grad = sparse
    return found


def epoch(encoder: nn.Module, batches: list[Tensor]) -> Callable[[], None]:
    """Return a function that trains on all batches once."""
    optimizer = LazyAdamW(encoder.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        for ids in batches:
            optimizer.zero_grad()
            encoder(ids).square().mean().backward()
            optimizer.step()

    return run


def words(rounds: int) -> dict[str, float]:
    rows = Rows(texts())
    shuffled = torch.randperm(N_TEXTS, generator=torch.Generator().manual_seed(0)).split(BATCH)
    alike = [ids for ids, _ in Batches(rows, BATCH, generator=torch.Generator().manual_seed(0))]
    mixed = [rows.X[chosen][:, : rows.lengths[chosen].max()] for chosen in shuffled]
    times = in_turn(
        {
            "ours": epoch(RecurrentEncoder(embedding(), HIDDEN), alike),
            "packed": epoch(Packed(embedding()), alike),
            "mixed": epoch(RecurrentEncoder(embedding(), HIDDEN), mixed),
            "dense": epoch(RecurrentEncoder(embedding(sparse=False), HIDDEN), alike),
            "bfloat16": epoch(RecurrentEncoder(embedding(), HIDDEN, precision="bfloat16"), alike),
        },
        rounds,
    )
    return {
        "packed sequences / rows turned round": ratio(times, "packed", "ours"),
        "batches of any lengths / of like lengths": ratio(times, "mixed", "ours"),
        "dense gradient of word vectors / sparse": ratio(times, "dense", "ours"),
        "LSTM in float32 / in bfloat16": ratio(times, "ours", "bfloat16"),
    }


def transformer(rounds: int) -> dict[str, float]:
    from transformers import AutoModel

    from hierclf.nn import TransformerText

    batches = [torch.from_numpy(texts()[:BATCH, :64])]

    def trained(precision: str) -> Callable[[], None]:
        return epoch(
            TransformerText(AutoModel.from_pretrained(minilm()), "mean", precision), batches
        )

    times = in_turn({p: trained(p) for p in ("float32", "bfloat16")}, rounds)
    return {"transformer in float32 / in bfloat16": ratio(times, "float32", "bfloat16")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = words(args.rounds)
    if minilm():
        results |= transformer(args.rounds)
    print_table(("ratio of times", "measured"), ((name, f"{x:.2f}") for name, x in results.items()))
    if args.json:
        settings = {"rounds": args.rounds, "texts": N_TEXTS, "batch": BATCH, "hidden": HIDDEN}
        write_json(args.json, settings, results)


if __name__ == "__main__":
    main()
