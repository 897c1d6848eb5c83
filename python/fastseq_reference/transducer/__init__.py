"""The parts of the Transducer in plain NumPy, one pair of sequences after the other."""

from fastseq_reference.transducer.network.network import Batch, Encoded, Network, State
from fastseq_reference.transducer.network.parameters import NetworkConfig, parameter_shapes

__all__ = ["Batch", "Encoded", "Network", "NetworkConfig", "State", "parameter_shapes"]
