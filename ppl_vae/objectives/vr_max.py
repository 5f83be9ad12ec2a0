r"""The variational Renyi objective of the largest weight."""

from __future__ import annotations

from torch import Tensor

from .multi_sample import MultiSample

__all__ = ["VRMax"]


class VRMax(MultiSample):
    r"""The largest weight of :math:`K` particles: the Renyi objective of order minus infinity.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{z_{1:K} \sim q(z \mid x)} \left[
        \max_k \log w_k \right]

    It is no bound: it rises with :math:`K`, in general without limit. It lies above
    :class:`IWAE`, and its gradient passes through one particle alone. It is estimated without bias
    for its :math:`K`; sites that are not reparameterized get the score-function gradient.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> VRMax(particles=8).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Renyi Divergence Variational Inference (Li & Turner, 2016)
        | https://arxiv.org/abs/1602.02311

    Arguments: those of :class:`~ppl_vae.objectives.Objective`; eight particles by default, since
        with one it is the ELBO.

    Raises:
        ValueError: If a site lies outside of the plate of the data.
    """

    bound = "none"
    judged_by = "loss"

    def value_of(self, log_w: Tensor) -> Tensor:
        return log_w.amax(0)
