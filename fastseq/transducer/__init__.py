"""Trainable string-to-string models: `Transducer`, and the parts that it is made of."""
