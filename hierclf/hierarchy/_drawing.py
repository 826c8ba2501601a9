"""A hierarchy as text and as HTML, cut to a size that can be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from hierclf.hierarchy import _relatives
from hierclf.hierarchy._arrays import HierarchyArrays
from hierclf.hierarchy._nodes import Node

TEXT_LINES, TEXT_SIBLINGS = 60, 20
HTML_LINES, HTML_SIBLINGS = 400, 50
NAME_LENGTH = 80


class Line(NamedTuple):
    """One line of a drawing."""

    level: int
    name: str
    note: str
    is_last: bool  # among its siblings
    is_open: bool  # its children follow


def draw_text(names: Sequence[Node], arrays: HierarchyArrays) -> str:
    """Return the hierarchy as an indented tree of lines."""
    lines = []
    bars: list[str] = []  # what stands left of the children of each level
    for line in _lines(names, arrays, TEXT_LINES, TEXT_SIBLINGS):
        text = line.name + (f"  ({line.note})" if line.note else "")
        if line.level == 0:
            lines.append(text)
            continue
        del bars[line.level - 1 :]
        lines.append("".join(bars) + ("└── " if line.is_last else "├── ") + text)
        bars.append("    " if line.is_last else "│   ")
    return "\n".join(lines)


def draw_html(names: Sequence[Node], arrays: HierarchyArrays, title: str) -> str:
    """Return the hierarchy as nested lists that fold, under a title."""
    parts = [f"<div>{escape(title)}"]
    level = 0
    for line in _lines(names, arrays, HTML_LINES, HTML_SIBLINGS):
        # Each open line left a <details><ul> to close.
        parts.append("</ul></details></li>" * (level - line.level))
        level = line.level
        text = escape(line.name) + (f" <small>({escape(line.note)})</small>" if line.note else "")
        if line.is_open:
            unfolded = " open" if level == 0 else ""
            parts.append(f"<li><details{unfolded}><summary>{text}</summary><ul>")
            level += 1
        else:
            parts.append(f"<li>{text}</li>")
    parts.append("</ul></details></li>" * level)
    parts[1] = '<ul style="list-style: none">' + parts[1]
    return "".join([*parts, "</ul></div>"])


def _lines(
    names: Sequence[Node], arrays: HierarchyArrays, max_lines: int, max_siblings: int
) -> Iterator[Line]:
    """Yield the lines of a drawing, a parent before its children.

    A node with several parents is drawn under each, its children only the first time.
    """
    shown = _plan(arrays, max_lines, max_siblings)
    drawn: set[int] = set()
    # (id, level, is_last); the id of a line "... 5 more" is -5
    stack = [(0, 0, True)]
    while stack:
        i, level, is_last = stack.pop()
        if i < 0:
            yield Line(level, f"... {-i} more", "", is_last, False)
            continue
        children = arrays.down.of(i)
        if not children or (i in shown and i not in drawn):
            note = ""
        elif i in drawn:
            note = "see above"
        else:
            note = f"{len(_relatives.ids_below(arrays, i)) - 1} below"
        count = shown.get(i, 0) if i not in drawn else 0
        drawn.add(i)
        yield Line(level, printable(names[i]), note, is_last, count > 0)
        if count:
            rest = len(children) - count
            below = [*children[:count], -rest] if rest else children
            stack += [(c, level + 1, c == below[-1]) for c in reversed(below)]


def _plan(arrays: HierarchyArrays, max_lines: int, max_siblings: int) -> dict[int, int]:
    """Return how many children to draw of which ids: level by level until the lines are used up."""
    shown: dict[int, int] = {}
    left = max_lines - 1
    waiting = deque([0])
    while waiting and left:
        i = waiting.popleft()
        children = arrays.down.of(i)
        room = min(left, max_siblings)
        # A list that is cut spends a line to say so, and shows at least one child.
        if i in shown or not children or (room == 1 and len(children) > 1):
            continue
        shown[i] = len(children) if len(children) <= room else room - 1
        left -= min(len(children), room)
        waiting += children[: shown[i]]
    return shown


def printable(name: object) -> str:
    """Return the name of a node on one line, cut to a length that can be read."""
    text = str(name)
    if not text.isprintable() or not text.strip():
        text = repr(name)
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 3] + "..."
