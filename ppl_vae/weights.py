r"""Importance weights: the one place that reads the traces of programs.

For :math:`n` data and :math:`K` draws (particles) :math:`z_{ki} \sim q(z \mid x_i)`, the log weight

.. math:: \log w_{ki} = \log p(x_i \mid z_{ki}) + \log p(z_{ki}) - \log q(z_{ki} \mid x_i)

is all that an objective or an estimator of the evidence needs to know about a pair of programs:
:math:`\mathbb{E}_q[\log w]` is the ELBO, :math:`\mathbb{E}_q[w] = p(x)`. Below :class:`Weights` all
is Pyro, above it all is tensor mathematics.

Densities are masked as the programs say, but not scaled: the scale of a minibatch belongs outside
of the logarithm of a bound, so it stands apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import kl_divergence

from .checks import blaming, check_data, check_match
from .layout import PARTICLES, Layout, frames
from .modules import preserving

__all__ = [
    "Batch",
    "Program",
    "Site",
    "Weights",
    "base_measure",
    "call",
    "densities",
    "distributions",
    "draw_guide",
    "log_joint",
    "log_weights",
    "plate_depth",
    "rescore",
    "simulate",
]

Program = Callable[..., Any]
Batch = Tensor | Sequence[Any] | Mapping[str, Any]
Node = Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    r"""A latent variable, drawn from the guide and scored by both programs."""

    value: Tensor
    r"""The draws, with shape ``(K, n, *event_shape)``, inner plates between ``K`` and ``n``."""
    p: Any
    r"""The distribution in the model."""
    q: Any
    r"""The distribution in the guide."""
    log_p: Tensor
    r""":math:`\log p(z)`, masked, with shape ``(K, n)``."""
    log_q: Tensor
    r""":math:`\log q(z \mid x)`, masked, with shape ``(K, n)``."""
    reduce: Callable[[Tensor], Tensor] = field(repr=False)
    r"""Masks a tensor of the batch shape of ``q`` and sums it to ``(K, n)``."""
    local: bool = True
    r"""Whether the site lies in the plate of the data."""
    parts: tuple[Site, ...] = ()
    r"""The site in each run, where particles were looped over."""

    @property
    def reparameterized(self) -> bool:
        r"""Whether gradients flow through the draws."""
        return bool(self.q.has_rsample)

    def kl(self) -> Tensor:
        r"""The divergence :math:`\mathrm{KL}(q \| p)`, with shape ``(K, n)``.

        In closed form where one is registered, else the estimate :math:`\log q - \log p`.
        """
        if self.parts:
            return torch.cat([part.kl() for part in self.parts])

        try:
            return self.reduce(kl_divergence(self.q, self.p))
        except NotImplementedError:
            return self.log_q - self.log_p


@dataclass(frozen=True)
class Weights:
    r"""The log densities of :math:`K` draws for each of :math:`n` data, in nats."""

    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, with shape ``(K, n)``."""
    prior: Tensor
    r""":math:`\log p(z)`, with shape ``(K, n)``."""
    guide: Tensor
    r""":math:`\log q(z \mid x)`, with shape ``(K, n)``."""
    scale: float = 1.0
    r"""The scale :math:`N / n` of a minibatch of :math:`n` among :math:`N` data."""
    sites: Mapping[str, Site] = field(default_factory=dict)
    r"""The latent variables, in the model's order."""
    guide_order: tuple[str, ...] = ()
    r"""The names of the latent variables, in the guide's order."""
    global_term: Tensor | None = None
    r"""The log weight of all sites outside of the plate of the data, with shape ``(K, 1)``."""
    global_sites: tuple[str, ...] = ()
    r"""The names of these sites."""

    @property
    def n(self) -> int:
        r"""The number of data."""
        return self.likelihood.shape[1]

    @property
    def log_weight(self) -> Tensor:
        r"""The log weights :math:`\log w`, with shape ``(K, n)``.

        Raises:
            ValueError: If a site lies outside of the plate of the data, since the data have no
                weights of their own then.
        """
        if self.global_sites:
            raise ValueError(
                f"Site {self.global_sites[0]!r} lies outside of the plate of the data, so there is "
                "no bound for each datum; move it into the plate, or use ELBO."
            )

        return self.likelihood + self.prior - self.guide


