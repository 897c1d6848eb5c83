"""Ensembles: several trained models that answer together, their training, their file."""
