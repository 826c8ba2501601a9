"""What the tests of encoders share: problems small enough to learn, modules, and checks."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.encoders import ConvGRUEncoder, LSTMEncoder, ModuleEncoder, TransformerEncoder
from hierclf.text import SequenceVectorizer

CLASSIFIERS = [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier]
BOTH = pytest.mark.parametrize("cls", CLASSIFIERS)
TREE = {"root": ["x", "y"], "x": ["a", "b"], "y": ["c", "d"]}
KEYWORDS = {"a": "ant", "b": "bee", "c": "car", "d": "dam"}
FILLERS = ["the", "of", "one", "two"]


def make(encoder, cls=HierarchicalSoftmaxClassifier, *, epochs=3, **params):
    defaults = {"learning_rate_init": 0.03, "batch_size": 8, "random_state": 0}
    return cls(
        TREE, encoder=encoder, max_iter=epochs, n_iter_no_change=epochs, **{**defaults, **params}
    )


def _corpus():
    """Return texts of 1 to 7 words, one of which tells the class, and the classes."""
    rng = np.random.default_rng(0)
    y = np.array(list("abcd"))[np.arange(32) % 4]
    texts = []
    for i, label in enumerate(y.tolist()):
        words = rng.choice(FILLERS, i % 7).tolist()
        words.insert(int(rng.integers(len(words) + 1)), KEYWORDS[label])
        texts.append(" ".join(words))
    return texts, y


TEXTS, Y = _corpus()
VECTORIZER = SequenceVectorizer().fit(TEXTS)
IDS = VECTORIZER.transform(TEXTS)
N_IDS = len(VECTORIZER.vocabulary_) + 2
_digits = load_digits()
_rows = np.concatenate([np.flatnonzero(_digits.target == k)[:8] for k in range(4)])
IMAGES = (_digits.images[_rows] / 16)[:, None].astype(np.float32)
IMAGE_Y = np.array(list("abcd"))[_digits.target[_rows]]
VECTORS = np.random.default_rng(0).normal(size=(N_IDS, 4))

LSTM = LSTMEncoder(hidden_size=4, embedding_dim=6)


class Cnn(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())


class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(8), nn.Tanh())


class BagOfVectors(nn.EmbeddingBag):
    def __init__(self):
        super().__init__(N_IDS, 6, mode="mean", padding_idx=0)


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build()


def batch_norm():
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 8), nn.Tanh())


def save_transformer(tmp_path_factory):
    """Return the folder of a tiny transformer of random weights and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    words = tmp_path_factory.mktemp("words")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *FILLERS, *KEYWORDS.values()]
    (words / "vocab.txt").write_text("\n".join(vocabulary))
    folder = tmp_path_factory.mktemp("bert")
    transformers.BertTokenizerFast.from_pretrained(words).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    seeded(lambda: transformers.BertModel(config)).save_pretrained(folder)
    return str(folder)


def load(folder):
    """Return the model and the tokenizer, by transformers alone."""
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(folder).eval()
    return model, transformers.BertTokenizerFast.from_pretrained(folder)


# What each problem is: X and y, and the encoder given the folder of a transformer.
TOKENS, RAW, ARRAYS = (IDS, Y), (TEXTS, Y), (IMAGES, IMAGE_Y)
PROBLEMS = {
    "lstm": (TOKENS, lambda _: LSTM),
    "gru": (
        TOKENS,
        lambda _: LSTMEncoder(4, cell="gru", num_layers=2, bidirectional=False, embedding_dim=6),
    ),
    "conv gru": (TOKENS, lambda _: ConvGRUEncoder(4, n_filters=6, embedding_dim=6)),
    "bag": (TOKENS, lambda _: ModuleEncoder(BagOfVectors, input_kind="tokens")),
    "transformer": (RAW, lambda folder: TransformerEncoder(folder, learning_rate=3e-3)),
    "cls": (RAW, lambda folder: TransformerEncoder(folder, learning_rate=3e-3, pooling="cls")),
    "class": (ARRAYS, lambda _: ModuleEncoder(Cnn)),
    "bare factory": (ARRAYS, lambda _: Lazy),
    "bare module": (ARRAYS, lambda _: seeded(Cnn)),
    "batch norm": (ARRAYS, lambda _: ModuleEncoder(seeded(batch_norm), learning_rate=0.01)),
}


def rates(clf):
    """Return the learning rate of each group, and what is in it."""
    names = {parameter: name for name, parameter in clf.net_.module_.named_parameters()}
    return [
        (group["lr"], {names[p].partition(".")[0] for p in group["params"]})
        for group in clf.net_.optimizer_.param_groups
    ]


def refuse(clf, X, y, message):
    before = dict(vars(clf))
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}") as info:
        clf.fit(X, y)
    assert len(str(info.value)) < 700
    assert vars(clf) == before


def refuse_case(cls, params, given, message):
    given = {"X": IDS, "y": Y, **given}
    refuse(make(**{"encoder": LSTM, **params}, cls=cls), given["X"], given["y"], message)
