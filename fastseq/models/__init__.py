"""The models: sequence to sequence, plain, Peeky and with attention; language models."""

from fastseq.models.attention import AttentionDecoder, AttentionEncoder, AttentionSeq2seq
from fastseq.models.base import BaseModel
from fastseq.models.bidirectional import AttentionBiEncoder, AttentionBiSeq2seq
from fastseq.models.generation import BetterRnnlmGen, RnnlmGen
from fastseq.models.peeky import PeekyDecoder, PeekySeq2seq
from fastseq.models.rnnlm import BetterRnnlm, Rnnlm
from fastseq.models.seq2seq import Decoder, Encoder, Seq2seq

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
