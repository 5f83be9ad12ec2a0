r"""The command line: ``ppl-vae COMMAND ...``."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentError

from ..catalogue import first_line, nearest
from ..fit import Interrupted
from .drawing import encode_command, reconstruct_command, sample_command
from .evaluation import compare_command, evaluate_command, report_command
from .listing import list_command
from .output import complain, tell
from .training import fit_prior_command, resume_command, train_command

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train_command,
    "resume": resume_command,
    "evaluate": evaluate_command,
    "encode": encode_command,
    "sample": sample_command,
    "reconstruct": reconstruct_command,
    "report": report_command,
    "compare": compare_command,
    "fit-prior": fit_prior_command,
    "list": list_command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    r"""Runs a command.

    Returns:
        The exit status: 0, 2 for bad input (one sentence on standard error), 130 or 143 after
        SIGINT or SIGTERM, 141 where nobody reads standard output any longer.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)

    if not tokens or tokens[0] in ("-h", "--help"):
        print("usage: ppl-vae COMMAND ...\n")
        for command in COMMANDS.values():
            head, _, tail = first_line(command).partition(": ")
            print(f"  {head:28} {tail}")
        return 0

    try:
        if tokens[0] not in COMMANDS:
            raise ValueError(
                f"There is no command {tokens[0]!r}{nearest(tokens[0], COMMANDS)}; there are "
                f"{', '.join(COMMANDS)}."
            )
        with warnings.catch_warnings():
            warnings.showwarning = tell  # type: ignore[assignment]
            COMMANDS[tokens[0]](tokens[1:])
        sys.stdout.flush()
    except SystemExit as stop:
        # After --help.
        return int(stop.code or 0)
    except BrokenPipeError:
        # Who reads has seen enough, as under `| head`; Python would complain of what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell tells SIGPIPE
    except Interrupted as stop:
        complain(stop)
        return 128 + stop.signum
    except KeyboardInterrupt as stop:
        told = ["ppl-vae: interrupted.", *getattr(stop, "__notes__", [])]
        print(*told, file=sys.stderr)
        return 130
    except (ValueError, OSError, ArgumentError) as error:
        if os.environ.get("PPL_VAE_TRACEBACK"):
            raise
        complain(error)
        return 2
    except Exception as error:
        if os.environ.get("PPL_VAE_TRACEBACK"):
            raise
        what = next(iter(str(error).splitlines()), "")
        print(
            f"ppl-vae: {type(error).__name__}: {what} (PPL_VAE_TRACEBACK=1 shows where)",
            file=sys.stderr,
        )
        return 1

    return 0
