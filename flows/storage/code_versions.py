"""Digests of the code that results depend on besides their inputs: a part of every cache key.

The modules are found by following imports through ``transforms`` and ``schemas``. Modules of ``flows`` count if they
are named: most of them move data and do not change it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import cast

_FOLLOWED = ("schemas", "transforms")
_IMPORT = re.compile(
    rf"^[ \t]*(?:from|import)[ \t]+((?:{'|'.join(_FOLLOWED)})\b[\w.]*)(?:[ \t]+import[ \t]+(\([^)]*\)|[^\n]*))?",
    re.MULTILINE,
)
_NATIVE = (".c", ".h")  # sources of a compiled kernel, beside the modules that call it
_LENGTH = 40


def digest_of(*values: object) -> str:
    """40 hex digits, the same for the same values on every machine."""
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:_LENGTH]


@cache
def code_version(*modules: str) -> str:
    """The digest of the source of these modules and of what they import from ``transforms`` and ``schemas``."""
    return digest_of([(name, hashlib.sha256(source).hexdigest()) for name, source in sorted(_sources(modules).items())])


def _sources(modules: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            waiting += _imported(found[name].decode())
    return found


def _source(name: str) -> bytes:
    """The source of a module; of a package, its C files too."""
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
