"""Texts and symbols: checked, numbered, read from files, and cut into batches."""
