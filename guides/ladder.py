r"""The ladder guide of hierarchical models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import pyro
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.families import Normal
from ppl_vae.families.merge import merged
from ppl_vae.guides.bottom_up import check_chain
from ppl_vae.program import Program

__all__ = ["Ladder"]


class Ladder(Program):
    r"""A deterministic pass up, then draws from the top down, each corrected by the pass up.

    .. math::
        d_l & = \mathrm{up}_l(d_{l - 1}) \quad d_0 = x \quad l = 1, \dots, L \\
        q(z_L \mid x) & = \mathcal{N}(\hat{\mu}_L, \hat{\sigma}_L^2) \\
        q(z_l \mid z_{l + 1}, x) & \propto \mathcal{N}(z_l \mid \hat{\mu}_l, \hat{\sigma}_l^2) \,
            p(z_l \mid z_{l + 1}) \quad l = L - 1, \dots, 1

    where layer :math:`l` estimates :math:`\hat{\mu}_l, \hat{\sigma}_l` from :math:`d_l`, and the
    product with the model's own :math:`p(z_l \mid z_{l + 1})` is again normal: means are weighted
    by precisions. By default the mean of an estimate is all that the layer above it sees, so that
    the layers are those of a :class:`~ppl_vae.guides.BottomUp`.

    It draws the sites in the model's order. The model is held, but its parameters are not those
    of the guide: copy both together, or attach the copy of the guide to the copy of the model.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Bernoulli
        >>> from ppl_vae.models import Hierarchical
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> model = Hierarchical(
        ...     StandardNormal((4,)),
        ...     [Conditional((4,), Normal((8,)), mlp())],
        ...     Conditional((8,), Bernoulli((28, 28)), mlp()),
        ... )
        >>> guide = Ladder(
        ...     [Conditional((28, 28), Normal((8,)), mlp()), Conditional((8,), Normal((4,)), mlp())]
        ... ).attach(model)
        >>> guide(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 8])

    References:
        | Ladder Variational Autoencoders (Sønderby et al., 2016)
        | https://arxiv.org/abs/1602.02282

    Arguments:
        layers: The conditionals that estimate :math:`z_1, \dots, z_L`, each of the family Normal.
        up: The networks :math:`\mathrm{up}_1, \dots, \mathrm{up}_L` of the pass up, if layer
            :math:`l` is to take :math:`d_l` of its own. Without them layer 1 takes :math:`x`, and
            each other one the mean :math:`\hat{\mu}` of the layer below it.

    Raises:
        ValueError: If there is no layer, one is not of the family Normal, or one does not take
            the shape of what it sees; if the guide runs before :meth:`attach` gave it the model,
            or the layers of that do not match.
    """

    def __init__(
        self,
        layers: Sequence[Conditional],
        up: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        check_chain(self, layers, linked=up is None)
        self.layers = nn.ModuleList(layers)
        self.up = None if up is None else nn.ModuleList(up)
        # A tuple keeps the model from becoming a child, and its parameters from being the guide's.
        self._model: tuple[Any, ...] = ()

        for level, layer in enumerate(layers, start=1):
            _check_normal(f"Layer {level} of Ladder", layer)
        if up is not None and len(up) != len(layers):
            raise ValueError(
                f"Ladder needs one network up for each layer, got {len(up)} for {len(layers)}."
            )

    def attach(self, model: Any = None) -> Self:
        own: list[Any] = list(self.layers)
        drawn = [tuple(layer.family.event_shape) for layer in own]
        layers: Any = getattr(model, "layers", None)

        if not isinstance(layers, nn.ModuleList) or len(layers) != len(drawn) - 1:
            raise ValueError(
                f"Ladder of {len(drawn)} layers needs a model whose layers are {len(drawn) - 1} "
                f"conditionals, such as Hierarchical; {type(model).__name__} has "
                f"{'none' if not isinstance(layers, nn.ModuleList) else len(layers)}."
            )

        below: list[Any] = list(layers)
        for level, layer in zip(range(len(below), 0, -1), below, strict=True):
            _check_normal(f"The model's conditional of z{level}", layer)

            if tuple(layer.family.event_shape) != drawn[level - 1]:
                raise ValueError(
                    f"The model draws z{level} with shape {tuple(layer.family.event_shape)}, but "
                    f"Ladder estimates {drawn[level - 1]}; give both the same shape."
                )

        self._model = (model,)
        return self

    def forward(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        r"""
        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: That of the data, which the guide does not need.

        Returns:
            Draws of :math:`z_1`, with shape ``(n, *z_shape)``.
        """
        self.register()

        if not self._model:
            raise ValueError("Ladder has no model yet; call guide.attach(model) first.")

        *estimates, top = self._estimates(x)

        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample(f"z{len(self.layers)}", top)

            for level, layer in zip(
                range(len(estimates), 0, -1), self._model[0].layers, strict=True
            ):
                z = pyro.sample(f"z{level}", merged(estimates[level - 1], layer(z)))

            return z

    def _estimates(self, x: Tensor) -> list[Any]:
        # The estimates of z_1 to z_L, from the pass up.
        d, found = x, []

        for level, layer in enumerate(self.layers):
            d = d if self.up is None else self.up[level](d)
            found.append(layer(d))
            d = found[-1].mean if self.up is None else d

        return found


def _check_normal(name: str, layer: Any) -> None:
    family = getattr(layer, "family", None)

    if not isinstance(family, Normal):
        raise ValueError(
            f"{name} is of the family {type(family).__name__}, but precisions are those of Normal; "
            "take Normal there, or the guide BottomUp."
        )
