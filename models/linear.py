r"""The linear variational auto-encoder, or probabilistic principal component analysis."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_vae.program import Program

__all__ = ["Linear"]


class Linear(Program):
    r"""Probabilistic principal component analysis, whose evidence and posterior are known.

    .. math::
        z & \sim \mathcal{N}(0, I_d) \\
        x & \sim \mathcal{N}(W z + b, \sigma^2 I_D)

    It is the oracle against which objectives, guides and estimators are tested. Its exact guide
    is ``Amortized(model.posterior)``.

    Example:
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=7)
        >>> model.log_evidence(x).shape, model.posterior(x).event_shape
        (torch.Size([7]), torch.Size([2]))

    References:
        | Probabilistic Principal Component Analysis (Tipping & Bishop, 1999)
        | https://doi.org/10.1111/1467-9868.00196

    Arguments:
        features: The number :math:`D` of elements of :math:`x`.
        latent: The number :math:`d` of elements of :math:`z`.
        scale: The standard deviation :math:`\sigma` of the noise at the start.

    Raises:
        ValueError: If a size is not positive, ``latent`` exceeds ``features``, or the scale is
            not positive and finite.
    """

    def __init__(self, features: int, latent: int, scale: float = 1.0) -> None:
        super().__init__()

        if not 1 <= latent <= features:
            raise ValueError(
                f"Linear needs 1 <= latent <= features, got latent={latent}, features={features}."
            )
        if not 0 < scale < math.inf:
            raise ValueError(f"The scale of Linear must be positive and finite, got {scale}.")

        self.weight = nn.Parameter(torch.randn(features, latent) / latent**0.5)
        self.bias = nn.Parameter(torch.zeros(features))
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def forward(self, x: Tensor | None = None, *, n: int = 1) -> Tensor:
        r"""
        Arguments:
            x: The observed data, with shape ``(n, D)``; drawn if None.
            n: The number of data to draw, if there are none.

        Returns:
            The data, with shape ``(n, D)``.
        """
        self.register()
        zero = self.weight.new_zeros(self.weight.shape[1])

        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(zero, torch.ones_like(zero)).to_event(1))
            loc = z @ self.weight.mT + self.bias
            return pyro.sample("x", dist.Normal(loc, self.log_scale.exp()).to_event(1), obs=x)

    @property
    def covariance(self) -> Tensor:
        r"""The covariance :math:`W W^\top + \sigma^2 I` of :math:`x`, with shape ``(D, D)``."""
        eye = torch.eye(len(self.weight), dtype=self.weight.dtype, device=self.weight.device)
        return self.weight @ self.weight.mT + (2 * self.log_scale).exp() * eye

    def log_evidence(self, x: Tensor) -> Tensor:
        r"""
        Arguments:
            x: The data, with shape ``(n, D)``.

        Returns:
            The exact :math:`\log p(x) = \log \mathcal{N}(x \mid b, W W^\top + \sigma^2 I)`, in nats
            per datum, with shape ``(n,)``.
        """
        return dist.MultivariateNormal(self.bias, self.covariance).log_prob(x)

    def posterior(self, x: Tensor) -> dist.MultivariateNormal:
        r"""
        Arguments:
            x: The data, with shape ``(n, D)``.

        Returns:
            The exact posterior :math:`p(z \mid x) = \mathcal{N}(z \mid M^{-1} W^\top (x - b),
            \sigma^2 M^{-1})`, where :math:`M = W^\top W + \sigma^2 I`.
        """
        variance = (2 * self.log_scale).exp()
        eye = torch.eye(self.weight.shape[1], dtype=self.weight.dtype, device=self.weight.device)
        M = self.weight.mT @ self.weight + variance * eye
        loc = torch.linalg.solve(M, self.weight.mT @ (x - self.bias).mT).mT
        return dist.MultivariateNormal(loc, precision_matrix=M / variance)

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latent: int) -> Linear:
        r"""Fits the model in closed form: the maximum of the likelihood of ``x``.

        Arguments:
            x: The data, with shape ``(n, D)``.
            latent: The number :math:`d < D` of elements of :math:`z`.

        Raises:
            ValueError: Unless :math:`d < D`, if the data are empty or not finite, or if they have
                no variance beyond :math:`d` directions: then the likelihood has no maximum.
        """
        _check_data(x)
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        model = cls(x.shape[1], latent).to(x)
        top, noise, vectors = _spectrum(x, latent)

        with torch.no_grad():
            model.bias.copy_(x.mean(0))
            model.log_scale.copy_(noise.log() / 2)
            model.weight.copy_(vectors * (top - noise).sqrt())

        return model

    @torch.no_grad()
    def fit_em(self, x: Tensor, steps: int = 100, tolerance: float = 0.0) -> Tensor:
        r"""Fits the model by expectation maximization, each step of which raises :math:`\log p(x)`.

        .. math::
            \text{E-step:} \quad & m_i = M^{-1} W^\top (x_i - b), \quad C = \sigma^2 M^{-1} \\
            \text{M-step:} \quad & W' = \Big[ \sum_i (x_i - b) m_i^\top \Big]
                \Big[ \sum_i (m_i m_i^\top + C) \Big]^{-1} \\
            & \sigma'^2 = \frac{1}{D} \Big[ \frac{1}{n} \sum_i \| x_i - b - W' m_i \|^2
                + \operatorname{tr}(W' C W'^\top) \Big]

        The bias is :math:`b = \bar{x}` from the first step on, the best there is whatever the rest.
        It starts from the parameters as they are, which it changes, and approaches
        :meth:`maximum_likelihood`, up to a rotation of :math:`z`, at a constant rate.

        Arguments:
            x: The data, with shape ``(n, D)``.
            steps: The number of steps.
            tolerance: The rise of :math:`\log p(x)`, in nats per datum, below which it stops; zero
                takes all steps.

        Returns:
            The mean of :math:`\log p(x)` at the start and after each step, in nats per datum.

        Raises:
            ValueError: As :meth:`maximum_likelihood`, or if the data are no rows of :math:`D`
                elements, there is no step, or the tolerance is negative.
        """
        if steps < 1 or not tolerance >= 0:
            raise ValueError(
                "EM takes one step or more, and a tolerance that is not negative; got "
                f"steps={steps} and tolerance={tolerance}."
            )
        _check_data(x, features=len(self.weight))
        x = x.to(self.weight)
        _spectrum(x, self.weight.shape[1])
        history = [self.log_evidence(x).mean()]
        self.bias.copy_(x.mean(0))

        for _ in range(steps):
            self._em_step(x)
            history.append(self.log_evidence(x).mean())
            if tolerance > 0 and history[-1] - history[-2] < tolerance:
                break

        return torch.stack(history)

    def _em_step(self, x: Tensor) -> None:
        posterior = self.posterior(x)
        m, C = posterior.mean, posterior.covariance_matrix[0]  # the same for all data
        x = x - self.bias
        W = torch.linalg.solve(m.mT @ m / len(x) + C, m.mT @ x / len(x)).mT
        residual = (x - m @ W.mT).square().sum() / len(x)
        self.log_scale.copy_(((residual + (W @ C * W).sum()) / x.shape[1]).log() / 2)
        self.weight.copy_(W)


def _check_data(x: Tensor, features: int | None = None) -> None:
    if x.ndim != 2 or x.numel() == 0 or features not in (None, x.shape[1]):
        shape = f"(n, {features or 'D'})"
        raise ValueError(f"Linear is fitted to data of shape {shape}, got {tuple(x.shape)}.")
    if not x.isfinite().all():
        raise ValueError("The data hold NaN or infinite values; drop those rows.")


def _spectrum(x: Tensor, latent: int) -> tuple[Tensor, Tensor, Tensor]:
    # The largest variances, the mean of the others, and the directions of the largest.
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(x.mT, correction=0))
    rest, top = eigenvalues[:-latent], eigenvalues[-latent:]

    # What is left by rounding is no noise.
    if len(rest) == 0 or rest.mean() <= x.shape[1] * torch.finfo(x.dtype).eps * top.max():
        raise ValueError(
            f"The data leave no noise beyond {latent} directions; take a smaller latent."
        )

    return top, rest.mean(), vectors[:, -latent:]
