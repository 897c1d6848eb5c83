"""The models: sequence to sequence, plain, Peeky and with attention."""

from fastseq.models.attention import AttentionDecoder, AttentionEncoder, AttentionSeq2seq
from fastseq.models.base import BaseModel
from fastseq.models.peeky import PeekyDecoder, PeekySeq2seq
from fastseq.models.seq2seq import Decoder, Encoder, Seq2seq

__all__ = [
    "AttentionDecoder",
    "AttentionEncoder",
    "AttentionSeq2seq",
    "BaseModel",
    "Decoder",
    "Encoder",
    "PeekyDecoder",
    "PeekySeq2seq",
    "Seq2seq",
]
