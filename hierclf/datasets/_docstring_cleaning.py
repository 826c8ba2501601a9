"""Docstrings as plain texts, without the markup and names that give their module away."""

import inspect
import re

_DOCTEST = re.compile(r"^ *>>>.*(?:\n *\S.*)*", re.MULTILINE)

# Directives whose body is not prose about the object go whole, with their indented lines.
_DROPPED_DIRECTIVES = (
    "admonition autofunction autosummary bibliography code code-block codeauthor currentmodule "
    "deprecated doctest figure function highlight image include index legacy math module only "
    "plot py:class py:function py:method rubric seealso table testcode testsetup todo toctree "
    "versionadded versionchanged versionremoved"
).replace(" ", "|")
_DROPPED_DIRECTIVE = re.compile(
    rf"^( *)\.\. ?(?:{_DROPPED_DIRECTIVES}) ?::.*(?:\n(?:\1 +\S.*| *$))*", re.MULTILINE
)
# Of the others (note, warning, ...) only the marker and the options go.
_DIRECTIVE_MARKER = re.compile(
    r"^ *\.\. +(?:[\w:-]+ ?::?(?= |$))?"
    r"|^ *:(?:class|header-rows|hide|label|nowrap|options|skipif|title|widths):.*$",
    re.MULTILINE,
)
_LINK_TARGET = re.compile(r"^ *\.\. _.*$|^ *\.\. (?=\[)", re.MULTILINE)
_IMPORT = re.compile(
    r"^ *(?:from +[\w.]+ +)?import +\w.*$"
    r"|\b(?:from +[\w.]+ +)?import +[\w.]+(?: +as +\w+)?",
    re.MULTILINE,
)
_EMPTY_SECTIONS = re.compile(r"(?:^ *(?:Examples? *:{1,2}|\w[\w ]*\n *-{3,})\s*)+\Z", re.MULTILINE)
_URL = re.compile(r"<?\b(?:https?|ftp)://[^\s>)]+>?|\bwww\.[^\s>)]+")
_ROLE = re.compile(r":[A-Za-z][\w:+-]*:(?=`)")
_QUOTED_TARGET = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_*")
_QUOTES = re.compile(r"`+[~!]|`+(?:_+(?!\w))?|\*\*")
_FOOTNOTE = re.compile(r"\s*\[(?:\d+|[A-Za-z]+\d*)\]_+")

# ``scipy.stats.norm`` becomes ``norm``; "i.e.", "e.g." and numbers are not paths.
_PATH = re.compile(
    r"(?<![\w.])\.*(?:[A-Za-z_]\w+(?:\.|::)(?=[A-Za-z_])|[A-Za-z_]\.(?=[A-Za-z_]\w))+"
)
# Inside of words too, as in TORCH_LOGS; "all estimators in scikit-learn." loses its "in" as well.
_NAME = r"(?:numpy|scipy|sklearn|scikit(?:-\n *|[-_ ])?learn|(?:py)?torch)"
_LIBRARY = re.compile(
    rf"\b(?:by|for|from|in|of|to|with) {_NAME}(?=[.,;:)])"
    rf"|{_NAME}(?:['\u2019]s\b|[-_](?=\w))?",
    re.IGNORECASE,
)

_SECTION = re.compile(
    r"^(?:\S.*\n *-{3,} *$"  # numpydoc: a title and its underline
    r"|(?:Args?|Arguments?|Keyword arg(?:ument)?s|Kwargs|Parameters?|Returns?|Yields?|Raises?"
    r"|Shapes?|Inputs?|Outputs?|Attributes?|Variables|Examples?|Usage|References?|Notes?"
    r"|See also|Warnings?|Caution) *:{1,2} *$)",
    re.MULTILINE | re.IGNORECASE,
)


def clean_docstring(docstring: str) -> str:
    """Return a docstring as plain text, its lines kept, without what names its library.

    Signatures, doctests, import statements, URLs, cross-reference markup, the names of the four
    libraries and the directives about versions, formulas and pictures are taken out. Of a dotted
    path (``scipy.stats.norm``) only the last name stays.
    """
    text = strip_signatures(inspect.cleandoc(docstring))
    for pattern in (_DOCTEST, _LINK_TARGET, _DROPPED_DIRECTIVE, _DIRECTIVE_MARKER, _IMPORT):
        text = pattern.sub("", text)
    text = _URL.sub("", text)
    text = _QUOTED_TARGET.sub(r"\1", _ROLE.sub("", _FOOTNOTE.sub("", text)))
    text = _PATH.sub("", _QUOTES.sub("", text))
    return _EMPTY_SECTIONS.sub("", _tidy(_LIBRARY.sub("", text))).rstrip()


def summarize_docstring(docstring: str) -> str:
    """Return the cleaned first paragraph of a docstring, numpydoc's short summary, on one line."""
    text = strip_signatures(inspect.cleandoc(docstring))
    section = _SECTION.search(text)
    for paragraph in clean_docstring(text[: section.start()] if section else text).split("\n\n"):
        if paragraph:
            return " ".join(paragraph.split()).rstrip(": ")
    return ""


def strip_signatures(docstring: str) -> str:
    """Drop the signatures at the start of compiled functions: ``add(x1, x2, /) -> Tensor``."""
    text = docstring.lstrip()
    while (end := _signature_end(text)) is not None:
        text = text[end:].lstrip()
    return text


def _signature_end(text: str) -> int | None:
    """Return where the signature at the start of the text ends; None if prose is there."""
    opening = re.match(r"(?:class +|\w+ *= *)?[A-Za-z_][\w.]*\(", text)
    if opening is None:
        return None
    depth = 0
    for i in range(opening.end() - 1, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            # "softmax(x) is ..." is prose: a signature ends its line, but for a return type.
            rest = re.compile(r" *(?:(?:->|:) *[^\n]*)?(?:\n--(?=\n)|\n|$)").match(text, i + 1)
            return rest.end() if rest else None
    return None


def _tidy(text: str) -> str:
    """Close the gaps that removed names leave, and keep no more than one blank line in a row."""
    text = re.sub(r"(?<=\S) +", " ", re.sub(r"\( +\)", "", text))
    text = re.sub(r"(?<=\S) (?=[.,;](?:\s|$))|^[ .,;>)]+$| +$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
