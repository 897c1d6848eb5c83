"""From the arguments of `Transducer.fit` to a training that is ready to run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq._kernels import get_precision, isa
from fastseq.files import check_writable
from fastseq.models.base import check_sizes
from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator, require_equal, together
from fastseq.precision import products_in
from fastseq.transducer import hyperparameters
from fastseq.transducer import model_file as files
from fastseq.transducer.data.batches import Pairs, split_by_source
from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import Text, choose_forms
from fastseq.transducer.data.texts import check_equal_length, checked_texts
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.metrics.questions import key, numbers
from fastseq.transducer.model_config import Lengths, ModelConfig, Vocabularies
from fastseq.transducer.network.network import Network
from fastseq.transducer.training import checkpoints
from fastseq.transducer.training.automatic import chosen
from fastseq.transducer.training.interrupt import ends_cleanly
from fastseq.transducer.training.loop import Plan, Training
from fastseq.transducer.training.reports import JsonLog, Logs, Progress, ProgressBar, Reporter
from fastseq.transducer.training.shards import check_shards
from fastseq.transducer.training.warm_start import Start, extended_config, kept_forms, take_weights
from fastseq.version import __version__

Validation = float | tuple[Iterable[Text], Iterable[Text]] | None


def prepare(
    params: dict[str, Any],
    sources: Iterable[Text],
    targets: Iterable[Text],
    validation: Validation,
    sample_weight: Iterable[float] | None = None,
    start: Start | None = None,
    resumed: str | os.PathLike[str] | None = None,
    ranks: Communicator = SINGLE_PROCESS,
) -> tuple[Training, ModelConfig]:
    """Check everything, number the symbols, encode the pairs, draw the weights.

    Parameters
    ----------
    params : dict
        Every hyperparameter.
    sources, targets, validation, sample_weight
        As in `Transducer.fit`.
    start : Start, optional
        A trained model whose symbols and weights are kept; what is "auto" is as it has it.
    resumed : path, optional
        The folder of a checkpoint: if there is one, what is "auto" is as it was.
    ranks : Communicator
        The processes that are to train together.

    Returns
    -------
    Training, ModelConfig

    Raises
    ------
    OSError, TypeError, ValueError
        An argument is wrong, or the checkpoint.
    """
    hyperparameters.check(params)
    params = hyperparameters.plain(params)
    check_shards(params["shards"], ranks)
    if resumed is not None and os.path.exists(checkpoints.file_name(resumed)):
        params = checkpoints.trained_with(checkpoints.file_name(resumed), params)
        hyperparameters.check(params)
    elif start is not None:
        params = {
            name: start.config.params[name] if hyperparameters.is_undecided(name, value) else value
            for name, value in params.items()
        }
    tag_columns = len(Columns.parse(params["columns"]).features)
    source_texts = checked_texts("sources", sources, None, tag_columns)
    target_texts = checked_texts("targets", targets, None)
    check_equal_length(source_texts, target_texts)
    if not source_texts:
        raise ValueError("sources: expected at least one pair to train on, got none")
    pair_weights = _checked_weights(sample_weight, len(source_texts))
    forms = choose_forms(source_texts, target_texts, params, tag_columns)
    if start is not None:
        forms = kept_forms(start, forms)
    lengths = [
        np.array([form.length(text) for text in texts])
        for form, texts in zip(forms, (source_texts, target_texts), strict=True)
    ]
    kept = np.flatnonzero(np.maximum(*lengths) <= (params["max_length"] or np.inf))
    if not len(kept):
        raise ValueError(
            f"max_length: expected a pair of at most {params['max_length']} symbols, "
            f"got none among {len(source_texts)}"
        )
    source_texts, target_texts = (
        [texts[row] for row in kept] for texts in (source_texts, target_texts)
    )
    vocabulary = Vocabularies(
        Vocabulary.build(source_texts, forms[0]), Vocabulary.build(target_texts, forms[1])
    )
    seen = Lengths(*(int(side[kept].max()) for side in lengths))
    config = ModelConfig(params, vocabulary, seen)
    if start is not None:
        config = extended_config(start, config)
    files.check_room(config.to_json())
    seeds = np.random.SeedSequence(params["seed"]).spawn(4)
    split, order, dropout, weights = (np.random.default_rng(seed) for seed in seeds)
    encoded = config.vocabulary.encode(source_texts, target_texts)
    if pair_weights is not None:
        pair_weights = pair_weights[kept]
    pairs = Pairs(encoded.sources, encoded.targets, None, pair_weights, kept)
    held_out: Pairs | None = None
    if isinstance(validation, int | float | np.number):
        if not 0 < validation < 1:
            raise ValueError(f"validation: expected a share between 0 and 1, got {validation}")
        pairs, held_out = split_by_source(pairs, float(validation), split)
    elif validation is not None:
        held_out = _encode_validation(validation, config.vocabulary)
    params = chosen(params, len(pairs), config.lengths)
    config = replace(config, params=params)
    plan = Plan(**{name: params[name] for name in Plan.__dataclass_fields__})
    network = Network(config.network_config(), weights)
    if start is not None:
        take_weights(start, network.params)
    training = Training(network, plan, pairs, held_out, order, dropout, ranks)
    training.left_out = len(lengths[0]) - len(kept)
    return training, config


class Fitting:
    """A training with its checkpoint and its log.

    Parameters
    ----------
    training, config
        As `prepare` has made them.
    checkpoint, checkpoint_every, resume, log
        As in `Transducer.fit`. The training goes on from a checkpoint that is resumed.
    ranks : Communicator
        The processes that train together: rank 0 writes and shows, all read the checkpoint.

    Raises
    ------
    OSError, TypeError, ValueError
        As in `Transducer.fit`.
    """

    def __init__(
        self,
        training: Training,
        config: ModelConfig,
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: int | None,
        resume: bool,
        log: str | os.PathLike[str] | None,
        ranks: Communicator = SINGLE_PROCESS,
    ) -> None:
        self._training, self._config, self._ranks = training, config, ranks
        self._path = _checkpoint_path(checkpoint, checkpoint_every, resume)
        self._every = checkpoint_every
        if self._path is not None and os.path.exists(self._path):
            checkpoints.restore(self._path, training, config)
        self._log = JsonLog(None if ranks.rank else log, training.history)

    def run(self, model: Any, callbacks: tuple[Any, ...], progress: Progress) -> None:
        """Train to the end, or to Ctrl-C; the network then has the weights of the best epoch.

        Parameters
        ----------
        model : Transducer
            What the callbacks are called with.
        callbacks : tuple
            As `checked_callbacks` gives them.
        progress : bool, "bar" or None
            As in `Transducer.fit`.

        Raises
        ------
        FloatingPointError
            The loss, or the norm of the gradients, became NaN or infinite.
        RuntimeError, ValueError
            Another process has failed, or trains something else.
        """
        ranks = self._ranks
        if ranks.size > 1:
            require_equal(ranks, self._facts())
        with together(ranks):
            for callback in callbacks:
                if hasattr(callback, "on_fit_begin"):
                    callback.on_fit_begin(model)

        def end_epoch(logs: Logs) -> None:
            model.n_epochs_ = len(self._training.history)
            for callback in callbacks:
                callback.on_epoch_end(model, logs)

        bar = ProgressBar(False if ranks.rank else progress, self._training.plan.epochs)
        reporter = Reporter(bar, self._log, self._save_checkpoint, end_epoch, ranks)
        try:
            with ends_cleanly(self._training, ranks), products_in(self._config.params["precision"]):
                self._training.run(reporter, self._every)
        except FloatingPointError as error:
            last = "there is no checkpoint"
            if self._path is not None and os.path.exists(self._path):
                last = f"the last good checkpoint is {self._path}"
            raise FloatingPointError(f"{error}; {last}") from error
        finally:
            bar.end()
            self._training.take_best()

    def _facts(self) -> dict[str, str]:
        """What all ranks must have in common, to come to the same bits."""
        state = self._training.state()
        arrays = b"".join(array.tobytes() for array in self._training.arrays().values())
        return {
            "version": __version__,
            "instruction set (FASTSEQ_ISA)": isa(),
            "precision": get_precision(),
            "pairs": state.pop("pairs"),
            "pairs held out": str(state.pop("validation")),
            "hyperparameters and symbols": _digest(json.dumps(self._config.to_json()).encode()),
            "checkpoint or initial weights": _digest(json.dumps(state).encode() + arrays),
        }

    def _save_checkpoint(self) -> None:
        if self._path is not None and self._ranks.rank == 0:
            checkpoints.save(self._path, self._training, self._config)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checked_callbacks(callbacks: Iterable[Any]) -> tuple[Any, ...]:
    """The callbacks, which may come only once from an iterator.

    Raises
    ------
    TypeError
        One has no `on_epoch_end`; the message gives its place.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a list of them, got {type(callbacks).__name__}")
    listed = tuple(callbacks)
    for place, callback in enumerate(listed):
        if not callable(getattr(callback, "on_epoch_end", None)):
            raise TypeError(
                f"callbacks[{place}]: expected an object with on_epoch_end(model, logs), "
                f"got {type(callback).__name__}"
            )
    return listed


