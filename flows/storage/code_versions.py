"""Digests of the code and constants that results depend on besides their inputs: a part of every cache key.

The modules are found by following imports through ``transforms`` and ``schemas``, so that no list of them has to be
kept. Modules of ``flows`` count where they are named: most of them move data and do not change it.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from typing import cast

_FOLLOWED = ("schemas", "transforms")
_IMPORT = re.compile(
    rf"^[ \t]*(?:from|import)[ \t]+((?:{'|'.join(_FOLLOWED)})\b[\w.]*)(?:[ \t]+import[ \t]+(\([^)]*\)|[^\n]*))?",
    re.MULTILINE,
)
_NATIVE = (".c", ".h")  # sources of a compiled kernel, beside the modules that call it
_LENGTH = 40


def digest_of(*stated: object) -> str:
    """40 hex digits: the same for the same statements, on every machine."""
    return hashlib.sha256(json.dumps(stated, default=str).encode()).hexdigest()[:_LENGTH]


@cache
def code_version(*modules: str, without: str | None = None) -> str:
    """Of these modules' source and that of what they import from ``transforms`` and ``schemas``.

    Args: without: a module that is neither counted nor followed.
    """
    return digest_of([(name, hashlib.sha256(source).hexdigest()) for name, source in _sources(modules, without)])


def rules_version(*modules: str) -> str:
    """``code_version``, and the constants and functions that those modules hold now. Imports them."""
    return digest_of(code_version(*modules), [(name, _held(name)) for name, _ in _sources(modules, None)])


@cache
def _sources(modules: tuple[str, ...], without: str | None) -> list[tuple[str, bytes]]:
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name != without:
            found[name] = _source(name)
            waiting += _imported(found[name].decode())
    return sorted(found.items())


def _source(name: str) -> bytes:
    """A module's source; of a package, with that of its compiled parts."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, f"no module {name}"
    source = cast("Callable[[str], bytes]", spec.loader.get_data)(spec.origin)  # type: ignore[union-attr]
    if spec.submodule_search_locations is None:
        return source
    native = [each for each in resources.files(name).iterdir() if each.name.endswith(_NATIVE)]
    return source + b"".join(each.read_bytes() for each in sorted(native, key=lambda each: each.name))


def _imported(source: str) -> Iterator[str]:
    for module, names in _IMPORT.findall(source):
        spec = find_spec(module)
        if spec is None:  # a sentence in a docstring
            continue
        yield module
        if spec.submodule_search_locations is not None:
            candidates = (f"{module}.{name}" for name in re.findall(r"\w+", names))
            yield from (candidate for candidate in candidates if find_spec(candidate) is not None)


def _held(name: str) -> list[tuple[str, object]]:
    held = sorted(vars(import_module(name)).items())
    return [(key, stated) for key, value in held if not key.startswith("__") and (stated := _stated(value))]


def _stated(value: object) -> object:
    """A constant as text, a function or class by where it is defined; None for what is neither."""
    if callable(value):
        return getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if dataclasses.is_dataclass(value):
        return [type(value).__name__, *(_stated(getattr(value, field.name)) for field in dataclasses.fields(value))]
    if isinstance(value, Mapping):
        return [(str(key), _stated(held)) for key, held in value.items()]
    if isinstance(value, (tuple, list)):
        return list(map(_stated, value))
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_stated(held)) for held in value)
    text = repr(value)
    return None if text.startswith("<") else text  # modules, loggers: their text names places in memory
