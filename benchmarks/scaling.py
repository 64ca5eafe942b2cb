"""How cost grows: with nodes, with nodes in the schedulers' tables, with live objects.

Three parts, each a table of one operation's cost at several sizes and the exponent of its growth:
0 is a cost that does not depend on the size, 1 one that grows in proportion to it. For what is said
of one object, one decision or one task, anything well above 0 adds up to more than proportional.

``nodes`` starts daemons on this machine, which share its cores: what counts is that the rate of
tasks that wait for something rises with the nodes, and that of tasks that do nothing, which is
bounded by the program that submits them, does not fall. The others measure processor time.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
from pathlib import Path
from typing import Any

Table = dict[str, dict[int, float]]
"""Seconds for one operation, by its name and the size."""

PARTS = ("nodes", "core", "objects")
SIZES = {
    "nodes": [1, 2, 4, 8],
    "core": [10, 100, 1_000, 10_000],
    "objects": [1_000, 10_000, 100_000, 1_000_000],
}
QUICK = {"nodes": [1, 2], "core": [10, 100], "objects": [100, 1_000]}
TITLES = {
    "nodes": "tasks a second, by the number of nodes of 2 CPUs each",
    "core": "microseconds of processor time for a decision, by the number of nodes",
    "objects": "microseconds of processor time for an object, by the number of live ones",
}


def main() -> None:
    """Measure, print tables and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--csv", type=Path, help="keep the numbers in this file")
    parser.add_argument("--plot", type=Path, help="draw them into this file; needs matplotlib")
    parser.add_argument("--from-csv", type=Path, help="show numbers that were kept, measure none")
    options = parser.parse_args()
    if options.from_csv is not None:
        tables = _read(options.from_csv)
        for part, table in tables.items():
            _show(part, table)
        if options.plot is not None:
            _plot(tables, options.plot)
        return
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {min(unknown)!r}; there are {', '.join(PARTS)}")
    tables = {}
    for part in options.parts or PARTS:
        tables[part] = _measure(part, quick=options.quick)
        _show(part, tables[part])
        print(f"\n(load of the machine {os.getloadavg()[0]:.1f})", flush=True)
    if options.csv is not None:
        _write(tables, options.csv)
    if options.plot is not None:
        _plot(tables, options.plot)


def _measure(part: str, *, quick: bool) -> Table:
    sizes = (QUICK if quick else SIZES)[part]
    if part == "nodes":
        import scaling_nodes

        return scaling_nodes.measure(sizes, tasks=500 if quick else 20_000)
    if part == "core":
        import scaling_core

        return scaling_core.measure(sizes, budget_s=0.02 if quick else 0.5)
    import scaling_objects

    return scaling_objects.measure(sizes, operations=100 if quick else 5_000)


def growth(row: dict[int, float]) -> float:
    """The exponent of the curve through the measured points, by least squares."""
    points = [(math.log(size), math.log(seconds)) for size, seconds in row.items()]
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points
    )


def _show(part: str, table: Table) -> None:
    sizes = sorted({size for row in table.values() for size in row})
    print(f"\n{TITLES[part]}\n")
    heads = [f"{size:,}" for size in sizes]
    print("| " + " | ".join(["", *heads, "growth"]) + " |")
    print("| --- |" + " ---: |" * (len(sizes) + 1))
    for name, row in table.items():
        cells = [_cell(part, row[size]) if size in row else "" for size in sizes]
        exponent = -growth(row) if part == "nodes" else growth(row)
        grows = f"{exponent:.2f}" if len(row) > 1 else ""
        print("| " + " | ".join([name, *cells, grows]) + " |", flush=True)


def _cell(part: str, seconds: float) -> str:
    if part == "nodes":
        return f"{1 / seconds:,.0f}"
    return f"{seconds * 1e6:,.2f}" if seconds < 10e-6 else f"{seconds * 1e6:,.0f}"


def _write(tables: dict[str, Table], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "operation", "size", "microseconds"])
        for part, table in tables.items():
            for name, row in table.items():
                for size, seconds in row.items():
                    writer.writerow([part, name, size, f"{seconds * 1e6:.3f}"])


def _read(path: Path) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kept = tables.setdefault(row["part"], {}).setdefault(row["operation"], {})
            kept[int(row["size"])] = float(row["microseconds"]) / 1e6
    return tables


def _plot(tables: dict[str, Table], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        raise SystemExit(f"{path}: drawing needs matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    matplotlib.rcParams["svg.hashsalt"] = "air"  # and the file the same for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(tables), 1, figsize=(10, 4 * len(tables)), squeeze=False)
    for axis, (part, table) in zip(axes[:, 0], tables.items(), strict=True):
        for name, row in table.items():
            rates = [1 / s if part == "nodes" else s * 1e6 for s in row.values()]
            axis.plot(list(row), rates, marker="o", label=name)
        _decorate(axis, part)
    figure.tight_layout()
    figure.savefig(path)


def _decorate(axis: Any, part: str) -> None:
    axis.set_xscale("log", base=2 if part == "nodes" else 10)
    axis.set_yscale("log")
    axis.set_title(TITLES[part], fontsize=10)
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))


if __name__ == "__main__":
    main()
