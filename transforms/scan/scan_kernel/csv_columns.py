"""Some columns of a csv as Arrow's string views: ``csv_columns.c``'s struct, and ``cut_csv``."""

import ctypes
from typing import ClassVar

from transforms.scan.scan_kernel.library import Function, function

CSV_NEED_MORE, CSV_FULL, CSV_ODD = range(3)  # why cutting stopped
VIEW_BYTES = 16


class CsvColumns(ctypes.Structure):
    """``csv_columns``: rooms and counts, and addresses of arrays."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("columns", "wanted")),
        ("numbers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("room", "records")),
        *((name, ctypes.c_void_p) for name in ("views", "present")),
        *((name, ctypes.c_int64) for name in ("byte_room", "byte_count")),
        ("bytes", ctypes.c_void_p),
        ("end", ctypes.c_int64),
    ]


cut_csv: Function = function("cut_csv", 3)  # data, size, columns
