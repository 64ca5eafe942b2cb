"""How a dataset looks at a prompt and in a notebook, and how it says what it will do."""

from __future__ import annotations

from air.data.consumption import Consumption
from air.data.execution.explain import explain, tree
from air.data.plan import Read
from air.data.viewing.known import known_of
from air.data.viewing.shown import Shown
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class ViewMethods(Consumption):
    """The part of :class:`air.data.Dataset` that shows it."""

    def input_files(self) -> list[str]:
        """The files that the rows are read from, each once, in the order of the plan.

        Empty for rows that are no files' or exist already; runs nothing.
        """
        sources = [node.source for node in self._plan.walk() if isinstance(node, Read)]
        read = [files for source in sources if (files := source.files_to_read()) is not None]
        return list(dict.fromkeys(path for files in read for path in files.paths))

    def explain(self) -> str:
        """How the plan would run: as it was written, optimized, and in stages and exchanges.

        Tells for each stage where it runs, in which pieces, and what reading leaves out, as far
        as that is known beforehand. Runs nothing, starts no backend; it may look into the footers
        of Parquet files. What a run took is told by :meth:`stats`.
        """
        return Shown(explain(self._plan))

    def __repr__(self) -> str:
        # Only what is known already: looking at a dataset must not read files.
        known = known_of(self._plan, self._schema)
        lines = [f"Dataset({', '.join(known.facts())})"]
        if known.rows is not None:
            lines += known.rows.as_text()
        elif not self.is_materialized:
            lines += tree(self._plan)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What notebooks show: schema, plan, and first rows if they are there; runs nothing."""
        from air.data.viewing.html import page  # imports much that only notebooks need

        return page(known_of(self._plan, self._schema), list(tree(self._plan)))
