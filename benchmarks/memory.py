"""What the processes of an idle cluster take of memory that they share with nobody, beside Ray.

A fresh program starts a cluster on two CPUs and runs one task, then makes actors. Unique memory is
what would be free if a process ended (Linux: ``Private_*`` of
``smaps_rollup``): what forked processes share with one another is counted for none of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

# The same program for both: the module's name is all that differs.
PROGRAM = """
import json, os, time
import {module} as toolkit

def unique_bytes(pid):
    with open(f"/proc/{{pid}}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) << 10

def descendants(pid):
    found = [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{{parent}}/task"):
            with open(f"/proc/{{parent}}/task/{{task}}/children") as file:
                found += map(int, file.read().split())
    return found

def name(pid):
    if pid == os.getpid():
        return "the program"
    with open(f"/proc/{{pid}}/comm") as file:
        name = file.read().strip()
    if name.startswith("python"):
        with open(f"/proc/{{pid}}/cmdline") as file:
            words = [os.path.basename(word) for word in file.read().split("\\0")[1:]]
        name += "".join(" " + word for word in words if word.endswith(".py"))[:30]
    return name

def table():
    rows = []
    for pid in descendants(os.getpid()):
        try:
            rows.append((name(pid), unique_bytes(pid)))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return rows

@toolkit.remote
def small(x):
    return x

@toolkit.remote(num_cpus=0)
class Small:
    def call(self, x):
        return x

toolkit.init({init})
toolkit.get(small.remote(0))
time.sleep({settle})  # what starts in the background has started
idle = table()
seconds, actors, sizes = [], [], []
for count in {counts}:
    before = sum(size for _, size in table())
    begin = time.perf_counter()
    more = [Small.remote() for _ in range(count)]
    toolkit.get([actor.call.remote(0) for actor in more])
    seconds.append(time.perf_counter() - begin)
    actors += more
    sizes.append((sum(size for _, size in table()) - before) / count)
print("figures", json.dumps(
    {{"idle": idle, "counts": {counts}, "seconds": seconds, "sizes": sizes}}
))
"""
MB = 1e6


def measure(python: str, module: str, init: str, counts: list[int], settle: float) -> dict:
    """Run the program in a fresh process."""
    program = PROGRAM.format(module=module, init=init, counts=counts, settle=settle)
    done = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, timeout=900, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("figures "):
            return json.loads(line.removeprefix("figures "))
    raise SystemExit(f"{python} did not finish:\n{done.stderr[-2000:]}")


def show(side: str, figures: dict) -> None:
    """Print a table of processes and what actors take."""
    print(f"{side}: idle, after the first task")
    for name, size in figures["idle"]:
        print(f"    {name:40}{size / MB:10.1f} MB")
    total = sum(size for _, size in figures["idle"])
    print(f"    {'all ' + str(len(figures['idle'])) + ' processes':40}{total / MB:10.1f} MB")
    print(f"    {'without the program':40}{(total - figures['idle'][0][1]) / MB:10.1f} MB")
    for count, seconds, size in zip(
        figures["counts"], figures["seconds"], figures["sizes"], strict=True
    ):
        print(
            f"    {count:4} more actors, made and called once: {seconds:7.2f} s,"
            f" {size / MB:6.2f} MB each"
        )
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", metavar="PYTHON", help="an interpreter that has Ray")
    parser.add_argument(
        "--actors", type=int, nargs="*", default=[1, 200], help="so many, one after another"
    )
    parser.add_argument(
        "--ray-actors", type=int, nargs="*", default=[1, 10], help="the same there (1 10)"
    )
    options = parser.parse_args()
    show("air", measure(sys.executable, "air", "num_cpus=2", options.actors, 1.0))
    if options.ray:
        init = 'num_cpus=2, logging_level="ERROR", log_to_driver=False'
        show("ray", measure(options.ray, "ray", init, options.ray_actors, 5.0))


if __name__ == "__main__":
    main()
