"""Arrow columns from numpy's arrays and from a few Python values, without ``pyarrow.array``.

That function imports pandas where it is installed, which takes a second: more than most files take to read.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EPOCH = date(1970, 1, 1).toordinal()
_NUMPY = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float64(): np.float64}


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values as a column of a type that the extract has, null where they are None."""
    if kind == pa.string():
        return texts(values)
    if kind == pa.date32():
        return dates(values)
    if kind == pa.bool_():
        return flags(np.array(values, np.bool_))
    missing = np.array([value is None for value in values], np.bool_)
    if pa.types.is_list(kind):
        ends = np.cumsum([len(value or ()) for value in values], dtype=np.int32)
        elements = column_of([element for value in values for element in value or ()], kind.value_type)
        return pa.ListArray.from_arrays(numbers(offsets(ends)), elements, mask=flags(missing))
    return numbers(np.array([0 if value is None else value for value in values], _NUMPY[kind]), missing)


def numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """A copy of an array of integers or floats; null where it is ``missing``."""
    validity = None if missing is None else bits(~missing)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [validity, _buffer(values)])


def numpy_of(column: pa.Array) -> NDArray[Any]:
    """A column of integers without nulls as numpy's array, not copied."""
    kind = _NUMPY[column.type]
    return np.frombuffer(column.buffers()[1], kind, len(column), column.offset * np.dtype(kind).itemsize)


def flags(values: NDArray[np.bool_]) -> pa.Array:
    """Booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits(values)])


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Texts, null where they are None."""
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int32)
    present = np.array([value is not None for value in values], np.bool_)
    return _texts(b"".join(encoded), ends, present)


def texts_of(data: NDArray[np.uint8], ends: NDArray[np.int32], present: NDArray[np.bool_]) -> pa.StringArray:
    """Texts from UTF-8 bytes, one after the other; where each ends."""
    return _texts(data.tobytes(), ends, present)


def _texts(data: bytes, ends: NDArray[np.int32], present: NDArray[np.bool_]) -> pa.StringArray:
    return pa.StringArray.from_buffers(len(ends), _buffer(offsets(ends)), pa.py_buffer(data), bits(present))


def lists(values: Sequence[Sequence[str] | None]) -> pa.ListArray:
    """Lists of texts; None is an empty one."""
    return column_of([value or () for value in values], pa.list_(pa.string()))


def dates(values: Sequence[date | None]) -> pa.Array:
    """Dates, null where they are None."""
    days = np.array([0 if value is None else value.toordinal() - _EPOCH for value in values], np.int32)
    present = np.array([value is not None for value in values], np.bool_)
    return pa.Array.from_buffers(pa.date32(), len(values), [bits(present), _buffer(days)])


def offsets(ends: NDArray[np.int32]) -> NDArray[np.int32]:
    """Arrow's offsets: where each value begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int32), ends])


def bits(values: NDArray[np.bool_]) -> pa.Buffer:
    """One bit each."""
    return _buffer(np.packbits(values, bitorder="little"))


def _buffer(values: NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(values.copy())
