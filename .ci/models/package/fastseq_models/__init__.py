"""Trained models of fastseq; they are registered by name, and this package is never imported."""
