"""Reading a report back: the page as a tree, and the tables of page and Markdown as cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
Element = ElementTree.Element
Tables = dict[str, list[list[str]]]


def tree(page: str) -> Element:
    """The page, which must be well-formed XML too."""
    return ElementTree.fromstring(page)


def text(element: Element | None) -> str:
    """All text of an element, white space as a reader sees it."""
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def of_html(page: str) -> Tables:
    """The tables by caption: rows of cells, the head first; of captions met again the last."""
    return {text(t.find(f"{HTML}caption")): _rows(t) for t in tree(page).iter(f"{HTML}table")}


def _rows(table: Element) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in table.iter(f"{HTML}tr")]


def of_markdown(page: str) -> Tables:
    """The same of Markdown."""
    found: Tables = {}
    caption = ""
    for line in page.splitlines():
        if match := re.fullmatch(r"\*\*(.+)\*\*", line):
            caption = _plain(match[1])
        elif line.startswith("|") and not re.fullmatch(r"[|: -]+", line):
            found.setdefault(caption, []).append(list(_cells(line)))
    return found


def _cells(line: str) -> Iterator[str]:
    for cell in re.split(r"(?<!\\)\|", line)[1:-1]:
        yield _plain(cell.strip())


def _plain(markdown: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", markdown)
