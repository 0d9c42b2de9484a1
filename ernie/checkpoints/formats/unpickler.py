"""Unpickling without running anything: a handful of stand-ins build arrays and plain containers.

A pickle is a program. Every name that is not among the stand-ins is refused by name. Nothing is imported, and a
``ReadBudget`` in proportion to the file bounds the steps that are taken and the bytes that are made, so that shared and
nested objects cannot cost more than they weigh.
"""
from __future__ import annotations

import functools
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from ernie.checkpoints.formats.arrays import DIMENSIONS, from_bytes

STEPS = 500_000   # opcodes of a file: a tensor takes about fifty
BYTES = 1 << 26   # made from a file, beside four times its own size
TORCH_TYPES = {"Float": "<f4", "Half": "<f2", "BFloat16": "bfloat16", "Double": "<f8", "Long": "<i8", "Int": "<i4",
               "Short": "<i2", "Char": "<i1", "Byte": "<u1", "Bool": "|b1"}
Opcode = Callable[[Any], None]  # a method of the unpickler
ORIGINAL: Any = pickle._Unpickler.dispatch  # opcode -> method
Storage = Callable[[str, str, int], Callable[[], np.ndarray]]  # (type, key, values) -> what reads the values


class Readable(Protocol):
    """A file as far as an unpickler reads one: open in binary mode, in memory, or mapped."""

    def read(self, n: int = ..., /) -> bytes:
        """Return up to ``n`` bytes."""

    def readline(self) -> bytes:
        """Return the bytes up to the end of the line."""


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


def atom(key: Any) -> Any:
    """Return a key of a mapping or set, which costs nothing to hash and to print; refuse any other."""
    if isinstance(key, int) and key.bit_length() > 64 or not isinstance(key, (str, int, float, bytes, type(None))):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
    return key


def _counted(load: Opcode) -> Opcode:
    def step(self: Any) -> None:
        self.budget.step()
        load(self)
    return step


def _keys_checked(load: Opcode, keys: Callable[[list], list]) -> Opcode:
    """An opcode that hashes what ``keys`` finds on the stack: shared tuples inside one another take for ever."""
    def step(self: Any) -> None:
        self.budget.step()
        for key in keys(self.stack):
            atom(key)
        load(self)
    return step


HASHING = {pickle.SETITEM: lambda stack: stack[-2:-1], pickle.SETITEMS: lambda stack: stack[::2],
           pickle.DICT: lambda stack: stack[::2], pickle.ADDITEMS: lambda stack: stack,
           pickle.FROZENSET: lambda stack: stack}


class Unpickler(pickle._Unpickler):  # the one in Python: the one in C takes memory by numbers that a file states
    """Builds arrays and plain containers, refuses every other name.

    Args:
        storage: (type, key, values) -> what reads a storage of torch that lies outside the pickle.

    Raises:
        Refused: the pickle names what no checkpoint needs. UnpicklingError: it is damaged, which other errors of
            Python may tell as well.
    """

    append: Callable[[Any], None]  # what the original has and typeshed does not know
    read: Callable[[int], bytes]
    stack: list[Any]
    dispatch: ClassVar[Any] = {code: _counted(load) for code, load in ORIGINAL.items()}
    dispatch.update({code[0]: _keys_checked(ORIGINAL[code[0]], keys)
                     for code, keys in HASHING.items()})

    def __init__(self, file: Readable, budget: ReadBudget, storage: Storage | None = None):
        super().__init__(file, encoding="latin1")
        self.budget, self.storage = budget, storage

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name."""
        module = {"__builtin__": "builtins"}.get(module, module)  # as Python 2 called it
        if f"{module}.{name}" in METERED:
            return functools.partial(METERED[f"{module}.{name}"], self.budget)
        found = ALLOWED.get(f"{module}.{name}")
        if found is None and module in ("torch", "torch.storage") and name.endswith("Storage"):
            kind = TORCH_TYPES.get(name[:-len("Storage")])
            found = kind and _StorageType(kind)
        if found is None:
            raise Refused(f"{module}.{name}")
        return found

    def persistent_load(self, key: Any) -> Callable[[], np.ndarray]:
        """Return what reads the storage that ``key`` describes."""
        if self.storage is None or not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage":
            raise pickle.UnpicklingError("unknown kind of external object")
        if not isinstance(key[1], _StorageType):
            raise pickle.UnpicklingError("a storage of unknown type")
        return self.storage(key[1].kind, str(atom(key[2])), int(key[4]))

    def load_bytearray8(self) -> None:
        """Do as the original, without taking the stated size before the bytes are there."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_build(self) -> None:
        """Do as the original, for the objects that carry a state; the original would set attributes of anything."""
        self.budget.step()
        state, instance = self.stack.pop(), self.stack[-1]
        if isinstance(instance, _Array):
            instance.set_state(self.budget, state)
        elif isinstance(instance, _DType):
            instance.__setstate__(state)
        elif not isinstance(instance, OrderedDict):  # torch hangs version numbers on it, which nobody needs
            raise pickle.UnpicklingError(f"unexpected state of a {type(instance).__name__}")

    dispatch[pickle.BUILD[0]] = load_build

    def load_reduce(self) -> None:
        """Do as the original, for the few arguments that the stand-ins take."""
        self._few_arguments()
        ORIGINAL[pickle.REDUCE[0]](self)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        """Do as the original, for the few arguments that the stand-ins take."""
        self._few_arguments()
        ORIGINAL[pickle.NEWOBJ[0]](self)

    dispatch[pickle.NEWOBJ[0]] = load_newobj
    del dispatch[pickle.NEWOBJ_EX[0]]

    def _few_arguments(self) -> None:
        self.budget.step()
        if not isinstance(self.stack[-1], tuple) or len(self.stack[-1]) > 16:
            raise pickle.UnpicklingError("a call with unexpected arguments")


