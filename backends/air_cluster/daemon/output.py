"""What becomes of what workers print: it goes to files, and to the programs it was printed for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from air_cluster.core.printed import Label, Printed, Printout
from air_cluster.daemon.log_files import LogDirectory, LogFile
from air_cluster.daemon.logs import LogPipe, Meter
from air_cluster.transport.reactor import Reactor

_PARTIAL_S = 1.0
"""What was printed without a newline, such as a progress bar, is shown after so long."""

_TAIL_BYTES = 4096
_TAIL_LINES = 24
_TAIL_LINE = 300

Show = Callable[[Label, str, bool, bytes], None]
"""Called with whose it is, who printed ("NAME pid=N"), whether to standard error, and lines."""


class _Stream:
    """One stream of one worker."""

    def __init__(self, output: WorkerOutput, fd: int, *, is_error: bool) -> None:
        self._output = output
        self._is_error = is_error
        self._printout = Printout(Label())
        self._waits = False
        self.file: LogFile | None = None
        self.tail = b""
        self.pipe = LogPipe(
            output.outputs.reactor, fd, output.outputs.meter, self._on_data, self._on_end
        )

    def relabel(self, label: Label) -> None:
        self._printout.label = label

    def _on_data(self, data: bytes) -> None:
        self._pass_on(self._printout.feed(data))
        if self._printout.has_rest and not self._waits:
            self._waits = True
            self._output.outputs.reactor.call_later(_PARTIAL_S, self._show_partial)

    def _show_partial(self) -> None:
        self._waits = False
        self._pass_on(self._printout.flush())

    def _on_end(self) -> None:
        self._pass_on(self._printout.flush())
        if self.file is not None:
            self.file.close()

    def _pass_on(self, printed: Printed) -> None:
        if printed.text:
            if self.file is None:
                ending = "err" if self._is_error else "out"
                self.file = self._output.outputs.open(f"{self._output.name}.{ending}")
            self.file.write(printed.text)
            if self._is_error:
                self.tail = (self.tail + printed.text[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        for label, lines in printed.lines:
            self._output.show(label, self._is_error, lines)


class WorkerOutput:
    """Both streams of one worker.

    Args:
        fds: where standard output and standard error are read from; they are closed in the end.
    """

    def __init__(self, outputs: Outputs, worker: bytes, fds: Sequence[int]) -> None:
        self.outputs = outputs
        self._worker = worker
        self._pid = 0
        self._streams = [
            _Stream(self, fd, is_error=is_error)
            for fd, is_error in zip(fds, (False, True), strict=True)
        ]

    @property
    def name(self) -> str:
        """Of the files, without ending."""
        return f"worker-{self._worker.hex()}-{self._pid}"

    def start(self, pid: int) -> None:
        """The process is there; nothing is read before that is known."""
        self._pid = pid
        for stream in self._streams:
            stream.pipe.start()

    def relabel(self, job: bytes, name: str) -> None:
        """From now on everything is printed for another program, by another actor.

        Only for a worker that has not been told either: what that was is read before.
        """
        self.read()
        for stream in self._streams:
            stream.relabel(Label(job, name))

    def show(self, label: Label, is_error: bool, lines: bytes) -> None:
        source = f"{label.name} pid={self._pid}" if label.name else f"pid={self._pid}"
        self.outputs.show(label, source, is_error, lines)

    def read(self) -> None:
        """Pass on what was printed so far."""
        if self._pid:
            for stream in self._streams:
                stream.pipe.read()

    def close(self) -> None:
        """Pass on what was printed so far, and no more."""
        for stream in self._streams:
            stream.pipe.drain()

    def last_words(self) -> str:
        """What a process that has ended said last on its standard error; empty if nothing."""
        tail = self._streams[1].tail.decode(errors="replace")
        lines = [line[:_TAIL_LINE].rstrip() for line in tail.split("\n")]
        shown = [f"    {line}" for line in lines if line and not _is_frame_of_ours(line)]
        return "\n".join(shown[-_TAIL_LINES:])

    def path(self) -> str:
        """The file with its standard error; empty if there was none."""
        file = self._streams[1].file
        return "" if file is None else file.path


def _is_frame_of_ours(line: str) -> bool:
    """Whether a line of a stack says nothing about the program."""
    return line.startswith("  File ") and ("/air_cluster/" in line or 'File "<string>"' in line)


class Outputs:
    """The output of a node's workers.

    Args:
        files: where it is kept.
        show: see :data:`Show`.
        files_stay: whether they are there for longer than the program that the workers serve.
    """

    def __init__(
        self, reactor: Reactor, files: LogDirectory, show: Show, *, files_stay: bool
    ) -> None:
        self.reactor = reactor
        self.files = files
        self.show = show
        self.files_stay = files_stay
        self.meter = Meter()

    def open(self, name: str) -> LogFile:
        """A file for one stream."""
        return self.files.open(name)

    def of_worker(self, worker: bytes) -> tuple[WorkerOutput, list[int]]:
        """The output of a new worker, and the descriptors that it writes to.

        Raises:
            OSError: there are no more descriptors.
        """
        readers: list[int] = []
        writers: list[int] = []
        try:
            for _ in range(2):
                reader, writer = os.pipe()
                readers.append(reader)
                writers.append(writer)
            return WorkerOutput(self, worker, readers), writers
        except BaseException:
            for fd in (*readers, *writers):
                os.close(fd)
            raise
