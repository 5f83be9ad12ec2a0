r"""Turning the sphere by a reflection."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["reflect"]


def reflect(y: Tensor, loc: Tensor) -> Tensor:
    r"""Reflects vectors such that :math:`-e_1` comes to lie on :math:`\mu`.

    .. math:: y - 2 \frac{u u^\top}{u^\top u} y \qquad u = \mu + e_1

    The reflection turns without bound where :math:`\mu` passes through :math:`-e_1`, as some
    direction must for every such map; there, none is needed.

    Example:
        >>> reflect(torch.tensor([-1.0, 0.0]), torch.tensor([0.6, 0.8]))
        tensor([0.6000, 0.8000])

    Arguments:
        y: The vectors, with shape ``(*, d)``.
        loc: The direction :math:`\mu`, of unit length, with shape ``(*, d)``.
    """
    first, others = loc[..., :1], loc[..., 1:]
    # 1 + mu_1, without cancellation on the far side, where 1 - mu_1 > 1.
    far = others.square().sum(-1, keepdim=True) / (1 - first).clamp(min=1)
    u = torch.cat([torch.where(first > 0, 1 + first, far), others], dim=-1)
    u = F.normalize(u, dim=-1)
    return y - 2 * (u * y).sum(-1, keepdim=True) * u
