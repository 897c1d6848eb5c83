"""Sequence-to-sequence models: plain, Peeky and with attention."""

from fastseq_reference.models.attention import AttentionDecoder, AttentionEncoder, AttentionSeq2seq
from fastseq_reference.models.base import BaseModel
from fastseq_reference.models.peeky import PeekyDecoder, PeekySeq2seq
from fastseq_reference.models.seq2seq import Decoder, Encoder, Seq2seq

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
