r"""Fitting a prior to the aggregate posterior of a trained run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .catalogue import find_experiment
from .experiment import Experiment
from .folder.create import Plan, build, check_free
from .folder.freeze import freeze
from .modules import modules_of
from .objectives import ELBO, Objective
from .objectives.cross_entropy import CrossEntropy
from .options import Options
from .run import Run, load, training_of
from .run.parent import parent

__all__ = ["fit_prior"]


def fit_prior(
    folder: Path | str,
    out: Path | str,
    options: Sequence[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Run:
    r"""Gives a trained run another prior, fitted to what its guide draws.

    .. math:: \max_p \, \mathbb{E}_{x} \, \mathbb{E}_{q(z \mid x)} \big[ \log p(z) \big]
        = \max_p \, - \mathrm{KL}(q(z) \| p(z)) + \text{const}

    where :math:`q(z) = \mathbb{E}_x[q(z \mid x)]` is the aggregate posterior. Guide and likelihood
    keep their weights, so the ELBO rises by just what the divergence falls, and it is the ELBO
    that is followed; where the guide has no density
    :class:`~ppl_vae.objectives.cross_entropy.CrossEntropy`, which is the same but for what a prior
    does not change. The new run is one like any other: it
    can be evaluated, if the guide has a density, compared and resumed.

    References:
        | ELBO Surgery (Hoffman & Johnson, 2016)
        | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
        | https://arxiv.org/abs/1903.12436

    Arguments:
        folder: The folder of the trained run.
        out: The folder of the new run.
        options: Options as on the command line: ``--prior`` with its own, and those of training,
            such as ``--epochs``.
        overwrite: Whether a run that is there already is replaced.
        progress: Whether progress is shown.

    Raises:
        ValueError: If an option is wrong, the model has no prior of its own, or the new one has
            nothing to fit.
    """
    out = Path(out)
    check_free(out, overwrite)
    source = load(folder)
    plan = _plan(source, list(options))
    kept = freeze(plan.experiment)
    _take_over(source, plan.experiment)
    plan = replace(plan, parent=parent(source, kept))
    training = training_of(plan.experiment, plan.seed, plan.device, progress)
    plan.write(out, training)
    run = Run(out, device=plan.device)
    run.__dict__["experiment"] = plan.experiment
    run.follow(training)
    return run


def _plan(source: Run, tokens: list[str]) -> Plan:
    config = source.config
    reference = str(config["experiment"])
    reference = str(source.dir / reference) if reference.endswith(".py") else reference
    function = find_experiment(reference)
    own = Options(function)
    named = {token[2:].partition("=")[0].partition(".")[0] for token in tokens if token[:2] == "--"}
    given = own.parse(tokens)

    if "prior" not in named or "prior" not in own.own:
        raise ValueError(
            "fit-prior needs --prior with the class of the new prior, and a run of an experiment "
            "that takes one."
        )
    if other := sorted(named & set(own.own) - {"prior"}):
        raise ValueError(
            f"fit-prior changes the prior alone, so it takes no --{other[0]}; train a run of its "
            "own for that."
        )

    # What is not given stays as it was, but for what shaped the training of the other weights.
    fresh = {k: None for k in ("scheduler", "warmup", "patience") if k in config["options"]}
    values = {**config["options"], **fresh, **{k: _absolute(given[k]) for k in named}}
    if "objective" in own.own:
        followed: type[Objective] = CrossEntropy if source.unscored else ELBO
        path = f"{followed.__module__}.{followed.__name__}"
        values["objective"] = {"class_path": path, "init_args": {}}
    parser = Options(function, source.dir)
    built, training = build(parser, values)
    return Plan(reference, parser, values, built, training.get("device", "auto"), frozen=True)


def _absolute(value: Any) -> Any:
    # Files of the user's are named from where the command runs, not from the run's folder.
    if isinstance(value, dict):
        return {k: _absolute(v) for k, v in value.items()}
    if isinstance(value, str) and re.search(r"\.py:\w+$", value):
        return str(Path(value).absolute())

    return value


def _take_over(source: Run, experiment: Experiment) -> None:
    # All weights but the prior's; what a prior shares with the guide comes with the guide.
    model, guide = modules_of(experiment.model, experiment.guide)
    kept = {k: t for k, t in source.model.state_dict().items() if not k.startswith("prior.")}
    model.load_state_dict(kept, strict=False)
    guide.load_state_dict(source.guide.state_dict())
