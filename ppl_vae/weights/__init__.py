r"""Importance weights: what an objective or an estimator needs to know of a pair of programs."""

from .base import Site, Weights
from .score import draw_guide, log_joint, log_weights, rescore
from .simulate import base_measure, densities, distributions, simulate
from .traces import Arguments, Batch, Program, call, plate_depth

__all__ = [
    "Arguments",
    "Batch",
    "Program",
    "Site",
    "Weights",
    "base_measure",
    "call",
    "densities",
    "distributions",
    "draw_guide",
    "log_joint",
    "log_weights",
    "plate_depth",
    "rescore",
    "simulate",
]
