r"""Importance weights: what an objective or an estimator needs to know of a pair of programs."""

from .base import Site, Weights
from .checks import SiteError
from .propose import Proposal, draw_sites, redraw_site
from .score import draw_guide, log_joint, log_weights, rescore, score_guide
from .simulate import base_measure, densities, distributions, dream, simulate, sites_left_out
from .traces import Arguments, Batch, Program, call, plate_depth

__all__ = [
    "Arguments",
    "Batch",
    "Program",
    "Proposal",
    "Site",
    "SiteError",
    "Weights",
    "base_measure",
    "call",
    "densities",
    "distributions",
    "draw_guide",
    "draw_sites",
    "dream",
    "log_joint",
    "log_weights",
    "plate_depth",
    "redraw_site",
    "rescore",
    "score_guide",
    "simulate",
    "sites_left_out",
]
