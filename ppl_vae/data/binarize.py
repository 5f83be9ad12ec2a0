r"""Grey values to binary ones.

Let :math:`p \in [0, 1]` be a grey value, that is :math:`x / 255` or :math:`x` itself.

=========== ==================================================================================
`none`      the data as it is
`threshold` :math:`1` where :math:`x` exceeds half the largest training value
`static`    one draw :math:`\mathrm{Bernoulli}(p)`, seeded, of every split
`dynamic`   a fresh draw of every training minibatch; one seeded draw of the other splits
=========== ==================================================================================

References:
    On the quantitative analysis of deep belief networks (Salakhutdinov and Murray, 2008)
"""

from __future__ import annotations

__all__ = ["BINARIZATIONS", "Sampler", "bernoulli", "binarize", "legacy_bernoulli", "probability"]

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from .split import Split

BINARIZATIONS = ("none", "threshold", "static", "dynamic")

Sampler: TypeAlias = Callable[[int], Callable[[Tensor], Tensor]]


def bernoulli(seed: int) -> Callable[[Tensor], Tensor]:
    r"""A seeded function from probabilities to draws, with a generator of its own.

    Example:
        >>> bernoulli(0)(torch.tensor([0.0, 1.0]))
        tensor([0, 1], dtype=torch.uint8)
    """

    generator = torch.Generator().manual_seed(seed)

    return lambda p: (torch.rand(p.shape, generator=generator) < p).to(torch.uint8)


def legacy_bernoulli(seed: int) -> Callable[[Tensor], Tensor]:
    r"""As :func:`bernoulli`, with the stream of `np.random.seed(seed)` and `binomial(1, p)`.

    Example:
        >>> legacy_bernoulli(777)(torch.tensor([0.0, 1.0]))
        tensor([0, 1], dtype=torch.uint8)
    """

    state = np.random.RandomState(seed)

    return lambda p: torch.from_numpy(state.binomial(1, p.numpy()).astype(np.uint8))


def probability(x: Tensor) -> Tensor:
    r"""The grey value :math:`p` of stored data: bytes are 0..255, reals are 0..1 already.

    Example:
        >>> probability(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """

    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def binarize(
    splits: Mapping[str, Split], how: str, *, seed: int = 0, sampler: Sampler = bernoulli
) -> dict[str, Split]:
    r"""Binarizes the site `x` of each split. Under `dynamic` the training split stays grey.

    Arguments:
        splits: The splits; values in 0..1 or in 0..255.
        how: One of `none`, `threshold`, `static` and `dynamic`.
        seed: The seed of the draws.
        sampler: Makes the draws from the seed.

    Raises:
        ValueError: if values are negative, missing or larger than 255.

    Example:
        >>> grey = {"train": Split({"x": torch.tensor([[0], [9], [16]], dtype=torch.uint8)})}
        >>> binarize(grey, "threshold")["train"].sites["x"].flatten()
        tensor([0, 1, 1], dtype=torch.uint8)
    """

    if how == "none":
        return dict(splits)

    top = _top(splits)

    if how == "threshold":
        half = float(splits["train"].sites["x"].max()) / 2
        return {k: v.replace((v.sites["x"] > half).to(torch.uint8)) for k, v in splits.items()}

    draw = sampler(seed)
    out = {}

    for name, split in splits.items():
        x = _grey(split.sites["x"], top)

        if how == "static" or name != "train":
            # in pieces, for a whole set as float32 would not fit everywhere
            x = torch.cat([draw(probability(piece)) for piece in x.split(10_000)])

        out[name] = split.replace(x)

    return out


def _top(splits: Mapping[str, Split]) -> float:
    low = min(float(split.sites["x"].min()) for split in splits.values())
    high = max(float(split.sites["x"].max()) for split in splits.values())

    # written so that NaN fails too
    if not (low >= 0 and high <= 255):
        raise ValueError(
            f"binarization needs grey values in 0..1 or 0..255 and the data lies in "
            f"{low:g}..{high:g}: rescale it, or use binarization 'none'."
        )

    return 1.0 if high <= 1 else 255.0


def _grey(x: Tensor, top: float) -> Tensor:
    # After this, uint8 always means 0..255 and float32 always 0..1, as `probability` reads them.
    if x.dtype == torch.uint8:
        return x if top == 255 else x * 255

    return x.float() / top
