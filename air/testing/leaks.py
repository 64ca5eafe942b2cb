"""Finds what a backend left behind: processes, threads, open files and shared memory."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

_FILE_KINDS = ("socket:", "pipe:", "/memfd:", "/dev/shm/", "anon_inode:")


@dataclass(frozen=True)
class Belongings:
    """What this process has at one moment.

    Attributes:
        processes: child processes and their children, by process id.
        threads: live threads, by identity; not those that a library started without Python, and
            that only called something here.
        files: open sockets, pipes, polls and shared memory, by descriptor and target.
        shared_memory: names under ``/dev/shm`` of this user.
    """

    processes: dict[int, str]
    threads: dict[int, str]
    files: frozenset[tuple[int, str]]
    shared_memory: frozenset[str]

    @classmethod
    def now(cls) -> Belongings:
        """What this process has now."""
        gc.collect()  # what only a cycle keeps is no leak
        return cls(_children(), _threads(), _open_files(), _shared_memory())

    def gained_since(self, before: Belongings) -> list[str]:
        """Describe, a line each, what is there now and was not *before*."""
        gained = [
            f"process {pid}: {what}"
            for pid, what in self.processes.items()
            if pid not in before.processes
        ]
        gained += [
            f"thread {name!r}"
            for ident, name in self.threads.items()
            if ident not in before.threads
        ]
        gained += [f"file {number}: {what}" for number, what in self.files - before.files]
        gained += [
            f"/dev/shm/{name}"
            for name in self.shared_memory - before.shared_memory
            if not _is_of_others(name)
        ]
        return gained


def check_nothing_left(before: Belongings) -> None:
    """Raise ``AssertionError`` if this process has more now than it had *before*.

    Call it right after ``air.shutdown()``: a backend that has returned from there has nothing
    left to wait for.
    """
    gained = Belongings.now().gained_since(before)
    if gained:
        raise AssertionError("left behind after air.shutdown():\n  " + "\n  ".join(gained))


def _children() -> dict[int, str]:
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            found[process.pid] = (
                f"{process.status()}, {' '.join(process.cmdline()) or 'no command'}"
            )
        except psutil.NoSuchProcess:  # ended just now
            continue
    return found


def _threads() -> dict[int, str]:
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if thread.ident is not None
        and thread is not threading.current_thread()
        and not isinstance(thread, threading._DummyThread)
    }


def _open_files() -> frozenset[tuple[int, str]]:
    folder = Path("/proc/self/fd")
    if not folder.exists():  # not Linux
        return frozenset()
    found = set()
    for entry in os.listdir(folder):
        try:
            target = os.readlink(folder / entry)
        except OSError:  # the listing's own descriptor, closed by now
            continue
        # The standard streams belong to whoever started this process, or captures its output.
        if int(entry) > 2 and target.startswith(_FILE_KINDS):
            found.add((int(entry), target))
    return frozenset(found)


def _is_of_others(name: str) -> bool:
    """Whether some other program made a file of shared memory meanwhile.

    It did if it uses it, or has removed it by now: all processes of ours have ended before, or
    are told of themselves.
    """
    ours = {os.getpid(), *_children()}
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        try:
            maps = Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:  # ended just now, or not ours to look at
            continue
        if f"/dev/shm/{name}" in maps:
            return True
    return not Path("/dev/shm", name).exists()


def _shared_memory() -> frozenset[str]:
    folder = Path("/dev/shm")
    if not folder.exists():
        return frozenset()
    found = set()
    for path in folder.iterdir():
        try:
            mine = path.stat().st_uid == os.getuid()
        except FileNotFoundError:  # removed just now
            continue
        if mine:
            found.add(path.name)
    return frozenset(found)
