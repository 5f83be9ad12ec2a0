r"""Networks that start from stored weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from .base import Network
from .mlp import mlp

__all__ = ["pretrained"]


class pretrained(Network):
    r"""Another network, with the weights of a file of safetensors.

    The file may be a checkpoint of a run of this library: ``prefix`` picks the network in it, such
    as ``"guide.posterior.net."`` or ``"model.likelihood.net."``. A run keeps the weights in
    checkpoints of its own; where it is loaded or resumed, the file is not read again.

    Example:
        >>> import tempfile, torch
        >>> from safetensors.torch import save_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_file(mlp([8])((3,), (2,)).state_dict(), f"{folder}/a.safetensors")
        ...     net = pretrained(f"{folder}/a.safetensors", mlp([8]))((3,), (2,))
        >>> net(torch.zeros(5, 3)).requires_grad
        False

    Arguments:
        path: The path of the file.
        network: The builder of the network that the weights are of.
        frozen: Whether the weights stay as they are. The network stays in evaluation mode then,
            in which dropout passes everything, and normalizations keep their statistics.
        prefix: What the names of the network's tensors begin with in the file.

    Raises:
        ValueError: If there is no such file, or the names or shapes in it are not the network's.
    """

    def __init__(
        self,
        path: str,
        network: Network = mlp(),  # noqa: B008
        *,
        frozen: bool = True,
        prefix: str = "",
    ) -> None:
        self.path = path
        self.network = network
        self.frozen = frozen
        self.prefix = prefix

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        from ..data.stored import recall

        net = self.network(in_shape, out_shape)

        # A run that is being built again brings the weights from its own checkpoint.
        if recall() is None:
            weights = _read(Path(self.path), self.prefix)
            self._check(net.state_dict(), weights)
            net.load_state_dict(weights)

        return Frozen(net) if self.frozen else net

    def _check(self, own: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
        where = f"The file {self.path} with prefix {self.prefix!r}"

        if differing := sorted(own.keys() ^ weights.keys()):
            name = differing[0]
            what = "lacks" if name in own else "holds more than the network:"
            raise ValueError(
                f"{where} {what} {name!r}; give the prefix of the network's names, and the "
                "network as it was."
            )

        for name, t in own.items():
            if t.shape != weights[name].shape:
                raise ValueError(
                    f"{where} holds {name!r} of shape {tuple(weights[name].shape)}, but that of "
                    f"the network is {tuple(t.shape)}; give the network as it was."
                )


class Frozen(nn.Module):
    r"""A network that is not trained, and stays in evaluation mode.

    Arguments:
        net: The network.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def _read(path: Path, prefix: str) -> dict[str, Tensor]:
    # The tensors whose names begin with the prefix, which is taken off.
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"There is no file {path} of weights; give pretrained a path that is one.")

    try:
        with safe_open(path, framework="pt") as file:
            # A checkpoint holds a tensor that has several names under the first of them.
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            names = {name: name for name in file.keys()} | state.get("aliases", {})  # noqa: SIM118
            return {
                name.removeprefix(prefix): file.get_tensor(source)
                for name, source in names.items()
                if name.startswith(prefix)
            }
    except (SafetensorError, OSError) as error:
        raise ValueError(f"The file {path} is no file of safetensors: {error}.") from error