def log_weights(
    model: Program,
    guide: Program,
    batch: Batch,
    particles: int = 1,
    *,
    vectorized: bool = True,
    depth: int | None = None,
    lenient: bool = False,
) -> Weights:
    r"""Draws from the guide and scores the draws under both programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: What both programs are called with: keyword arguments by name, positional ones in
            a tuple, or one tensor. The entry ``index`` is handed only to programs that take it.
        particles: The number :math:`K` of draws.
        vectorized: Whether the draws are made at once, in a plate outside of the programs' own.
            Programs that reshape their draws need ``False``, which loops.
        depth: The number of nested plates, which one dry run finds out if None.
        lenient: Whether data outside of the support of a likelihood that was built with
            ``validate_args=False`` are let through, with a warning.

    Raises:
        ValueError: If a latent site is in one program only, a site's shape is not explained by
            its plates, ``poutine.scale`` changes a density, or the data lie outside of the
            likelihood's support or are NaN. Values are checked unless Pyro's validation is off.
    """
    if particles < 1:
        raise ValueError(f"The number of particles must be positive, got {particles}.")

    if particles > 1 and not vectorized:
        parts = [log_weights(model, guide, batch, lenient=lenient) for _ in range(particles)]
        return _stack(parts)

    with blaming(batch):
        if particles > 1 and depth is None:
            depth = plate_depth(model, guide, batch)

        with _particle_plate(particles, depth):
            q = _trace(guide, batch)

        p = _replay(model, batch, q, particles, depth)

    return _read(p, q, batch, particles, depth, lenient)


def draw_guide(
    guide: Program, batch: Batch, particles: int, *, depth: int
) -> tuple[dict[str, Tensor], Tensor]:
    r"""Draws from the guide alone, as :func:`log_weights` does under the same seed.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        batch: What the program is called with.
        particles: The number :math:`K` of draws.
        depth: The number of nested plates of both programs.

    Returns:
        The value of each site, as in :attr:`Site.value`, and :math:`\log q(z \mid x)`, with shape
        ``(K, n)``.
    """
    with _particle_plate(particles, depth):
        q = _trace(guide, batch)

    nodes = _sites(q)
    layout = Layout.of(list(nodes.values()), _size(batch), particles, depth)
    total = _Total(layout)
    values = {}

    for name, node in nodes.items():
        total.add("guide", node, layout.reduce(layout.log_prob(node), node))
        values[name] = layout.value(node)

    return values, total.weights({}, ()).guide


def rescore(model: Program, guide: Program, batch: Batch, values: Mapping[str, Tensor]) -> Weights:
    r"""Scores given values of the latent sites under both programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: What both programs are called with.
        values: The values of all latent sites, as in :attr:`Site.value`.

    Raises:
        ValueError: As :func:`log_weights`, and if the values have different numbers of particles.
    """
    particles = _particles(values)
    depth = plate_depth(model, guide, batch) if particles > 1 else None
    given = _given(values, particles)

    with _particle_plate(particles, depth):
        q = _trace(guide, batch, replay=given)

    check_match([name for name, node in _sites(q).items() if not node["is_observed"]], values)
    p = _replay(model, batch, q, particles, depth)
    return _read(p, q, batch, particles, depth)


