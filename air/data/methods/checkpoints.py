"""Results that are kept as they are made."""

from __future__ import annotations

from typing import Any, Self

from air.data.checkpointing.manifest import manifest_of
from air.data.checkpointing.store import check_directory
from air.data.consumption import Consumption
from air.data.datasources.filesystems import PathLike, filesystem_of
from air.data.plan import Checkpointed
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class CheckpointMethods(Consumption):
    """The part of :class:`air.data.Dataset` that survives the program."""

    def checkpointed(self, path: PathLike, *, filesystem: Any = None) -> Self:
        """Keep the rows up to here in files as they are made, and read there what is kept.

        A program that was killed and is started again does not make again what was finished: each
        piece of the source, with all that operators before this one do to it, is kept as soon as
        it is done (and each block that the last pool of actors has worked on). Once all is there,
        nothing before this step runs any more. Rows and their order are those without this step.

        Before a sort, a shuffle and other steps that bring rows together, what goes into them is
        kept as well until they are through; the exchange itself is done again. Batches of
        :meth:`map_batches` do not reach from one piece of the source into the next.

        What operators leave out before this step (``on_error="skip"``) is kept with the rows around
        it: a program that goes on counts it for ``max_errors`` and ``ds.stats()``, and writes the
        rows of a ``dead_letter`` that the other had not written yet; those that are there already
        it writes again under the same names. Once all is there nothing is counted any more.
        Leaving rows out may begin, and its limits may change, without losing what is kept; it may
        not end if rows that are kept were left out by then.

        The directory knows what it was made from: the files with their sizes and times of change,
        values in memory, the order of the operators, and the code of functions with all that they
        use of the program's own modules (what belongs to installed packages counts by its name,
        and what other sources hold, such as a database, is not looked at). One program at a time
        may use it; nothing removes it but you.

        Args:
            path: a directory of its own, on any file system that :meth:`write_parquet` can write
                to; made if it is not there.
            filesystem: a ``pyarrow.fs.FileSystem`` or ``fsspec`` one that *path* is in; found
                from the path if ``None``.

        Raises:
            InvalidOption: *path* is a file, or a directory that holds something else.
            StaleCheckpoint: the directory was made from other files, functions or steps; says
                which. Or rows were left out when the plan ran then, and are not to be now.
        """
        system, directory = filesystem_of(path, filesystem)
        directory = directory.rstrip("/")
        manifest = manifest_of(self._plan)
        check_directory(system, directory, manifest)
        return self.over(lambda plan: Checkpointed(plan, system, directory, manifest))
