"""Pictures of training: learning curves, and the attention heat map.

matplotlib is imported on first use, and never through pyplot: figures need no display and leave no
global state behind. (Only `screen_axes` and `show`, which open a window, are pyplot's.) Every
function draws on new axes unless it is given some, and returns them. A notebook shows them as a
picture where the call is the last line of a cell.
"""

from fastseq.plot.curves import accuracy_curve, learning_curve, loss_curve
from fastseq.plot.figure import require_matplotlib, save, screen_axes, show
from fastseq.plot.heat_map import answer_title, attention_map

__all__ = [
    "accuracy_curve",
    "answer_title",
    "attention_map",
    "learning_curve",
    "loss_curve",
    "require_matplotlib",
    "save",
    "screen_axes",
    "show",
]
