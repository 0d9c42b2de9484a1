"""Configuration: dataclasses read strictly from yaml or json, overridden by dotted keys."""
from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import yaml

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean


def read_yaml(path) -> dict:
    """The mapping in a yaml or json file; InputError names file and line of a syntax error."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError("no such configuration file", path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", path) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"not valid yaml: {getattr(error, 'problem', error)}", path,
                         mark.line + 1 if mark else None) from None
    if not isinstance(content, dict):
        raise InputError(f"holds {type(content).__name__}, expected a mapping of keys to values", path)
    return content


def override(mapping: dict, assignments: typing.Iterable[str]) -> dict:
    """``mapping`` with ``a.b=value`` assignments put in, values read as yaml. Changes nothing in place."""
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


def build(cls, mapping: dict, where: str):
    """An instance of dataclass ``cls``; unknown keys, missing keys and wrong types are InputErrors that say what to do.

    Args:
        where: named in errors: a file, or a file and key.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for key, value in mapping.items():
        if key not in fields:
            near = did_you_mean(key, fields) or f" (known: {', '.join(fields)})"
            raise InputError(f"unknown key {key!r}{near}", where)
        values[key] = _convert(hints[key], value, f"{where}: {key}")
    missing = [name for name, field in fields.items() if name not in values
               and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING]
    if missing:
        raise InputError(f"missing key {missing[0]!r}", where)
    try:
        return cls(**values)
    except InputError as error:
        raise InputError(error.reason, error.path or where, error.line) from None


def _scalar(text: str, assignment: str):
    """yaml's reading of the value in an assignment, plus floats like 1e-4, which yaml 1.1 takes for text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", error)
        raise InputError(f"--set {assignment!r}: the value is not valid yaml ({reason})") from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _convert(hint, value, where: str):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:  # Optional[...]
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise InputError(f"expected a mapping, found {value!r}", where)
        return build(hint, value, where)
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # yaml reads 5e-5 as text
        except ValueError:
            pass
    expected = origin or hint
    if expected in (int, float, str, bool, list, dict) and \
            (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
        raise InputError(f"expected {expected.__name__}, found {value!r}", where)
    return value
