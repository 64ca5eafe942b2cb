"""From nothing to the first result, and small calls after that, beside Ray.

Each figure is the median of several fresh processes; ours and Ray's take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

# The same program for both: the module's name is all that differs.
PROGRAM = """
import json, sys, time
begin = time.perf_counter()
import {module} as toolkit
imported = time.perf_counter()

@toolkit.remote
def small(x):
    return x

@toolkit.remote
class Small:
    def call(self, x):
        return x

toolkit.init({init})
started = time.perf_counter()
toolkit.get(small.remote(0))
first = time.perf_counter()
for i in range({calls}):
    toolkit.get(small.remote(i))
one_by_one = time.perf_counter()
toolkit.get([small.remote(i) for i in range({calls})])
many = time.perf_counter()
actor = Small.remote()
toolkit.get(actor.call.remote(0))
before = time.perf_counter()
for i in range({calls}):
    toolkit.get(actor.call.remote(i))
actor_calls = time.perf_counter()
print("figures", json.dumps({{
    "import, s": imported - begin,
    "start, s": started - imported,
    "import + start + first task, s": first - begin,
    "tasks, one by one, /s": {calls} / (one_by_one - first),
    "tasks, all at once, /s": {calls} / (many - one_by_one),
    "actor calls, one by one, /s": {calls} / (actor_calls - before),
}}))
"""


def measure(python: str, module: str, init: str, calls: int) -> dict[str, float]:
    """Run the program once in a fresh process."""
    program = PROGRAM.format(module=module, init=init, calls=calls)
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("figures "):
            figures: dict[str, float] = json.loads(line.removeprefix("figures "))
            return figures
    raise SystemExit(f"{python} did not finish:\n{done.stderr[-2000:]}")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", metavar="PYTHON", help="an interpreter that has Ray")
    parser.add_argument("--runs", type=int, default=5, help="fresh processes for each (default 5)")
    parser.add_argument("--calls", type=int, default=1000, help="small calls (default 1000)")
    options = parser.parse_args()
    sides = {"air": (sys.executable, "air", "")}
    if options.ray:
        sides["ray"] = (options.ray, "ray", 'logging_level="ERROR", log_to_driver=False')
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(options.runs):
        for side, (python, module, init) in sides.items():
            runs[side].append(measure(python, module, init, options.calls))
    print(f"{'median of ' + str(options.runs) + ' runs':32}" + "".join(f"{s:>12}" for s in sides))
    for name in runs["air"][0]:
        row = [statistics.median(run[name] for run in runs[side]) for side in sides]
        cells = "".join(f"{value:12.3f}" if value < 100 else f"{value:12.0f}" for value in row)
        ratio = ""
        if len(row) == 2:
            better = row[1] / row[0] if name.endswith(", s") else row[0] / row[1]
            ratio = f"{better:10.1f} x"
        print(f"{name:32}{cells}{ratio}")


if __name__ == "__main__":
    main()
