r"""The command that shows what there is to choose from: list."""

from __future__ import annotations

import json

from .tokens import flag


def list_command(tokens: list[str]) -> None:
    r"""list [KIND]: the experiments and the parts to make them of; --legal: which go together."""
    from .. import listing
    from .tables import print_cells, print_entries

    json_ = flag(tokens, "--json")
    legal = flag(tokens, "--legal")
    kinds = [token for token in tokens if not token.startswith("-")]

    if loose := [token for token in tokens if token.startswith("-")]:
        raise ValueError(f"list takes --json and --legal, got {loose[0]}.")
    if len(kinds) > 1:
        raise ValueError(f"list takes one kind of parts at most, got {' '.join(kinds)}.")

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
