r"""The fast reader: walks the structure of the JSON, and decodes only what the wanted codes need.

The same rows as ``read_ijson``, in any key order. Of a root array's elements the kernel reads their own keys first. It
decodes an in-network item only when its own code and type may match, a provider reference only when a matched price may
cite it. Provider references in front of ``in_network`` are stored as bytes, in memory below a limit and on disk above
it, with a hash of the id and the position of each.

Memory: three blocks of a MiB, ``byte_spool.LIMIT_BYTES`` of references, two MiB of their index, one
item of up to ``scan_section.MAX_HELD_BYTES`` (a longer one is streamed through the decoder, or waits on disk until its
code is known), and the limits of ``Collected``.

What is decoded, the root, and each element's own keys and scalars are checked as a full parse does. Inside what is
skipped (values of other keys, items of other codes, references that nothing cites) this reader checks less:
    * brackets balance by kind and in number, but ``[{]}`` passes;
    * strings are closed, valid UTF-8 and without control characters, but an escape such as ``\x`` or a cut ``\u12``
      passes;
    * commas, colons, literals, numbers and key order are not looked at: a missing or trailing comma, ``NaN``, ``.5``,
      stray letters or control characters between values, a number of thousands of digits or with an exponent of 19
      digits pass;
    * nesting deeper than ``json_depth`` is refused in steps of 64 bytes.
``tic-rates inspect --reader ijson`` reads with ijson and finds those too.
"""

from contextlib import nullcontext
from functools import cache
from typing import BinaryIO

from schemas.mrf import CODE_TYPES, PROVIDER_GROUPS, SECTIONS
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.read.clean import text_of
from transforms.read.collect import SINGLE_VALUE, Collected
from transforms.read.reference_keys import Int64s
from transforms.read.walk import Walker, replaces_value
from transforms.scan.blocks import BLOCK_BYTES, Blocks, OverlappedBlocks
from transforms.scan.reference_index import StoredReferences, code_table, key_table
from transforms.scan.scan_columns import Decoder
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k
from transforms.scan.scan_pieces import ElementRows, no_event
from transforms.scan.scan_section import Section

_SECTION_KINDS = {"in_network": k.ITEMS, "provider_references": k.REFERENCES_INDEXED}
_NAMES = {ord("["): "an array", ord("n"): "null"}
_table_of_codes = cache(code_table)


