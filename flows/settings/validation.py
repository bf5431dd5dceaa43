"""A configuration validated by its models: the values, the errors by key, and the JSON schema for editors.

Imported only where a configuration is read: pydantic takes longer to import than some commands to run.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.settings.model import Settings, nearest
from flows.settings.values import Config
from transforms.errors import UsageError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_settings(written: Mapping[str, object], path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration that parsed TOML says.

    Raises:
        UsageError: one line ``tic-rates.toml: payer[0].name: what is wrong; what to write`` for each thing wrong.
    """
    try:
        return Settings.model_validate(written, context={"environ": environ}).value(path.absolute())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    schema = settings_schema()
    raise UsageError("\n".join(_line(path, schema, each["type"], each["loc"], each["msg"]) for each in found))


def settings_schema() -> dict[str, Any]:
    """The JSON schema of `tic-rates.toml`, for editors."""
    return {"title": "tic-rates.toml"} | Settings.model_json_schema()


_WORDS = {
    "missing": "is missing",
    "list_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "string_type": "should be text",
    "string_too_short": "is blank",
}


def _line(path: Path, schema: dict[str, Any], kind: str, place: tuple[int | str, ...], message: str) -> str:
    keys = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in place).lstrip(".")
    if kind == "extra_forbidden":
        return f"{path}: {keys}: unknown key; {_known(schema, place)}"
    what = _WORDS.get(kind) or message.removeprefix("Value error, ").removeprefix("Input ")
    node = _node(schema, place)
    example = next(iter(node.get("examples", [])), node.get("default"))
    if ";" in what or example is None or isinstance(example, dict):
        return f"{path}: {keys}: {what}"
    name = "" if isinstance(place[-1], int) else f"{_shown(place[-1])} = "
    return f"{path}: {keys}: {what}; write {name}{json.dumps(example)}"


def _known(schema: dict[str, Any], place: tuple[int | str, ...]) -> str:
    """What was meant by an unknown key, or where it belongs, or what is known there."""
    name, here = str(place[-1]), _node(schema, place[:-1]).get("properties", {})
    guess = nearest(name, here)
    if guess is not None:
        return f"did you mean {guess}?"
    if name in schema["properties"]:
        return "it belongs at the top of the file, before the first [section]"
    for section in schema["properties"]:
        if name in _node(schema, (section,)).get("properties", {}):
            return f"it belongs in [{section}]"
    if place[:2] == ("http", "hosts"):
        return 'a host\'s name has dots: write it in quotes, [http.hosts."mrf.example.com"]'
    return f"known here: {', '.join(here)}"


def _node(schema: dict[str, Any], place: Iterable[int | str]) -> dict[str, Any]:
    """The part of the schema that describes a place; empty where there is none."""
    node = schema
    for part in place:
        inside = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
        node = inside or node.get("additionalProperties") or {}
        node = node if isinstance(node, dict) else {}
        if "$ref" in node:
            node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **node}
    return node


def _shown(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)
