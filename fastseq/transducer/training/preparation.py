"""From the pairs and hyperparameters of `Transducer.fit` to a training that is ready to run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator
from fastseq.transducer import hyperparameters
from fastseq.transducer import model_file as files
from fastseq.transducer.data.batches import Pairs, split_by_source
from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import Text, choose_forms
from fastseq.transducer.data.store import PairStore
from fastseq.transducer.data.texts import check_equal_length, checked_texts
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.metrics.questions import key, numbers
from fastseq.transducer.model_config import Lengths, ModelConfig, Vocabularies
from fastseq.transducer.network.network import Network
from fastseq.transducer.training import checkpoints
from fastseq.transducer.training.automatic import chosen
from fastseq.transducer.training.loop import Training
from fastseq.transducer.training.plan import Plan
from fastseq.transducer.training.shards import check_shards
from fastseq.transducer.training.warm_start import Start, extended_config, kept_forms, take_weights

Validation = float | tuple[Iterable[Text], Iterable[Text]] | None


def prepare(
    params: dict[str, Any],
    sources: Iterable[Text] | PairStore,
    targets: Iterable[Text],
    validation: Validation,
    sample_weight: Iterable[float] | None = None,
    start: Start | None = None,
    resumed: str | os.PathLike[str] | None = None,
    ranks: Communicator = SINGLE_PROCESS,
    member: int = 0,
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
    member : int
        Which model of an ensemble it is, from 0: what is "auto" may differ.

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
    seeds = np.random.SeedSequence(params["seed"]).spawn(4)
    split, *generators = (np.random.default_rng(seed) for seed in seeds)
    if isinstance(sources, PairStore):
        return _stored_training(params, sources, validation, start, ranks, generators, member)
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
    encoded = config.vocabulary.encode(source_texts, target_texts)
    if pair_weights is not None:
        pair_weights = pair_weights[kept]
    pairs = Pairs(encoded.sources, encoded.targets, None, pair_weights, kept)
    held_out: Pairs | None = None
    every: Pairs | None = None
    if isinstance(validation, int | float | np.number):
        if not 0 < validation < 1:
            raise ValueError(f"validation: expected a share between 0 and 1, got {validation}")
        every = pairs
        pairs, held_out = split_by_source(pairs, float(validation), split)
    elif validation is not None:
        held_out = _encode_validation(validation, config.vocabulary)
    groups = pairs, held_out, every
    training, config = _training(config, groups, start, ranks, generators, member)
    training.left_out = len(lengths[0]) - len(kept)
    return training, config


def _training(
    config: ModelConfig,
    groups: tuple[Pairs, Pairs | None, Pairs | None],
    start: Start | None,
    ranks: Communicator,
    generators: list[np.random.Generator],
    member: int,
) -> tuple[Training, ModelConfig]:
    """Choose what is "auto", and draw the weights.

    The groups of pairs are those to train on, those held out, and those of the final epochs.
    """
    pairs, held_out, every = groups
    order, dropout, weights = generators
    params = chosen(config.params, len(pairs), config.lengths, member)
    if every is None:
        params["final_epochs"] = 0
    elif not params["final_epochs"]:
        every = None  # many pairs need not be in memory twice
    config = replace(config, params=params)
    plan = Plan(**{name: params[name] for name in Plan.__dataclass_fields__})
    network = Network(config.network_config(), weights)
    if start is not None:
        take_weights(start, network.params)
    return Training(network, plan, pairs, held_out, order, dropout, ranks, every), config


def _stored_training(
    params: dict[str, Any],
    store: PairStore,
    validation: Validation,
    start: Start | None,
    ranks: Communicator,
    generators: list[np.random.Generator],
    member: int,
) -> tuple[Training, ModelConfig]:
    """As `prepare`, of pairs that are numbered and encoded already."""
    if start is not None:
        raise ValueError("warm_start: expected pairs in memory, got a cache of pairs")
    store.require(params)
    config = ModelConfig(params, Vocabularies(*store.vocabularies), Lengths(*store.lengths))
    files.check_room(config.to_json())
    held_out = store.held_out
    if validation is not None and not isinstance(validation, int | float | np.number):
        held_out = _encode_validation(validation, config.vocabulary)
    groups = store.pairs, held_out, None
    training, config = _training(config, groups, start, ranks, generators, member)
    training.left_out = store.left_out
    return training, config


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
