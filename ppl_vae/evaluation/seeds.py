r"""Seeds of what is drawn in blocks."""

from __future__ import annotations

__all__ = ["MISFIT", "REFINEMENT", "SIMULATION", "mix"]

SIMULATION, REFINEMENT, MISFIT = -1, -2, -3
r"""Streams of their own: what is judged by draws must not be made of the same ones. Estimators have
the streams from zero on."""


def mix(seed: int, block: int, stream: int = 0) -> int:
    r"""The seed of a block, so that none depends on what was drawn before it.

    Example:
        >>> len({mix(0, block, stream) for block in range(50) for stream in range(50)})
        2500

    Arguments:
        seed: The seed of all draws.
        block: The number of the block of data.
        stream: Tells apart what is drawn for one block, such as blocks of particles.
    """
    # The multipliers are primes.
    return (seed * 1_000_000_007 + block * 998_244_353 + stream * 1_000_003 + 1) % (2**63 - 25)
