"""The textbook's module names, served by fastseq.

After `install`, ``from common.time_layers import *`` brings fastseq's layers, and a script written
for the textbook's own files runs as it is. ``fastseq run SCRIPT.py`` does the same for one script.
`table` says which names there are; docs/dropin.md shows them, and what differs.
"""

from fastseq.dropin.importer import install, uninstall

__all__ = ["install", "uninstall"]
