"""The hyperparameters of a Transducer: one of them, the table of all, the methods to set them."""

from fastseq.transducer.hyperparameters.configurable import Configurable
from fastseq.transducer.hyperparameters.hyperparameter import AUTO, Hyperparameter
from fastseq.transducer.hyperparameters.table import (
    BY_NAME,
    HYPERPARAMETERS,
    AttentionKind,
    Auto,
    Cell,
    Encoder,
    Monitor,
    Normalization,
    Precision,
    ScheduleKind,
    check,
    check_names,
    is_undecided,
    plain,
)

__all__ = [
    "AUTO",
    "BY_NAME",
    "HYPERPARAMETERS",
    "AttentionKind",
    "Auto",
    "Cell",
    "Configurable",
    "Encoder",
    "Hyperparameter",
    "Monitor",
    "Normalization",
    "Precision",
    "ScheduleKind",
    "check",
    "check_names",
    "is_undecided",
    "plain",
]
