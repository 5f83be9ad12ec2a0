r"""Figures of training, of what a model draws, and of its evidence.

Each function takes tensors, arrays or rows and returns a :class:`matplotlib.figure.Figure`, which
:func:`png` turns into bytes. matplotlib is loaded by the first call, and its global state is left
alone.

Example:
    >>> import torch
    >>> figure = samples(torch.rand(64, 8, 8))
    >>> figure.get_suptitle()
    'Samples of the model, z ~ p(z)'
"""

from .drawing.canvas import png
from .drawing.curves import learning_curves
from .drawing.evidence import comparison, evidence_histogram
from .drawing.judgements import judgements
from .drawing.latent import latent_space
from .drawing.overlay import overlaid_curves
from .drawing.pictures import reconstructions, samples, traversal

__all__ = [
    "comparison",
    "evidence_histogram",
    "judgements",
    "latent_space",
    "learning_curves",
    "overlaid_curves",
    "png",
    "reconstructions",
    "samples",
    "traversal",
]
