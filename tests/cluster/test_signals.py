"""Programs that block or ignore signals: their tasks do not."""

from __future__ import annotations

import signal
from typing import Any

import pytest

CHANGES = {
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)",
    "ignored": "[signal.signal(number, signal.SIG_IGN) for number in SIGNALS]",
}


@pytest.mark.parametrize("change", CHANGES)
def test_tasks_have_those_of_a_fresh_process(program: Any, change: str) -> None:
    running = program(
        f"""
        SIGNALS = {{signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM}}
        {CHANGES[change]}
        start()

        @air.remote
        def look():
            import subprocess
            status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True)
            words = dict(line.split(":\\t", 1) for line in status.stdout.splitlines())
            return status.returncode, int(words["SigBlk"], 16), int(words["SigIgn"], 16)

        tell(air.get(look.remote()))
        """
    )
    returncode, blocked, ignored = running.hear()
    assert (returncode, blocked) == (0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        assert not ignored >> (number - 1) & 1
    assert running.end() == 0


def test_a_program_that_blocks_sigint_can_cancel(program: Any) -> None:
    running = program(
        """
        import time
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        start()

        @air.remote
        def spin(path):
            open(path, "w").close()
            time.sleep(1000)

        ref = spin.remote("started")
        while not os.path.exists("started"):
            time.sleep(0.01)
        air.cancel(ref)
        try:
            air.get(ref)
        except air.errors.TaskCancelled:
            tell("cancelled")
        """
    )
    assert running.hear() == "cancelled"
    assert running.end() == 0
