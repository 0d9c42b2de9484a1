"""Pickled checkpoints without running them: Paddle 1.x to 3.x files, torch zip files and older torch files.

A pickle is a program. This reader knows a handful of stand-ins that build arrays and plain containers; every other name
a pickle asks for is refused by name. Nothing is imported, and a ``ReadBudget`` in proportion to the file bounds the
steps that are taken and the bytes that are made, so that shared and nested objects cannot cost more than they weigh.
"""
from __future__ import annotations

import functools
import io
import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ernie.checkpoints.formats.arrays import DIMENSIONS, from_bytes, plain
from reader.utils.errors import InputError

SMALL = 1 << 26   # bytes of a torch pickle apart from its tensors
STEPS = 500_000   # opcodes of a file: a tensor takes about fifty
BYTES = 1 << 26   # made from a file, beside four times its own size
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_TYPES = {"Float": "<f4", "Half": "<f2", "BFloat16": "bfloat16", "Double": "<f8", "Long": "<i8", "Int": "<i4",
               "Short": "<i2", "Char": "<i1", "Byte": "<u1", "Bool": "|b1"}
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
        content = _Unpickler(file, budget).load()
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


class ReadBudget:
    """A limit on the steps and bytes of reading a file.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int):
        self.steps, self.bytes = STEPS, BYTES + 4 * size

    def step(self) -> None:
        """Count one opcode."""
        self.steps -= 1
        if self.steps < 0:
            raise pickle.UnpicklingError(f"more than {STEPS:,} steps")

    def charge(self, size: int) -> None:
        """Count bytes that are made, or entries of a container."""
        self.bytes -= size
        if self.bytes < 0:
            raise pickle.UnpicklingError("unpacks to far more than a file of this size can hold")


def write_pickle(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a ``.pdparams`` file that every Paddle version loads."""
    with open(path, "wb") as file:
        pickle.dump({name: np.array(array) for name, array in arrays.items()}, file, protocol=4)


def _read_torch_zip(path: Path, file: mmap.mmap, budget: ReadBudget):
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if sum(info.file_size for info in members.values()) > len(file) + 4096:
            raise InputError("is a compressed torch archive, which torch never writes", path)
        if members["data.pkl"].file_size > SMALL:
            raise InputError("its index is too large", path)

        @functools.cache  # a storage that many tensors share is read once
        def storage(kind, key, count):
            return functools.cache(lambda: from_bytes(archive.read(members[f"data/{key}"]), kind, (count,)))

        content = _Unpickler(io.BytesIO(archive.read(members["data.pkl"])), budget, storage).load()
        if isinstance(content, dict):
            return {name: _resolved(value) for name, value in content.get("state_dict", content).items()}
        return content


def _read_torch_stream(path: Path, file: mmap.mmap, budget: ReadBudget):
    stored: dict = {}
    kinds: dict = {}

    @functools.cache
    def storage(kind, key, count):
        kinds[key] = kind
        return functools.cache(lambda: from_bytes(*stored[key], (count,)))

    if _Unpickler(file, budget).load() != TORCH_MAGIC:
        raise pickle.UnpicklingError("not a torch file")
    _Unpickler(file, budget).load(), _Unpickler(file, budget).load()  # protocol version, byte order of the machine
    content = _Unpickler(file, budget, storage).load()
    for key in _Unpickler(file, budget).load():
        kind, count = kinds[_atom(key)], int.from_bytes(file.read(8), "little")
        stored[key] = file.read(count * _item_size(kind)), kind
    return content


def _item_size(kind: str) -> int:
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def _atom(key):
    """A key of a mapping or set: one of these costs nothing to hash and to print."""
    if isinstance(key, int) and key.bit_length() > 64 or not isinstance(key, (str, int, float, bytes, type(None))):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
    return key


def _counted(load):
    def step(self):
        self.budget.step()
        load(self)
    return step


def _keys_checked(load, keys):
    """An opcode that hashes what ``keys`` finds on the stack: shared tuples inside one another take for ever."""
    def step(self):
        self.budget.step()
        for key in keys(self.stack):
            _atom(key)
        load(self)
    return step


