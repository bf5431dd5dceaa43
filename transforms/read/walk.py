"""The in-network grammar over JSON events, in any key order: items, rates, prices, groups, references.

Events are ijson's ``basic_parse`` pairs. Each ``walk_*`` function has read its value's first event already and
consumes the rest of exactly that value. Rules for values of a wrong kind (FIELD-NOTES): where an array
belongs, another value counts as an array of one and null as none; where an object belongs, anything else says
nothing and is counted as a quirk; of duplicate keys the last one counts.
Memory: one price object, one provider group's NPIs, and the spools' limits.
"""

from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial

import numpy as np

from schemas.mrf import CODE_TYPES, GROUP_KEYS, ITEM_KEYS, PRICE_KEYS, PRICE_LISTS, RATE_KEYS, REFERENCE_KEYS, TIN_KEYS
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.limits import crossed
from transforms.read.clean import class_of, codes_of, npi_of, rate_of, read_date, reference_key, text_of, tin_of
from transforms.read.collect import NULL_OBJECT, SINGLE_VALUE, Collected, weight_of
from transforms.read.reference_keys import CitedKeys, distinct
from transforms.read.spool import Spool

Event = tuple[str, object]
NextEvent = Callable[[], Event]
Member = tuple[str, str, object]  # key, and its value's first event
Offset = Callable[[], int]  # finds the byte at which an object begins; asked only for what is kept
Tin = tuple[str | None, str | None, str | None]  # type, digits, business_name
GroupRow = tuple[str | None, str | None, str | None, int, tuple[int | None, ...]]  # Tin, group_size, npis

NPIS_PER_ROW = 10_000  # a longer group is written as several rows of one group

_OPEN = ("start_map", "start_array")
_CLOSE = ("end_map", "end_array")


def replaces_value(key: str, name: str, given: dict[str, str], *, is_null: bool) -> bool:
    """Whether the value of a key counts, and replaces the earlier one, for a thing that has several names.

    A value counts under the thing's own name always, under another one where its own gave none. A null counts only
    after a value of the same key, which it removes: the last of duplicate keys counts.

    Args: given: by name, the key whose value counts so far; updated.
    """
    counts = given.get(name) == key if is_null else key == name or given.get(name) != name
    if counts and is_null:
        del given[name]
    elif counts:
        given[name] = key
    return counts


def append_group(spool: Spool, number: int, rows: Iterable[GroupRow]) -> None:
    """Append the rows of one provider group."""
    for row in rows:
        spool.append((number, *row), weight_of(row[-1], (row[2] or "",)))


