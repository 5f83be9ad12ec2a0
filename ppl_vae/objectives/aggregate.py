r"""The aggregate posterior of a batch, and how far it is from the prior."""

from __future__ import annotations

from typing import Any

import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor

from ..weights import Site
from .divergences import factors

__all__ = ["KERNELS", "check_plain", "densities_of_aggregate", "elements_of", "mmd", "vectors"]

KERNELS = ("imq", "rbf")


def elements_of(objective: str, name: str, law: Any) -> Any:
    r"""The law of the elements of a site, which have to be independent given the data.

    Arguments:
        objective: The name of the objective that needs them.
        name: The name of the site.
        law: The distribution of the guide.

    Raises:
        ValueError: If the elements depend on each other.
    """
    if (found := factors(law)) is None:
        raise ValueError(
            f"{objective} needs a posterior whose elements are independent given the data, and "
            f"that of site {name!r} is {type(law).__name__}; take Normal, or another family of "
            "elements."
        )

    return found


def densities_of_aggregate(law: Any, value: Tensor, total: int) -> tuple[Tensor, Tensor]:
    r"""Estimates the densities of draws under the aggregate posterior, whole and by elements.

    .. math:: q(z) = \frac{1}{N} \sum_{i=1}^N q(z \mid x_i)
        \approx \frac{1}{N} \, q(z \mid x) + \frac{N - 1}{N} \,
        \frac{1}{n - 1} \sum_{j} q(z \mid x_j)

    where :math:`x` is the datum that :math:`z` was drawn for, and the sum is over the others of a
    batch of :math:`n`. Without bias for :math:`q(z)`, and exact where the batch is all data; its
    logarithm is biased downwards by what the batch is short of.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
        | https://arxiv.org/abs/1802.04942

    Arguments:
        law: The law :math:`q(z_d \mid x_i)` of elements, with batch shape ``(*, n, d)``.
        value: The draws, with shape ``(K, n, d)``.
        total: The number :math:`N` of data.

    Returns:
        :math:`\log q(z)` and :math:`\sum_d \log q(z_d)`, each with shape ``(K, n)``.
    """
    n = value.shape[1]
    # Draws first: (n, K, 1, d) against the data (K, n, d).
    log_q = law.log_prob(value.movedim(1, 0).unsqueeze(2)).movedim(0, 1)  # (K, n, n, d)
    own = torch.eye(n, dtype=torch.bool, device=value.device)
    rest = (total - 1) / (total * max(n - 1, 1))  # of a batch of one, its own density alone
    weight = torch.where(own, 1 / total, rest).log().to(log_q)
    whole = (log_q.sum(-1) + weight).logsumexp(2)
    parts = (log_q + weight.unsqueeze(-1)).logsumexp(2).sum(-1)
    return whole, parts


def vectors(value: Tensor, site: Site) -> Tensor:
    r"""Draws of a site as vectors, with shape ``(K, n, d)``, of as many particles as it has."""
    shape = site.value.shape
    flat: Tensor = value.expand(shape).reshape(len(site.value), -1, site.q.event_shape.numel())
    return flat


def check_plain(objective: str, name: str, site: Site) -> None:
    r"""Raises a ValueError if a site is masked, or lies in a plate within that of the data.

    It is looked at while Pyro's validation is on.
    """
    if not is_validation_enabled():
        return

    for run in site.parts or (site,):
        counts = run.reduce(torch.ones(run.q.batch_shape, device=run.value.device))
        if not bool((counts == 1).all()):
            raise ValueError(
                f"{objective} takes a batch for draws of the aggregate posterior, and site "
                f"{name!r} is masked, or lies in a plate within that of the data; take ELBO."
            )


def mmd(x: Tensor, y: Tensor, kernel: str = "imq", width: float = 1.0) -> Tensor:
    r"""The squared maximum mean discrepancy of two samples, without bias.

    .. math:: \widehat{\mathrm{MMD}}^2 = \frac{1}{n (n - 1)} \sum_{i \neq j} \big( k(x_i, x_j)
        + k(y_i, y_j) \big) - \frac{2}{n^2} \sum_{i, j} k(x_i, y_j)

    With :math:`c = 2 d \sigma^2`, the expected squared distance of two draws of a normal law of
    scale :math:`\sigma` in :math:`d` dimensions, the kernels are

    .. math:: k_\mathrm{imq}(x, y) = \sum_{s} \frac{s c}{s c + \|x - y\|^2} \qquad
        k_\mathrm{rbf}(x, y) = \exp \Big( - \frac{\|x - y\|^2}{c} \Big)

    over the scales :math:`s = 0.1, 0.2, 0.5, 1, 2, 5, 10`.

    Example:
        >>> import torch
        >>> x = torch.randn(500, 2)
        >>> bool(mmd(x, torch.randn(500, 2)).abs() < 0.1 < mmd(x, torch.randn(500, 2) + 2))
        True

    References:
        | A Kernel Two-Sample Test (Gretton et al., 2012)
        | https://jmlr.org/papers/v13/gretton12a.html

        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018)
        | https://arxiv.org/abs/1711.01558

    Arguments:
        x: A sample, with shape ``(n, d)``.
        y: Another, with the same shape. Of one draw the result is zero.
        kernel: One of :data:`KERNELS`.
        width: The scale :math:`\sigma`.
    """
    n, d = x.shape
    if n < 2:
        return 0.0 * (x.sum() + y.sum())  # one draw tells nothing of a law
    xx, yy, xy = (_kernel(a, b, kernel, 2 * d * width**2) for a, b in ((x, x), (y, y), (x, y)))
    within = sum((k.sum() - k.diagonal().sum()) / (n * (n - 1)) for k in (xx, yy))
    return within - 2 * xy.mean()


def _kernel(x: Tensor, y: Tensor, kernel: str, c: float) -> Tensor:
    square = (x.unsqueeze(1) - y).square().sum(-1)
    if kernel == "rbf":
        return (-square / c).exp()

    scales = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    return torch.stack([s * c / (s * c + square) for s in scales]).sum(0)
