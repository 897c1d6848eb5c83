"""Hard attention of one target sequence: the formulas of `fastseq`, one position after the other.

In shapes, te and td are the lengths of the source and of the target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import Affine, MatMul
from fastseq_reference.layers.functions import softmax

Array = npt.NDArray[Any]

SMALLEST_JUMP, LARGEST_JUMP = -2, 4


class HardAttention:
    """From decoder states to log probabilities, over all positions that each may be written from.

    Attributes
    ----------
    weights : (td, te) array
        The probability of each position at each step of the last ``forward``.
    joint : (te, V) array
        That of each position with each symbol, at its last step.
    """

    def __init__(self, params: dict[str, Array]) -> None:
        self.general = MatMul(params["attention.general"])
        self.jump = Affine(params["attention.jump.W"], params["attention.jump.b"])
        self.keys = MatMul(params["combine.keys"])
        self.combine = Affine(params["combine.W"], params["combine.b"])
        self.output = Affine(params["output.W"], params["output.b"])
        self.layers: list[Any] = [
            self.general,
            self.jump,
            self.keys,
            self.combine,
            self.output,
        ]

    def forward(
        self, outputs: Array, states: Array, inputs: Array, mask: Any, joint: Array | None
    ) -> Array:
        """Log probabilities (td, V) from outputs (te, H) and states (td, H).

        ``inputs`` (td) are read by these states, ``mask`` (td, H) or 1 is that of the dropout, and
        ``joint`` is the result of the step before the first, or None.
        """
        td, te, V = len(states), len(outputs), self.output.params[0].shape[1]
        self.outputs, self.inputs = outputs, inputs
        self.mask = np.broadcast_to(mask, states.shape)[:, np.newaxis]
        self.query = self.general.forward(states)
        self.content = softmax(self.query @ outputs.T)
        self.kinds = softmax(self.jump.forward(states))
        both = self.combine.forward(states)[:, np.newaxis] + self.keys.forward(outputs)
        self.a = np.tanh(both)
        scores = self.output.forward((self.a * self.mask).reshape(td * te, -1))
        self.emissions = softmax(scores).reshape(td, te, V)
        self.moves = np.zeros((td, te, te), dtype=states.dtype)
        self.beliefs, self.weights = np.zeros((2, td, te), dtype=states.dtype)
        log_p = np.zeros((td, V), dtype=states.dtype)
        for t in range(td):
            for i in range(te):
                for j in range(te):
                    self.moves[t, i, j] = self.content[t, j] * self.kinds[t, place_of(j - i)]
                self.moves[t, i] /= self.moves[t, i].sum()
            if joint is None:
                self.beliefs[t, 0] = 1
            else:
                likely = joint[:, inputs[t]]
                self.beliefs[t] = likely / likely.sum()
            self.weights[t] = self.beliefs[t] @ self.moves[t]
            joint = self.joint = self.weights[t][:, np.newaxis] * self.emissions[t]
            log_p[t] = np.log(joint.sum(axis=0))
        return log_p

    def backward(self, dlog_p: Array) -> tuple[Array, Array]:
        """Gradients of outputs (te, H) and of states (td, H)."""
        td, te, V = self.emissions.shape
        demissions, dmoves = np.zeros_like(self.emissions), np.zeros_like(self.moves)
        dlikely = np.zeros(te, dtype=dlog_p.dtype)
        for t in reversed(range(td)):
            # forward was: log_p = log(sum over j of joint)
            joint = self.weights[t][:, np.newaxis] * self.emissions[t]
            djoint = np.repeat((dlog_p[t] / joint.sum(axis=0))[np.newaxis], te, axis=0)
            if t + 1 < td:
                djoint[:, self.inputs[t + 1]] += dlikely
            # forward was: joint = weights emissions, weights = belief moves
            dweights = (djoint * self.emissions[t]).sum(axis=1)
            demissions[t] = djoint * self.weights[t][:, np.newaxis]
            dmoves[t] = np.outer(self.beliefs[t], dweights)
            dbelief = self.moves[t] @ dweights
            if t:
                # forward was: belief = likely / sum of likely
                before = self.weights[t - 1] @ self.emissions[t - 1][:, self.inputs[t]]
                dlikely = (dbelief - dbelief @ self.beliefs[t]) / before
        dscores = self.emissions * (
            demissions - (self.emissions * demissions).sum(axis=2, keepdims=True)
        )
        da = self.output.backward(dscores.reshape(td * te, V)).reshape(self.a.shape) * self.mask
        dboth = da * (1 - self.a**2)
        doutputs = self.keys.backward(dboth.sum(axis=0))
        dstates = self.combine.backward(dboth.sum(axis=1))
        # the logarithms of content and kinds are added, and a softmax over j taken
        dlogs = self.moves * (dmoves - (self.moves * dmoves).sum(axis=2, keepdims=True))
        dcontent, dkinds = dlogs.sum(axis=1), np.zeros_like(self.kinds)
        for i in range(te):
            for j in range(te):
                dkinds[:, place_of(j - i)] += dlogs[:, i, j]
        # forward was: content = softmax(query outputs^T), kinds = softmax(jump(states))
        dpairs = dcontent - self.content * dcontent.sum(axis=1, keepdims=True)
        dkinds = dkinds - self.kinds * dkinds.sum(axis=1, keepdims=True)
        dstates = (
            dstates + self.jump.backward(dkinds) + self.general.backward(dpairs @ self.outputs)
        )
        return doutputs + dpairs.T @ self.query, dstates


def place_of(jump: int) -> int:
    """The place of a jump among all, the longer ones taken for the longest."""
    return min(max(jump, SMALLEST_JUMP), LARGEST_JUMP) - SMALLEST_JUMP
