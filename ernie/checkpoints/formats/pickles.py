"""Pickled checkpoints: Paddle 1.x to 3.x files, torch zip files and older torch files, read without running them."""
from __future__ import annotations

import functools
import io
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ernie.checkpoints.formats.arrays import from_bytes, plain
from ernie.checkpoints.formats.unpickler import ReadBudget, Refused, Unpickler, atom
from reader.utils.errors import InputError

SMALL = 1 << 26   # bytes of a torch pickle apart from its tensors
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError,
          OverflowError, RecursionError, AssertionError, NotImplementedError, struct.error, zipfile.BadZipFile, OSError)


def read_paddle(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named arrays of a ``.pdparams`` file of any Paddle version.

    Raises:
        InputError: damaged, or it holds something other than arrays and plain containers.
    """
    path = Path(path)
    with _mapped(path) as file, _damage_told(path):
        budget = ReadBudget(len(file))
        content = Unpickler(file, budget).load()
        if not isinstance(content, dict):
            raise InputError(f"holds a {type(content).__name__}, not named arrays", path)
        slices = content.pop("UnpackBigParamInfor@@", {})  # protocols before 4 cut arrays of more than 4 GB
        content.pop("StructuredToParameterName@@", None)
        for name, info in slices.items():
            parts = [content.pop(part) for part in info["slices"]]
            whole = np.concatenate([_array(part, name, path, budget) for part in parts])
            content[name] = whole.reshape(info["OriginShape"])
        return {str(name): _array(value, name, path, budget) for name, value in content.items()}


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named arrays of a ``pytorch_model.bin``: the zip form of torch 1.6 and later, or the form before it."""
    path = Path(path)
    with _mapped(path) as file, _damage_told(path):
        budget = ReadBudget(len(file))
        read_form = _read_torch_zip if file[:4] == b"PK\x03\x04" else _read_torch_stream
        content = read_form(path, file, budget)
        content = content.get("state_dict", content) if isinstance(content, dict) else content
        if not isinstance(content, dict):
            raise InputError(f"holds a {type(content).__name__}, not named tensors", path)
        return {str(name): _array(_resolved(value), name, path, budget) for name, value in content.items()}


def write_pickle(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a ``.pdparams`` file that every Paddle version loads."""
    with open(path, "wb") as file:
        pickle.dump({name: np.array(array) for name, array in arrays.items()}, file, protocol=4)


def _read_torch_zip(path: Path, file: mmap.mmap, budget: ReadBudget) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > len(file) + 4096:
            raise InputError("is a compressed torch archive, which torch never writes", path)
        if members["data.pkl"].file_size > SMALL:
            raise InputError("its index is too large", path)

        @functools.cache  # a storage that many tensors share is read once
        def storage(kind: str, key: str, count: int) -> Callable[[], np.ndarray]:
            return functools.cache(lambda: from_bytes(archive.read(members[f"data/{key}"]), kind, (count,)))

        content = Unpickler(io.BytesIO(archive.read(members["data.pkl"])), budget, storage).load()
        if isinstance(content, dict):
            return {name: _resolved(value) for name, value in content.get("state_dict", content).items()}
        return content


def _read_torch_stream(path: Path, file: mmap.mmap, budget: ReadBudget) -> Any:
    stored: dict[str, tuple[bytes, str]] = {}
    kinds: dict[str, str] = {}

    @functools.cache
    def storage(kind: str, key: str, count: int) -> Callable[[], np.ndarray]:
        kinds[key] = kind
        return functools.cache(lambda: from_bytes(*stored[key], (count,)))

    if Unpickler(file, budget).load() != TORCH_MAGIC:
        raise pickle.UnpicklingError("not a torch file")
    Unpickler(file, budget).load(), Unpickler(file, budget).load()  # protocol version, byte order of the machine
    content = Unpickler(file, budget, storage).load()
    for key in Unpickler(file, budget).load():
        kind, count = kinds[atom(key)], int.from_bytes(file.read(8), "little")
        stored[key] = file.read(count * _item_size(kind)), kind
    return content


def _item_size(kind: str) -> int:
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def _resolved(value: Any) -> Any:
    return value() if callable(value) else value


def _array(value: Any, name: Any, path: Path, budget: ReadBudget) -> np.ndarray:
    """The array behind one entry: an array, or Paddle's (tensor name, array).

    Its bytes are charged: arrays may share their memory, as tied weights do, but not without measure, since whoever
    uses them makes a copy of each.
    """
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    value = getattr(value, "value", value)
    if isinstance(value, np.ndarray):
        budget.charge(value.nbytes)
    if isinstance(value, np.ndarray) and value.dtype == np.uint16:  # how Paddle hands bfloat16 to numpy
        return from_bytes(value.tobytes(), "bfloat16", value.shape)
    if not isinstance(value, np.ndarray):
        raise InputError(f"entry '{plain(name)}' is a {type(value).__name__}, not an array", path)
    return value


class _damage_told:
    """Turns whatever a damaged file makes the reader raise into one line."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> _damage_told:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Refused):
            raise InputError(f"asks to load {plain(error)}: a checkpoint may hold arrays and plain containers only, "
                             "nothing was run", self.path) from None
        if isinstance(error, DAMAGE) and not isinstance(error, InputError):
            raise InputError(f"not a whole checkpoint ({plain(str(error) or type(error).__name__)})",
                             self.path) from None


class _mapped:
    """A file mapped into memory: reading past its end gives what is there."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> mmap.mmap:
        try:
            with open(self.path, "rb") as file:
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error})", self.path) from None
        return self.map

    def __exit__(self, *_: Any) -> None:
        self.map.close()