def log_joint(
    model: Program, batch: Batch, values: Mapping[str, Tensor], *, depth: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Scores given values of the latent sites under the model alone.

    Arguments:
        model: The program :math:`p(x, z)`.
        batch: What the program is called with.
        values: The values of all latent sites, as in :attr:`Site.value`.
        depth: The number of nested plates, which one dry run finds out if None.

    Returns:
        :math:`\log p(x \mid z)` and :math:`\log p(z)`, each with shape ``(K, n)``.

    Raises:
        ValueError: As :func:`log_weights`.
    """
    particles = _particles(values)

    if particles > 1 and depth is None:
        depth = plate_depth(model, None, batch)

    p = _replay(model, batch, _given(values, particles), particles, depth)
    nodes = _sites(p)
    check_match(_latent(nodes), values)
    total = _Total(Layout.of(list(nodes.values()), _size(batch), particles, depth))
    total.model(nodes)
    weights = total.weights({}, ())
    return weights.likelihood, weights.prior


@torch.no_grad()
def simulate(model: Program, n: int) -> dict[str, Tensor]:
    r"""Draws :math:`n` data, and the latent variables behind them, from the model.

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        n: The number of data.

    Returns:
        The value of each site by name, with shape ``(n, *event_shape)``.

    Raises:
        ValueError: If ``n`` is not positive, or the program does not take it.
    """
    if n < 1:
        raise ValueError(f"The number of data to simulate must be positive, got {n}.")

    if "n" not in inspect.signature(getattr(model, "forward", model)).parameters:
        raise ValueError(
            "The model takes no n, the number of data to draw; use pyro.infer.Predictive with the "
            "arguments that it does take."
        )

    trace = poutine.trace(model).get_trace(n=n)
    return {name: node["value"] for name, node in _sites(trace).items()}


def distributions(
    program: Program, batch: Batch, *, given: Mapping[str, Tensor] | None = None
) -> dict[str, tuple[Any, Tensor, bool]]:
    r"""Runs a program once and returns what it drew from, by site.

    Arguments:
        program: Any program.
        batch: What the program is called with.
        given: Values to take instead of draws, each with shape ``(n, *event_shape)``.

    Returns:
        By site, the distribution, the value, and whether it is observed.
    """
    replay = None if given is None else _given({k: v[None] for k, v in given.items()}, 1)
    nodes = _sites(_trace(program, batch, replay=replay))
    return {name: (node["fn"], node["value"], node["is_observed"]) for name, node in nodes.items()}


def base_measure(model: Program, batch: Batch) -> str:
    r"""Tells the measure that the likelihood is a density of.

    Log-likelihoods stand side by side only under the same measure.

    Returns:
        ``"counting"`` for discrete data, ``"lebesgue"`` for real ones, else ``"mixed"``.
    """
    with preserving(model), torch.no_grad():
        nodes = _sites(_trace(model, batch)).values()

    kinds = {bool(node["fn"].support.is_discrete) for node in nodes if node["is_observed"]}
    return "mixed" if len(kinds) != 1 else "counting" if kinds.pop() else "lebesgue"


def densities(model: Program, guide: Program, batch: Batch) -> Iterator[tuple[str, str, Tensor]]:
    r"""Yields each draw and each log density as (term, site, values), in the order of making.

    It looks for the cause of a loss that is not finite.
    """
    q = _trace(guide, batch)
    p = _trace(model, batch, replay=q)

    for term, trace in (("log q", q), ("log p", p)):
        for name, node in _sites(trace).items():
            if not node["is_observed"] and term == "log q":
                yield "the draw", name, node["value"]
            yield term, name, node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])


def call(program: Program, batch: Batch) -> Any:
    r"""Calls a program with a batch; ``index`` is left out unless the program takes it."""
    if isinstance(batch, Mapping):
        if "index" in batch:
            forward = getattr(program, "forward", program)
            if "index" not in inspect.signature(forward).parameters:
                batch = {name: value for name, value in batch.items() if name != "index"}
        return program(**batch)

    return program(batch) if isinstance(batch, Tensor) else program(*batch)


def plate_depth(model: Program, guide: Program | None, batch: Batch) -> int:
    r"""Tells the number of nested plates of the programs, from one dry run.

    Random states and buffers are left as they were.
    """
    with preserving(model, guide), torch.no_grad(), poutine.block():
        q = None if guide is None else _trace(guide, batch)
        p = _trace(model, batch, replay=q)

    nodes = [*_sites(p).values(), *({} if q is None else _sites(q)).values()]
    return max((-f.dim for node in nodes for f in frames(node)), default=0)


def _trace(
    program: Program,
    batch: Batch,
    replay: poutine.Trace | None = None,
    enumerate_from: int | None = None,
) -> poutine.Trace:
    run: Program = partial(call, program, batch)
    run = run if replay is None else poutine.replay(run, trace=replay)
    run = run if enumerate_from is None else poutine.enum(run, first_available_dim=enumerate_from)
    return poutine.trace(run).get_trace()


def _particle_plate(particles: int, depth: int | None) -> AbstractContextManager[Any]:
    # One particle needs no plate: its densities are those of the programs as they stand.
    if particles == 1:
        return nullcontext()

    return pyro.plate(PARTICLES, particles, dim=-1 - (depth or 1))


def _sites(trace: poutine.Trace) -> dict[str, Node]:
    nodes: Mapping[str, Any] = trace.nodes
    return {
        name: node
        for name, node in nodes.items()
        if node["type"] == "sample"
        and not site_is_subsample(node)
        and not node["infer"].get("_deterministic")
    }


def _replay(
    model: Program, batch: Batch, q: poutine.Trace, particles: int, depth: int | None
) -> poutine.Trace:
    with _particle_plate(particles, depth):
        p = _trace(model, batch, replay=q)

    marked = any(
        node["infer"].get("enumerate") == "parallel"
        for name, node in _sites(p).items()
        if not node["is_observed"] and name not in q
    )
    if not marked:
        return p

    # Sites that the model marks, and the guide does not draw, are summed out.
    depth = (
        max(-f.dim for node in _sites(p).values() for f in frames(node)) if depth is None else depth
    )
    with _particle_plate(particles, depth):
        return _trace(model, batch, replay=q, enumerate_from=-1 - depth - (particles > 1))


def _latent(model: Mapping[str, Node]) -> list[str]:
    return [k for k, node in model.items() if not node["is_observed"] and not _enum_dim(node)]


def _size(batch: Batch) -> int | None:
    if isinstance(batch, Tensor):
        return len(batch)

    entries = batch.values() if isinstance(batch, Mapping) else batch
    return next((len(t) for t in entries if isinstance(t, Tensor) and t.ndim > 0), None)


def _particles(values: Mapping[str, Tensor]) -> int:
    counts = {name: len(value) for name, value in values.items()}

    if len(set(counts.values())) != 1:
        raise ValueError(f"The values need one number of particles for all sites, got {counts}.")

    return next(iter(counts.values()))


def _given(values: Mapping[str, Tensor], particles: int) -> poutine.Trace:
    trace = poutine.Trace()

    for name, value in values.items():
        value = value[0] if particles == 1 else value
        trace.add_node(name, type="sample", name=name, value=value, is_observed=False, infer={})

    return trace


def _read(
    p: poutine.Trace,
    q: poutine.Trace,
    batch: Batch,
    particles: int,
    depth: int | None,
    lenient: bool = False,
) -> Weights:
    model, guide = _sites(p), _sites(q)
    latent = [name for name, node in guide.items() if not node["is_observed"]]
    check_match(_latent(model), latent)

    if is_validation_enabled():
        for node in model.values():
            if node["is_observed"]:
                check_data(node, lenient)

    layout = Layout.of([*model.values(), *guide.values()], _size(batch), particles, depth)
    total = _Total(layout)
    sites = {
        name: _site(layout, model[name], guide[name], log_p)
        for name, log_p in total.model(model).items()
    }

    for name, node in guide.items():
        log_q = sites[name].log_q if name in sites else None
        log_q = layout.reduce(layout.log_prob(node), node) if log_q is None else log_q
        total.add("guide", node, log_q)

    return total.weights(sites, tuple(latent))


def _enum_dim(node: Node) -> bool:
    return node["infer"].get("_enumerate_dim") is not None


def _site(layout: Layout, p: Node, q: Node, log_p: Tensor) -> Site:
    def reduce(t: Tensor) -> Tensor:
        return layout.reduce(scale_and_mask(t, mask=q["mask"]), q)

    return Site(
        value=layout.value(q),
        p=p["fn"],
        q=q["fn"],
        log_p=log_p,
        log_q=layout.reduce(layout.log_prob(q), q),
        reduce=reduce,
        local=layout.local(q),
    )


class _Total:
    r"""Adds up the log densities of sites."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.terms: dict[str, Any] = {"likelihood": 0.0, "prior": 0.0, "guide": 0.0}
        self.outside: dict[str, Tensor] = {}
        self.joint: Any = 0.0

    def add(self, term: str, node: Node, log_prob: Tensor) -> None:
        if self.layout.local(node):
            self.terms[term] = self.terms[term] + log_prob
        else:
            sign = -1 if term == "guide" else 1
            self.outside[node["name"]] = self.outside.get(node["name"], 0) + sign * log_prob

    def model(self, nodes: Mapping[str, Node]) -> dict[str, Tensor]:
        r"""Adds all sites of the model; returns the log densities of the latent ones."""
        latent = {}

        for name, node in nodes.items():
            log_p = self.layout.log_prob(node)

            # Dimensions left of all plates are those of enumerated sites.
            if log_p.ndim > -min(self.layout.dims(node), default=0) and self.enumerates(nodes):
                self.enumerate(node, log_p)
                continue

            log_p = self.layout.reduce(log_p, node)
            self.add("likelihood" if node["is_observed"] else "prior", node, log_p)

            if not node["is_observed"]:
                latent[name] = log_p

        return latent

    @staticmethod
    def enumerates(nodes: Mapping[str, Node]) -> bool:
        return any(_enum_dim(node) for node in nodes.values())

    def enumerate(self, node: Node, log_prob: Tensor) -> None:
        # Terms that depend on an enumerated site are added before the sum over its values.
        if not self.layout.local(node):
            raise ValueError(
                f"Site {node['name']!r} is enumerated, or depends on an enumerated site, outside "
                "of the plate of the data; move it into the plate, or draw it in the guide."
            )
        if set(self.layout.dims(node)) - {self.layout.data_dim, self.layout.particle_dim}:
            raise ValueError(
                f"Site {node['name']!r} depends on an enumerated site and lies in a plate within "
                "that of the data; sum it out in the model, or draw it in the guide."
            )
        self.joint = self.joint + log_prob

    def weights(self, sites: dict[str, Site], order: tuple[str, ...]) -> Weights:
        K, n = self.layout.particles, self.layout.n

        if isinstance(self.joint, Tensor):
            # Plates of the model are rightmost, enumerated dimensions left of them.
            inner = -(self.layout.particle_dim or self.layout.data_dim)
            outer = self.joint.ndim - inner
            summed = self.joint.flatten(0, outer - 1).logsumexp(0)
            self.terms["likelihood"] = self.terms["likelihood"] + summed.reshape(K, n)

        zero = next(
            (t.new_zeros(K, n) for t in self.terms.values() if isinstance(t, Tensor)),
            torch.zeros(K, n),
        )
        return Weights(
            likelihood=zero + self.terms["likelihood"],
            prior=zero + self.terms["prior"],
            guide=zero + self.terms["guide"],
            scale=self.layout.scale,
            sites=sites,
            guide_order=order,
            global_term=torch.stack([*self.outside.values()]).sum(0) if self.outside else None,
            global_sites=tuple(self.outside),
        )


def _stack(parts: Sequence[Weights]) -> Weights:
    first = parts[0]

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    sites = {
        name: replace(
            site,
            value=torch.cat([part.sites[name].value for part in parts]),
            log_p=torch.cat([part.sites[name].log_p for part in parts]),
            log_q=torch.cat([part.sites[name].log_q for part in parts]),
            parts=tuple(part.sites[name] for part in parts),
        )
        for name, site in first.sites.items()
    }
    return replace(
        first,
        likelihood=cat("likelihood"),
        prior=cat("prior"),
        guide=cat("guide"),
        sites=sites,
        global_term=None if first.global_term is None else cat("global_term"),
    )
