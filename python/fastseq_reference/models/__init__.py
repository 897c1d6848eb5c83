"""Sequence-to-sequence models, plain, Peeky and with attention; language models."""

from fastseq_reference.models.attention import AttentionDecoder, AttentionEncoder, AttentionSeq2seq
from fastseq_reference.models.base import BaseModel
from fastseq_reference.models.bidirectional import AttentionBiEncoder, AttentionBiSeq2seq
from fastseq_reference.models.generation import BetterRnnlmGen, RnnlmGen
from fastseq_reference.models.peeky import PeekyDecoder, PeekySeq2seq
from fastseq_reference.models.rnnlm import BetterRnnlm, Rnnlm
from fastseq_reference.models.seq2seq import Decoder, Encoder, Seq2seq

__all__ = [
    "AttentionBiEncoder",
    "AttentionBiSeq2seq",
    "AttentionDecoder",
    "AttentionEncoder",
    "AttentionSeq2seq",
    "BaseModel",
    "BetterRnnlm",
    "BetterRnnlmGen",
    "Decoder",
    "Encoder",
    "PeekyDecoder",
    "PeekySeq2seq",
    "Rnnlm",
    "RnnlmGen",
    "Seq2seq",
]
