"""``air list``, ``air get``, ``air summary`` and ``air timeline``: what a cluster is doing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from air.cli.arguments import add_address
from air.errors import InvalidOption
from air.executor.records import KINDS

FORMATS = ("table", "json", "yaml")
_WIDEST = 60


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser."""
    _add_list(commands)
    _add_get(commands)
    _add_summary(commands)
    _add_timeline(commands)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "list",
        help="list tasks, actors, objects, nodes, workers, placement groups or jobs",
        description="List what a cluster does and has; air.util.state says what the fields mean.",
    )
    parser.add_argument("kind", choices=[_typed(kind) for kind in KINDS], help="what to list")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="only records of which this is true, or FIELD!=VALUE; may be given several times",
    )
    parser.add_argument("--limit", type=int, default=100, help="so many at most (default: 100)")
    parser.add_argument("--detail", action="store_true", help="show all fields")
    _add_common(parser)
    parser.set_defaults(run=_list)


def _add_get(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "get",
        help="show one task, actor, object, node, worker, placement group or job",
        description="Show everything that is known of one of them; exits with 1 if nothing is.",
    )
    parser.add_argument("kind", choices=[_typed(kind) for kind in KINDS], help="what it is")
    parser.add_argument("id", help="its identity, as `air list` shows it")
    _add_common(parser, default="yaml")
    parser.set_defaults(run=_get)


def _add_summary(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "summary",
        help="count tasks, actors or objects by their states",
        description="Count tasks by name, actors by class, or objects by why they are kept.",
    )
    parser.add_argument("kind", choices=["tasks", "actors", "objects"], help="what to count")
    _add_common(parser)
    parser.set_defaults(run=_summary)


def _add_timeline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "timeline",
        help="write a trace of what was run where and when",
        description="Write what each process has run lately, as a trace that chrome://tracing and"
        " https://ui.perfetto.dev open.",
    )
    add_address(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="timeline.json",
        metavar="FILE",
        help="where to write it (default: timeline.json)",
    )
    parser.set_defaults(run=_timeline)


def _add_common(parser: argparse.ArgumentParser, default: str = "table") -> None:
    add_address(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait for answers (default: 30); who has not answered is named",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default=default, help=f"how to print it (default: {default})"
    )


def _list(options: argparse.Namespace) -> int:
    from air.util import state

    kind = _kind(options.kind)
    filters = [_filter(text) for text in options.filter]
    function: Callable[..., list[Any]] = getattr(state, f"list_{kind}")
    found = function(
        options.address,
        filters,
        options.limit,
        options.timeout,
        options.detail,
        raise_on_missing_output=False,
    )
    records = [dict(state.as_dict(record, detail=options.detail)) for record in found]
    if options.format != "table":
        _print(records, options.format)
    elif records:
        _print_table(records)
    else:
        print(f"no {options.kind}" + (" of which that is true" if filters else ""))
    return 0


def _get(options: argparse.Namespace) -> int:
    from air.util import state

    kind = _kind(options.kind)
    name = f"get_{kind}" if kind == "objects" else f"get_{kind[:-1]}"
    found = getattr(state, name)(options.id, options.address, options.timeout)
    if isinstance(found, list):
        found = found[0] if found else None
    if found is None:
        print(f"air get: nothing is known of {options.kind} {options.id}", file=sys.stderr)
        return 1
    record = dict(state.as_dict(found, detail=True))
    if options.format == "table":
        _print_table([{"field": key, "value": value} for key, value in record.items()])
    else:
        _print(record, options.format)
    return 0


def _summary(options: argparse.Namespace) -> int:
    from air.util import state

    function: Callable[..., dict[str, Any]] = getattr(state, f"summarize_{options.kind}")
    found = function(options.address, options.timeout, raise_on_missing_output=False)["cluster"]
    if options.format != "table":
        _print(found, options.format)
        return 0
    rows = [{found["summary_by"]: name, **_flat(entry)} for name, entry in found["summary"].items()]
    if rows:
        _print_table(rows)
    else:
        print(f"no {options.kind}")
    return 0


def _timeline(options: argparse.Namespace) -> int:
    from air.util.timeline import timeline_at

    try:
        timeline_at(options.address, options.output)
    except OSError as error:
        where = f" ({error.filename})" if isinstance(error, FileNotFoundError) else ""
        reason = f"{error.strerror or error}{where}"
        print(f"air timeline: {options.output} cannot be written: {reason}", file=sys.stderr)
        return 1
    print(f"{options.output}: open it in chrome://tracing or https://ui.perfetto.dev")
    return 0


def _typed(kind: str) -> str:
    """How a kind is typed on the command line."""
    return kind.replace("_", "-")


def _kind(typed: str) -> str:
    return typed.replace("-", "_")


def _filter(text: str) -> tuple[str, str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip("!"):
        raise InvalidOption(f"--filter takes FIELD=VALUE or FIELD!=VALUE, got {text!r}")
    return name.removesuffix("!"), "!=" if name.endswith("!") else "=", value


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One row: counts by state are shown together."""
    row = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            value = ", ".join(f"{state}: {count}" for state, count in sorted(value.items()))
        if key not in ("func_or_class_name", "class_name"):
            row[key] = round(value, 2) if isinstance(value, float) else value
    return row


def _print(found: object, how: str) -> None:
    if how == "json":
        print(json.dumps(found, indent=2, default=_plain))
    else:
        print("\n".join(_yaml(found)))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _yaml(found: object, indent: str = "") -> list[str]:
    """Lines of YAML; text is in quotes, as in JSON, of which YAML is a superset."""
    if isinstance(found, Mapping) and found:
        lines = []
        for key, value in found.items():
            inner = _yaml(value, f"{indent}  ")
            is_short = len(inner) == 1 and not (isinstance(value, (Mapping, list)) and value)
            name = key if str(key).isidentifier() else json.dumps(str(key))
            if is_short:
                lines.append(f"{indent}{name}: {inner[0].strip()}")
            else:
                lines += [f"{indent}{name}:", *inner]
        return lines
    if isinstance(found, list) and found:
        lines = []
        for item in found:
            first, *rest = _yaml(item, f"{indent}  ")
            lines += [f"{indent}- {first.strip()}", *rest]
        return lines
    return [indent + json.dumps(found, default=_plain)]


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    table = [[name.upper() for name in names]]
    table += [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, (Mapping, list)):
        value = json.dumps(value, default=_plain)
    text = f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
