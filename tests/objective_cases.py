r"""All objectives by name, and programs whose evidence is known."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.objectives import (
    CIWAE,
    CUBO,
    ELBO,
    IWAE,
    MIWAE,
    NVIL,
    PIWAE,
    TVO,
    VIMCO,
    DReG,
    MeanFieldELBO,
    MonteCarloEM,
    Objective,
    Renyi,
    ReweightedWakeSleep,
    StickingTheLanding,
    VRMax,
)


class Known(NamedTuple):
    r"""A model of one datum whose evidence is known, and two guides of it."""

    model: Any
    wrong: Any
    exact: Any
    x: Tensor
    log_evidence: float
    reparameterized: bool = True


def pca() -> Known:
    torch.manual_seed(0)
    model = Linear(5, 2, scale=0.7)
    for p in model.parameters():
        p.requires_grad_(False)
    x = model(n=1)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + 0.3, 1.5 * exact.stddev).to_event(1)

    log_evidence = float(model.log_evidence(x))
    return Known(model, Amortized(posterior), Amortized(model.posterior), x, log_evidence)


def coins() -> Known:
    r"""Two binary variables, the second of which depends on the first."""
    states = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def laws(u: Any) -> tuple[Any, Any]:
        return dist.Bernoulli(logits=torch.tensor(0.2)), dist.Bernoulli(logits=u - 0.6)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", laws(0.0)[0])
            z = pyro.sample("z", laws(u)[1])
            pyro.sample("x", dist.Normal(u - 2 * z, 0.7), obs=x)

    def guide(first: Any, second: Callable[[Any], Any]) -> Any:
        def run(x: Tensor) -> None:
            with pyro.plate("data", len(x), dim=-1):
                u = pyro.sample("u", dist.Bernoulli(logits=first))
                pyro.sample("z", dist.Bernoulli(logits=second(u)))

        return run

    x = torch.tensor([0.4])
    u, z = states.unbind(1)
    log_p = laws(u)[0].log_prob(u) + laws(u)[1].log_prob(z)
    log_p = (log_p + dist.Normal(u - 2 * z, 0.7).log_prob(x)).reshape(2, 2)
    first = log_p.logsumexp(1).diff().squeeze()
    second = log_p.diff(dim=1).squeeze()
    exact = guide(first, lambda u: second[0] + u * (second[1] - second[0]))
    wrong = guide(torch.tensor(-0.3), lambda u: 0.4 - u)
    return Known(model, wrong, exact, x, float(log_p.logsumexp((0, 1))), reparameterized=False)


def rates() -> Known:
    r"""A conjugate pair: counts of a rate, which has a Gamma prior."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Gamma(torch.tensor(2.0), 1.0))
            pyro.sample("x", dist.Poisson(z), obs=x)

    def guide(concentration: float, rate: float) -> Any:
        def run(x: Tensor) -> None:
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Gamma(concentration + 0.0 * x, rate))

        return run

    x = torch.tensor([4.0])
    log_evidence = math.log(5 * 0.5**6)  # a negative binomial: C(5, 4) / 2 ** 6
    return Known(model, guide(3.0, 0.8), guide(6.0, 2.0), x, log_evidence)


KNOWN = {"pca": pca, "coins": coins, "rates": rates}

OBJECTIVES: dict[str, Callable[[int], Objective]] = {
    "ELBO": ELBO,
    "MeanFieldELBO": MeanFieldELBO,
    "StickingTheLanding": StickingTheLanding,
    "NVIL": NVIL,
    "IWAE": IWAE,
    "VIMCO": lambda K: VIMCO(max(K, 2)),
    "DReG": DReG,
    "DReG, 0.5": lambda K: DReG(K, alpha=0.5),
    "DReG, wake": lambda K: DReG(K, wake=True),
    "MIWAE": lambda K: MIWAE(3, K),
    "PIWAE": lambda K: PIWAE(3, K),
    "CIWAE": lambda K: CIWAE(0.3, K),
    "Renyi, 0.5": lambda K: Renyi(0.5, K),
    "Renyi, 2": lambda K: Renyi(2.0, K),
    "Renyi, -1": lambda K: Renyi(-1.0, K),
    "CUBO": CUBO,
    "TVO": TVO,
    "TVO, right": lambda K: TVO(K, right=True),
    "VRMax": VRMax,
    "ReweightedWakeSleep": ReweightedWakeSleep,
    "MonteCarloEM": MonteCarloEM,
}
r"""A function of the number of particles to the objective."""

REPARAMETERIZED = ("MeanFieldELBO", "StickingTheLanding", "DReG", "DReG, 0.5", "PIWAE", "CUBO")
REPARAMETERIZED = (*REPARAMETERIZED, "DReG, wake")
r"""Those that need reparameterized sites."""

GLOBAL = ("ELBO", "MeanFieldELBO")
r"""Those that are no bounds for each datum, and so take sites outside of the plate of the data."""


def cells() -> list[tuple[str, str]]:
    r"""The objectives and the models of known evidence that go together."""
    return [(o, k) for o in OBJECTIVES for k in KNOWN if k != "coins" or o not in REPARAMETERIZED]


def value_of(objective: Objective, model: Any, guide: Any, x: Tensor) -> Tensor:
    r"""The value of an objective: the loss, but for the sign of those that are maximized."""
    sign = 1 if isinstance(objective, CUBO) else -1
    return sign * objective.loss(model, guide, x)
