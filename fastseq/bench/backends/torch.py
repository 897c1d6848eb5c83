"""The workloads in PyTorch, in the style of its users.

The layers and models are the same functions of the same initial parameters, so that results can be
compared: the parameters are copied from the reference's. Everything is eager and at PyTorch's
defaults. Adam is PyTorch's own, ε inside the bias correction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

import fastseq_reference
from fastseq.bench.backends import torch_weights as weights
from fastseq.bench.backends.numpy_layers import Results, Step, decoding_model, first_steps
from fastseq.bench.backends.torch_models import LanguageModel, Seq2seq, quantized, reference_masks
from fastseq.bench.workloads import Workload
from fastseq.bench.workloads.base import BFLOAT16, FLOAT32, INT8, SEED, Layer
from fastseq.bench.workloads.decoding import START_ID, Decoding, Evaluation
from fastseq.bench.workloads.layers import AffineLayer, AttentionLayer, EmbeddingLayer, LossLayer
from fastseq.bench.workloads.models import LanguageModelStep, TrainingStep
from fastseq.bench.workloads.recurrent import RecurrentLayer

Array = npt.NDArray[Any]


def about() -> dict[str, Any]:
    """The number of threads."""
    return {"threads": torch.get_num_threads()}


def build(workload: Workload, precision: str = FLOAT32) -> tuple[Step, Results]:
    """Build a workload; see `numpy_layers.prepare`.

    In bfloat16 it runs under ``autocast``; in int8 with dynamically quantized weights.
    """
    if isinstance(workload, TrainingStep):
        return _training_step(workload, precision)
    if isinstance(workload, Layer):
        return _layer(workload, precision)
    if isinstance(workload, Decoding):
        return _decoding(workload, precision)
    raise TypeError(f"{workload.name}: not written for PyTorch")


def _layer(workload: Layer, precision: str) -> tuple[Step, Results]:
    data = workload.data()
    inputs = [torch.from_numpy(array) for array in data.inputs]
    for tensor in inputs:
        tensor.requires_grad_(workload.backward and tensor.is_floating_point())
    upstream = [torch.from_numpy(array) for array in data.upstream]
    function, weight_gradients = _function(workload, data.weights)
    if precision == INT8:
        function = quantized(nn.Sequential(function))
    module = function if isinstance(function, nn.Module) else None

    def forward() -> Any:
        with torch.inference_mode(), _products(precision):
            return _output(function(*inputs))

    def both() -> Any:
        if module is not None:
            module.zero_grad()
        for tensor in inputs:
            tensor.grad = None
        with _products(precision):
            output = _output(function(*inputs))
        output.backward(*upstream)
        return output

    def results() -> dict[str, Any]:
        if not workload.backward:
            return {workload.results[0]: forward().float().numpy()}
        output = both().detach().float().numpy()
        input_gradients = [weights.gradient(tensor) for tensor in inputs if tensor.requires_grad]
        arrays = [output, *input_gradients, *weight_gradients()]
        return dict(zip(workload.results, arrays, strict=False))

    return both if workload.backward else forward, results


def _output(given: Any) -> Any:
    """The first of several outputs: a recurrent module returns its last states as well."""
    return given[0] if isinstance(given, tuple) else given


def _function(
    workload: Layer, arrays: tuple[Array, ...]
) -> tuple[Callable[..., Any], Callable[[], list[Array]]]:
    """What computes a layer, and the gradients of its weights."""
    if isinstance(workload, RecurrentLayer):
        kind = nn.RNN if workload.layer == "TimeRNN" else nn.LSTM
        recurrent = weights.recurrent(kind, *arrays)
        return recurrent, lambda: weights.recurrent_gradients(recurrent)
    if isinstance(workload, EmbeddingLayer):
        embedding = weights.embedding(*arrays)
        return embedding, lambda: [weights.gradient(embedding.weight)]
    if isinstance(workload, AffineLayer):
        linear = weights.linear(*arrays)
        return linear, lambda: weights.linear_gradients(linear)
    if isinstance(workload, AttentionLayer):
        return weights.attention, list
    if isinstance(workload, LossLayer):
        return _loss, list
    raise TypeError(f"{workload.name}: not written for PyTorch")


def _loss(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(scores.flatten(0, 1), labels.flatten())


def _trained(workload: TrainingStep) -> Seq2seq | LanguageModel:
    """The model with the weights of the reference's."""
    np.random.seed(SEED)  # the comparison draws its dropout masks from it, too, after the weights
    model = getattr(fastseq_reference, workload.model)(*workload.arguments)
    return LanguageModel(model) if isinstance(workload, LanguageModelStep) else Seq2seq(model)


def _training_step(workload: TrainingStep, precision: str) -> tuple[Step, Results]:
    model = _trained(workload)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if workload.optimizer == "SGD":
        optimizer = torch.optim.SGD(trained, lr=workload.learning_rate)
    else:
        optimizer = torch.optim.Adam(trained, lr=workload.learning_rate, eps=1e-7)
    batches = itertools.cycle(
        [(torch.from_numpy(xs), torch.from_numpy(ts)) for xs, ts in workload.batches()]
    )

    def step() -> float:
        with _products(precision):
            loss = model.loss(*next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, workload.max_norm)
        optimizer.step()
        return float(loss.item())

    def results() -> dict[str, Any]:
        with reference_masks(model):
            return first_steps(step, model.gradients)

    return step, results


def _decoding(workload: Decoding, precision: str) -> tuple[Step, Results]:
    model: Any = Seq2seq(decoding_model(fastseq_reference, workload)).eval()
    if precision == INT8:
        model = quantized(model)
    questions = torch.from_numpy(workload.questions())

    def answers() -> Tensor:
        with _products(precision):
            found: Tensor = model.generate(questions, START_ID, workload.Td)
            return found

    if not isinstance(workload, Evaluation):
        return answers, lambda: {"answers": answers().numpy()}
    corrects = torch.from_numpy(workload.corrects()[:, 1:])

    def share() -> float:
        return float((answers() == corrects).all(dim=1).float().mean())

    return share, lambda: {"answers": answers().numpy(), "share": share()}


def _products(precision: str) -> torch.autocast:
    """Let products round their operands to bfloat16, where that is the precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == BFLOAT16)
