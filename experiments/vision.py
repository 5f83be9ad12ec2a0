r"""How good is a convolutional model of small images?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppl_vae.conditional import Conditional
from ppl_vae.data import vision
from ppl_vae.experiment import Experiment
from ppl_vae.families import Bernoulli, Family, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network, conv
from ppl_vae.objectives import ELBO, Objective
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.program import Program


def experiment(
    name: str = "FashionMNIST",
    root: str | None = None,
    binarization: str = "dynamic",
    download: bool = True,
    latent: int = 32,
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = Bernoulli,
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Conditional], Program] = Amortized,
    encoder: Network = conv(),
    decoder: Network = conv(),
    objective: Objective = ELBO(),
) -> Experiment:
    r"""FashionMNIST, KMNIST, EMNIST, Omniglot, CIFAR10, SVHN or MNIST, through torchvision.

    Arguments:
        name: The name of the data set.
        root: The folder of its files.
        binarization: none, threshold, static or dynamic.
        download: Whether to download files that are not in the folder.
        latent: The number of elements of z.
        prior: The prior p(z).
        likelihood: The family of p(x | z).
        posterior: The family of q(z | x).
        guide: The structure of the guide.
        encoder: The network from x to the posterior.
        decoder: The network from z to the likelihood.
        objective: The objective.
    """
    data = vision(name, root, binarization, download=download)
    shape = data.event_shape
    q = Conditional(shape, posterior((latent,)), encoder, in_scale=data.maximum)
    p = Conditional((latent,), likelihood(shape), decoder, mean=data.mean)
    z = prior((latent,)).attach(q, data.examples())
    p.in_scale = z.draw_scale
    model = VAE(z, p)
    return Experiment(
        data=data,
        model=model,
        guide=guide(q).attach(model),
        objective=objective,
    )
