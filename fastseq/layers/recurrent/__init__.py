"""The recurrent layers: one step of a cell, whole sequences, both directions."""

from fastseq.layers.recurrent.bidirectional import TimeBiLSTM
from fastseq.layers.recurrent.gru import GRU, TimeGRU
from fastseq.layers.recurrent.layer import RecurrentLayer
from fastseq.layers.recurrent.lstm import LSTM, TimeLSTM
from fastseq.layers.recurrent.rnn import RNN, TimeRNN
from fastseq.layers.recurrent.stack import RecurrentStack

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
