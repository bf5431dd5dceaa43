"""What the kernel decodes into: ``columns.h``'s struct, and ``decode``."""

import ctypes
from typing import ClassVar

from transforms.scan.scan_kernel.library import Function, function

# By which rule a text is cleaned
(
    AS_TEXT, AS_CLASS, AS_CODES, AS_NAMES, AS_DATE, AS_RATE, AS_NPI, AS_TIN, AS_KEY, AS_CODE, AS_CODE_TYPE, RULES,
) = range(12)  # fmt: skip
UNREAD, READ, REFUSED = range(3)  # a text's state
DECODED, ODD_ELEMENT, NO_ROOM, TEXTS_UNREAD, MOSTLY_UNWANTED = range(5)  # why decoding stopped
NO_KEY = -1
BLANK_NPI = -(1 << 63)
NPIS_PER_ROW = 10_000
LANES = 4
FORMS, FORM_SIZE = 512, 1024

TEXT_FIELDS = ("rule", "state", "offset", "length", "number", "value")  # int64 each


class Columns(ctypes.Structure):
    """``columns``: rooms and counts, and addresses of arrays."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("number_digits", "value_bytes", "string_bytes", "list_bytes")),
        *((name, ctypes.c_int64) for name in ("stopped", "base", "offset")),
        *((name, ctypes.c_int64) for name in ("items_seen", "items_matched", "references_seen")),
        *((name, ctypes.c_int64) for name in ("next_rate", "next_reference", "singles", "nulls", "cited_count")),
        ("cited", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("text_count", "text_room", "byte_count", "byte_room", "slot_mask")),
        ("unread", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("texts", "bytes", "slots")),
        ("numbers", ctypes.c_int64 * RULES),
        *((name, ctypes.c_int64) for name in ("item_count", "item_room")),
        *((name, ctypes.c_void_p) for name in ("item_arrangement", "item_code", "item_code_type")),
        *((name, ctypes.c_void_p) for name in ("item_first", "item_end", "item_offset")),
        ("forms", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("price_count", "price_room")),
        *((name, ctypes.c_void_p) for name in ("price_rate", "price_amount", "price_type", "price_class")),
        *((name, ctypes.c_void_p) for name in ("price_setting", "price_codes", "price_modifiers", "price_date")),
        *((name, ctypes.c_int64) for name in ("citation_count", "citation_room")),
        *((name, ctypes.c_void_p) for name in ("citation_rate", "citation_key")),
        *((name, ctypes.c_int64) for name in ("group_count", "group_room", "digit_count", "digit_room")),
        *((name, ctypes.c_int64) for name in ("npi_count", "npi_room", "blanks")),
        *((name, ctypes.c_void_p) for name in ("group_owner", "group_size", "group_tin_type", "group_tin")),
        *((name, ctypes.c_void_p) for name in ("group_name", "group_digits_end", "group_npis_end", "digits", "npis")),
        *((name, ctypes.c_int64) for name in ("reference_count", "reference_room")),
        *((name, ctypes.c_void_p) for name in ("reference_no", "reference_key", "reference_groups")),
        ("reference_offset", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("reference_location", "reference_networks")),
    ]


forget_texts: Function = function("forget_texts", 1)  # columns
decode: Function = function("decode", 6)  # columns, data, rows, first, count, section
decode_ahead: Function = function("decode_ahead", 4)  # columns, data, size, scan state
