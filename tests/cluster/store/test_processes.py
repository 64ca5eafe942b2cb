"""Two processes, and only descriptors between them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from air.executor.serialization import dumps

READER = """
import json, socket, sys
import msgspec
from air_cluster.store import Location, Reader

node = socket.socket(fileno=int(sys.argv[1]))
opened = []

def open_segment(id):
    opened.append(id)
    node.sendall(bytes([id]))
    size, fds, _, _ = socket.recv_fds(node, 8, 1)
    return fds[0], int.from_bytes(size, "big")

reader = Reader(open_segment)
released = []
for line in sys.stdin:
    location = msgspec.json.decode(line, type=Location)
    value = reader.load(location, lambda: released.append(1))
    answer = [float(value["x"].sum()), value["x"].flags.writeable, len(released)]
    del value
    print(json.dumps([*answer, len(released), opened]), flush=True)
"""


def test_another_process_reads_in_place(node: Any) -> None:
    writer = node.writer(1 << 20)
    ours, theirs = socket.socketpair()
    arguments = [sys.executable, "-c", READER, str(theirs.fileno())]
    with (
        ours,
        subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]
        ) as process,
    ):
        theirs.close()
        assert process.stdin is not None
        assert process.stdout is not None
        for count, array in enumerate((np.arange(1e4), np.ones(20_000))):
            location = writer.write(dumps({"x": array}))
            process.stdin.write(msgspec.json.encode(location) + b"\n")
            process.stdin.flush()
            if count == 0:  # the second value lies in a segment that is open already
                fd, size = node.segments[ours.recv(1)[0]]
                socket.send_fds(ours, [size.to_bytes(8, "big")], [fd])
            answer = json.loads(process.stdout.readline())
            assert answer == [array.sum(), False, count, count + 1, [location.segment]]
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_and_writes_through_inherited_mappings(node: Any) -> None:
    writer, reader = node.writer(), node.reader()
    reserved = writer.reserve((100,))
    value = reader.load(writer.write(dumps(np.arange(5000.0))), lambda: None)
    child = os.fork()
    if child == 0:
        reserved.view[:5] = b"child"
        os._exit(0 if value.sum() == 12_497_500 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bytes(reserved.view[:5]) == b"child"
    assert reserved.location.nbytes == 100
