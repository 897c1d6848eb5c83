"""Peeky sequence to sequence: every step of the decoder reads the encoder's result.

Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
Translation", 2014: the context enters every step and the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers import TimeEmbedding
from fastseq.layers.affine import affine_backward, affine_forward
from fastseq.layers.base import fusable
from fastseq.layers.recurrent.time_layer import embedded_backward, embedded_forward
from fastseq.models.base import model_sizes
from fastseq.models.greedy import GreedyDecoder
from fastseq.models.seq2seq import (
    Seq2seq,
    collect,
    random_affine,
    random_lstm,
    random_weight,
)

Array = npt.NDArray[Any]


@fusable
class PeekyDecoder(GreedyDecoder):
    """A decoder whose LSTM reads ``[h, embedding]``, and whose affine map ``[h, hidden state]``.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
        Stateful; its input is H + D wide.
    affine : TimeAffine
        Its input is 2H wide.
    params, grads : list of ndarray
        Those of the three, in this order.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import PeekyDecoder
    >>> decoder = PeekyDecoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> decoder.forward(np.array([[1, 2, 3], [4, 5, 6]]), np.ones((2, 8))).shape
    (2, 3, 10)
    >>> decoder.backward(np.ones((2, 3, 10))).shape
    (2, 8)
    >>> len(decoder.generate(np.ones((1, 8)), start_id=0, sample_size=5))
    5
    """

    _h: Array  # the encoder's result
    cache: int | None = None  # H, which the textbook's own backward reads

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(H + D, H, stateful=True)
        self.affine = random_affine(2 * H, V)
        self.params, self.grads = collect([self.embed, self.lstm, self.affine])

    def _set_initial_state(self, encoded: Array) -> None:
        self._h = np.asarray(encoded, dtype=np.float32)
        self.lstm.set_state(self._h)

    def _scores(self, xs: Array) -> Array:
        hs = embedded_forward(self.embed, self.lstm, xs, context=self._h)
        self.cache = self._h.shape[1]
        return affine_forward(self.affine, self._h, hs)

    def _inputs_of_decode(self) -> dict[str, Any]:
        return {"peek": self._h}

    def backward(self, dscore: Array) -> Array:
        """Fill the gradients.

        Parameters
        ----------
        dscore : ndarray of float, shape (N, T, V)

        Returns
        -------
        ndarray of float32, shape (N, H)
            That of ``h``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dscore`` is of the wrong kind or shape.
        """
        # forward was: scores = affine([h, hs]);  hs = lstm([h, embedding])
        dh_affine, dhs = affine_backward(self.affine, dscore, first_is_repeated=True)
        dh_lstm = embedded_backward(self.embed, self.lstm, dhs, dh_affine.shape[1])
        # h was used at every step twice, and as the first state
        dh: Array = self.lstm.dh + dh_affine + dh_lstm
        return dh


class PeekySeq2seq(Seq2seq):
    """`Seq2seq` with a `PeekyDecoder`.

    Cho et al. 2014.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    encoder : Encoder
    decoder : PeekyDecoder
    softmax : TimeSoftmaxWithLoss
    params, grads : list of ndarray
        Those of the encoder, then of the decoder.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import PeekySeq2seq
    >>> model = PeekySeq2seq(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> xs, ts = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 3, 2], [0, 6, 5]])
    >>> round(model.forward(xs, ts), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> len(model.generate(xs[:1], start_id=0, sample_size=4))
    4
    >>> model.generate_batch(xs, start_id=0, sample_size=4).shape
    (2, 4)
    """

    _decoder_class = PeekyDecoder
