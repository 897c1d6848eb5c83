"""The Transducer: an estimator that turns strings into others, after scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastseq.transducer import model_file
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.texts import accepted_answers, check_equal_length, checked_texts
from fastseq.transducer.data.vocabulary import END, SPECIAL_SYMBOLS, Text
from fastseq.transducer.hyperparameters import Configurable
from fastseq.transducer.metrics.exact_match import exact_match
from fastseq.transducer.model_config import ModelConfig
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.answers import search
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import default_steps
from fastseq.transducer.training.fitting import Fitting, Validation, checked_callbacks, prepare
from fastseq.transducer.training.reports import Logs


class Transducer(Configurable):
    """Learns from pairs of strings to turn the first into the second.

    An encoder-decoder network of LSTM or GRU layers with attention (Bahdanau et al. 2015, Luong et
    al. 2015), trained by Adam. The defaults suit 5,000 to 100,000 pairs of words or short phrases.

    Parameters
    ----------
    source_tokens, target_tokens : {"char", "space"}
        What the symbols of a string are: its characters (code points), or what white space
        separates. Where lists of str are given for strings, their items are the symbols.
    embedding_size, hidden_size : int
        Widths of a symbol's vector and of the recurrent state.
    layers : int
        Recurrent layers in the encoder, and as many in the decoder.
    cell : {"lstm", "gru"}
    reset_after : bool
        Only with ``cell="gru"``: reset after the product, see `fastseq.layers.TimeGRU`.
    encoder : {"bidirectional", "unidirectional"}
        Two directions have half of `hidden_size` each, which then must be even.
    attention : {"none", "dot", "scaled_dot", "general", "additive"}
    peeky : bool
        Show the encoder's final state to every step of the decoder.
    reverse : bool
        Read the source from its end.
    dropout : float
        The share of the layers' outputs that is dropped in training.
    label_smoothing : float
        The share of the target's probability given to all symbols alike (Szegedy et al. 2016).
    epochs : int
        At most.
    batch_size : int
    learning_rate : float
        Adam's, at its highest.
    schedule : {"constant", "plateau", "warmup_inverse_sqrt"}
        How the rate changes: see `fastseq.transducer.training.schedules.Schedule`.
    plateau_patience, warmup_steps : int
        Of the schedules of that name.
    max_grad : float
        The largest norm of the gradients: where it is larger, they are scaled.
    monitor : {"accuracy", "loss"}
        What makes an epoch the best, measured on the pairs held out: exact matches, of equal ones
        the lower loss; or loss alone. The weights of the best epoch are kept.
    patience : int or None
        Stop after so many epochs without a better one; None trains all epochs.
    seed : int
        Of the weights, the order of the pairs, dropout and the split. The same seed and data give
        the same model, whatever the number of threads.

    Attributes
    ----------
    history_ : list of dict
        The logs of each epoch: epoch, loss, validation_loss and validation_accuracy (with pairs
        held out), learning_rate, best, and, unless the model was loaded, seconds and
        words_per_second.
    n_epochs_ : int, how many epochs were trained
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
        The most symbols there are in the training data.
    network_ : Network
    interrupted_ : bool, whether Ctrl-C ended the training

    Examples
    --------
    >>> from fastseq import Transducer
    >>> words, capitals = ["abc", "bca", "cab", "bac"], ["ABC", "BCA", "CAB", "BAC"]
    >>> model = Transducer(hidden_size=32, dropout=0.0, learning_rate=0.02, epochs=60)
    >>> model.fit(words, capitals, validation=None).score(words, capitals)
    1.0
    >>> model.save("capitals.safetensors")
    >>> Transducer.load("capitals.safetensors").predict(["cab"], beam_size=2)
    ['CAB']
    >>> weights, input_symbols, output_symbols = model.attention("cab")
    >>> weights.shape, output_symbols
    ((3, 4), ['C', 'A', 'B'])
    """

    def __init__(
        self,
        *,
        source_tokens: str = "char",
        target_tokens: str = "char",
        embedding_size: int = 64,
        hidden_size: int = 256,
        layers: int = 1,
        cell: str = "lstm",
        reset_after: bool = False,
        encoder: str = "bidirectional",
        attention: str = "dot",
        peeky: bool = False,
        reverse: bool = False,
        dropout: float = 0.2,
        label_smoothing: float = 0.0,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 0.001,
        schedule: str = "plateau",
        plateau_patience: int = 2,
        warmup_steps: int = 1000,
        max_grad: float = 5.0,
        monitor: str = "accuracy",
        patience: int | None = 5,
        seed: int = 0,
    ) -> None:
        self.source_tokens = source_tokens
        self.target_tokens = target_tokens
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.layers = layers
        self.cell = cell
        self.reset_after = reset_after
        self.encoder = encoder
        self.attention_kind = attention
        self.peeky = peeky
        self.reverse = reverse
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.plateau_patience = plateau_patience
        self.warmup_steps = warmup_steps
        self.max_grad = max_grad
        self.monitor = monitor
        self.patience = patience
        self.seed = seed

    def fit(
        self,
        sources: Iterable[Text],
        targets: Iterable[Text],
        validation: Validation = 0.1,
        *,
        callbacks: Iterable[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        log: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Train on pairs, from new weights.

        Ctrl-C ends the training after the current step; the weights of the best epoch are kept, or
        the current ones where no epoch is over. A second Ctrl-C raises KeyboardInterrupt at once.

        Parameters
        ----------
        sources, targets : as many str, or lists of str
            A source with several right targets comes several times.
        validation : float, (sources, targets), or None
            What to hold out, to find the best epoch and to stop: a share of the pairs, all of a
            source together; other pairs; or nothing: the lowest training loss is then the best.
        callbacks : iterable
            After each epoch ``on_epoch_end(model, logs)`` of each is called, in order, with this
            Transducer and the new entry of `history_`. What it raises ends the training.
        checkpoint : path, optional
            A folder, made if need be, for the state of the training: one file, replaced after each
            epoch.
        checkpoint_every : int, optional
            Replace it after so many steps of an epoch too.
        resume : bool
            Go on from the checkpoint, if there is one, to the same bits as if training had never
            been interrupted. Pairs and hyperparameters must be the same; only `epochs` and
            `patience` may be others.
        log : path, optional
            A file to write the logs of each epoch to, one JSON object a line.
        progress : bool, optional
            Show a bar on standard error; by default only if that is a terminal.

        Returns
        -------
        self : Transducer

        Raises
        ------
        TypeError, ValueError
            A hyperparameter or argument is wrong, or a checkpoint of other training.
        FileExistsError
            There is a checkpoint, which `resume` would go on from and training anew replace.
        FloatingPointError
            The loss, or the norm of the gradients, became NaN or infinite. The weights of the best
            epoch are kept; the message names the epoch, the step and the last checkpoint.
        """
        called = checked_callbacks(callbacks)
        training, config = prepare(self.get_params(), sources, targets, validation)
        fitting = Fitting(training, config, checkpoint, checkpoint_every, resume, log)
        self._take_config(config)
        self.network_, self.history_ = training.network, training.history
        self.n_epochs_ = len(training.history)

        def end_epoch(logs: Logs) -> None:
            self.n_epochs_ = len(training.history)
            for callback in called:
                callback.on_epoch_end(self, logs)

        try:
            fitting.run(progress, end_epoch)
        finally:
            self.interrupted_ = training.interrupted
        return self

    def predict(
        self,
        words: Iterable[Text],
        beam_size: int = 1,
        n_best: int = 1,
        return_scores: bool = False,
        *,
        length_penalty: float = 0.0,
    ) -> Any:
        """The answers to some sources.

        The answer to one does not depend on the others. An answer ends of itself, or after a
        number of symbols that depends on the source's length alone, at most 65,536.

        Parameters
        ----------
        words : iterable of str, or of lists of str
            As the sources in `fit`. Symbols that were not there are read as unknown.
        beam_size : int
            How many beginnings of an answer are kept at each step; 1 is the greedy answer.
        n_best : int
            How many answers to give, at most `beam_size`.
        return_scores : bool
            Return the scores too.
        length_penalty : float
            The score of an answer is its log probability divided by ``((5 + length) / 6) **
            length_penalty``, where the end counts as a symbol (Wu et al. 2016, equation 14).

        Returns
        -------
        answers : list of str, or of lists of str
            As the targets in `fit`. With `n_best` above 1 a list of answers, best first, for each
            source.
        scores : list of float, or of lists of float; only with `return_scores`

        Raises
        ------
        RuntimeError, TypeError, ValueError
            Nothing was trained or loaded yet; an argument is wrong.
        """
        found = self._search(words, beam_size, n_best, length_penalty)
        decode = self.vocabulary_.target.decode
        answers: list[Any] = [[decode(each.ids) for each in listed] for listed in found]
        scores: list[Any] = [[each.score for each in listed] for listed in found]
        if n_best == 1:
            answers, scores = [best for [best] in answers], [best for [best] in scores]
        return (answers, scores) if return_scores else answers

    def score(self, sources: Iterable[Text], targets: Iterable[Any]) -> float:
        """The share of sources whose greedy answer is right.

        Parameters
        ----------
        sources : iterable of str, or of lists of str
        targets : iterable of as many
            Each one a right answer, or a list of right answers.

        Returns
        -------
        float, between 0 and 1

        Raises
        ------
        RuntimeError, TypeError, ValueError
            Nothing was trained or loaded yet; an argument is wrong, or there is nothing to score.
        """
        self._require_fitted()
        sources = checked_texts("sources", sources, self.vocabulary_.source)
        accepted = accepted_answers(targets, self.vocabulary_.target)
        check_equal_length(sources, accepted)
        if not sources:
            raise ValueError("sources: expected at least one, got none")
        split = self.vocabulary_.target.split
        answers = [split(answer) for answer in self.predict(sources)]
        return exact_match(answers, [[split(text) for text in texts] for texts in accepted])

    def attention(self, text: Text) -> tuple[npt.NDArray[np.float32], list[str], list[str]]:
        """Where the network looks while it writes its greedy answer.

        Parameters
        ----------
        text : str, or list of str
            One source.

        Returns
        -------
        weights : float32 array (T_out, T_in)
            Row i holds how much output symbol i looked at each input symbol; its sum is 1.
        input_symbols : list of T_in str
            Those of the text, and ``</s>`` for its end, which the network sees too.
        output_symbols : list of T_out str

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.
        TypeError
            The text is of another kind than those trained on.
        ValueError
            The network has no attention.
        """
        self._require_fitted()
        if self.network_.config.attention == "none":
            raise ValueError("attention: this Transducer was trained without (attention='none')")
        [[best]] = self._search([text], with_weights=True)
        symbols = [*self.vocabulary_.source.split(text), SPECIAL_SYMBOLS[END]]
        output = [self.vocabulary_.target.symbols[id] for id in best.ids]
        return best.attention(len(symbols)), symbols, output

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file: weights as they are, hyperparameters and vocabularies.

        Parameters
        ----------
        path : path
            By custom its name ends in ``.safetensors``.

        Raises
        ------
        OSError
            The file cannot be written; an earlier one of this name is still there.
        RuntimeError
            Nothing was trained or loaded yet.
        """
        self._require_fitted()
        model_file.write_model(os.fspath(path), self._config, self.network_.params, self.history_)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` has written.

        Nothing in the file is run. It takes memory in proportion to the network that it describes,
        whose weights it must hold, and at most half a gigabyte for the text in its header.

        Parameters
        ----------
        path : path

        Returns
        -------
        Transducer

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is no model, damaged, or not consistent: the message names the file, the entry, what
            was expected and what came.
        """
        config, arrays, history = model_file.read_model(os.fspath(path))
        model = cls(**config.params)
        model._take_config(config)
        model.network_ = Network(config.network_config(), np.random.default_rng(0))
        for name, param in model.network_.params.items():
            param[...] = arrays[name]
        model.history_, model.n_epochs_, model.interrupted_ = history, len(history), False
        return model

    def _take_config(self, config: ModelConfig) -> None:
        self._config, self.vocabulary_, self.lengths_ = config, config.vocabulary, config.lengths

    def _search(self, texts: Iterable[Text], *how: Any, **options: Any) -> list[list[Hypothesis]]:
        self._require_fitted()
        vocabulary = self.vocabulary_.source
        sources = Sequences.encode(vocabulary, checked_texts("sources", texts, vocabulary))
        steps = default_steps(sources.lengths, self.lengths_)
        return search(self.network_, sources, steps, *how, **options)

    def _require_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise RuntimeError("this Transducer is not trained: fit or load it first")
