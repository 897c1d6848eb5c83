"""Sequence to sequence with attention over an encoder that reads in both directions.

Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate",
2015, section 3.2: each encoder state knows what comes before it and what comes after. The textbook
names the idea and has no such model; this one is fastseq's own.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastseq.layers import TimeBiLSTM, TimeEmbedding
from fastseq.layers.base import fusable
from fastseq.models.attention import AttentionDecoder, AttentionEncoder
from fastseq.models.base import model_sizes
from fastseq.models.seq2seq import Seq2seq, collect, random_lstm, random_weight

Array = npt.NDArray[Any]


@fusable
class AttentionBiEncoder(AttentionEncoder):
    """Embedding, then an LSTM in each direction; all hidden states are the result.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H; each direction has H hidden units.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeBiLSTM
    hs : ndarray of float32, shape (N, T, 2H), or None
        All hidden states of the last `forward`.
    params, grads : list of ndarray
        Those of `embed`, then of `lstm`. They are drawn in this order, the first direction before
        the second.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import AttentionBiEncoder
    >>> encoder = AttentionBiEncoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> encoder.forward(np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2, 3, 16)
    >>> encoder.backward(np.ones((2, 3, 16)))
    >>> len(encoder.grads)
    7
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        (Wx1, Wh1, b1), (Wx2, Wh2, b2) = (
            random_lstm(D, H, stateful=False).params for _ in range(2)
        )
        self.lstm = TimeBiLSTM(Wx1, Wh1, b1, Wx2, Wh2, b2)
        self.params, self.grads = collect([self.embed, self.lstm])


class AttentionBiSeq2seq(Seq2seq):
    """`Seq2seq` with an `AttentionBiEncoder` and an `AttentionDecoder` of twice its width.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H; each direction of the encoder has H hidden units, the decoder 2H.

    Attributes
    ----------
    encoder : AttentionBiEncoder
    decoder : AttentionDecoder
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
    >>> from fastseq.models import AttentionBiSeq2seq
    >>> model = AttentionBiSeq2seq(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> xs, ts = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 3, 2], [0, 6, 5]])
    >>> round(model.forward(xs, ts), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> len(model.generate(xs[:1], start_id=0, sample_size=4))
    4
    >>> model.generate_batch(xs, start_id=0, sample_size=4).shape
    (2, 4)
    >>> model.save_params("model.safetensors")
    >>> model.load_params("model.safetensors")
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self._connect(AttentionBiEncoder(V, D, H), AttentionDecoder(V, D, 2 * H))
