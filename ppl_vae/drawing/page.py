r"""A page of HTML in one file: style and pictures inside, no scripts, nothing fetched.

Text is escaped where it enters; what is escaped already is an :class:`Html`.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Html", "element", "join", "listing", "number", "page", "percent", "picture", "table"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 960px; margin: 0 auto; padding: 1em; }
h1 { font-size: 1.6em; line-height: 1.2; }
h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #8886; }
h3 { font-size: 1.05em; margin-top: 1.6em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9em; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3em 0.9em 0.3em 0; text-align: left; vertical-align: top; }
tr { border-bottom: 1px solid #8884; }
thead th { min-width: 3em; vertical-align: bottom; border-bottom: 2px solid #8888; }
tbody th { font-weight: 600; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; }
td.words { text-align: right; }
.facts td { overflow-wrap: anywhere; }
thead th.number { text-align: right; }
td.note { min-width: 16em; color: color-mix(in srgb, currentColor 75%, transparent); }
.lead { font-size: 1.3em; }
.good, .fair, .poor { padding: 0.5em 0.8em; border-left: 5px solid; background: #8881; }
.good { border-color: #009e73; } .fair { border-color: #e69f00; } .poor { border-color: #d55e00; }
figure { margin: 1em 0; overflow-x: auto; }
img { display: block; max-width: 100%; height: auto; background: white; border-radius: 4px; }
footer { margin-top: 3em; font-size: 0.85em; border-top: 1px solid #8886; }
@media (max-width: 640px) {
  body { padding: 0.7em; }
  img { max-width: none; }
  .notes tr { display: flex; flex-wrap: wrap; }
  .notes tbody th, .notes .note { flex: 1 0 100%; }
  .notes td.note { padding-bottom: 0.8em; }
  .notes thead th:first-child, .notes thead th:last-child { display: none; }
  .notes thead th, .notes tbody td { flex: 1; text-align: left; }
}
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""
LONG = 20
r"""The length from which on a cell is no number."""
DPI = 150
r"""Pixels per inch of the pictures, which are shown at 100 per inch: sharp on fine screens too."""


class Html(str):
    r"""Text that is HTML already."""


def escape(content: Any) -> Html:
    r"""Anything as HTML.

    Example:
        >>> escape("a < b"), escape(Html("<b>bold</b>"))
        ('a &lt; b', '<b>bold</b>')
    """
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def join(parts: Iterable[Any]) -> Html:
    r"""Parts one after the other, a line each."""
    return Html("\n".join(escape(part) for part in parts))


def element(tag: str, content: Any, **attributes: str) -> Html:
    r"""An element; a trailing underscore of an attribute's name is dropped.

    Example:
        >>> element("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    named = (f' {k.rstrip("_")}="{html.escape(v)}"' for k, v in attributes.items() if v)
    return Html(f"<{tag}{''.join(named)}>{escape(content)}</{tag}>")


def table(rows: Iterable[Sequence[Any]], heads: Sequence[Any], *, notes: bool = False) -> Html:
    r"""A table of numbers that scrolls by itself where it is too wide.

    Arguments:
        rows: The cells of each row, of which the first is its name.
        heads: The names of the columns.
        notes: Whether the last column holds sentences; where there are few others, they stand
            below the numbers on a narrow screen.
    """
    kinds = ["", *["number"] * (len(heads) - 1)]
    if notes:
        kinds[-1] = "note"

    top = element("thead", _row(heads, ["th"] * len(heads), kinds))
    tags = ["th", *["td"] * (len(heads) - 1)]
    body = element("tbody", join(_row(row, tags, kinds) for row in rows))
    whole = element("table", join([top, body]), class_="notes" if notes and len(heads) <= 6 else "")
    return element("div", whole, class_="wide")


def listing(rows: Iterable[tuple[Any, Any]]) -> Html:
    r"""A table of two columns without heads: names, and texts that may be long."""
    body = join(_row(row, ["th", "td"], ["", ""]) for row in rows)
    return element("table", element("tbody", body), class_="facts")


def _row(cells: Sequence[Any], tags: Sequence[str], kinds: Sequence[str]) -> Html:
    each = zip(tags, cells, kinds, strict=True)
    return element(
        "tr", join(element(tag, cell, class_=_class(tag, cell, kind)) for tag, cell, kind in each)
    )


def _class(tag: str, cell: Any, kind: str) -> str:
    # What is no number, such as the name of an estimator, may be broken over lines.
    return "words" if (tag, kind) == ("td", "number") and len(str(cell)) > LONG else kind


def picture(figure: Figure) -> Html:
    r"""A figure, inside the page."""
    content = base64.b64encode(png(figure, DPI)).decode()
    width, _ = figure.get_size_inches()
    alt = html.escape(figure.get_suptitle(), quote=True)
    image = f'<img alt="{alt}" src="data:image/png;base64,{content}" width="{100 * width:.0f}">'
    return element("figure", Html(image))


def page(title: str, content: Iterable[Any], footer: str) -> str:
    r"""A whole page."""
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", Html(STYLE)),
    ]
    body = [element("h1", title), *content, element("footer", footer)]
    document = join([element("head", join(head)), element("body", join(body))])
    return f'<!DOCTYPE html>\n<html lang="en">\n{document}\n</html>\n'


def number(x: float | None, digits: int = 2) -> str:
    r"""A number with so many decimals, a dash where there is none.

    Example:
        >>> number(-81.234), number(None), number(float("nan")), number(float("inf"))
        ('-81.23', '–', '–', 'inf')
    """
    return "–" if x is None or math.isnan(x) else f"{x:.{digits}f}"


def percent(x: float | None) -> str:
    r"""A share of one.

    Example:
        >>> percent(0.125), percent(0.001), percent(None)
        ('12 %', 'under 1 %', '–')
    """
    if x is None or math.isnan(x):
        return "–"

    return "under 1 %" if 0 < x < 0.01 else f"{100 * x:.0f} %"
