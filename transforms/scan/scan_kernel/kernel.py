"""Where tokens and elements of a JSON text begin and end, 64 bytes at a time: the kernel's functions and constants.

``next_event`` walks a root array's elements, reads their own keys (``billing_code``, ``billing_code_type``,
``provider_group_id``) and passes over everything else by its structure alone. It stops where Python has to act
(``NEED_MORE`` and the events below) and goes on from there: all its state is in one int64 array, so a block may end
at any byte. Buffers have ``PADDING`` bytes behind their data, which may be read but never count, and begin at or behind
the beginning of a line of 64 bytes. Memory is passed by address. What each function gives stands in the C sources.
"""

from transforms.scan.scan_kernel.library import Function, function

PADDING = 128

# Events of next_event
NEED_MORE, ELEMENT, SECTION_END, INDEX_FULL, BAD = range(5)

# Slots of the state array
(
    STATE, POS, DEPTH, BRACES, INSIDE, ESCAPED, START, SEEN, NULLS, OTHERS, CODE, TYPE, ODD, KEY, SECTION, HASH,
    SINGLE, STOP_AT_END, INDEXED, SPOOLED, INDEX_ROWS, ERROR, RETURN_TO, DEEPEST, SLOTS,
) = range(25)  # fmt: skip

# What STATE can be: which token comes next
(
    ELEMENT_OR_END, ELEMENT_NEXT, AFTER_ELEMENT, OWN_STRING, AFTER_OWN_STRING, VALUE, ELEMENT_ENDED, OWN, NESTED,
    STRING,
) = range(10)  # fmt: skip

ITEMS, REFERENCES_INDEXED, REFERENCES_FILTERED, RATES = range(4)  # SECTION
UNKNOWN, WANTED, UNWANTED = range(3)  # CODE, TYPE
OTHER_KEY, CODE_KEY, TYPE_KEY, ID_KEY, ESCAPED_KEY = range(5)  # KEY
NOWHERE = -(1 << 62)  # START while no element is open
NO_ID, ODD_ID = 0, 1  # HASH: of values that cannot be an id; of ids that only Python can compare

# ERROR
(
    BAD_ELEMENT, BAD_SEPARATOR, BAD_VALUE, BAD_STRING, BAD_SCALAR, BAD_NESTING, TOO_DEEP,
) = range(7)  # fmt: skip
ERRORS = (
    "an array's element expected",
    "a comma or the closing bracket expected",
    "a value expected",
    "a control character or a wrong escape in a string",
    "a wrong number or literal",
    "brackets that do not match",
    "nested too deep",
)

next_event: Function = function("next_event", 5)  # data, size, state, table, index
skip_value: Function = function("skip_value", 3)  # data, size, state
string_end: Function = function("string_end", 3)  # data, size, pos
scalar_end: Function = function("scalar_end", 3)  # data, size, pos
skip_blanks: Function = function("skip_blanks", 3)  # data, size, pos
check_utf8: Function = function("check_utf8", 4)  # data, start, size, state
hash_texts: Function = function("hash_texts", 4)  # data, ends, hashes, count
hash_numbers: Function = function("hash_numbers", 3)  # numbers, hashes, count
hash_codes: Function = function("hash_codes", 4)  # data, ends, hashes, count
put_in_table: Function = function("put_in_table", 3)  # table, values, count
is_in_table: Function = function("is_in_table", 2)  # table, value
choose: Function = function("choose", 4)  # table, hashes, count, numbers
