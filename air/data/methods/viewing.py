"""How a dataset looks at a prompt."""

from __future__ import annotations

from collections.abc import Iterator

from air.data.block import Schema
from air.data.consumption import Consumption
from air.data.datasources.files import FileDatasource
from air.data.plan import Node, Read
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class ViewMethods(Consumption):
    """The part of :class:`air.data.Dataset` that shows it."""

    def __repr__(self) -> str:
        # Only what is known already: looking at a dataset must not read files.
        sources = [node.source for node in self._plan.walk() if isinstance(node, Read)]
        reads_files = any(isinstance(source, FileDatasource) for source in sources)
        rows = None if reads_files else self._plan.num_rows()
        schema = self._schema or (None if reads_files else self._plan.schema())
        facts = [f"num_blocks={self.num_blocks()}"] if self.is_materialized else []
        facts += [f"num_rows={'?' if rows is None else rows}", f"schema={_describe(schema)}"]
        lines = [f"Dataset({', '.join(facts)})"]
        if not self.is_materialized:
            lines += _tree(self._plan)
        return "\n".join(lines)


def _tree(node: Node, depth: int = 0) -> Iterator[str]:
    """A line for each step, those that it is made from indented below it."""
    yield f"{'   ' * depth}+- {node.name}"
    for below in node.inputs:
        yield from _tree(below, depth + 1)


def _describe(schema: Schema | None) -> str:
    if schema is None:
        return "unknown"
    if isinstance(schema, type):
        return repr(schema)
    fields = [f"{field.name}: {field.type}" for field in schema][:8]
    more = f", and {len(schema) - 8} more" if len(schema) > 8 else ""
    return "{" + ", ".join(fields) + more + "}"
