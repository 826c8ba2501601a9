"""The encoder that is a pretrained transformer; the only file that imports transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hierclf._utils.rng import seeded
from hierclf._utils.sklearn_private import StrOptions
from hierclf.encoders._base import LEARNING_RATE, PRECISION, SIZE, BaseEncoder
from hierclf.nn.transformer import POOLINGS, TransformerText
from hierclf.text._sequences import pad


class TransformerEncoder(BaseEncoder):
    """A pretrained transformer; X is raw texts.

    It needs the package ``transformers``, which comes with the extra ``text``.

    Parameters
    ----------
    model : str, path or transformers.PreTrainedModel
        Folder or name of a model, as ``AutoModel.from_pretrained`` takes it, or a model
        without a head, which is copied. Of one with a decoder, such as T5, give the
        encoder alone: ``T5EncoderModel.from_pretrained(name)``.
    max_length : int, default=256
        Texts are cut after that many tokens, the special ones included. None is the
        most that the model takes.
    pooling : {"mean", "cls"}, default="mean"
        The mean of the last states of all tokens, or the state of the first.
    freeze : bool, default=False
        Keep the model as it is. ``fit`` then runs each text through it once, and trains
        on the result, which is many times as fast.
    learning_rate : float, default=5e-5
        Learning rate of the model at the start; that of the classifier is for all other
        layers. A skorch ``LRScheduler`` changes both in proportion.
    precision : {"float32", "bfloat16"}, default="float32"
        What matrix products are computed in. Where the processor has instructions for it,
        "bfloat16" takes less than half the time; weights and their updates stay float32.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        None loads the one that belongs to the model.

    Examples
    --------
    A model in a folder of its own is fine-tuned on raw texts::

        classifier = HierarchicalSoftmaxClassifier(
            hierarchy,
            encoder=TransformerEncoder("all-MiniLM-L6-v2", learning_rate=1e-4),
            learning_rate_init=2e-3, batch_size=32, max_iter=5, n_iter_no_change=5,
        )
        classifier.fit(texts, y)
    """

    input_kind = "texts"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": [str, os.PathLike, nn.Module],
        "max_length": [*SIZE, None],
        "pooling": [StrOptions(set(POOLINGS))],
        "freeze": ["boolean"],
        "learning_rate": LEARNING_RATE,
        "precision": PRECISION,
        "tokenizer": "no_validation",
    }

    def __init__(
        self,
        model: Any,
        *,
        max_length: int | None = 256,
        pooling: str = "mean",
        freeze: bool = False,
        learning_rate: float | None = 5e-5,
        precision: str = "float32",
        tokenizer: Any = None,
    ) -> None:
        self.model = model
        self.max_length = max_length
        self.pooling = pooling
        self.freeze = freeze
        self.learning_rate = learning_rate
        self.precision = precision
        self.tokenizer = tokenizer

    @property
    def is_frozen(self) -> bool:  # type: ignore[override]
        """Whether the model stays as it is."""
        return self.freeze

    def check(self) -> None:
        """Check the parameters.

        Raises
        ------
        TypeError
            If ``model`` is a module of another kind.
        ValueError
            If ``model`` is a path and no folder is there, or another parameter is not as
            documented.
        """
        super().check()
        model = self.model
        if isinstance(model, nn.Module) and not (
            hasattr(model, "config") and hasattr(model, "get_input_embeddings")
        ):
            raise TypeError(
                f"model must be a model of transformers, got a {type(model).__name__}: give a "
                "classifier any other module as it is, encoder=module"
            )
        # transformers would take it for the name of a model to download.
        is_path = isinstance(model, os.PathLike) or (
            isinstance(model, str) and (os.path.isabs(model) or model.startswith("."))
        )
        if is_path and not os.path.isdir(model):
            raise ValueError(
                f"model={os.fspath(model)!r} is not a folder: give the one that "
                "save_pretrained wrote, or the name of a model to download"
            )

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network; see :meth:`BaseEncoder.build`."""
        if isinstance(self.model, nn.Module):
            model = deepcopy(self.model)
        else:
            with seeded(seed), _quiet() as transformers:  # some have layers to draw
                model = transformers.AutoModel.from_pretrained(self.model)
        return TransformerText(model.to(dtype), self.pooling, self.precision)

    def build_tokenizer(self) -> Callable[[list[str]], NDArray[np.int32]]:
        """Return the function from texts to token ids; see :class:`BaseEncoder`."""
        model, tokenizer = self.model, self.tokenizer
        is_model = isinstance(model, nn.Module)
        with _quiet() as transformers:
            if tokenizer is None:
                source = getattr(model, "name_or_path", None) if is_model else model
                if not source:
                    raise ValueError(
                        "the model was made in memory, without a tokenizer: pass tokenizer"
                    )
                tokenizer = transformers.AutoTokenizer.from_pretrained(source)
            if not is_model:
                config = transformers.AutoConfig.from_pretrained(model)
                with torch.device("meta"):  # its layers, without their weights
                    model = transformers.AutoModel.from_config(config)
        # Where there is no limit, a model has none or -1, a tokenizer a number beyond all
        # lengths.
        limits = (*_length_limits(model), tokenizer.model_max_length)
        most = min((limit for limit in limits if limit and 0 < limit < 1 << 30), default=None)
        length = most if self.max_length is None else int(self.max_length)
        if most is not None and length > most:
            raise ValueError(
                f"max_length={length} is more than the {most} tokens that the model takes"
            )
        return partial(_tokenize, tokenizer, length)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Import transformers, and keep it from printing how it loads a model."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "TransformerEncoder needs transformers: pip install transformers (the extra "
            "'text' of hierclf)"
        ) from error
    from transformers.utils import logging

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()


def _length_limits(model: Any) -> Iterator[int | None]:
    """Yield what limits the number of tokens that a model takes."""
    yield getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            # RoBERTa and its kin number positions from the one after the padding's.
            yield len(module.weight) - (padding + 1)


def _tokenize(tokenizer: Any, max_length: int | None, texts: list[str]) -> NDArray[np.int32]:
    """Return ids plus 1, padded with 0, of texts."""
    ids = tokenizer(
        list(texts),
        truncation=max_length is not None,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    return pad([np.asarray(row, np.int32) + np.int32(1) for row in ids])
