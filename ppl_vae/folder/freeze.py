r"""Freezing all of a pair of programs but the prior."""

from __future__ import annotations

from torch import nn

from ..experiment import Experiment
from ..modules import modules_of

__all__ = ["freeze"]


def freeze(experiment: Experiment) -> int:
    r"""Leaves gradients to the prior's own parameters alone; all else is in evaluation mode.

    What the prior shares with the guide, such as the posterior of a VampPrior, is frozen too.

    Returns:
        How many numbers this keeps from being fitted.

    Raises:
        ValueError: If the model has no prior, or the prior has no parameters.
    """
    prior = getattr(experiment.model, "prior", None)
    guide = modules_of(experiment.guide)

    if not isinstance(prior, nn.Module):
        raise ValueError("Only a model with a module named prior can be given another prior.")

    shared = {id(part) for root in guide for part in (*root.parameters(), *root.modules())}
    free = {id(p) for p in prior.parameters()} - shared

    if not free:
        raise ValueError(
            f"{type(prior).__name__} has no parameters of its own that could be fitted; take one "
            "that is learned, such as GaussianMixture or Flow."
        )

    training = {id(module) for module in prior.modules()} - shared
    kept = 0
    for root in modules_of(experiment.model, experiment.guide):
        for parameter in root.parameters():
            # What is frozen already, by the experiment or as a part of both, does not count.
            if parameter.requires_grad and id(parameter) not in free:
                kept += parameter.numel()
            parameter.requires_grad_(id(parameter) in free)
        for module in root.modules():
            module.training = id(module) in training

    return kept
