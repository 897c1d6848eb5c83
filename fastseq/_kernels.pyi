"""Typed signatures of the compiled kernels: what the layers may call, and nothing else.

Every function checks its arguments (kind, rank, shapes, ranges of ids), allocates its results and
releases the GIL around the C call. Results are new, C-contiguous and float32. Arguments may be of
any layout, float64 or integer, and are copied where they must be; arrays to be written to (``dWx``,
``dWh``, ``dW``, ``db``, ``dv``, and what the updates change) must be writeable arrays of floats, of
the stated shape and any layout. TypeError, ValueError and IndexError name the argument, what was
expected and what came.

Letters: N rows of the batch, T time steps, D inputs, H hidden units, V vocabulary, Te and Td steps
of encoder and decoder; S any shape.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

# ---- instruction sets, threads, the build ----

def isa() -> str:
    """Name of the instruction set in use."""

def available_isas() -> list[str]:
    """Names of those that this build has and this CPU runs, slowest first."""

def set_isa(name: str) -> None:
    """Use another from the next call on; ValueError names the valid ones."""

def get_num_threads() -> int:
    """How many threads a kernel may use. Small work uses fewer."""

def set_num_threads(num_threads: int) -> None:
    """Let a kernel use so many; stays 1 where there is no OpenMP and in a forked child."""

def build_info() -> dict[str, str]:
    """How the extension was compiled: "compiler", and "openmp" (its version, or "no")."""

# ---- elementwise functions, softmax and loss ----

def exp(x: Array) -> FloatArray: ...
def tanh(x: Array) -> FloatArray: ...
def sigmoid(x: Array) -> FloatArray: ...
def softmax(x: Array) -> FloatArray:
    """Over the last axis."""

def log_softmax(x: Array) -> FloatArray:
    """Over the last axis; finite where a probability rounds to 0."""

def softmax_loss_forward(
    xs: Array, labels: Array, ignore_label: int | None
) -> tuple[float, FloatArray, int]:
    """Mean of -log p over the labels that are not ignored, p (S,V), and how many those are.

    xs (S,V), labels (S). ValueError where no label is left.
    """

def softmax_loss_backward(
    probabilities: Array, labels: Array, ignore_label: int | None, scale: float
) -> FloatArray:
    """(p - onehot(labels)) scale, zero where the label is ignored: (S,V)."""

# ---- embedding and affine ----

def embedding_forward(W: Array, ids: Array) -> FloatArray:
    """W[ids]: (S,D) from W (V,D) and ids (S)."""

def embedding_backward(dW: Array, ids: Array, dout: Array) -> None:
    """Overwrite dW (V,D) with the sums of the rows of dout (S,D) that have the same id."""

def affine_forward(x: Array, W: Array, b: Array | None = None) -> FloatArray:
    """The product x W + b: (S,M) from x (S,K), W (K,M), b (M) or (S,M)."""

def affine_backward(
    dout: Array, x: Array, W: Array, dW: Array, db: Array | None = None
) -> FloatArray:
    """Gradient of x (S,K) from dout (S,M); dW (K,M) and db (M) are overwritten."""

# ---- recurrent ----

class Workspace:
    """What a recurrent layer keeps between calls: the forward cache and scratch memory.

    It belongs to one layer and serves one call at a time. Copies and pickles are empty.
    """

    def release(self) -> None:
        """Give the memory back; `recurrent_backward` then needs a new forward pass."""

def recurrent_forward(
    workspace: Workspace | None,
    cell: str,
    xs: Array,
    params: list[Array],
    h0: Array | None = None,
    c0: Array | None = None,
    lengths: Array | None = None,
    context: Array | None = None,
    embedding: Array | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """The states hs (N,T,K H) after each step, and h, c (N,K H) after each row's last.

    cell "rnn", "gru" or "lstm", with G = 1, 3 or 4 gates; only the LSTM has c. xs (N,T,D);
    params Wx (D,G H), Wh (H,G H), b (G H) for each of K = 1 or 2 directions, the second from each
    row's end; h0, c0 (N,K H) or None for zeros; lengths (N), steps of each row, or None for T each.
    hs is 0 where a row has no step.

    With an embedding (V,D), xs (N,T) are ids of its rows, and embedding Wx is multiplied once. A
    context (N,C) stands before x at every step: Wx is (C+D,G H), and it too is multiplied once.

    The workspace holds what `recurrent_backward` needs. None keeps nothing, which takes less memory
    and time; the results have the same bits.
    """

def recurrent_backward(
    workspace: Workspace,
    dhs: Array,
    params: list[Array],
    grads: list[Array],
    dh: Array | None = None,
    dc: Array | None = None,
    dcontext: Array | None = None,
    dembedding: Array | None = None,
) -> tuple[FloatArray | None, FloatArray, FloatArray | None]:
    """Gradients of xs (N,T,D), and of h0, c0 (N,K H); the arrays in grads are overwritten.

    dhs (N,T,K H) is that of hs, dh and dc (N,K H) those of the last h and c, or None for zeros.
    dcontext (N,C) and dembedding (V,D) are overwritten where forward had a context or an embedding;
    with an embedding there is no gradient of xs.
    """

# ---- attention; lengths (N) are steps of each row, or None for all; results are 0 past them ----

def attention_forward(
    hs_enc: Array,
    hs_dec: Array,
    scale: float = 1.0,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Contexts (N,Td,H) and weights (N,Td,Te) from hs_enc (N,Te,H) and hs_dec (N,Td,H)."""

