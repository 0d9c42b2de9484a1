"""Conversion between Chinese scripts, by OpenCC."""
from __future__ import annotations

from typing import Any

from reader.utils.errors import InputError


def open_converter(name: str) -> Any:
    """Open an OpenCC converter such as t2s.

    Raises:
        InputError: OpenCC is missing, or has no such configuration.
    """
    try:
        import opencc
    except ImportError:
        raise InputError("convert needs OpenCC: pip install OpenCC (or the extra: ernie-pretrain[zh])") from None
    try:
        return opencc.OpenCC(name)
    except Exception as error:
        raise InputError(f"unknown OpenCC configuration {name!r} ({error})") from None
