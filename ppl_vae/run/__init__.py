r"""A run and its folder: configuration, checkpoints, results.

The folder holds

- ``config.yaml``: the resolved configuration; ``files/`` the user's own files it refers to;
- ``data.json``: what building the programs needs of the data; ``provenance.json``;
- ``metrics.csv``: a row per epoch; ``checkpoints/last.safetensors`` and ``best.safetensors``;
- ``evidence.json``: a list of evaluations; ``evidence-SPLIT-DATAxPARTICLES.npz``: per datum;
- ``figures/*.png`` and ``report.html``.

A :class:`Run` is made of layers, one per file, each of which needs those before it: what its
folder records, the programs with their weights, what these say of data, and training and
evaluating them.
"""

from .run import Run, load
from .train import train
from .training import training_of

__all__ = ["Run", "load", "train", "training_of"]
