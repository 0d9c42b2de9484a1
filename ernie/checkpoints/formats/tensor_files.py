"""Two safe containers of named arrays: safetensors files, and directories of one Fluid LoDTensor file a variable."""
from __future__ import annotations

import json
import mmap
import os
import re
import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from ernie.checkpoints.formats.arrays import from_bytes, plain
from reader.utils.errors import InputError

SAFETENSORS_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4",
                     "I16": "<i2", "I8": "<i1", "U8": "<u1", "BOOL": "|b1"}
LARGEST_HEADER = 1 << 25

LOD_TYPES = {2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8", 22: "bfloat16"}
LOD_CODES = {"<f2": 4, "<f4": 5, "<f8": 6, "<i8": 3, "<i4": 2}
NOT_WEIGHTS = re.compile(r"(_moment[12]_\d+|_beta[12]_pow_acc_\d+)$|^@|^(learning_rate|loss_scaling|num_.*_steps)")


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named arrays, mapped from the file and not copied.

    Raises:
        InputError: the header does not describe the bytes that follow it.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or not 2 <= length <= min(LARGEST_HEADER, len(data) - 8):
            raise ValueError(f"header of {length} bytes in a file of {len(data)}")
        header = json.loads(data[8:8 + length].decode("utf-8"))
        view, arrays, places = memoryview(data)[8 + length:], {}, []
        for name, entry in header.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                if not 0 <= start <= stop <= len(view):
                    raise ValueError(f"tensor {name!r} lies at bytes {start} to {stop} of {len(view)}")
                places.append((start, stop))
                arrays[name] = from_bytes(view[start:stop], SAFETENSORS_TYPES[entry["dtype"]], entry["shape"])
        places.sort()
        if any(start < stop for (_, stop), (start, _) in zip(places, places[1:])):
            raise ValueError("tensors overlap")
        return arrays
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"unknown type or entry {error}" if isinstance(error, KeyError) else error
        raise InputError(f"not a whole safetensors file ({plain(reason)})", path) from None


def write_safetensors(path: str | Path, arrays: dict[str, np.ndarray], **metadata: str) -> None:
    """Write named arrays, with what the peers want to find in the header.

    Raises:
        OSError: the file cannot be written, for example on a full disk.
    """
    path = Path(path)
    path.touch()
    mode = path.stat().st_mode  # as the umask has it; the library writes files that only their owner can read
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path), metadata or None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    path.chmod(mode)


def read_lod_directory(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named arrays of a 2019 ``params`` directory; optimiser state among the weights is passed over."""
    files = sorted(file for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("."))
    return {file.name: read_lod(file) for file in files if not NOT_WEIGHTS.search(file.name)}


def read_lod(path: str | Path) -> np.ndarray:
    """Read one Fluid LoDTensor file: u32 version, u64 levels, each u64 bytes and data; then u32 tensor version,
    i32 length of a TensorDesc, TensorDesc, raw values; all little endian.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = memoryview(file.read())
        place = 12
        version, levels = struct.unpack_from("<IQ", data)
        for _ in range(min(levels, 16)):
            place += 8 + struct.unpack_from("<Q", data, place)[0]
        tensor_version, length = struct.unpack_from("<Ii", data, place)
        if version or tensor_version or levels > 16 or not 0 <= length <= 4096:
            raise ValueError("unknown header")
        place += 8
        kind, shape = _tensor_desc(bytes(data[place:place + length]))
        return from_bytes(data[place + length:], LOD_TYPES[kind], shape)
    except (OSError, ValueError, KeyError, struct.error, OverflowError) as error:
        reason = f"unknown data type {error}" if isinstance(error, KeyError) else error
        raise InputError(f"not a whole LoDTensor file ({plain(reason)})", path) from None


def write_lod(path: str | Path, array: np.ndarray) -> None:
    """Write what ``read_lod`` reads."""
    array = np.ascontiguousarray(array)
    desc = b"\x08" + _varint(LOD_CODES[array.dtype.newbyteorder("<").str])
    desc += b"".join(b"\x10" + _varint(size) for size in array.shape)
    Path(path).write_bytes(struct.pack("<IQIi", 0, 0, 0, len(desc)) + desc + array.tobytes())


def _tensor_desc(message: bytes) -> tuple[int, tuple]:
    """Type code and shape of the protobuf message TensorDesc {1: data_type, 2: repeated dims}."""
    place, kind = 0, 0
    shape: list[int] = []
    while place < len(message):
        tag, place = _read_varint(message, place)
        value, place = _read_varint(message, place)
        if tag == 0x08:
            kind = value
        elif tag == 0x10:
            shape.append(value)
        elif tag == 0x12:  # the packed form of the same field
            end = place + value
            while place < end:
                size, place = _read_varint(message, place)
                shape.append(size)
        else:
            raise ValueError("unknown tensor description")
    return kind, tuple(shape)


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("tensor description ends early")
        byte = message[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    raise ValueError("number too long")


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
