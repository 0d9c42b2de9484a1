"""Configuration: dataclasses read strictly from yaml or json, overridden by dotted keys."""
from __future__ import annotations

import contextlib
import dataclasses
import math
import reprlib
import typing
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

LARGEST_FILE = 1 << 18  # bytes
MOST_VALUES = 10_000    # in a file, with every alias written out


class _Loader(yaml.SafeLoader):
    """yaml's safe loader, which also refuses duplicate keys and aliases that unfold to more than a file could hold."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        self._size(node, {})
        return node

    def _size(self, node: yaml.Node | None, known: dict[int, int]) -> int:
        """Return how many values a node stands for with its aliases written out."""
        if not isinstance(node, yaml.CollectionNode):
            return 1
        if id(node) in known:
            if known[id(node)] < 0:
                raise yaml.MarkedYAMLError(problem="an alias inside the value that it stands for",
                                           problem_mark=node.start_mark)
            return known[id(node)]
        known[id(node)] = -1
        parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        size = 1 + sum(self._size(part, known) for part in parts)
        if size > MOST_VALUES:
            raise yaml.MarkedYAMLError(problem=f"more than {MOST_VALUES:,} values", problem_mark=node.start_mark)
        known[id(node)] = size
        return size

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":  # keys merged from elsewhere may be overridden
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} is given twice",
                                               problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the mapping in a yaml or json file.

    Raises:
        InputError: the file cannot be read, is larger than a configuration, gives a key twice, or is not valid yaml;
            the line is named.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise InputError(f"is larger than {LARGEST_FILE:,} bytes: not a configuration", path)
        found = _parse(content.decode("utf-8"))
    except FileNotFoundError:
        raise InputError("no such configuration file", path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", path) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"not valid yaml: {_problem(error)}", path, mark.line + 1 if mark else None) from None
    if not isinstance(found, dict):
        raise InputError(f"holds {type(found).__name__}, expected a mapping of keys to values", path)
    return found


def override(mapping: dict, assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``mapping`` with ``a.b=value`` assignments put in, values read as yaml. Changes nothing in place."""
    result = dict(mapping)
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise InputError(f"--set {assignment!r}: expected key=value, for example optimizer.learning_rate=1e-4")
        *parents, last = key.split(".")
        node = result
        for parent in parents:
            child = node.get(parent)
            node[parent] = dict(child) if isinstance(child, dict) else {}
            node = node[parent]
        node[last] = _scalar(text, assignment)
    return result


def build(cls: Any, mapping: Any, where: str, strict: bool = True) -> Any:
    """Make an instance of dataclass ``cls`` from plain containers.

    Field types may be nested dataclasses, ``list[X]``, ``dict[str, X]``, ``Optional[X]``, and any of these annotated
    with the limits of ``ernie.utils.limits``. A dataclass with a class variable ``shorthand`` may be given as one
    word: the value of the field that it names.

    Args:
        where: named in errors: a file, or a file and key.
        strict: False for what this package has written itself, perhaps another version of it: unknown keys are left
            out, and numbers may be infinite or nan.
    Raises:
        InputError: an unknown or missing key, a value of the wrong type or outside its limits.
    """
    shorthand = getattr(cls, "shorthand", "")
    if shorthand and isinstance(mapping, str):
        mapping = {shorthand: mapping}
    if not isinstance(mapping, dict):
        raise InputError(f"expected a mapping, found {reprlib.repr(mapping)}", where)
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for key, value in mapping.items():
        if key not in fields and not strict:
            continue
        if key not in fields:
            near = did_you_mean(key, fields) or f" (known: {', '.join(fields)})"
            raise InputError(f"unknown key {reprlib.repr(key)}{near}", where)
        values[key] = _convert(hints[key], value, f"{where}: {key}", strict)
    missing = [name for name, field in fields.items() if name not in values
               and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING]
    if missing:
        raise InputError(f"missing key {missing[0]!r}", where)
    try:
        return cls(**values)
    except InputError as error:
        raise InputError(error.reason, error.path or where, error.line) from None


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except (ValueError, TypeError, OverflowError) as error:  # a number or date that Python cannot hold
        raise yaml.YAMLError(str(error)) from None


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error).replace("\n", " ")


def _scalar(text: str, assignment: str) -> Any:
    """yaml's reading of the value in an assignment, plus floats like 1e-4, which yaml 1.1 takes for text."""
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {assignment!r}: the value is not valid yaml ({_problem(error)})") from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _convert(hint: Any, value: Any, where: str, strict: bool) -> Any:
    """Return ``value`` as the type that ``hint`` asks for, checked against its limits."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        value = _convert(arguments[0], value, where, strict)
        for limit in arguments[1:]:
            fault = "" if value is None else limit.fault(value)
            if fault:
                raise InputError(f"{reprlib.repr(value)} {fault}", where)
        return value
    if origin is typing.Union:  # Optional[X]
        return None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, where,
                                                    strict)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where, strict)
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            value = float(value)  # yaml reads 5e-5 as text
    expected = origin or hint
    if expected in (int, float, str, bool, list, dict) and \
            (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
        raise InputError(f"expected {expected.__name__}, found {reprlib.repr(value)}", where)
    if strict and expected is float and not math.isfinite(value):
        raise InputError(f"{value} is not a finite number", where)
    if origin is list:
        return [_convert(arguments[0], item, f"{where}[{number}]", strict) for number, item in enumerate(value)]
    if origin is dict:
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise InputError(f"key {reprlib.repr(odd[0])} is not text", where)
        return {key: _convert(arguments[1], item, f"{where}.{key}", strict) for key, item in value.items()}
    return value