def attention_backward(
    dout: Array,
    hs_enc: Array,
    hs_dec: Array,
    weights: Array,
    scale: float = 1.0,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from that of the contexts."""

def attention_weight_forward(hs_enc: Array, hs_dec: Array) -> FloatArray:
    """The weights alone: softmax(hs_dec hs_enc^T)."""

def attention_weight_backward(
    dweights: Array, hs_enc: Array, hs_dec: Array, weights: Array
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from that of the weights."""

def weight_sum_forward(
    hs_enc: Array,
    weights: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """The contexts alone: weights hs_enc."""

def weight_sum_backward(
    dout: Array,
    hs_enc: Array,
    weights: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and weights from that of the contexts."""

def additive_weight_forward(
    hs_enc: Array,
    hs_dec: Array,
    v: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> FloatArray:
    """Weights (N,Td,Te): softmax over e of v (H) . tanh(hs_enc (N,Te,H) + hs_dec (N,Td,H))."""

def additive_weight_backward(
    dweights: Array,
    hs_enc: Array,
    hs_dec: Array,
    v: Array,
    weights: Array,
    dv: Array,
    encoder_lengths: Array | None = None,
    decoder_lengths: Array | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Gradients of hs_enc and hs_dec from that of the weights; dv (H) is overwritten."""

# ---- decoding ----

def greedy_decode(
    workspace: Workspace,
    start_id: int,
    steps: int,
    h0: Array,
    embedding: Array,
    lstm: list[Array],
    affine: list[Array],
    hs_enc: Array | None = None,
    peeky: bool = False,
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray, FloatArray | None]:
    """The ids (N,steps) of the best scores, last h and c (N,H), last attention weights (N,Te).

    Each step reads the id of the one before, the first start_id. h0 (N,H) is the first state;
    embedding (V,D); lstm Wx (D,4H), Wh (H,4H), b (4H); affine W (H,V), b (V). With hs_enc
    (N,Te,H) there is attention, and W (2H,V) takes [context, h]. If peeky Wx (H+D,4H) takes
    [h0, embedded id], and W (2H,V) takes [h0, h]. The workspace has no forward pass afterwards.
    """

def decode_row(
    cell: str,
    start_id: int,
    first_id: int,
    end_id: int,
    steps: int,
    h0: Array,
    c0: Array | None,
    embedding: Array,
    layers: list[list[Array]],
    output: list[Array],
    peek: Array | None = None,
    hs_enc: Array | None = None,
    combine: list[Array] | None = None,
    W_query: Array | None = None,
    scale: float = 1.0,
    keys: Array | None = None,
    v: Array | None = None,
) -> tuple[npt.NDArray[np.int64], float]:
    """The ids that one source's decoder finds best, and the sum of their log probabilities.

    It ends with end_id, or after so many steps; ids below first_id are never chosen. cell "gru" or
    "lstm"; h0, and c0 of the LSTM, (L,H) for L layers; embedding (V,D); Wx (D,G H), or with peek
    (H+D,G H), then (H,G H), Wh (H,G H) and b (G H) of each layer; output W (H,V), or with peek
    (2H,V), and b (V); peek (H). With hs_enc (Te,H) there is attention, and combine W (2H,H), b (H):
    by dot products times scale, of queries h W_query where there is one; or with keys (Te,H) and
    v (H) additive.
    """

# ---- updates in place, over lists of arrays of pairwise equal shapes; grads are only read ----

def sgd_step(params: list[Array], grads: list[Array], learning_rate: float) -> None:
    """Subtract learning_rate grads from params."""

def momentum_step(
    params: list[Array],
    grads: list[Array],
    velocities: list[Array],
    learning_rate: float,
    momentum: float,
) -> None:
    """One step of gradient descent with momentum."""

def nesterov_step(
    params: list[Array],
    grads: list[Array],
    velocities: list[Array],
    learning_rate: float,
    momentum: float,
) -> None:
    """One step of Nesterov's accelerated gradient."""

def adagrad_step(
    params: list[Array],
    grads: list[Array],
    square_sums: list[Array],
    learning_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of AdaGrad."""

def rmsprop_step(
    params: list[Array],
    grads: list[Array],
    square_means: list[Array],
    learning_rate: float,
    decay_rate: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of RMSprop."""

def adam_step(
    params: list[Array],
    grads: list[Array],
    first_moments: list[Array],
    second_moments: list[Array],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float = 1e-7,
) -> None:
    """One step of Adam; the learning rate comes with its bias correction already in it."""

def global_norm(grads: list[Array]) -> float:
    """Square root of the sum of all squares."""

def scale(arrays: list[Array], factor: float) -> None:
    """Multiply the arrays by a factor."""
