"""Another first template, in place of one that has ended.

The first one of all is forked from the daemon before that has threads or sockets. Later that is no
longer possible: a fresh interpreter becomes the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from typing import NamedTuple

from air_cluster.daemon.template import WorkerSetup, run_template

_TEMPLATE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from air_cluster.daemon.spawning import main; main()"
)
_PATIENCE_S = 0.2
_POLL_S = 0.002


class Spawned(NamedTuple):
    """A template process, and the daemon's end of its socket."""

    pid: int
    control: socket.socket


def spawn_template(setup: WorkerSetup) -> Spawned:
    """Start one.

    Raises:
        OSError: there are no more processes, or descriptors.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        described = setup._replace(token=b"")._asdict()
        del described["token"]
        told = {
            "setup": described,
            "token": setup.token.hex(),
            "control": theirs.fileno(),
            "argv": sys.argv,
        }
        stdin = os.memfd_create("air-template")  # not an argument: others could read the token
        try:
            os.write(stdin, json.dumps(told).encode())
            os.lseek(stdin, 0, os.SEEK_SET)
            for fd in (theirs.fileno(), setup.lifeline):
                os.set_inheritable(fd, True)
            words = [sys.executable, "-c", _TEMPLATE, json.dumps(sys.path)]
            pid = os.posix_spawn(
                sys.executable,
                words,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(stdin)
            os.set_inheritable(setup.lifeline, False)
    return Spawned(pid, ours)


def main() -> None:
    """In the new process."""
    told = json.load(sys.stdin)
    sys.argv = told["argv"]
    setup = WorkerSetup(token=bytes.fromhex(told["token"]), **told["setup"])
    for fd in (told["control"], setup.lifeline):
        os.set_inheritable(fd, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    run_template(socket.socket(fileno=told["control"]), setup, [])


def status_of(pid: int) -> int | None:
    """What ``waitpid`` says of a child that has ended, or is about to; ``None`` if nothing."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                time.sleep(_POLL_S)
                continue
            return status
        return None
    return None