class Refused(Exception):
    """A pickle asked for a name that no checkpoint needs."""


class _StorageType:
    def __init__(self, kind: str):
        self.kind = kind


class _DType:
    """Stands for numpy.dtype while a pickle is read."""

    def __init__(self, code: Any, *_: Any):
        self.code, self.order = str(atom(code)), "<"

    def __setstate__(self, state: Any) -> None:
        order = str(atom(state[1]))
        self.order = {"|": "<", "=": "<"}.get(order, order)

    def numpy(self) -> np.dtype:
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise Refused(f"an array of {self.code}")
        return dtype


class _Array:
    """Stands for numpy.ndarray: becomes an array when the pickle states its shape, type and bytes."""

    value: np.ndarray | None = None

    def __init__(self, *_: Any):
        pass

    def set_state(self, budget: ReadBudget, state: Any) -> None:
        """Take a state as numpy's __setstate__ does."""
        _, shape, dtype, fortran, raw = state
        self.value = _frombuffer(budget, raw, dtype, shape, "F" if fortran else "C")


def _frombuffer(budget: ReadBudget, raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """numpy._core.numeric._frombuffer, what pickle protocol 5 uses for arrays."""
    dtype, shape = dtype.numpy(), _sizes(shape)
    if not isinstance(raw, (bytes, bytearray, str)):
        raise pickle.UnpicklingError(f"an array over a {type(raw).__name__}")
    if not isinstance(raw, bytes):
        budget.charge(len(raw))
        raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    array = from_bytes(raw, dtype, shape[::-1] if order == "F" else shape)
    return array.T if order == "F" else array


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or len(shape) > DIMENSIONS:
        raise pickle.UnpicklingError("an array of unknown shape")
    return tuple(int(size) for size in shape)


def _encode(budget: ReadBudget, text: Any, encoding: Any) -> bytes:
    """_codecs.encode, by which protocol 2 carries bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("unexpected encoded bytes")
    budget.charge(len(text))
    return text.encode("latin1")


def _evaluate(code: Any, scope: Any = None, *_: Any) -> Any:
    """Paddle writes a bare tensor as ``eval('data', {'data': array})``: this looks the name up, no more."""
    if code != "data" or not isinstance(scope, dict) or len(scope) != 1 or "data" not in scope:
        raise Refused(f"eval of '{atom(code)}'")
    return scope["data"]


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Callable[[], np.ndarray]:
    """torch._utils._rebuild_tensor_v2: a view of a storage, made when its bytes have been read."""
    def view() -> np.ndarray:
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


def _parameter(value: Any, *_: Any) -> Any:
    return value


def _container(kind: type) -> Callable[..., Any]:
    def make(budget: ReadBudget, content: Any = (), *_: Any) -> Any:
        if not isinstance(content, (tuple, list, dict, set)):
            raise pickle.UnpicklingError(f"a {kind.__name__} of a {type(content).__name__}")
        budget.charge(64 * len(content))
        if kind is set:
            content = [atom(item) for item in content]
        elif issubclass(kind, dict):
            pairs = content.items() if isinstance(content, dict) else content
            content = [(atom(key), value) for key, value in pairs]
        return kind(content)
    return make


ALLOWED = {"torch._utils._rebuild_tensor_v2": _tensor, "torch._utils._rebuild_parameter": _parameter,
           "numpy.ndarray": _Array, "numpy.dtype": _DType, "builtins.eval": _evaluate}
ALLOWED.update({f"{core}.multiarray._reconstruct": _Array for core in ("numpy.core", "numpy._core")})
METERED: dict[str, Callable[..., Any]] = {  # called with the budget
    "_codecs.encode": _encode, "collections.OrderedDict": _container(OrderedDict)}
METERED.update({f"{core}.numeric._frombuffer": _frombuffer for core in ("numpy.core", "numpy._core")})
METERED.update({f"builtins.{kind.__name__}": _container(kind) for kind in (tuple, list, dict, set)})
