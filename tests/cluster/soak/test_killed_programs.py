"""A program that is killed in the middle of anything: nothing of it is there five seconds later."""

from __future__ import annotations

import os
import random
import signal
from textwrap import dedent
from typing import Any

import psutil
import pytest

PRELUDE = """
    import random
    import numpy as np
    from air.util import placement_group, remove_placement_group

    @air.remote
    def echo(thing):
        return thing

    @air.remote
    def count():
        number = 0
        while True:
            yield np.full(20_000, number)
            number += 1

    @air.remote(num_cpus=0)
    class Actor:
        def echo(self, thing):
            return thing
"""

LIVES = {
    "puts large values": """
        start(object_store_memory=200_000_000)
        while True:
            for _ in range(3):
                air.put(np.ones(5_000_000))
            tell(0)
        """,
    "takes a stream": """
        start()
        for ref in count.options(num_returns="streaming").remote():
            air.get(ref)
            tell(0)
        """,
    "spills": """
        start(object_store_memory=50_000_000)
        kept = []
        while True:
            kept.append(air.put(np.ones(1_000_000)))
            if len(kept) > 12:
                air.get(kept.pop(random.randrange(6)))
            if len(kept) > 5:
                tell(0)
        """,
    "makes groups": """
        start()
        while True:
            group = placement_group([{"CPU": 1}])
            air.get(group.ready())
            tell(0)
            remove_placement_group(group)
        """,
    "makes actors": """
        start()
        while True:
            actors = [Actor.remote() for _ in range(3)]
            tell(0)
            air.get([actor.echo.remote(1) for actor in actors])
            actors[0] = None
        """,
    "waits for a thousand tasks": """
        import time
        start()
        refs = [echo.remote(number) for number in range(1000)]
        refs += [air.remote(lambda: time.sleep(0.01)).remote() for _ in range(1000)]
        for ref in refs:
            air.get(ref)
            tell(0)
        """,
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("life", LIVES)
def test_nothing_of_it_survives(life: str, seed: int, program: Any, survivors: Any) -> None:
    generator = random.Random(f"{life} {seed}")
    running = program(dedent(PRELUDE) + dedent(LIVES[life]))
    for _ in range(generator.randrange(1, 12)):
        running.hear()
    processes = running.descendants()
    assert "air-daemon" in {process.name() for process in processes}
    segments = _memory_files(processes)
    running.process.send_signal(signal.SIGKILL)
    # Who was born a moment later is a descendant of the daemon, which kills what it has.
    assert running.end() == -signal.SIGKILL
    assert survivors(processes) == []
    assert running.sessions() == []
    assert _memory_files(list(psutil.process_iter())) & segments == set()


def _memory_files(processes: list[psutil.Process]) -> set[int]:
    """The shared memory that these processes have (by inode): it is there while anybody has it."""
    found = set()
    for process in processes:
        folder = f"/proc/{process.pid}/fd"
        try:
            for name in os.listdir(folder):
                if os.readlink(f"{folder}/{name}").startswith("/memfd:air"):
                    found.add(os.stat(f"{folder}/{name}").st_ino)
        except OSError:
            continue
    return found
