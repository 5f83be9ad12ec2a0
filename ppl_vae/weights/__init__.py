r"""Importance weights: what an objective or an estimator needs to know of a pair of programs."""

from .base import Site, Weights
from .checks import SiteError
from .score import draw_guide, log_joint, log_weights, rescore, score_guide
from .simulate import base_measure, densities, distributions, dream, simulate, sites_left_out
from .traces import Arguments, Batch, Program, call, plate_depth

__all__ = [
    "Arguments",
    "Batch",
    "Program",
    "Site",
    "SiteError",
    "Weights",
    "base_measure",
    "call",
    "densities",
    "distributions",
    "draw_guide",
    "dream",
    "log_joint",
    "log_weights",
    "plate_depth",
    "rescore",
    "score_guide",
    "simulate",
    "sites_left_out",
]
