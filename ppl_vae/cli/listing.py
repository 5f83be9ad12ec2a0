r"""The command that shows what there is to choose from: list."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..catalogue import nearest
from .tokens import flag

USAGE = """usage: ppl-vae list [KIND] [--legal] [--json]

Prints what there is to choose from, with the first line of each part's documentation.

KIND      one of {kinds}
--legal   which priors, posteriors, guides and objectives go together, instead
--json    for programs: the same as JSON; with --legal, the reason of each refusal too"""

ROLES = {"likelihood": "families", "posterior": "families", "encoder": "networks"}
r"""What options are called, and the kind of their parts, where the names differ."""


def list_command(tokens: list[str]) -> None:
    r"""list [KIND]: the experiments and the parts to make them of; --legal: which go together."""
    from .. import listing
    from .tables import print_cells, print_entries

    if {"-h", "--help"} & set(tokens):
        print(USAGE.format(kinds=", ".join(listing.KINDS)))
        return

    json_ = flag(tokens, "--json")
    legal = flag(tokens, "--legal")
    kinds = [token for token in tokens if not token.startswith("-")]

    if loose := [token for token in tokens if token.startswith("-")]:
        raise ValueError(f"list takes --json and --legal, got {loose[0]}.")
    if len(kinds) > 1:
        raise ValueError(f"list takes one kind of parts at most, got {' '.join(kinds)}.")

    for kind in kinds:
        check_kind(kind, listing.KINDS)

    if legal:
        cells = list(listing.legal_cells(kinds[0] if kinds else None))
        if json_:
            print(json.dumps([vars(cell) for cell in cells], indent=2))
        else:
            print_cells(cells)
        return

    entries = [e for kind in kinds or listing.KINDS for e in listing.entries(kind)]
    if json_:
        print(json.dumps([vars(entry) for entry in entries], indent=2))
    else:
        print_entries(entries)


def check_kind(kind: str, known: Sequence[str]) -> None:
    if kind in known:
        return

    role = ROLES.get(kind.removesuffix("s").replace("decoder", "encoder"))
    meant = f" (did you mean {role!r}?)" if role else nearest(kind, known)
    raise ValueError(f"The catalogue has no {kind!r}{meant}; it has {', '.join(known)}.")
