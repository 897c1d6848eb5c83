"""Trained models as ONNX graphs, in a folder with what a program in any language needs.

Data passes through the modules in this order: `network` (what is computed, of any model), `graph`
(the nodes of ONNX), `layers`, `graphs` (encoder, step, greedy), `folder` (the files).
"""
