r"""Stochastic variational inference: the loop over epochs."""

from .fit import fit
from .row import judged, unscored
from .training import Interrupted, Training

__all__ = ["Interrupted", "Training", "fit", "judged", "unscored"]