def read_document(
    stream: BinaryIO,
    wanted: frozenset[str],
    collected: Collected,
    *,
    skip: bool = True,
    overlap: bool = True,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Read one in-network document into ``collected``.

    Args:
        stream: the document's JSON, inflated; read to its end.
        wanted: billing codes, compared exactly with an item's own code, trimmed.
        skip: drop the bytes of items and references already known to be unwanted.
        overlap: read the stream in a second thread, and put decoded rows away in a third.
        block_bytes: how much is inflated, then scanned, at a time.

    Raises:
        BadFileError: not one well-formed JSON object to the end; says the place.
        FullReadingNeededError: only with ``skip``; read again without.
    """
    opened = OverlappedBlocks(stream, block_bytes) if overlap else nullcontext(Blocks(stream, block_bytes))
    with opened as blocks:
        read_blocks(blocks, wanted, collected, skip=skip, overlap=overlap)


def read_blocks(
    blocks: Blocks, wanted: frozenset[str], collected: Collected, *, skip: bool = True, overlap: bool = False
) -> None:
    """As ``read_document``, of bytes that are cut into blocks already."""
    decoder = Decoder(wanted, collected, overlap=overlap)
    try:
        Reading(blocks, wanted, collected, skip, decoder).read()
    finally:
        decoder.release()


class Reading(Cursor):
    """The reading of one document."""

    def __init__(
        self,
        blocks: Blocks,
        wanted: frozenset[str],
        collected: Collected,
        skip: bool,
        decoder: Decoder,
    ) -> None:
        super().__init__(blocks, collected)
        self.wanted = wanted
        self.skip = skip
        self.walker = Walker(no_event, wanted, collected, skip=skip)
        self.references: StoredReferences | None = None
        self.decoder = decoder
        self.cited_table = _table_of_codes(frozenset())

    # ---- the root ------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the whole document."""
        try:
            first = self.peek()
            if first != ord("{"):
                raise BadFileError(f"the root is {_NAMES.get(first, 'a single value')}, not an object; not a TiC file")
            self.walk_root()
            self.expect_end()
            if self.references is not None and len(self.collected.cited_keys()):
                self.element_rows().replay(self.references, self.cite())
        finally:
            if self.references is not None:
                self.references.close()

    def walk_root(self) -> None:
        """Read the root's keys and values, in order."""
        given: dict[str, str] = {}
        self.pos += 1
        if self.peek() == ord("}"):
            self.pos += 1
            return
        while True:
            key = self.key()
            if self.peek() != ord(":"):
                raise self.bad("a colon expected")
            self.pos += 1
            self.root_value(key, given)
            separator = self.peek()
            self.pos += 1
            if separator == ord("}"):
                return
            if separator != ord(","):
                self.pos -= 1
                raise self.bad("a comma or the closing brace expected")

    def root_value(self, key: str, given: dict[str, str]) -> None:
        """Read one key's value: a section, a header field, or another, which is passed over."""
        collected = self.collected
        collected.note_root_key(key)
        first = self.peek()
        name = SECTIONS.get(key)
        if name is not None:
            if key != name:
                collected.quirks[f"{name} under the name {key}"] += 1
            if replaces_value(key, name, given, is_null=first == ord("n")):
                self.walk_section(name, first)
            else:
                self.skip_root_value(first)
        elif first in b"{[":
            if key == PROVIDER_GROUPS:
                collected.quirks["provider_groups at the root"] += 1
            self.skip_root_value(first)
            collected.header.pop(key, None)
        else:
            collected.note_header(key, text_of(self.scalar(first)))

    # ---- sections ------------------------------------------------------------------------------------------

    def walk_section(self, name: str, first: int) -> None:
        """Read the elements of ``in_network`` or ``provider_references``; another value counts as an array of one."""
        collected = self.collected
        kind = _SECTION_KINDS[name]
        if kind == k.ITEMS:
            if self.walker.cited is not None:
                raise FullReadingNeededError("in_network stands twice at the root, around provider_references")
            collected.clear_items()
        else:
            collected.clear_references()
            if self.references is not None:
                self.references.close()
                self.references = None
        table = _table_of_codes(self.wanted)
        if kind != k.ITEMS and first in b"{[":
            if self.skip and collected.items_seen:
                table = self.cite()
                kind = k.REFERENCES_FILTERED
            else:
                self.references = StoredReferences(collected.open_temporary)
        self.walk_section_elements(first, kind, table)

    def cite(self) -> Int64s:
        """The table of what the matched prices cite, made once; from now on references in it are decoded."""
        cited = self.collected.cited_keys()
        if self.walker.cited is not cited:
            self.walker.cited = cited
            self.decoder.cite(cited)
            self.cited_table = key_table(cited.numbers, self.collected.keys)
        return self.cited_table

    def walk_long_item(self, stream: BinaryIO, offset: int) -> None:
        """Read an item too long to decode at once, which begins at that byte of the document."""
        LongItem(self, stream, offset).walk_whole()

    def walk_section_elements(self, first: int, kind: int, table: Int64s) -> None:
        """Read the objects of an array; another value counts as an array of one."""
        quirks = self.collected.quirks
        if first not in b"{[":
            if self.scalar(first) is not None:
                quirks[SINGLE_VALUE] += 1
                quirks["something else where an object belongs"] += 1
            return
        if first == ord("{"):
            quirks[SINGLE_VALUE] += 1
        else:
            self.pos += 1
        state = self.cleared_state()
        state[k.SECTION] = kind
        state[k.START] = k.NOWHERE
        state[k.SINGLE] = int(first == ord("{"))
        state[k.STATE] = k.ELEMENT_NEXT if first == ord("{") else k.ELEMENT_OR_END
        Section(self, self.element_rows(), table, self.references, skip=self.skip).read()

    def element_rows(self) -> ElementRows:
        """Decodes elements at this reading's position."""
        return ElementRows(self, self.decoder, self.walker, self.walk_long_item)


class LongItem(Reading):
    """An item too long to decode at once: read like a document of its own, its rates in batches."""

    def __init__(self, outer: Reading, stream: BinaryIO, offset: int) -> None:
        super().__init__(Blocks(stream), outer.wanted, outer.collected, outer.skip, outer.decoder)
        self.decoder.flush()
        self.offset = offset
        self.before = self.collected.marks()
        self.texts: dict[str, str | None] = {}
        self.skipped = False

    def walk_whole(self) -> None:
        """Read the whole item; see ``Walker.walk_item``."""
        self.peek()
        self.walk_root()
        self.expect_end()
        collected = self.collected
        collected.items_seen += 1
        code = (self.texts.get("billing_code") or "").strip() or None
        code_type = (self.texts.get("billing_code_type") or "").strip().upper() or None
        if code not in self.wanted or not (code_type is None or code_type in CODE_TYPES):
            collected.truncate_to(self.before)
            return
        if self.skipped:
            raise FullReadingNeededError("billing_code stands twice in one item")
        self.walker.raise_if_crossed()
        arrangement = self.texts.get("negotiation_arrangement")
        collected.items_matched += 1
        rates = self.before.next_rate_id, collected.next_rate_id
        collected.items.append((arrangement, code, code_type, *rates, self.offset))

    def root_value(self, key: str, given: dict[str, str]) -> None:
        """Read one of the item's own values."""
        first = self.peek()
        if key == "negotiated_rates":
            self.walk_rates(first)
        elif key in ("billing_code", "billing_code_type", "negotiation_arrangement"):
            if first in b"{[":
                self.collected.quirks["an object or array where a single value belongs"] += 1
                self.skip_root_value(first)
                self.texts[key] = None
            else:
                value = self.scalar(first)
                self.texts[key] = text_of(
                    self.walker.within_limit(value) if key == "negotiation_arrangement" else value
                )
        else:
            self.skip_root_value(first)

    def walk_rates(self, first: int) -> None:
        """Read the item's rates; of repeated ones the last counts."""
        self.collected.truncate_to(self.before)
        code = self.texts.get("billing_code")
        code_type = (self.texts.get("billing_code_type") or "").strip().upper() or None
        known_unwanted = "billing_code" in self.texts and (code or "").strip() not in self.wanted
        self.skipped = self.skip and (known_unwanted or not (code_type is None or code_type in CODE_TYPES))
        if self.skipped:
            self.skip_root_value(first)
        else:
            self.walk_section_elements(first, k.RATES, _table_of_codes(frozenset()))
