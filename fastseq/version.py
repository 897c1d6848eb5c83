"""The version of the package, which every part may read."""

__version__ = "0.1.0"
