"""Datasets in notebooks: HTML that takes its colours from the page, be that light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from air.data.viewing.known import FirstRows, Known, columns_of
from air.data.viewing.shown import counted

_LISTED_COLUMNS = 100
_CELL = 120

_STYLE = """
.air-data { font-family: system-ui, sans-serif; font-size: 13px; color: inherit; max-width: 100%; }
.air-data .air-head { padding: 4px 0 6px; }
.air-data .air-name { font-weight: 600; }
.air-data .air-facts { opacity: .7; margin-left: .6em; }
.air-data details { border-top: 1px solid rgba(128, 128, 128, .3); padding: 4px 0; }
.air-data summary { cursor: pointer; opacity: .85; }
.air-data .air-wide { overflow-x: auto; }
.air-data table { border-collapse: collapse; margin: 6px 0; font-size: inherit;
  color: inherit; background: none; }
.air-data th, .air-data td { text-align: left; padding: 2px 12px 2px 6px; border: 0;
  white-space: nowrap; max-width: 28em; overflow: hidden; text-overflow: ellipsis; color: inherit; }
.air-data thead th { border-bottom: 1px solid rgba(128, 128, 128, .5); font-weight: 600; }
.air-data tbody tr { background: none; }
.air-data tbody tr:nth-child(even) { background: rgba(128, 128, 128, .1); }
.air-data .air-type, .air-data pre { font-family: ui-monospace, monospace; font-size: 12px; }
.air-data .air-type, .air-data .air-rest { opacity: .7; }
.air-data pre { margin: 6px 0; color: inherit; background: none; overflow-x: auto; }
""".strip()


def page(known: Known, plan: Sequence[str]) -> str:
    """What a notebook shows of a dataset.

    Args:
        plan: its steps, a line each.
    """
    facts = escape(" · ".join(known.words()))
    head = f'<span class="air-name">Dataset</span><span class="air-facts">{facts}</span>'
    parts = [f'<div class="air-data"><style>{_STYLE}</style><div class="air-head">{head}</div>']
    if known.rows is not None:
        parts.append(_section("First rows", _rows(known.rows), is_open=True))
    parts.append(_columns(known))
    if known.blocks is None:
        steps = f"<pre>{escape(chr(10).join(plan))}</pre>"
        parts.append(_section("Plan, which has not run", steps, is_open=True))
    return "".join([*parts, "</div>"])


def _section(title: str, content: str, *, is_open: bool) -> str:
    opened = " open" if is_open else ""
    return (
        f"<details{opened}><summary>{escape(title)}</summary>"
        f'<div class="air-wide">{content}</div></details>'
    )


def _columns(known: Known) -> str:
    columns = list(columns_of(known.schema))
    if not columns:
        return '<div class="air-rest">Columns are known when the plan has run</div>'
    shown = columns[:_LISTED_COLUMNS]
    body = _body(
        f'<td>{escape(name)}</td><td class="air-type">{escape(kind)}</td>' for name, kind in shown
    )
    rest = len(columns) - len(shown)
    more = f'<div class="air-rest">... and {rest:,} more</div>' if rest else ""
    title = counted(len(columns), "column")
    return _section(title, f"<table>{body}</table>{more}", is_open=known.rows is None)


def _rows(rows: FirstRows) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in rows.names)
    body = _body("".join(f"<td>{escape(cell[:_CELL])}</td>" for cell in row) for row in rows.cells)
    rest = "".join(f'<div class="air-rest">{escape(line)}</div>' for line in rows.rest())
    return f"<table><thead><tr>{head}</tr></thead>{body}</table>{rest}"


def _body(rows: Iterable[str]) -> str:
    return f"<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody>"
