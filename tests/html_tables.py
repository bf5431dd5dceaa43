"""Reading pages back: tables by their classes, elements and texts, with the standard library's parser."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

_VOID = frozenset("meta link br img input hr wbr".split())


@dataclass
class Page:
    """What a browser would find in a page."""

    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # by class; rows by column heading
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)  # by id
    text: str = ""

    def attributes(self, tag: str) -> Iterator[dict[str, str]]:
        """Of every element of a kind."""
        return (attributes for name, attributes in self.elements if name == tag)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []
        self._table: list[list[str]] = []
        self._script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.page.elements.append((tag, attributes))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self._table, self._class = [], attributes.get("class", attributes.get("id", ""))
        elif tag == "tr":
            self._table.append([])
        elif tag in ("th", "td"):
            self._table[-1].append("")
        elif tag == "script":
            self._script = attributes.get("id", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        if tag == "table" and self._table:
            heads, *rows = self._table
            self.page.tables[self._class] = [dict(zip(heads, row, strict=True)) for row in rows]

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.page.scripts[self._script] = self.page.scripts.get(self._script, "") + data
        elif "style" not in self.open and "title" not in self.open[1:2]:
            self.page.text += data
            if self._table and self.open and {"th", "td"} & set(self.open):
                self._table[-1][-1] += data


def page_at(path: Path) -> Page:
    """The page of a file; read once while the file stays as it is."""
    return _read_once(path, path.stat().st_mtime_ns)


@cache
def _read_once(path: Path, _: int) -> Page:
    return read_page(path.read_text(encoding="utf-8"))


def read_page(html: str) -> Page:
    """A page, read."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page
