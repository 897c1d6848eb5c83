"""The network in plain NumPy: an encoder, a decoder with attention, and their parameters."""