HASHING = {pickle.SETITEM: lambda stack: stack[-2:-1], pickle.SETITEMS: lambda stack: stack[::2],
           pickle.DICT: lambda stack: stack[::2], pickle.ADDITEMS: lambda stack: stack,
           pickle.FROZENSET: lambda stack: stack}


class _Unpickler(pickle._Unpickler):  # the one in Python: the one in C takes memory by numbers that a file states
    """Builds arrays and plain containers, refuses every other name."""

    dispatch: ClassVar[Any] = {code: _counted(load) for code, load in pickle._Unpickler.dispatch.items()}
    dispatch.update({code[0]: _keys_checked(pickle._Unpickler.dispatch[code[0]], keys)
                     for code, keys in HASHING.items()})

    def __init__(self, file, budget: ReadBudget, storage=None):
        super().__init__(file, encoding="latin1")
        self.budget, self.storage = budget, storage

    def find_class(self, module: str, name: str):
        module = {"__builtin__": "builtins"}.get(module, module)  # as Python 2 called it
        if f"{module}.{name}" in METERED:
            return functools.partial(METERED[f"{module}.{name}"], self.budget)
        found = ALLOWED.get(f"{module}.{name}")
        if found is None and module in ("torch", "torch.storage") and name.endswith("Storage"):
            kind = TORCH_TYPES.get(name[:-len("Storage")])
            found = kind and _StorageType(kind)
        if found is None:
            raise _Refused(f"{module}.{name}")
        return found

    def persistent_load(self, key):
        if self.storage is None or not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage":
            raise pickle.UnpicklingError("unknown kind of external object")
        if not isinstance(key[1], _StorageType):
            raise pickle.UnpicklingError("a storage of unknown type")
        return self.storage(key[1].kind, str(_atom(key[2])), int(key[4]))

    def load_bytearray8(self):
        """As the original, without taking the stated size before the bytes are there."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_build(self):
        """As the original, for the objects that carry a state; the original would set attributes of anything."""
        self.budget.step()
        state, instance = self.stack.pop(), self.stack[-1]
        if isinstance(instance, _Array):
            instance.set_state(self.budget, state)
        elif isinstance(instance, _DType):
            instance.__setstate__(state)
        elif not isinstance(instance, OrderedDict):  # torch hangs version numbers on it, which nobody needs
            raise pickle.UnpicklingError(f"unexpected state of a {type(instance).__name__}")

    dispatch[pickle.BUILD[0]] = load_build

    def load_reduce(self):
        """As the original, for the few arguments that the stand-ins take."""
        self._few_arguments()
        super().load_reduce()

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self):
        """As the original, for the few arguments that the stand-ins take."""
        self._few_arguments()
        super().load_newobj()

    dispatch[pickle.NEWOBJ[0]] = load_newobj
    del dispatch[pickle.NEWOBJ_EX[0]]

    def _few_arguments(self):
        self.budget.step()
        if not isinstance(self.stack[-1], tuple) or len(self.stack[-1]) > 16:
            raise pickle.UnpicklingError("a call with unexpected arguments")


class _Refused(Exception):
    """A pickle asked for a name that no checkpoint needs."""


class _StorageType:
    def __init__(self, kind: str):
        self.kind = kind


class _DType:
    """Stands for numpy.dtype while a pickle is read."""

    def __init__(self, code, align=False, copy=False):
        self.code, self.order = str(_atom(code)), "<"

    def __setstate__(self, state):
        order = str(_atom(state[1]))
        self.order = {"|": "<", "=": "<"}.get(order, order)

    def numpy(self) -> np.dtype:
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise _Refused(f"an array of {self.code}")
        return dtype


class _Array:
    """Stands for numpy.ndarray: becomes an array when the pickle states its shape, type and bytes."""

    value = None

    def __init__(self, *_):
        pass

    def set_state(self, budget: ReadBudget, state) -> None:
        """Take a state as numpy's __setstate__ does."""
        _, shape, dtype, fortran, raw = state
        self.value = _frombuffer(budget, raw, dtype, shape, "F" if fortran else "C")


