"""Which sources a library is made of: the same digest in the library and beside it, or it is not used."""

import hashlib
from collections.abc import Callable

LIBRARY = "libkernel.so"
HEADERS = ("kernel.h", "masks.h", "columns.h")
SCANNING = ("strings.c", "hashes.c", "nested.c", "skim.c", "elements.c", "utf8.c", "children.c", "csv_columns.c")
DECODING = ("json.c", "texts.c", "numbers.c", "forms.c", "rows.c")
LEVELS = {
    "x86_64": ("portable", "sse2", "avx2", "avx512"),
    "aarch64": ("portable", "neon"),
    "": ("portable",),
}  # what is compiled for a machine, from the most portable on; "": for any other
SOURCES = (*HEADERS, *SCANNING, *DECODING, "kernel.c", "library.c")


def stamp_of(read: Callable[[str], bytes]) -> str:
    """The digest of all sources, as ``read`` gives them by name."""
    digest = hashlib.sha256()
    for name in SOURCES:
        source = read(name)
        digest.update(b"%s %d\n%b" % (name.encode(), len(source), source))
    return digest.hexdigest()