def _checkpoint_path(
    folder: str | os.PathLike[str] | None, every: int | None, resume: bool
) -> str | None:
    """The checkpoint's file, its folder made; None where there is to be none.

    Raises
    ------
    FileExistsError
        It is there already, and not to be resumed.
    OSError
        The folder cannot be made, or nothing can be written to it.
    TypeError, ValueError
        `every` is no number of steps, or there is nothing to replace or to resume.
    """
    if every is not None:
        check_sizes(checkpoint_every=every)
    if folder is None:
        for name, given in (("checkpoint_every", every is not None), ("resume", resume)):
            if given:
                raise ValueError(f"{name}: expected a checkpoint with it, got none")
        return None
    os.makedirs(folder, exist_ok=True)
    path = checkpoints.file_name(folder)
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            errno.EEXIST, "there is a checkpoint already: resume it, or remove it", path
        )
    check_writable(path)
    return path


def _encode_validation(validation: Any, vocabulary: Vocabularies) -> Pairs:
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError(
            "validation: expected a share, (sources, targets) or None; "
            f"got {type(validation).__name__}"
        )
    sources, targets = (
        checked_texts(f"validation {side}", texts, symbols)
        for side, texts, symbols in zip(("sources", "targets"), validation, vocabulary, strict=True)
    )
    check_equal_length(sources, targets)
    if not sources:
        raise ValueError("validation: expected at least one pair, got none")
    pairs = vocabulary.encode(sources, targets)
    # texts that differ in unknown symbols only have the same ids, and are different all the same
    texts = numbers(key(vocabulary.source, text) for text in sources)
    return Pairs(pairs.sources, pairs.targets, texts)


def _checked_weights(
    sample_weight: Iterable[float] | None, count: int
) -> npt.NDArray[np.float32] | None:
    """The weights with a mean of 1.

    Raises
    ------
    TypeError, ValueError
        They are not as many numbers of at least 0, one of them above it.
    """
    if sample_weight is None:
        return None
    listed = np.asarray(
        sample_weight if isinstance(sample_weight, np.ndarray) else list(sample_weight)
    )
    if listed.dtype.kind not in "iuf":
        raise TypeError(f"sample_weight: expected numbers, got {listed.dtype}")
    if listed.shape != (count,):
        raise ValueError(
            f"sample_weight: expected one for each of {count} pairs, got shape {listed.shape}"
        )
    wrong = np.flatnonzero(~((listed >= 0) & (listed < np.inf)))
    if wrong.size:
        raise ValueError(
            f"sample_weight[{wrong[0]}]: expected a number of at least 0, got {listed[wrong[0]]}"
        )
    if not listed.any():
        raise ValueError("sample_weight: expected one above 0, got zeros")
    mean_one: npt.NDArray[np.float32] = (listed / listed.mean(dtype=np.float64)).astype(np.float32)
    return mean_one
