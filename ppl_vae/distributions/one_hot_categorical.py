r"""Unit vectors of categories."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

__all__ = ["OneHotCategorical"]


class OneHotCategorical(dist.OneHotCategorical):
    r"""The unit vector of a category, as Pyro's, but for draws that a static graph can hold.

    torch looks at the values of the categories before it makes vectors of them.

    Example:
        >>> OneHotCategorical(logits=torch.tensor([0.0, 50.0, 0.0])).sample()
        tensor([0., 1., 0.])

    Arguments:
        probs: The probabilities of the categories, up to a factor, with shape ``(*, C)``.
        logits: Their logarithms, up to a constant, with shape ``(*, C)``; one of the two is given.
    """

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        number = self._categorical.sample(torch.Size(sample_shape)).unsqueeze(-1)
        with torch.no_grad():
            zeros = torch.zeros_like(self._categorical._param).expand(
                number.shape[:-1] + self.event_shape
            )
            return zeros.scatter(-1, number, 1.0)
