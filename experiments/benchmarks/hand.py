r"""The cases in plain PyTorch, as one would write them by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ppl_vae.experiments.benchmarks.cases import PSEUDO, Case, Run

__all__ = ["by_hand", "module"]


class Plain(nn.Module):
    r"""The negative ELBO per datum, with the divergence in closed form."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        logits = self.decoder(loc + scale * torch.randn_like(loc))
        kl = 0.5 * (loc.square() + scale.square() - 1 - 2 * scale.log()).sum()
        return (cross_entropy(logits, x) + kl) / len(x)


class Weighted(Plain):
    r"""The negative importance-weighted bound per datum."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, particles: int) -> None:
        super().__init__(encoder, decoder)
        self.particles = particles

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        epsilon = torch.randn(self.particles, *loc.shape, device=x.device)
        z = loc + scale * epsilon
        logits = self.decoder(z)
        targets = x.expand_as(logits)
        log_p = -F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
        log_r = (0.5 * (epsilon.square() - z.square()) + scale.log()).sum(-1)
        return math.log(self.particles) - (log_p + log_r).logsumexp(0).mean()


class MaskedLinear(nn.Linear):
    r"""An affine map of which a mask leaves only some weights."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class InverseAutoregressive(nn.Module):
    r"""An inverse autoregressive layer: a MADE gives shift and log-scale of each element."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        degrees = 1 + torch.randperm(size)
        inner = torch.linspace(1, size - 1, hidden).round()
        self.made = nn.Sequential(
            MaskedLinear(inner[:, None] >= degrees),
            nn.ReLU(),
            MaskedLinear(degrees.repeat(2)[:, None] > inner),
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.made(z).chunk(2, -1)
        # As in Pyro, the gradient passes the bounds.
        log_scale = log_scale + (log_scale.clamp(-5, 3) - log_scale).detach()
        return shift + log_scale.exp() * z, log_scale


class Autoregressive(Plain):
    r"""The negative ELBO per datum; draws pass two inverse autoregressive layers."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, case: Case) -> None:
        super().__init__(encoder, decoder)
        layers = (InverseAutoregressive(case.latent, case.hidden) for _ in range(2))
        self.flows = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        epsilon = torch.randn_like(loc)
        z, log_det = loc + scale * epsilon, scale.log()

        for flow in self.flows:
            z, log_scale = flow(z)
            log_det = log_det + log_scale

        # The constants of log p(z) and log q(z | x) cancel.
        log_r = (0.5 * (epsilon.square() - z.square()) + log_det).sum()
        return (cross_entropy(self.decoder(z), x) - log_r) / len(x)


class Vamp(Plain):
    r"""The negative ELBO per datum; the prior is the mixture of posteriors of pseudo-inputs."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, inputs: Tensor) -> None:
        super().__init__(encoder, decoder)
        self.inputs = nn.Parameter(inputs.clone())

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        epsilon = torch.randn_like(loc)
        z = loc + scale * epsilon
        # As in our VampPrior, the gradient passes the bounds.
        inputs = self.inputs + (self.inputs.clamp(0, 1) - self.inputs).detach()
        mean, width = gaussian(self.encoder(inputs))
        # The constants of log p(z) and log q(z | x) cancel.
        log_k = -(0.5 * ((z[:, None] - mean) / width).square() + width.log()).sum(-1)
        log_p = log_k.logsumexp(-1) - math.log(len(inputs))
        log_q = -(0.5 * epsilon.square() + scale.log()).sum()
        return (cross_entropy(self.decoder(z), x) + log_q - log_p.sum()) / len(x)


class TwoLevel(Plain):
    r"""The negative ELBO per datum of two layers of latent variables, z2 above z1."""

    def __init__(self, nets: list[nn.Module]) -> None:
        super().__init__(nets[0], nets[1])
        self.up, self.down = nets[2], nets[3]

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        epsilon1 = torch.randn_like(loc)
        z1 = loc + scale * epsilon1
        loc, scale2 = gaussian(self.up(z1))
        epsilon2 = torch.randn_like(loc)
        z2 = loc + scale2 * epsilon2
        mean, width = gaussian(self.down(z2))
        # The constants of the densities of p and q cancel.
        log_q = -(0.5 * (epsilon1.square() + epsilon2.square()) + (scale * scale2).log()).sum()
        log_p = -(0.5 * (((z1 - mean) / width).square() + z2.square()) + width.log()).sum()
        return (cross_entropy(self.decoder(z1), x) + log_q - log_p) / len(x)


def gaussian(h: Tensor) -> tuple[Tensor, Tensor]:
    r"""Location and scale of a normal distribution."""
    loc, rho = h.chunk(2, -1)
    return loc, F.softplus(rho) + 1e-4


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    r"""The negative log-likelihood of all data."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def perceptron(a: int, hidden: int, b: int) -> nn.Module:
    inner = [nn.Linear(a, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()]
    return nn.Sequential(*inner, nn.Linear(hidden, b))


def convolutions(latent: int) -> tuple[nn.Module, nn.Module]:
    r"""Encoder and decoder of images of 28 x 28, as our `conv` builds them."""
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.SiLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.SiLU()),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 2 * latent)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latent, 64 * 7 * 7), nn.Unflatten(-1, (64, 7, 7)), nn.SiLU()),
        *(nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1), nn.SiLU()),
        *(nn.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1), nn.SiLU()),
        nn.Conv2d(32, 1, 3, padding=1),
    )
    return encoder, decoder


def module(case: Case, data: Tensor) -> nn.Module:
    r"""Returns the networks of a case, as a function from a batch to the loss."""
    H, Z = case.hidden, case.latent

    if case.program == "conv":
        return Plain(*convolutions(Z))

    encoder, decoder = perceptron(case.shape[0], H, 2 * Z), perceptron(Z, H, case.shape[0])

    if case.program == "iaf":
        return Autoregressive(encoder, decoder, case)
    if case.program == "vamp":
        return Vamp(encoder, decoder, data[:PSEUDO])
    if case.program == "two-level":
        return TwoLevel([encoder, decoder, *(perceptron(Z, H, 2 * Z) for _ in range(2))])
    if case.objective == "iwae":
        return Weighted(encoder, decoder, case.particles)

    return Plain(encoder, decoder)


def by_hand(case: Case, data: Tensor, rows: Tensor, *, compile: bool) -> Run:
    r"""A plain loop with the fused Adam; the loss, and so its gradient, may be compiled."""
    nets = module(case, data).to(data.device)
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3, fused=True)
    loss_of: Callable[[Tensor], Tensor] = torch.compile(nets, fullgraph=True) if compile else nets
    parts = rows.unbind()

    def run() -> Tensor:
        for part in parts:
            loss = loss_of(data.index_select(0, part))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return run
