"""Metrics: how good the answers to pairs are."""
