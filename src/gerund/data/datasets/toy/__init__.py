"""The toy action set: a figure in a room does ten things, in real compressed video files; no download.

`movement` says how each action goes, `film` shows it with what `drawing` draws, `dataset` writes the set and reads it again.
"""

from gerund.data.datasets.toy.dataset import load, load_small, make
from gerund.data.datasets.toy.film import perform
from gerund.data.datasets.toy.movement import ACTIONS, REVERSED

__all__ = ["ACTIONS", "REVERSED", "load", "load_small", "make", "perform"]
