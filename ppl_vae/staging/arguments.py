r"""What a staged function is called with: tensors, which vary, and constants, which do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from .errors import StagingError
from .places import plain

__all__ = ["flattened", "kind_of", "tensors_of"]


def tensors_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    r"""The tensors among arguments, nested ones too, in order."""
    values = [*args, *kwargs.values()]

    if all(isinstance(value, Tensor) for value in values):
        return values

    return [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]


def kind_of(args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
    r"""What calls have in common that can share a graph: shapes, types, devices, constants.

    Raises:
        StagingError: If an argument is neither a tensor nor a number or a name.
    """
    if all(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        layout: Any = (len(args), *kwargs)
    else:
        leaves, spec = tree_flatten((args, kwargs))
        constants = [v for v in leaves if not isinstance(v, Tensor)]
        for value in constants:
            if not plain(value):
                raise StagingError(
                    f"it is called with a {type(value).__name__}, whose contents may change; pass "
                    "tensors, numbers and names"
                )
        layout = (str(spec), *((type(v), v) for v in constants))

    shapes = [(t.shape, t.stride(), t.dtype, t.device) for t in tensors]
    casts = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
    return (layout, torch.get_default_dtype(), casts, *shapes)


def flattened(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    r"""The function of the tensors among its arguments; the others are constants of it."""
    leaves, spec = tree_flatten((args, kwargs))

    def flat(*tensors: Tensor) -> Any:
        rest = iter(tensors)
        filled = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(filled, spec)
        return function(*args, **kwargs)

    return flat
