"""The Ensemble: several Transducers that answer together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

from fastseq._kernels import get_num_threads, get_precision
from fastseq.models.base import check_sizes
from fastseq.transducer import hyperparameters, model_file
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.ensemble import file
from fastseq.transducer.ensemble.mixture import Mixture
from fastseq.transducer.ensemble.workers import Job, Workers
from fastseq.transducer.estimator import FileDtype, Transducer
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.search.predictor import Predictor
from fastseq.transducer.training.fitting import call, checked_callbacks
from fastseq.transducer.training.preparation import Validation
from fastseq.transducer.training.reports import Logs, Progress, epoch_line


class Ensemble(Predictor):
    """Several Transducers that answer together: at each step by the mean of their probabilities.

    Models that differ in their seed alone make different mistakes, so that their mean is right
    more often than any of them; it takes as many times as long to answer. What is "auto" may differ
    too: see `fastseq.transducer.training.automatic`.

    Parameters
    ----------
    models : iterable of Transducer
        Trained ones, with the same vocabularies; or those that `fit` is to train.

    Attributes
    ----------
    models : list of Transducer
        As given.
    members_ : list of Transducer
        The trained models.
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
        The most symbols there are in the training data of any.
    network_ : Mixture
        What a search decodes: the mean of the networks.
    interrupted_ : bool
        Whether Ctrl-C ended the training.

    Raises
    ------
    TypeError, ValueError
        There is no model, something else, or models of different vocabularies.

    Examples
    --------
    >>> from fastseq import Ensemble, Transducer
    >>> words, capitals = ["abc", "bca", "cab", "bac"], ["ABC", "BCA", "CAB", "BAC"]
    >>> settings = {"hidden_size": 32, "dropout": 0.0, "learning_rate": 0.02, "epochs": 60}
    >>> ensemble = Ensemble(Transducer(**settings, seed=seed) for seed in range(3))
    >>> ensemble.fit(words, capitals, validation=None).predict(["cab"], beam_size=2)
    ['CAB']
    >>> ensemble.score(words, capitals)
    1.0
    >>> weights, input_symbols, output_symbols = ensemble.attention("cab")
    >>> output_symbols
    ['C', 'A', 'B']
    >>> ensemble.save("capitals.safetensors")
    >>> len(Ensemble.load("capitals.safetensors").members_)
    3
    """

    network_: Mixture

    def __init__(self, models: Iterable[Transducer]) -> None:
        listed: list[Any] = list(models)
        self.models: list[Transducer] = listed
        if not 1 <= len(self.models) <= file.MOST_MODELS:
            raise ValueError(f"models: expected 1 to {file.MOST_MODELS}, got {len(self.models)}")
        for place, model in enumerate(listed):
            if not isinstance(model, Transducer):
                kind = type(model).__name__
                raise TypeError(f"models[{place}]: expected a Transducer, got {kind}")
        if all(hasattr(model, "network_") for model in self.models):
            self._take(self.models)

    def fit(
        self,
        sources: Iterable[Text],
        targets: Iterable[Text],
        validation: Validation = 0.1,
        *,
        sample_weight: Iterable[float] | None = None,
        processes: int | None = None,
        callbacks: Iterable[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        log: str | os.PathLike[str] | None = None,
        progress: Progress = None,
        warm_start: bool = False,
    ) -> Self:
        """Train all models on the same pairs, in processes of their own.

        Ctrl-C ends the training after the current steps. The ensemble then is of those models that
        an epoch is over of, or if there is none, of those whose training had begun.

        Parameters
        ----------
        sources, targets, validation, sample_weight, checkpoint_every, resume, warm_start
            As in `Transducer.fit`. Models of different seeds hold out different shares.
        processes : int, optional
            How many models are trained at a time; by default as many as there are threads, which
            they share. The result does not depend on it.
        callbacks : iterable
            After each epoch of a model ``on_epoch_end(ensemble, logs)`` of each is called; `logs`
            have the number of the model, from 1, as ``model``. The weights are in another process
            at that time. ``on_final_epoch_end`` is called in the same way.
        checkpoint : path, optional
            A folder, made if need be, with a folder for the checkpoint of each model: 1, 2 and so
            on.
        log : path, optional
            As in `Transducer.fit`, a file for each model: 1, 2 and so on come before the suffix of
            its name, as in ``log.1.jsonl``.
        progress : bool or "bar", optional
            As in `Transducer.fit`, but there is no bar, only the lines.

        Returns
        -------
        Ensemble
            This one. Its `models` are as they were: `members_` are the trained ones.

        Raises
        ------
        FloatingPointError, OSError, TypeError, ValueError
            As `Transducer.fit`. The training of the other models is ended, and what is trained is
            kept.
        RuntimeError
            A process was killed.
        """
        called = checked_callbacks(callbacks)
        total = get_num_threads()
        if processes is None:
            processes = min(total, len(self.models))
        check_sizes(processes=processes)
        pairs = list(sources), list(targets)
        if isinstance(validation, tuple | list):
            validation = tuple(list(texts) for texts in validation)  # type: ignore[assignment]
        if sample_weight is not None:
            sample_weight = list(sample_weight)
        jobs = []
        models = self.members_ if warm_start and hasattr(self, "members_") else self.models
        for number, model in enumerate(models, start=1):
            hyperparameters.check(model.get_params())
            options = {
                "validation": validation,
                "sample_weight": sample_weight,
                "checkpoint": None if checkpoint is None else os.path.join(checkpoint, str(number)),
                "checkpoint_every": checkpoint_every,
                "resume": resume,
                "warm_start": warm_start,
                "member": number - 1,
                "log": None if log is None else numbered(log, number),
            }
            jobs.append(Job(model, pairs, options, max(1, total // processes), get_precision()))
        shown = progress is True
        if progress is None:
            shown = sys.stderr is not None and sys.stderr.isatty()

        def end_epoch(number: int, logs: Logs) -> None:
            logs = {"model": number + 1} | logs
            if shown:
                print(member_line(logs), file=sys.stderr, flush=True)
            call(called, self, logs)

        workers = Workers(jobs, processes)
        workers.run(end_epoch)
        begun = [result.model for result in workers.results if result.model is not None]
        members = [model for model in begun if model.history_] or begun
        if members:
            self._take(members)
            self.interrupted_ = workers.interrupted
        errors = [result.error for result in workers.results if result.error is not None]
        if errors:
            raise errors[0]
        if not members:
            raise KeyboardInterrupt
        return self

    def save(self, path: str | os.PathLike[str], dtype: FileDtype = "float32") -> None:
        """Write all models to one file, as `Transducer.save` writes one.

        Parameters
        ----------
        path : path
            By custom its name ends in ``.safetensors``.
        dtype : {"float32", "float16", "bfloat16"}
            What the weights are in the file.

        Raises
        ------
        OSError, OverflowError, RuntimeError, ValueError
            As `Transducer.save`.
        """
        self._require_fitted()
        parts = []
        for model in self.members_:
            config = replace(model.model_config, lengths=self.lengths_)
            parts.append(file.Part(config, model.network_.params, model.history_))
        file.write(os.fspath(path), parts, dtype)

    @classmethod
    def load(cls, *paths: str | os.PathLike[str]) -> Self:
        """Read what `save`, or `Transducer.save`, has written.

        Parameters
        ----------
        *paths : path
            Or names of installed models, as ``fastseq models`` lists them. The ensemble is of the
            models in all of these files. They are not trusted, as in `Transducer.load`.

        Returns
        -------
        Ensemble

        Raises
        ------
        OSError, TypeError, ValueError
            As `Transducer.load`; or the models do not fit together.
        """
        models = []
        for path in paths:
            if model_file.kind_of(os.fspath(path)) == model_file.ENSEMBLE:
                models += [Transducer.of(*part) for part in file.read(os.fspath(path))]
            else:
                models.append(Transducer.load(path))
        return cls(models)

    @property
    def columns(self) -> str:
        """What the columns of a file are, as the first model knows it."""
        return self.models[0].columns

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.models!r})"

    def _take(self, members: list[Transducer]) -> None:
        """Answer by these models."""
        for place, model in enumerate(members[1:], start=1):
            for side, first, own in zip(
                ("source", "target"), members[0].vocabulary_, model.vocabulary_, strict=True
            ):
                if own != first:
                    raise ValueError(
                        f"models[{place}]: expected the {side} vocabulary of models[0], "
                        f"got {_difference(first, own)}"
                    )
        self.members_ = list(members)
        self.vocabulary_ = members[0].vocabulary_
        self.lengths_ = Lengths(
            max(model.lengths_.source for model in members),
            max(model.lengths_.target for model in members),
        )
        self.network_ = Mixture(
            [model.network_ for model in members],
            [model.model_config.params["precision"] for model in members],
        )
        self.interrupted_ = False


def member_line(logs: Logs) -> str:
    """An epoch of one model of an ensemble in one line of text."""
    return f"model {logs['model']}   {epoch_line(logs)}"


def numbered(path: str | os.PathLike[str], number: int) -> str:
    """The name of a file for one of several models: ``log.jsonl`` becomes ``log.1.jsonl``."""
    root, suffix = os.path.splitext(os.fspath(path))
    return f"{root}.{number}{suffix}"


def _difference(first: Vocabulary, own: Vocabulary) -> str:
    """In what a vocabulary differs from the first, as the end of a message."""
    if own.form != first.form:
        return f"one of texts of form {own.form!r} instead of {first.form!r}"
    if own.text_form != first.text_form:
        return f"one of texts of form {own.text_form} instead of {first.text_form}"
    for name, found in (
        ("one without", set(first.symbols) - set(own.symbols)),
        ("one that also has", set(own.symbols) - set(first.symbols)),
    ):
        if found:
            return f"{name} {min(found)!r}"
    return "one in another order"
