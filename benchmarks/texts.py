"""What characters and the names of the classes add to words, for every linear model.

    python benchmarks/texts.py --peers ~/peers/bin/python
    python benchmarks/texts.py --study     # how the recipe was chosen
    python benchmarks/texts.py --report    # print what is there

"words" is tf-idf of words and pairs of words; "words, characters" has beside it tf-idf of pieces of
words, two to four characters long, which count twice as much. "names": the name of each class is
one more training text of that class, and "names thrice": three more. The names are those of the
taxonomy: the titles of ICD-10-CM (``pip install simple-icd-10-cm==1.5.0``), the paths of the Amazon
categories, the names of the intents of HWU64. Without "names" no training text is the name of its
class. icd10cm and icd10cm3 have most names among their training texts, from which they are then
taken out: with "names" these sets are nearly as they come.

Data sets are looked for in ``--data`` or HIERCLF_DATA. All models have their defaults, and those
with a hierarchy have the taxonomy. "hierarchical, hidden layer" has the settings that were chosen
for words in ``many_classes.py``, which has two of the sets. What there was to choose in the
features was chosen with one of the models, on rows held out of the training parts (``--study``).
hwu64-1 and hwu64-5 have one and five training rows of each class besides the name, and each seed
draws others.

One thread. Each model has a process of its own, where it is first fitted to a thousand rows, so
that what is compiled or loaded counts for none. Times are CPU seconds, "features s" for the
features of the training part. Every result is written to ``--out`` as soon as it is there; a second
run skips what it finds. PECOS needs an old numpy, hence an environment of its own, whose Python is
``--peers``: ``pip install libpecos``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _report import mean_sd, print_table, significant
from many_classes import (
    N_TOP,
    SETTINGS,
    Answer,
    Contestant,
    Prepared,
    Script,
    Task,
    clock,
    fit_and_score,
    hierarchical,
    hold_out,
    linear,
    pecos,
    read,
    run_warm,
    write,
)

from hierclf import Hierarchy

# Rows of each class, where not all.
SETS = {
    "icd10cm": None,
    "icd10cm3": None,
    "amazon3": None,
    "hwu64": None,
    "hwu64-5": 5,
    "hwu64-1": 1,
}
STUDIED = ("icd10cm", "icd10cm3", "hwu64")
N_SEEDS = 3
RESULTS = Path("benchmarks/results/texts")


class Recipe(NamedTuple):
    """``words`` and ``characters`` are what these features are multiplied with, 0 is none.

    Each name is ``names`` training texts.
    """

    words: float = 1
    characters: float = 2
    lengths: tuple[int, int] = (2, 4)
    min_df: int = 2
    sublinear: bool = True
    names: int = 1
    of_inner_nodes: bool = False


RECIPES = {
    "words": Recipe(characters=0, names=0),
    "words, characters": Recipe(names=0),
    "words, names": Recipe(characters=0),
    "words, characters, names": Recipe(),
    "words, characters, names thrice": Recipe(names=3),
}
# The recipe, and with one thing other.
STUDY = {
    "the recipe": Recipe(),
    "without characters": Recipe(characters=0),
    "without characters, words as large as both": Recipe(characters=0, words=5**0.5),
    "without words": Recipe(words=0),
    "characters count as much as words": Recipe(characters=1),
    "characters count three times": Recipe(characters=3),
    "pieces of 2 to 5 characters": Recipe(lengths=(2, 5)),
    "pieces of 3 to 5 characters": Recipe(lengths=(3, 5)),
    "in at least 5 texts": Recipe(min_df=5),
    "counts, not their logarithms": Recipe(sublinear=False),
    "without names": Recipe(names=0),
    "each name three times": Recipe(names=3),
    "names of inner nodes, too": Recipe(of_inner_nodes=True),
}


def vectorizer(recipe: Recipe) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    tf_idf = partial(
        TfidfVectorizer, min_df=recipe.min_df, sublinear_tf=recipe.sublinear, dtype=np.float32
    )
    parts = {
        "words": tf_idf(ngram_range=(1, 2)),
        "characters": tf_idf(analyzer="char_wb", ngram_range=recipe.lengths),
    }
    weights = {name: getattr(recipe, name) for name in parts if getattr(recipe, name)}
    used = [(name, parts[name]) for name in weights]
    return FeatureUnion(used, transformer_weights=weights)


def names_of(name: str, hierarchy: Hierarchy) -> dict[str, str]:
    """Return the name of each node as a text."""
    if name == "hwu64":
        return {node: node.replace("_", " ") for node in hierarchy.nodes}
    if name == "amazon3":
        return {node: node.replace(" > ", " ") for node in hierarchy.nodes}
    import simple_icd_10_cm

    def title(node: str) -> str:
        code = re.sub("^(ch|sec:)", "", node)
        # Chapters and blocks end in their range of codes.
        return re.sub(r" \([A-Z0-9-]+\)$", "", simple_icd_10_cm.get_description(code))

    return {node: title(node) for node in hierarchy.nodes}


def same(text: str) -> str:
    """Return what two texts share that differ in case and punctuation only."""
    return " ".join(re.findall(r"\w+", text.lower()))


def prepare(
    name: str, recipe: Recipe, seed: int, folder: Path | None, is_study: bool, to: Path
) -> float:
    """Write what the models read, and return the seconds that the features take."""
    from _data import load

    data_name = name.partition("-")[0]
    data = load(data_name, folder)
    names = names_of(data_name, data.hierarchy)
    texts, y = data.X_train, data.y_train
    classes = np.unique(y)
    is_name = np.array(
        [same(text) == same(names[label]) for text, label in zip(texts, y, strict=True)]
    )
    test = (data.X_test, data.y_test)
    learnt = ~is_name
    if is_study:
        held_out = ~is_name & (hold_out(texts, y) if name == "icd10cm" else a_fifth(y))
        test = (texts[held_out], y[held_out])
        learnt &= ~held_out
    if SETS[name] is not None:
        learnt &= few(y, SETS[name], seed)
    nodes = [*data.hierarchy.nodes] if recipe.of_inner_nodes else classes.tolist()
    # The name of a class may be a text of another one, in the test part.
    asked = set(map(same, test[0]))
    nodes = [node for node in nodes if same(names[node]) not in asked] * recipe.names
    added = np.array([names[node] for node in nodes], dtype=object)
    train = (np.append(texts[learnt], added), np.append(y[learnt], nodes))
    labels = np.unique(np.append(classes, train[1]))
    hierarchy = data.hierarchy.prune(classes.tolist())
    return write(to, vectorizer(recipe), train, test, labels, hierarchy)


def a_fifth(y: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).random(len(y)) < 0.2


def few(y: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Choose some rows of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    ranks = np.zeros(len(y), dtype=np.int64)
    for label in np.unique(y):
        rows = order[y[order] == label]
        ranks[rows] = np.arange(len(rows))
    return ranks < n_rows


def linear_svc(task: Task) -> Answer:
    from sklearn.svm import LinearSVC

    classifier, fit = clock(lambda: LinearSVC(random_state=0).fit(task.X, task.y))

    def top() -> np.ndarray:
        scores = classifier.decision_function(task.X_test)
        return classifier.classes_[np.argsort(-scores, axis=1)[:, :N_TOP]]

    return Answer(*clock(top)[:1], fit, 0.0)


SIBLINGS, HIDDEN = "hierarchical linear, siblings", "hierarchical, hidden layer"
CONTESTANTS = {
    SIBLINGS: Contestant(partial(linear, against="siblings"), is_peer=False),
    "hierarchical linear": Contestant(linear, is_peer=False),
    "LinearSVC": Contestant(linear_svc, is_peer=False),
    "PECOS XR-Linear": Contestant(pecos),
    HIDDEN: Contestant(hierarchical, is_peer=False),
}
# A weight for each of 36,343 classes and each feature has no room.
LEFT_OUT = {("icd10cm", "hierarchical linear"), ("icd10cm", "LinearSVC")}
# The hidden layer has settings for two of the sets.
LEFT_OUT |= {(name, HIDDEN) for name in SETS if name not in SETTINGS}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a model in this process, and write what it predicts."""
    folder = Path(task["folder"])
    params = SETTINGS[task["data"]] if task["contestant"] == HIDDEN else {}
    found, _ = run_warm(partial(CONTESTANTS[task["contestant"]].measure, **params), read(folder))
    np.save(folder / "y_top.npy", found.y_top)
    return {"fit s": found.fit_seconds}


