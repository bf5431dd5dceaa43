"""The files and indexes that a text file or an HTML page names, such as those at the root of a payer's site.

Memory: one piece of the page, and one address of up to ``_LONGEST`` characters.
"""

import html
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import BinaryIO

from transforms.contents.index_values import ListedFile
from transforms.contents.kinds import kind_of_name

_PIECE_BYTES = 64 * 1024
_LONGEST = 8 * 1024
_ADDRESSES = re.compile(
    r"""href\s*=\s*(?:"(?P<quoted>[^"<>]*)"|'(?P<single>[^'<>]*)'|(?P<bare>[^\s"'<>]+))"""
    r"""|(?P<url>https?://[^\s"'<>\\]+)"""
    r"""|(?P<path>[^\s"'<>=:,;()]*[^\s"'<>=:,;()/]\.(?:json|json\.gz|gz|zip)(?:\?[^\s"'<>]*)?)(?=[\s"'<>,;)]|$)""",
    re.I,
)


def read_page(stream: BinaryIO) -> Iterator[list[ListedFile]]:
    """The addresses on a page, in order, each with the kind that its name says; repeats included."""
    text = ""
    decoder = getincrementaldecoder("utf-8")("replace")
    while data := stream.read(_PIECE_BYTES):
        text += decoder.decode(data)
        end = max(text.rfind("\n"), text.rfind(">")) + 1
        if len(text) - end > _LONGEST:
            end = text.rfind(" ") + 1 or len(text) - _LONGEST
        yield list(_listed(text[:end]))
        text = text[end:]
    yield list(_listed(text))


def _listed(text: str) -> Iterator[ListedFile]:
    for match in _ADDRESSES.finditer(text):
        address = html.unescape(match[match.lastgroup or 0]).strip()
        if address and not address.startswith(("#", "mailto:", "javascript:", "tel:", "data:")):
            yield ListedFile(address, kind=kind_of_name(address))
