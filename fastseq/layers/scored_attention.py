"""Attention of every decoder step, with a choice of scores, over padded sequences.

::

    weights = softmax over a row's own encoder steps of scores;    contexts = weights enc

    dot          scores = dec enc^T                              Luong, Pham and Manning 2015
    scaled_dot   scores = dec enc^T / sqrt(H)                    Vaswani et al. 2017
    general      scores = (dec W) enc^T                          Luong, Pham and Manning 2015
    additive     scores = v . tanh(enc W_enc + dec W_dec)        Bahdanau, Cho and Bengio 2015
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.affine import MatMul
from fastseq.layers.base import Layer, as_list, check_choice, check_weight, checked, zero_gradients
from fastseq.layers.packed import Steps

Array = npt.NDArray[Any]

_PARAMS = {"dot": (), "scaled_dot": (), "general": ("W",), "additive": ("W_enc", "W_dec", "v")}


def _check_params(kind: str, params: list[Array]) -> None:
    """Require the weights that this kind of score has."""
    check_choice("kind", kind, _PARAMS)
    names = _PARAMS[kind]
    if len(params) != len(names):
        raise ValueError(
            f"params: expected [{', '.join(names)}] for kind {kind!r}, got {len(params)} arrays"
        )
    if kind == "general":
        H = len(check_weight("W", params[0], "(H, H)", None, None))
        check_weight("W", params[0], "(H, H)", H, H)
    if kind == "additive":
        W_enc, W_dec, v = params
        H, A = check_weight("W_enc", W_enc, "(H, A)", None, None).shape
        check_weight("W_dec", W_dec, "(H, A), that of W_enc,", H, A)
        check_weight("v", v, "(A,) with A of W_enc", A)


def _own_lengths(name: str, lengths: Array | None, N: int) -> Array | None:
    """A copy: the caller may change the array before `backward`."""
    return None if lengths is None else checked(name, lengths, "(N,)", N, kinds="iu").copy()


class ScoredAttention(Layer):
    """Attention of every decoder step over the encoder steps of its row.

    Parameters
    ----------
    kind : {"dot", "scaled_dot", "general", "additive"}
        How a decoder state is compared with an encoder state.
    params : sequence of ndarray of float
        Empty for ``dot`` and ``scaled_dot``; ``[W (H, H)]`` for ``general``;
        ``[W_enc (H, A), W_dec (H, A), v (A,)]`` for ``additive``. May be views.

    Attributes
    ----------
    kind : str
    params, grads : list of ndarray
        The caller's own arrays, and their gradients after `backward`.
    attention_weights : ndarray of float32, shape (N, Td, Te), or None
        The weights of the last `forward`, 0 past a length.

    Raises
    ------
    TypeError, ValueError
        The kind is none of these, or a weight is no float array, or of a shape that does not fit.

    References
    ----------
    D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015, section 3.1 and appendix A.1.2.

    M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based neural machine
    translation", EMNLP 2015, section 3.1.

    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import ScoredAttention
    >>> layer = ScoredAttention("general", [np.eye(4, dtype="f")])
    >>> hs_enc, hs_dec = np.ones((2, 5, 4), "f"), np.ones((2, 3, 4), "f")
    >>> layer.forward(hs_enc, hs_dec, encoder_lengths=np.array([5, 2])).shape
    (2, 3, 4)
    >>> layer.attention_weights[1, 0].tolist()  # 0 past the length
    [0.5, 0.5, 0.0, 0.0, 0.0]
    >>> [gradient.shape for gradient in layer.backward(np.ones((2, 3, 4), "f"))]
    [(2, 5, 4), (2, 3, 4)]
    """

    def __init__(self, kind: str, params: Sequence[Array]) -> None:
        params = as_list("params", params)
        _check_params(kind, params)
        self.kind = kind
        self.params = params
        self.attention_weights: Array | None = None
        self._projections = [MatMul(W) for W in params[:2]]  # all of general, all but v of additive
        self.grads = [grad for layer in self._projections for grad in layer.grads]
        self.grads += zero_gradients(params[2:])

    def forward(
        self,
        hs_enc: Array,
        hs_dec: Array,
        encoder_lengths: Array | None = None,
        decoder_lengths: Array | None = None,
    ) -> Array:
        """The contexts of all decoder steps.

        Parameters
        ----------
        hs_enc : ndarray of float, shape (N, Te, H)
        hs_dec : ndarray of float, shape (N, Td, H)
        encoder_lengths : ndarray of int, shape (N,), or None
            How many encoder steps each row has, from 1 to Te; None: Te each.
        decoder_lengths : ndarray of int, shape (N,), or None
            How many decoder steps each row has, from 0 to Td; None: Td each.

        Returns
        -------
        ndarray of float32, shape (N, Td, H)
            0 where the decoder row has no step. What lies past a length in the inputs is not read.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or shape, or a length out of range.
        """
        self._cache = None
        H = len(self.params[0]) if self.params else None
        hs_enc = checked("hs_enc", hs_enc, "(N, Te, H)", None, None, H)
        N, _, H = hs_enc.shape
        hs_dec = checked("hs_dec", hs_dec, "(N, Td, H), with N and H of hs_enc,", N, None, H)
        encoder_lengths = _own_lengths("encoder_lengths", encoder_lengths, N)
        decoder_lengths = _own_lengths("decoder_lengths", decoder_lengths, N)
        lengths = encoder_lengths, decoder_lengths
        enc, dec = hs_enc, hs_dec
        if self.kind == "additive":
            enc = self._project(0, hs_enc, encoder_lengths)
        if self.kind in ("general", "additive"):
            dec = self._project(-1, hs_dec, decoder_lengths)
        if self.kind == "additive":
            weights = _kernels.additive_weight_forward(enc, dec, self.params[2], *lengths)
            contexts = _kernels.weight_sum_forward(hs_enc, weights, *lengths)
        else:
            contexts, weights = _kernels.attention_forward(enc, dec, self._scale(H), *lengths)
        # enc and dec are compared: the states or their projections
        self._cache = hs_enc, enc, dec, weights, *lengths
        self.attention_weights = weights
        return contexts

    def backward(self, dout: Array, dweights: Array | None = None) -> tuple[Array, Array]:
        """Gradients of the states; ``grads`` receive those of the weights.

        Parameters
        ----------
        dout : ndarray of float, shape (N, Td, H)
            That of the contexts; not read where a decoder row has no step.
        dweights : ndarray of float, shape (N, Td, Te), optional
            That of `attention_weights`, where they are used besides the contexts; 0 where a decoder
            row has no step.

        Returns
        -------
        dhs_enc : ndarray of float32, shape (N, Te, H)
        dhs_dec : ndarray of float32, shape (N, Td, H)
            Both 0 past the lengths.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dout`` or ``dweights`` is of the wrong kind or shape.
        """
        hs_enc, enc, dec, weights, *lengths = self._last_pass()
        if dweights is not None:
            dweights = checked("dweights", dweights, "(N, Td, Te)", *weights.shape)
        if self.kind == "additive":
            dhs_enc, dsums = _kernels.weight_sum_backward(dout, hs_enc, weights, *lengths)
            if dweights is not None:
                dsums += dweights
            denc, ddec = _kernels.additive_weight_backward(
                dsums, enc, dec, self.params[2], weights, self.grads[2], *lengths
            )
            dhs_enc += self._project_backward(0, denc, lengths[0])
        else:
            scale = self._scale(hs_enc.shape[2])
            dhs_enc, ddec = _kernels.attention_backward(dout, enc, dec, weights, scale, *lengths)
            if dweights is not None:
                # forward was: weights = softmax(scale dec enc^T)
                dscores = dweights - (weights * dweights).sum(axis=2, keepdims=True)
                dscores *= scale * weights
                dhs_enc += np.matmul(dscores.transpose(0, 2, 1), dec)
                ddec += np.matmul(dscores, enc)
        if self.kind in ("general", "additive"):
            ddec = self._project_backward(-1, ddec, lengths[1])
        return dhs_enc, ddec

    def _scale(self, H: int) -> float:
        return max(H, 1) ** -0.5 if self.kind == "scaled_dot" else 1.0

    def _project(self, index: int, hs: Array, lengths: Array | None) -> Array:
        """States times W, of the steps that the rows have."""
        return self._of_steps(self._projections[index].forward, hs, lengths)

    def _project_backward(self, index: int, dout: Array, lengths: Array | None) -> Array:
        """Gradient of the states; ``grads`` receive that of W."""
        return self._of_steps(self._projections[index].backward, dout, lengths)

    @staticmethod
    def _of_steps(function: Callable[[Array], Array], xs: Array, lengths: Array | None) -> Array:
        """A function of the steps that the rows have: padding takes no part in a product."""
        if lengths is None:
            return function(xs)
        steps = Steps(lengths, xs.shape[1])
        return steps.scatter(function(steps.gather(xs)))