def trials(
    prepared: Prepared, names: list[str], contestants: list[str], peers: str
) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield what is to be measured, and how."""
    for name in names:
        for label, recipe in (STUDY if prepared.is_study else RECIPES).items():
            for seed in range(1 if SETS[name] is None else N_SEEDS):
                for contestant in contestants:
                    if (name, contestant) not in LEFT_OUT:
                        what = {"data": name, "contestant": contestant, "features": label}
                        what |= {"seed": seed}
                        yield what, partial(one, prepared, what, recipe, peers)


def one(
    prepared: Prepared, what: dict[str, Any], recipe: Recipe, peers: str
) -> dict[str, Any] | None:
    seconds = prepared.take(what["data"], recipe, what["seed"])
    python = peers if CONTESTANTS[what["contestant"]].is_peer else sys.executable
    found = fit_and_score(__file__, prepared.folder, what, python)
    if found is None or "failed" in found:
        return found
    return found | {"features s": seconds}


def report(results: list[dict[str, Any]]) -> None:
    """Print a table for each data set."""
    for name in SETS:
        rows = []
        for contestant in CONTESTANTS:
            for features in RECIPES:
                found = [
                    row["scores"]
                    for row in results
                    if (row["data"], row["contestant"], row["features"])
                    == (name, contestant, features)
                ]
                scores = [row for row in found if "failed" not in row]
                if scores:
                    cells = (
                        mean_sd([100 * row[key] for row in scores], digits=1)
                        for key in ("top-1", "top-5", "macro-F1")
                    )
                    times = (
                        significant(float(np.mean([row[key] for row in scores])))
                        for key in ("features s", "fit s")
                    )
                    rows.append((contestant, features, *cells, *times))
                elif found:
                    rows.append((contestant, features, *["-"] * 4, found[0]["failed"]))
        if rows:
            print(f"\n{name}\n")
            print_table(("", "features", "top-1", "top-5", "macro-F1", "features s", "fit s"), rows)


def print_study(results: list[dict[str, Any]]) -> None:
    """Print what each change of the recipe does on the held-out rows of each data set."""
    found = {(row["features"], row["data"]): row["scores"] for row in results}
    rows = [
        (
            label,
            *(
                f"{100 * found[label, name]['top-1']:.1f}" if (label, name) in found else "-"
                for name in STUDIED
            ),
        )
        for label in STUDY
    ]
    print("\nTop-1 on held-out rows\n")
    print_table(("", *STUDIED), rows)


if __name__ == "__main__":
    Script(
        __doc__,
        measure,
        prepare,
        trials,
        names=(tuple(SETS), tuple(STUDIED)),
        contestants=(CONTESTANTS, [SIBLINGS]),
        reports=(report, print_study),
        results=RESULTS,
    ).main()
