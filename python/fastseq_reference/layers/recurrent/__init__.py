"""The recurrent layers: one step of a cell, whole sequences, both directions."""

from fastseq_reference.layers.recurrent.bidirectional import TimeBiLSTM
from fastseq_reference.layers.recurrent.gru import GRU, TimeGRU
from fastseq_reference.layers.recurrent.layer import RecurrentLayer
from fastseq_reference.layers.recurrent.lstm import LSTM, TimeLSTM
from fastseq_reference.layers.recurrent.rnn import RNN, TimeRNN
from fastseq_reference.layers.recurrent.stack import RecurrentStack

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "RecurrentLayer",
    "RecurrentStack",
    "TimeBiLSTM",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
]