class Walker:
    """Consumes events of one document into ``Collected``."""

    def __init__(
        self, next_event: NextEvent, wanted: frozenset[str], collected: Collected, *, skip: bool = True
    ) -> None:
        self.next = next_event
        self.wanted = wanted
        self.collected = collected
        self.skips = skip
        self.crossed: BadFileError | None = None  # the first limit that the open item or reference crossed
        self.cited: CitedKeys | None = None  # where in_network came first: only these references stay

    @property
    def place(self) -> str:
        """Where the walk is, for error messages."""
        return f"(in or after {self.collected.where})"

    # ---- values of any shape -------------------------------------------------------------------------------

    def skip(self, event: str) -> None:
        """Pass over the value that began with ``event``."""
        depth = 1 if event in _OPEN else 0
        deepest = self.collected.limits.json_depth
        next_event = self.next
        while depth:
            event = next_event()[0]
            if event in _OPEN:
                depth += 1
                if depth > deepest:
                    raise crossed(self.collected.limits, "json_depth", f"nested deeper {self.place}")
            elif event in _CLOSE:
                depth -= 1

    def members(self, keys: Container[object] | None = None) -> Iterator[Member]:
        """Of the object that has just begun, the members with one of these keys, each with its value's first event.

        The caller consumes those values; the others are passed over. Without ``keys`` it is every member.
        """
        next_event = self.next
        while True:
            event, key = next_event()
            if event == "end_map":
                return
            event, value = next_event()
            if keys is None or key in keys:
                yield str(key), event, value
            else:
                self.skip(event)

    def elements(self, event: str, value: object) -> Iterator[Event]:
        """First events of an array's elements; another value counts as an array of one, null as an empty one."""
        if event == "null":
            return
        if event != "start_array":
            self.collected.quirks[SINGLE_VALUE] += 1
            yield event, value
            return
        while True:
            event, value = self.next()
            if event == "end_array":
                return
            yield event, value

    def objects(self, event: str, value: object) -> Iterator[None]:
        """Like ``elements``, for arrays of objects: other values are skipped and counted."""
        for first, _ in self.elements(event, value):
            if first == "start_map":
                yield
            elif first != "null":
                self.collected.quirks["something else where an object belongs"] += 1
                self.skip(first)
            else:
                self.collected.quirks[NULL_OBJECT] += 1

    def scalar(self, event: str, value: object) -> object:
        """A scalar as it is; an object or array is passed over and counts as null."""
        if event in _OPEN:
            self.collected.quirks["an object or array where a single value belongs"] += 1
            self.skip(event)
            return None
        return value

    def scalars(self, event: str, value: object) -> list[object]:
        """The scalars of an array, or of a single value."""
        found: list[object] = []
        for element in self.elements(event, value):
            scalar = self.within_limit(self.scalar(*element))
            if len(found) < self.collected.limits.list_entries:
                found.append(scalar)
            else:
                self.note_crossed("list_entries", "a longer list of codes or names")
        return found

    def within_limit(self, value: object) -> object:
        """A scalar that goes into a table: as it is, or none when it is longer than any real one."""
        if isinstance(value, str) and len(value) > self.collected.limits.value_chars:
            self.note_crossed("value_chars", "a longer value")
            return None
        return value

    def note_crossed(self, name: str, what: str) -> None:
        """Note that a limit was crossed: it matters only if what is open here turns out to be wanted."""
        self.crossed = self.crossed or crossed(self.collected.limits, name, f"{what} {self.place}")

    def raise_if_crossed(self) -> None:
        """``BadFileError`` for a limit crossed."""
        if self.crossed is not None:
            raise self.crossed

    def names(self, event: str, value: object) -> tuple[str, ...]:
        """The distinct names in an array or single value: trimmed, blanks dropped, sorted."""
        texts = (text_of(scalar) for scalar in self.scalars(event, value))
        return tuple(sorted({text.strip() for text in texts if text and text.strip()}))

    # ---- in_network ----------------------------------------------------------------------------------------

    def walk_item(self, offset: Offset) -> None:
        """One in-network item; its rows stay only if its own code and type are wanted."""
        before = self.collected.marks()
        code: str | None = None
        code_type: str | None = None
        arrangement: str | None = None
        code_known = skipped = False
        self.crossed = None
        for key, event, value in self.members(ITEM_KEYS):
            if key == "negotiated_rates":
                self.collected.truncate_to(before)
                unwanted = (code_known and code not in self.wanted) or not self._is_wanted_type(code_type)
                skipped = self.skips and unwanted
                if skipped:
                    self.skip(event)
                else:
                    for _ in self.objects(event, value):
                        self.walk_rate()
            elif key == "billing_code":
                code = (text_of(self.scalar(event, value)) or "").strip() or None
                code_known = True
            elif key == "billing_code_type":
                code_type = (text_of(self.scalar(event, value)) or "").strip().upper() or None
            else:
                arrangement = text_of(self.within_limit(self.scalar(event, value)))
        self.collected.items_seen += 1
        if code not in self.wanted or not self._is_wanted_type(code_type):
            self.collected.truncate_to(before)
            return
        if skipped:
            raise FullReadingNeededError("billing_code stands twice in one item")
        self.raise_if_crossed()
        self.collected.items_matched += 1
        rates = before.next_rate_id, self.collected.next_rate_id
        self.collected.items.append((arrangement, code, code_type, *rates, offset()))

    def _is_wanted_type(self, code_type: str | None) -> bool:
        return code_type is None or code_type in CODE_TYPES

    def walk_rate(self) -> None:
        """One negotiated_rates element: prices x providers, as three lists that share a rate_id."""
        collected = self.collected
        rate_id = collected.next_rate_id
        collected.next_rate_id += 1
        spools: dict[str, tuple[Spool, int, Callable[[int, str, object], None]]] = {
            "negotiated_prices": (collected.prices, len(collected.prices), self.walk_prices),
            "provider_groups": (collected.groups, len(collected.groups), partial(self.walk_groups, collected.groups)),
            "provider_references": (collected.citations, len(collected.citations), self.walk_citations),
        }
        given: dict[str, str] = {}
        for key, event, value in self.members(RATE_KEYS):
            name = RATE_KEYS[key]
            if not replaces_value(key, name, given, is_null=event == "null"):
                self.skip(event)
                continue
            spool, mark, walk = spools[name]
            spool.truncate(mark)
            walk(rate_id, event, value)

    def walk_prices(self, rate_id: int, event: str, value: object) -> None:
        """The prices of one rates element."""
        for _ in self.objects(event, value):
            self.walk_price(rate_id)

    def walk_price(self, rate_id: int) -> None:
        """One price, cleaned."""
        found: dict[str, object] = {}
        lists: dict[str, list[object]] = {}
        for key, event, value in self.members(PRICE_KEYS):
            if key in PRICE_LISTS:
                lists[key] = self.scalars(event, value)
            else:
                found[key] = self.within_limit(self.scalar(event, value))
                if event in _OPEN:
                    found[key] = False  # no value either, but not null: negotiated_price does not count then
        rate = found.get("negotiated_rate")
        if rate is None:
            rate = found.get("negotiated_price")
        service_codes = codes_of(lists.get("service_code", []))
        modifiers = codes_of(lists.get("billing_code_modifier", []))
        self.collected.prices.append(
            (
                rate_id,
                text_of(found.get("negotiated_type")),
                rate_of(rate),
                class_of(found.get("billing_class")),
                text_of(found.get("setting")),
                service_codes,
                modifiers,
                *read_date(found.get("expiration_date")),
            ),
            weight_of(service_codes, modifiers),
        )

    def walk_citations(self, rate_id: int, event: str, value: object) -> None:
        """The provider references that one rates element cites; NO_KEY for a value that cannot be an id."""
        for element in self.elements(event, value):
            key = reference_key(self.within_limit(self.scalar(*element)))
            self.collected.citations.append((rate_id, self.collected.keys.number_of(key)))

    def walk_groups(self, spool: Spool, number: int, event: str, value: object) -> None:
        """The provider groups of the rates element, or of the reference, of that number."""
        for _ in self.objects(event, value):
            append_group(spool, number, self.walk_group())

    def walk_group(self, members: Iterator[Member] | None = None) -> Iterator[GroupRow]:
        """One provider group as rows, with its distinct NPIs; no NPI at all is one null NPI.

        Args: members: the group's members, where the caller reads some of them itself.
        """
        found: dict[str, tuple[array[int], bool]] = {}
        tin: Tin = None, None, None
        for key, event, value in members or self.members(GROUP_KEYS):
            if key == "tin":
                tin = self.walk_tin(event, value)
            elif event == "null":
                found.pop(key, None)
            else:
                found[key] = self.walk_npis(event, value)
        npis, has_blank = found.get("npi") or found.get("NPI") or (array("q"), True)
        ordered = distinct(np.array(npis, np.int64))
        end = len(ordered) + (has_blank or not len(ordered))  # one null behind the numbers
        size = int(np.count_nonzero(ordered > 0))
        for start in range(0, end, NPIS_PER_ROW):
            row: tuple[int | None, ...] = tuple(ordered[start : start + NPIS_PER_ROW].tolist())
            is_last = start + NPIS_PER_ROW >= end
            yield (*tin, size, (*row, None) if is_last and end > len(ordered) else row)

    def walk_npis(self, event: str, value: object) -> tuple["array[int]", bool]:
        """A group's NPIs, and whether one of them was blank. Memory: eight bytes each, three times while sorted."""
        found = array("q")
        blank = False
        for element in self.elements(event, value):
            npi = npi_of(self.scalar(*element))
            if npi is not None:
                found.append(npi)
            elif element[0] != "null":
                blank = True
        return found, blank

    def walk_tin(self, event: str, value: object) -> Tin:
        """Type, digits and business name; a scalar is a value alone."""
        if event != "start_map":
            return None, tin_of(self.within_limit(self.scalar(event, value)), None), None
        found = {key: self.within_limit(self.scalar(first, part)) for key, first, part in self.members(TIN_KEYS)}
        tin_type = text_of(found.get("type"))
        return tin_type, tin_of(found.get("value"), tin_type), text_of(found.get("business_name"))

    # ---- provider_references -------------------------------------------------------------------------------

    def walk_reference(self, offset: Offset) -> None:
        """One element of provider_references; dropped where in_network came first and nothing cites it."""
        collected = self.collected
        no = collected.next_reference_no
        collected.next_reference_no += 1
        collected.references_seen += 1
        mark = len(collected.reference_groups)
        key: str | None = None
        location: str | None = None
        networks: tuple[str, ...] = ()
        self.crossed = None
        for name, event, value in self.members(REFERENCE_KEYS):
            if name == "provider_group_id":
                key = reference_key(self.within_limit(self.scalar(event, value)))
            elif name == "provider_groups":
                collected.reference_groups.truncate(mark)
                self.walk_groups(collected.reference_groups, no, event, value)
            elif name == "location":
                location = text_of(self.within_limit(self.scalar(event, value)))
            else:
                networks = self.names(event, value)
        if key is None or (self.cited is not None and key not in self.cited):
            collected.reference_groups.truncate(mark)
            return
        if self.crossed is not None:
            collected.refused[key] = self.crossed
        groups = len(collected.reference_groups) - mark
        number = collected.keys.number_of(key)
        collected.references.append((no, number, location, networks, groups, offset()), weight_of(networks))
