r"""Integrals over an interval, by the rule of Gauss and Legendre."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["legendre"]


@cache
def legendre(n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    r"""Returns nodes and weights of the rule of :math:`n` points on :math:`(0, 1)`.

    .. math:: \int_0^1 f(x) \, dx \approx \sum_{k=1}^n w_k f(x_k)

    It is exact for polynomials of degree :math:`2 n - 1`; for analytic functions its error falls
    exponentially with :math:`n`. The nodes are eigenvalues of a tridiagonal matrix.

    Example:
        >>> import torch
        >>> x, w = legendre(3, torch.float64, torch.device("cpu"))
        >>> round(float((w * x**5).sum()), 12)  # 1 / 6
        0.166666666667

    References:
        | Calculation of Gauss Quadrature Rules (Golub & Welsch, 1969)
        | https://doi.org/10.1090/S0025-5718-69-99647-1

    Arguments:
        n: The number of points.
        dtype: The dtype of the result.
        device: The device of the result.

    Returns:
        The nodes :math:`x` and the weights :math:`w`, with shape ``(n,)`` each.
    """
    # Kept for all to come, whatever mode the first to ask is in.
    with torch.inference_mode(False), torch.no_grad():
        k = torch.arange(1, n, dtype=torch.float64, device="cpu")
        beside = k / (4 * k**2 - 1).sqrt()
        nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
        x, w = (1 + nodes) / 2, vectors[0] ** 2
        return x.to(dtype).to(device), w.to(dtype).to(device)
