r"""Normalizations of vectors inside a network."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

__all__ = ["VectorNorm", "normed_linear", "vector_norm"]

VectorNorm = Literal["none", "batch", "layer"]


def vector_norm(norm: VectorNorm, width: int) -> list[nn.Module]:
    r"""Returns a normalization of vectors, by its name, as a list of one module or of none.

    Example:
        >>> vector_norm("none", 8), vector_norm("layer", 8)
        ([], [LayerNorm((8,), eps=1e-05, elementwise_affine=True...)])

    Arguments:
        norm: ``"batch"`` normalizes each element over the batch; ``"layer"`` the elements of each
            vector by itself; ``"none"`` nothing.
        width: The number of elements of a vector.

    Raises:
        ValueError: If there is no such normalization.
    """
    if norm == "batch":
        return [nn.BatchNorm1d(width)]
    if norm == "layer":
        return [nn.LayerNorm(width)]
    if norm == "none":
        return []

    raise ValueError(f"There is no norm {norm!r}; take one of {', '.join(get_args(VectorNorm))}.")


def normed_linear(a: int, b: int, norm: VectorNorm) -> list[nn.Module]:
    r"""Returns a linear layer from ``a`` to ``b`` elements, and the normalization after it."""
    # Batch normalization would subtract a bias again.
    return [nn.Linear(a, b, bias=norm != "batch"), *vector_norm(norm, b)]
