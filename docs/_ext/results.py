"""The tables of figures in ``benchmarks/results`` as tables of the page: ``.. results:: FILE``.

A benchmark prints the name of a data set and a table in columns of fixed widths, which a page
cuts where it ends. Here it becomes a table with the spread below the mean, which scrolls beside
its first column where it is still too wide. What is neither a name nor a table stays as it was
printed.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def read_blocks(text):
    """Return what stands between empty lines: a table as a list of rows, the rest as a string.

    The first row of a table has the names of the columns.
    """
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if len(lines) > 2 and re.fullmatch(r"-+( +-+)+", lines[1]):
            spans = [match.span() for match in re.finditer(r"-+", lines[1])]
            rows = [lines[0], *lines[2:]]
            blocks.append([[row[start:end].strip() for start, end in spans] for row in rows])
        else:
            blocks.append(block)
    return blocks


def cell(text, is_header=False):
    """Return a cell: a number stands at the right, and its spread below it."""
    mean, sign, spread = text.partition(" ± ")
    paragraph = nodes.paragraph("", mean)
    if sign:
        paragraph += nodes.inline("", f" ± {spread}", classes=["spread"])
    is_number = re.fullmatch(r"[-+]?[\d.,]+%?", mean) is not None
    return nodes.entry("", paragraph, classes=["number"] if is_number and not is_header else [])


def table(names, *rows):
    """Return a table as docutils has it."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in names), cols=len(names))
    group += nodes.thead("", nodes.row("", *(cell(name, is_header=True) for name in names)))
    group += nodes.tbody("", *(nodes.row("", *(cell(text) for text in row)) for row in rows))
    return nodes.table("", group, classes=["results"])


class Results(SphinxDirective):
    required_arguments = 1

    def run(self):
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        content = []
        for block in read_blocks(Path(path).read_text("utf-8")):
            if isinstance(block, list):
                content.append(table(*block))
            elif "\n" in block:
                content.append(nodes.literal_block(block, block, language="text"))
            else:
                content.append(nodes.rubric("", block))
        return content


def setup(app):
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
