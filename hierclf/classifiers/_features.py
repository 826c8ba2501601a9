"""What a user passes as X, checked and turned into the rows that the network reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data
from torch import nn

from hierclf._utils.blocks import row_blocks
from hierclf._utils.threads import limited_threads
from hierclf.classifiers._batches import ENCODER_BLOCK, Batches, Rows, count_weights
from hierclf.encoders import BaseEncoder
from hierclf.encoders._base_encoder import output_size
from hierclf.nn.text import PADDING
from hierclf.text._sequences import iterate_texts

_FLOATS = (np.float64, np.float32)
# Values of an X that is looked at without scikit-learn.
_SMALL = 1 << 14


class InputReader:
    """Reads X in the way that its encoder asks for.

    Parameters
    ----------
    encoder : BaseEncoder or None
        None: X is a table of features.

    Attributes
    ----------
    is_sparse : bool
        Whether the rows that the last new fit read were a sparse matrix.
    """

    def __init__(self, encoder: BaseEncoder | None) -> None:
        self._kind = "features" if encoder is None else encoder.input_kind
        self._tokenize = encoder.build_tokenizer() if encoder and self._kind == "texts" else None
        self.is_sparse = False
        self._shape: tuple[int, ...] = ()
        self._frozen: nn.Module | None = None

    def check_fit(
        self, estimator: BaseEstimator, X: Any, y: Any, *, reset: bool
    ) -> tuple[Any, NDArray[Any]]:
        """Check what ``fit`` was given.

        Parameters
        ----------
        estimator : BaseEstimator
            Is told the number of features, and named in errors.
        X, y : object
            Rows and labels.
        reset : bool
            Whether this fit is a new one, and does not go on from another.

        Returns
        -------
        X : ndarray or CSR matrix
            Floats, or token ids; texts have become ids.
        y : ndarray of shape (n_rows,)
            Labels.
        """
        if self._is_table:
            X, y = validate_data(estimator, X, y, reset=reset, **self._options)
            if reset:
                self._shape, self.is_sparse = X.shape[1:], sp.issparse(X)
            return self._with_shape(X), y
        y = validate_data(estimator, y=y, reset=reset)
        if reset:  # a text has words, but no features
            vars(estimator).pop("n_features_in_", None)
        X = self._check_sequences(X)
        check_consistent_length(X, y)
        return X, y

    def texts(self, X: Any) -> NDArray[np.object_] | None:
        """Return the texts that ``fit`` was given; None where X holds no texts."""
        return np.array(list(iterate_texts(X)), dtype=object) if self._tokenize else None

    def check(self, estimator: BaseEstimator, X: Any) -> Any:
        """Check rows to predict; takes and returns them as :meth:`check_fit` does."""
        if not self._is_table:
            return self._check_sequences(X)
        if self._is_ready(X) and not hasattr(estimator, "feature_names_in_"):
            return X
        return self._with_shape(validate_data(estimator, X, reset=False, **self._options))

    def _is_ready(self, X: Any) -> bool:
        """Tell whether X is a small array in which scikit-learn would find nothing to change.

        To look for that takes it as long as to predict a row takes us.
        """
        return (
            type(X) is np.ndarray
            and X.dtype in _FLOATS
            and X.shape[1:] == self._shape
            and 0 < X.size <= _SMALL
            and bool(np.isfinite(X).all())
        )

    @property
    def _is_table(self) -> bool:
        return self._kind in ("features", "array")

    @property
    def _options(self) -> dict[str, Any]:
        more = {"allow_nd": True} if self._kind == "array" else {"accept_sparse": "csr"}
        return {"dtype": _FLOATS, **more}

    def _with_shape(self, X: Any) -> Any:
        if X.shape[1:] != self._shape:
            raise ValueError(
                f"X has rows of shape {X.shape[1:]}, and the encoder was fitted to rows of "
                f"shape {self._shape}"
            )
        return X

    def _check_sequences(self, X: Any) -> NDArray[Any]:
        if self._tokenize is None:
            return _check_tokens(X)
        texts = list(iterate_texts(X))
        if not texts:
            raise ValueError("X holds no texts: at least one is required")
        return self._tokenize(texts)

    def float_dtype(self, X: Any) -> np.dtype[Any]:
        """Return the float type to train in, on a processor: that of X if it has one."""
        return X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)

    def build(
        self, encoder: BaseEncoder, X: NDArray[Any], *, dtype: torch.dtype, seed: int
    ) -> tuple[nn.Module | None, int]:
        """Make the network of the encoder.

        Parameters
        ----------
        encoder : BaseEncoder
            The encoder that this was made for.
        X : ndarray
            Checked rows.
        dtype, seed
            Type of its parameters, and seed of their initial values.

        Returns
        -------
        network : torch.nn.Module or None
            What is to be trained of it.
        size : int
            Size of the vectors that it, or, if frozen, :meth:`rows` returns.
        """
        network = encoder.build(X, dtype=dtype, seed=seed)
        first = torch.from_numpy(X[:2].copy())
        first = first.to(dtype) if first.is_floating_point() else first
        with limited_threads(0):  # two rows
            size = output_size(network, first, seed)
        if not encoder.is_frozen:
            return network, size
        self._frozen = network.eval().requires_grad_(False)
        return None, size

    def rows(self, X: Any, dtype: np.dtype[Any], device: str) -> Any:
        """Turn checked rows into what the network reads.

        Parameters
        ----------
        X : ndarray or CSR matrix
            Checked rows.
        dtype : numpy.dtype
            Float type of the network.
        device : str
            Where a frozen encoder runs.

        Returns
        -------
        ndarray or CSR matrix
            Floats of that type, or token ids.
        """
        if self._frozen is None:
            return X.astype(dtype, copy=False) if X.dtype.kind == "f" else X
        network = self._frozen.to(device)
        try:
            return Batches(Rows(X), ENCODER_BLOCK, device).collect(network, count_weights(network))
        finally:
            network.cpu()  # so that a pickle can be loaded where there is no such device


def _check_tokens(given: Any) -> NDArray[Any]:
    """Refuse what cannot be rows of token ids."""
    try:
        X: NDArray[Any] = check_array(given, dtype=None, ensure_2d=False, ensure_all_finite=False)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            "the rows of X differ in length: pad rows with 0 at the end; SequenceVectorizer does"
        ) from error
    if X.ndim != 2 or X.dtype.kind not in "iu":
        raise ValueError(
            "X must be a 2-D array of token ids, integers, padded with 0 at the end, as "
            f"SequenceVectorizer returns them; got shape {X.shape} of dtype {X.dtype}"
        )
    largest = np.iinfo(np.int32).max
    if X.max() > largest:
        raise ValueError(f"X holds the token id {X.max()}; ids are at most {largest}")
    row = int(X.min(axis=1).argmin())
    if X[row].min() < 0:
        raise ValueError(f"row {row} of X holds {X[row].min()}: token ids are 0 or more")
    for rows in row_blocks(*X.shape):
        is_word = X[rows] != PADDING
        goes_on = (is_word[:, 1:] > is_word[:, :-1]).any(axis=1)
        if goes_on.any():
            raise ValueError(
                f"row {rows.start + int(goes_on.argmax())} of X holds a token id after a 0, which "
                "is padding: pad at the end"
            )
    return X.astype(np.int32, copy=False)
