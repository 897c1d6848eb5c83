"""Data: the textbook's sequence loader and two generated tasks, dates and addition."""

from fastseq.data import addition, dates, sequence

__all__ = ["addition", "dates", "sequence"]
