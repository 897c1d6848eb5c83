"""The network: an encoder, a decoder with attention, their parameters and the loss."""
