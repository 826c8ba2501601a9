"""Pretrained transformers as networks that read texts."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.text import PADDING, PRECISIONS, computing_in

POOLINGS = ("mean", "cls")


class TransformerText(nn.Module):
    """A pretrained transformer whose states are pooled into one vector.

    The token ids are those of its tokenizer plus 1, so that 0 can be the padding.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A model that takes ``input_ids`` and ``attention_mask`` and returns
        ``last_hidden_state``.
    pooling : {"mean", "cls"}
        "mean" is the mean of the states of all tokens of a text, "cls" the state of its first
        token.
    precision : {"float32", "bfloat16"}
        Type that matrix products are computed in. Parameters and output keep their type.

    Attributes
    ----------
    sparse_grad : bool
        Whether the gradient of the word vectors is a sparse tensor. False at the start.
    """

    def __init__(
        self,
        model: nn.Module,
        pooling: Literal["mean", "cls"] = "mean",
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        check_option("pooling", pooling, POOLINGS)
        check_option("precision", precision, PRECISIONS)
        self.model = model
        self.pooling = pooling
        self.precision = precision

    @property
    def sparse_grad(self) -> bool:
        """Whether the gradient of the word vectors is a sparse tensor."""
        return bool(self._word_vectors.sparse)

    @sparse_grad.setter
    def sparse_grad(self, value: bool) -> None:
        self._word_vectors.sparse = value

    @property
    def _word_vectors(self) -> Any:
        return self.model.get_input_embeddings()  # type: ignore[operator]

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids of shape (batch, length) as (batch, size of the model's states)."""
        mask = ids != PADDING
        with computing_in(self.precision, ids.device):
            states = self._last_states((ids.long() - 1).clamp(min=0), mask.long())
        states = states.to(self._word_vectors.weight.dtype)
        if self.pooling == "cls":
            return states[:, 0]
        weight = mask.unsqueeze(2).to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def _last_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        name, config = type(self.model).__name__, getattr(self.model, "config", None)
        try:
            output = self.model(input_ids=ids, attention_mask=mask)
        except ValueError as error:
            if not getattr(config, "is_encoder_decoder", False):
                raise
            raise ValueError(
                f"{name} has a decoder, which asks for input of its own ({error}): pass the "
                "encoder alone, model.get_encoder(), or what T5EncoderModel and the like load"
            ) from error
        if not hasattr(output, "last_hidden_state"):
            raise ValueError(
                f"{name} returns no last_hidden_state: pass the model without its head, "
                "model.base_model, or what AutoModel loads"
            )
        states: Tensor = output.last_hidden_state
        return states