def _frombuffer(budget: ReadBudget, raw, dtype, shape, order):
    """numpy._core.numeric._frombuffer, what pickle protocol 5 uses for arrays."""
    dtype, shape = dtype.numpy(), _sizes(shape)
    if not isinstance(raw, (bytes, bytearray, str)):
        raise pickle.UnpicklingError(f"an array over a {type(raw).__name__}")
    if not isinstance(raw, bytes):
        budget.charge(len(raw))
        raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    array = from_bytes(raw, dtype, shape[::-1] if order == "F" else shape)
    return array.T if order == "F" else array


def _sizes(shape) -> tuple:
    if not isinstance(shape, (tuple, list)) or len(shape) > DIMENSIONS:
        raise pickle.UnpicklingError("an array of unknown shape")
    return tuple(int(size) for size in shape)


def _encode(budget: ReadBudget, text, encoding):
    """_codecs.encode, by which protocol 2 carries bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("unexpected encoded bytes")
    budget.charge(len(text))
    return text.encode("latin1")


def _evaluate(code, scope=None, *_):
    """Paddle writes a bare tensor as ``eval('data', {'data': array})``: this looks the name up, no more."""
    if code != "data" or not isinstance(scope, dict) or len(scope) != 1 or "data" not in scope:
        raise _Refused(f"eval of '{_atom(code)}'")
    return scope["data"]


def _tensor(storage, offset, shape, stride, *_):
    """torch._utils._rebuild_tensor_v2: a view of a storage, made when its bytes have been read."""
    def view():
        data, size, steps = storage(), _sizes(shape), _sizes(stride)
        last = int(offset) + sum((n - 1) * step for n, step in zip(size, steps))
        if min((*size, *steps, int(offset))) < 0 or len(size) != len(steps) or math.prod(size) > len(data) or (
                all(size) and last >= len(data)):
            raise ValueError("tensor lies outside its storage")
        if 0 in size:
            return np.zeros(size, data.dtype)
        return np.lib.stride_tricks.as_strided(
            data[int(offset):], size, [step * data.itemsize for step in steps], writeable=False)
    return view


def _parameter(value, *_):
    return value


def _container(kind):
    def make(budget: ReadBudget, content=(), *_):
        if not isinstance(content, (tuple, list, dict, set)):
            raise pickle.UnpicklingError(f"a {kind.__name__} of a {type(content).__name__}")
        budget.charge(64 * len(content))
        if kind is set:
            content = [_atom(item) for item in content]
        elif issubclass(kind, dict):
            pairs = content.items() if isinstance(content, dict) else content
            content = [(_atom(key), value) for key, value in pairs]
        return kind(content)
    return make


ALLOWED = {"torch._utils._rebuild_tensor_v2": _tensor, "torch._utils._rebuild_parameter": _parameter,
           "numpy.ndarray": _Array, "numpy.dtype": _DType, "builtins.eval": _evaluate}
ALLOWED.update({f"{core}.multiarray._reconstruct": _Array for core in ("numpy.core", "numpy._core")})
METERED = {"_codecs.encode": _encode, "collections.OrderedDict": _container(OrderedDict)}  # called with the budget
METERED.update({f"{core}.numeric._frombuffer": _frombuffer for core in ("numpy.core", "numpy._core")})
METERED.update({f"builtins.{kind.__name__}": _container(kind) for kind in (tuple, list, dict, set)})


def _resolved(value):
    return value() if callable(value) else value


def _array(value, name, path, budget: ReadBudget) -> np.ndarray:
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

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, _Refused):
            raise InputError(f"asks to load {plain(error)}: a checkpoint may hold arrays and plain containers only, "
                             "nothing was run", self.path) from None
        if isinstance(error, DAMAGE) and not isinstance(error, InputError):
            raise InputError(f"not a whole checkpoint ({plain(str(error) or type(error).__name__)})",
                             self.path) from None


class _mapped:
    """A file mapped into memory: reading past its end gives what is there."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self):
        try:
            with open(self.path, "rb") as file:
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error})", self.path) from None
        return self.map

    def __exit__(self, *_):
        self.map.close()
