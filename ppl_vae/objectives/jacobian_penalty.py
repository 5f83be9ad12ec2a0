r"""How steep the mean of a likelihood is at given codes."""

from __future__ import annotations

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ..weights import Weights
from .means import check_unmasked, means_of

__all__ = ["JacobianPenalty"]


class JacobianPenalty(Messenger):
    r"""The Jacobian of the mean of the likelihood in the codes, within which weights are drawn.

    .. math:: \frac{1}{2} \Big\| \frac{\partial \, \mathbb{E}[x \mid z]}{\partial z} \Big\|_F^2
        = \frac{1}{2} \, \mathbb{E}_v \Big\| v^\top \frac{\partial \, \mathbb{E}[x \mid z]}
        {\partial z} \Big\|^2

    for independent signs :math:`v` (Hutchinson's estimator). The model is run at copies of the
    guide's draws, so that codes are given even where the guide draws one from another. Gradients
    need be on while the weights are drawn.

    References:
        | A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian Smoothing
        | Splines (Hutchinson, 1989)
        | https://doi.org/10.1080/03610918908812806

    Arguments:
        objective: The name of the objective that needs it.
    """

    def __init__(self, objective: str) -> None:
        super().__init__()
        self.objective = objective
        self.drawn: set[str] = set()
        self.copies: dict[str, Tensor] = {}

    def _pyro_post_sample(self, message: Any) -> None:
        name, z = message["name"], message["value"]

        if message["is_observed"] or not isinstance(z, Tensor) or not z.is_floating_point():
            return
        if name in self.drawn:  # by the guide, and it is the model's turn
            message["value"] = z.view_as(z) if z.requires_grad else z.detach().requires_grad_()
            self.copies[name] = message["value"]

        self.drawn.add(name)

    def penalty(self, weights: Weights, *, differentiable: bool) -> Tensor:
        r"""Estimates half the squared norm, summed over the batch, by one projection.

        Arguments:
            weights: The weights that were drawn.
            differentiable: Whether gradients flow through the estimate.

        Raises:
            ValueError: If the likelihood has no mean, or an observed site is masked.
        """
        whose = f"The gradient penalty of {self.objective}"
        check_unmasked(whose, weights)
        laws = {name: site.law for name, site in weights.observed.items()}
        means = means_of(whose, laws).values()
        total = torch.stack([(mean * torch.randn_like(mean).sign()).sum() for mean in means]).sum()
        codes = [self.copies[name] for name in weights.sites]
        if not total.requires_grad:
            return total.new_zeros(())

        found = torch.autograd.grad(total, codes, create_graph=differentiable, allow_unused=True)
        return sum((g.square().sum() for g in found if g is not None), total.new_zeros(())) / 2
