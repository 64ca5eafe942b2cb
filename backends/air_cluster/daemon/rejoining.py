"""A node that has lost its head starts anew, as another node, once the head can be reached.

What it ran is lost: the head has taken it for dead, and others do its work by now. So nothing of
it is kept, not even the process's memory: the daemon replaces itself with a fresh one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from air_cluster.session_files import clear, note_wait

_PAUSE_S = 1.0
_CONNECT_S = 5.0


def start_again(config: dict[str, Any], why: str) -> NoReturn:
    """Replace this process, which has ended its children, with one that tries to join again.

    Args:
        why: it has to; for those who look for this node meanwhile.
    """
    config = {**config, "rejoins": True, "node_id": secrets.token_hex(8)}
    with contextlib.suppress(OSError, ValueError):  # such as a disk that is full
        note_wait(config["session"], why, time.time())
    fd = os.memfd_create("air-config")
    os.write(fd, json.dumps(config).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def await_head(config: dict[str, Any]) -> None:
    """Wait until somebody listens where the head was, in a process that holds nothing yet."""
    clear(config["session"])
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    host, _, port = config["network"]["head"].rpartition(":")
    while True:
        # Also before the first time: it may be there, and turn this node away.
        time.sleep(_PAUSE_S)
        if config["program"] and os.getppid() != config["program"]:
            sys.exit()  # nobody would end it any more
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except OSError:
            continue
        return
