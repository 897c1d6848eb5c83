"""The Transducer: an estimator that turns strings into others, after scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from fastseq.parallel.communicator import together
from fastseq.parallel.mpi import ranks_of
from fastseq.transducer import hyperparameters, model_file
from fastseq.transducer.data.forms import Text, Tokens
from fastseq.transducer.data.store import PairStore
from fastseq.transducer.hyperparameters import Configurable
from fastseq.transducer.model_config import ModelConfig
from fastseq.transducer.network.network import Array, Network
from fastseq.transducer.search.fitted import Configured
from fastseq.transducer.search.predictor import Predictor
from fastseq.transducer.training.fitting import Fitting, checked_callbacks
from fastseq.transducer.training.preparation import Validation, prepare
from fastseq.transducer.training.reports import Logs, Progress, Summarized
from fastseq.transducer.training.warm_start import Start

# The names in float_formats.FLOAT_FORMATS.
FileDtype = Literal["float32", "float16", "bfloat16"]


class Transducer(Configured, Predictor, Summarized, Configurable):
    """Learns from pairs of strings to turn the first into the second.

    An encoder-decoder network of LSTM or GRU layers with attention (Bahdanau et al. 2015, Luong et
    al. 2015), trained by Adam. The defaults suit 500 to 100,000 pairs of words or short phrases:
    what is "auto", `fit` chooses for the number and length of the pairs, as the table in
    `fastseq.transducer.training.automatic` has it.

    Parameters
    ----------
    source_tokens, target_tokens : {"char", "space"}
        What the symbols of a string are: its characters (code points), or what white space
        separates. Where lists of str are given for strings, their items are the symbols.
    columns : str
        What the columns of a file hold, for the command line. Where features are among them, as in
        ``"source,features,target"``, a source is a tuple: a string, and one of features for each
        such column, as ``("gitmek", "V;PST;1;SG")``.
    feature_separators : str
        Each of these characters separates the tags of features. A tag is one symbol.
    normalize : {"auto", "none", "NFC", "NFD", "NFKC"}
        The Unicode form that strings are read in. ``"auto"`` takes NFD where it makes the symbols
        of a side much fewer, as for Hangul; else it leaves the training data as they are, and
        brings later sources to their form. Targets are only composed or decomposed, and answers
        are in NFC if all targets were.
    lowercase : bool
        Read sources in lower case.
    max_length : int or None
        Leave out pairs of which a side has more symbols, `left_out_` of them.
    embedding_size, hidden_size : int
        Widths of a symbol's vector and of the recurrent state.
    layers : int or "auto"
        Recurrent layers in the encoder, and as many in the decoder.
    cell : {"lstm", "gru"}
    reset_after : bool
        Let the GRU's reset gate act after the product: see `fastseq.layers.TimeGRU`.
    encoder : {"bidirectional", "unidirectional"}
        Two directions have half of `hidden_size` each, which then must be even.
    attention : {"none", "dot", "scaled_dot", "general", "additive", "hard", "auto"}
        "hard" writes each symbol from one position of the source: see
        `fastseq.transducer.network.hard_attention`. Of few pairs it learns more than the others.
    copy : bool
        Copy symbols of the source too, also unseen ones: `fastseq.transducer.network.copying`.
    peeky : bool
        Show every step of the decoder the encoder's final state; not with hard attention.
    reverse : bool
        Read the source from its end.
    dropout : float or "auto"
        The share of the layers' outputs that is dropped in training.
    unknown_rate : float or "auto"
        How many times an epoch, about, each symbol of the sources is read as unknown: one that is
        there c times, with the probability ``unknown_rate / (unknown_rate + c)`` each time. So the
        network learns what to do with symbols that it has never seen.
    label_smoothing : float or "auto"
        The share of the target's probability that is given to all symbols alike (Szegedy et al.
        2016).
    epochs : int
        At most.
    final_epochs : int or "auto"
        Where a share of the pairs is held out, go on from the best weights for so many epochs, or
        as many as there were, on all pairs at 0.3 of the learning rate.
    batch_size : int or "auto"
    shards : int
        A batch is cut into so many parts, whose gradients are summed; see `communicator` of `fit`.
    learning_rate : float
        Adam's, at its highest.
    schedule : {"constant", "plateau", "warmup_inverse_sqrt"}
        How the rate changes: see `fastseq.transducer.training.schedules.Schedule`.
    plateau_patience, warmup_steps : int
        Of the schedules of that name; the first may be "auto".
    averaging : float or "auto"
        The share of the past in the running average of the weights over the updates. The average
        is what is measured on the pairs held out, and kept; with 0 the weights themselves.
    max_grad : float
        The largest norm of the gradients: where it is larger, they are scaled.
    monitor : {"accuracy", "loss"}
        What makes an epoch the best, measured on the pairs held out: exact matches, of equal ones
        the lower loss; or loss alone. The weights of the best epoch are kept.
    patience : int, None or "auto"
        Stop after so many epochs without a better one; None trains all epochs.
    precision : {"default", "float32", "bfloat16"}
        What training and prediction round the operands of matrix products to; by default what
        `fastseq.set_precision` has set. The weights stay float32.
    seed : int
        Of the weights, the order of the pairs, dropout and the split. The same seed and data give
        the same model, whatever the number of threads.

    Attributes
    ----------
    params_ : dict
        The hyperparameters trained with: what `fit` chose, and as many `final_epochs` as it made.
    history_ : list of dict
        The logs of each epoch: epoch, loss, validation_loss and validation_accuracy (with pairs
        held out), learning_rate, best, and, unless the model was loaded, seconds and
        words_per_second.
    n_epochs_ : int
        How many epochs were trained.
    vocabulary_ : named tuple of source and target, each a Vocabulary
    lengths_ : named tuple of source and target, each an int
        The most symbols there are in the training data.
    network_ : Network
    left_out_ : int
        How many pairs `fit` has left out because of `max_length`.
    interrupted_ : bool
        Whether Ctrl-C ended the training.

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

    network_: Network

    def __init__(
        self,
        *,
        source_tokens: Tokens = "char",
        target_tokens: Tokens = "char",
        columns: str = "source,target",
        feature_separators: str = ";|,() ",
        normalize: hyperparameters.Normalization = "auto",
        lowercase: bool = False,
        max_length: int | None = None,
        embedding_size: int = 64,
        hidden_size: int = 256,
        layers: int | hyperparameters.Auto = "auto",
        cell: hyperparameters.Cell = "lstm",
        reset_after: bool = False,
        encoder: hyperparameters.Encoder = "bidirectional",
        attention: hyperparameters.AttentionKind = "auto",
        copy: bool = False,
        peeky: bool = False,
        reverse: bool = False,
        dropout: float | hyperparameters.Auto = "auto",
        unknown_rate: float | hyperparameters.Auto = "auto",
        label_smoothing: float | hyperparameters.Auto = "auto",
        epochs: int = 100,
        final_epochs: int | hyperparameters.Auto = "auto",
        batch_size: int | hyperparameters.Auto = "auto",
        shards: int = 1,
        learning_rate: float = 0.001,
        schedule: hyperparameters.ScheduleKind = "plateau",
        plateau_patience: int | hyperparameters.Auto = "auto",
        warmup_steps: int = 1000,
        averaging: float | hyperparameters.Auto = "auto",
        max_grad: float = 5.0,
        monitor: hyperparameters.Monitor = "accuracy",
        patience: int | hyperparameters.Auto | None = "auto",
        precision: hyperparameters.Precision = "default",
        seed: int = 0,
    ) -> None:
        self.source_tokens = source_tokens
        self.target_tokens = target_tokens
        self.columns = columns
        self.feature_separators = feature_separators
        self.normalize = normalize
        self.lowercase = lowercase
        self.max_length = max_length
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.layers = layers
        self.cell = cell
        self.reset_after = reset_after
        self.encoder = encoder
        self.attention_kind = attention
        self.copy = copy
        self.peeky = peeky
        self.reverse = reverse
        self.dropout = dropout
        self.unknown_rate = unknown_rate
        self.label_smoothing = label_smoothing
        self.epochs = epochs
        self.final_epochs = final_epochs
        self.batch_size = batch_size
        self.shards = shards
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.plateau_patience = plateau_patience
        self.warmup_steps = warmup_steps
        self.averaging = averaging
        self.max_grad = max_grad
        self.monitor = monitor
        self.patience = patience
        self.precision = precision
        self.seed = seed

    def fit(
        self,
        sources: Iterable[Text] | PairStore,
        targets: Iterable[Text] = (),
        validation: Validation = 0.1,
        *,
        sample_weight: Iterable[float] | None = None,
        callbacks: Iterable[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        log: str | os.PathLike[str] | None = None,
        progress: Progress = None,
        warm_start: bool = False,
        communicator: Any = None,
        member: int = 0,
    ) -> Self:
        """Train on pairs, from new weights.

        Ctrl-C ends the training after the current step; the weights of the best epoch are kept, or
        the current ones where no epoch is over. A second Ctrl-C raises KeyboardInterrupt at once.

        Parameters
        ----------
        sources, targets : as many str, or lists of str; a source may come with several targets
        validation : float, (sources, targets), or None
            What to hold out, to find the best epoch and to stop: a share of the pairs, in which all
            pairs of a source go together, and which the final epochs learn too; other pairs; or
            nothing, and then the epoch of the lowest training loss is the best.
        sample_weight : iterable of float, optional
            How much each pair counts: its loss is multiplied by its weight, divided by the mean of
            all. By default all count alike. Validation has no weights.
        callbacks : iterable
            After each epoch ``on_epoch_end(model, logs)`` of each is called, in this order, with
            this Transducer at the current weights, averaged, and the new entry of `history_`; of
            those that have them ``on_fit_begin(model)`` before the first, and
            ``on_final_epoch_end(model, logs)`` after each final one. What they raise ends `fit`.
        checkpoint : path, optional
            A folder, made if need be, for a file with the state, replaced after each epoch.
        checkpoint_every : int, optional
            Replace it after so many steps of an epoch too.
        resume : bool
            Go on from the checkpoint, if there is one, to the bits of uninterrupted training. What
            may differ are `epochs`, `final_epochs` and `patience`; "auto" is as it was.
        log : path, optional
            A file to write the logs of each epoch to, one JSON object a line.
        progress : bool or "bar", optional
            Show a bar on standard error while an epoch goes on, and leave a line when it is over;
            "bar" leaves none. By default both where that is a terminal, and in a notebook.
        warm_start : bool
            Go on from the weights of the last `fit` or of the file, if there are any, on these
            pairs: fine-tuning. New symbols get new vectors. The network must be the same; a lower
            `learning_rate` keeps more of what was learnt.
        communicator : mpi4py.MPI.Comm, optional
            Processes that all call this, and share the `shards`; rank 0 writes and shows.
        member : int
            Which model of an ensemble this is, from 0: what is "auto" may differ between them.

        Returns
        -------
        Transducer
            This one.

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
        called, start = checked_callbacks(callbacks), None
        if warm_start and hasattr(self, "network_"):
            start = Start(self._config, self.network_.params)
        ranks = ranks_of(communicator)
        resumed = checkpoint if resume else None
        with together(ranks):
            given = self.get_params(), sources, targets, validation, sample_weight, start, resumed
            training, config = prepare(*given, ranks, member)
            fitting = Fitting(training, config, checkpoint, checkpoint_every, resume, log, ranks)
        self._take_config(config)
        self.network_, self.history_ = training.network, training.history
        self.n_epochs_, self.left_out_ = len(training.history), training.left_out
        try:
            fitting.run(self, called, progress)
        finally:
            self.interrupted_ = fitting.interrupted
            self._take_config(fitting.config)
        return self

    def save(self, path: str | os.PathLike[str], dtype: FileDtype = "float32") -> None:
        """Write the model to one file: its weights, hyperparameters and vocabularies.

        Parameters
        ----------
        path : path
            By custom its name ends in ``.safetensors``.
        dtype : {"float32", "float16", "bfloat16"}
            What the weights are in the file. float32 is what they are; the others take half the
            bytes and round each weight, float16 to 11 significant bits, bfloat16 to 8. A loaded
            model has float32 weights again. ``fastseq convert`` measures what is lost.

        Raises
        ------
        OSError
            The file cannot be written; an earlier one of this name is still there.
        OverflowError
            A weight is too large for float16.
        RuntimeError
            Nothing was trained or loaded yet.
        ValueError
            There is no such dtype.
        """
        self._require_fitted()
        model_file.write_model(
            os.fspath(path), self._config, self.network_.params, self.history_, dtype
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` has written.

        The file is not trusted: nothing in it is run, and it takes memory in proportion to the
        network that it describes, whose weights it must hold, and at most half a gigabyte for the
        text in its header.

        Parameters
        ----------
        path : path
            Or the name of an installed model, as ``fastseq models`` lists them.

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
        return cls.of(*model_file.read_model(os.fspath(path)))

    @classmethod
    def of(cls, config: ModelConfig, params: Mapping[str, Array], history: list[Logs]) -> Self:
        """The trained model of these parts, as `fastseq.transducer.model_file` reads them.

        Parameters
        ----------
        config : ModelConfig
        params : mapping of str to ndarray of float
            The parameters of the network, which are copied.
        history : list of dict
            As `history_`.

        Returns
        -------
        Transducer

        Examples
        --------
        >>> from fastseq import Transducer
        >>> model = Transducer(hidden_size=8, epochs=1).fit(["a", "b"], ["A", "B"], validation=None)
        >>> copy = Transducer.of(model.model_config, model.network_.params, model.history_)
        >>> copy.predict(["a"]) == model.predict(["a"])
        True
        """
        model = cls(**config.params)
        model._take_config(config)
        model.network_ = Network.of(config.network_config(), params)
        model.history_, model.n_epochs_, model.interrupted_ = history, len(history), False
        return model
