"""oneDNN, which Paddle's CPU wheels ship as libdnnl, through its C interface: bfloat16 products and their neighbours.

No eager operator of Paddle multiplies in bfloat16 on a CPU; the library does, and accumulates in float32. Tensors are
passed by address; a primitive (a kernel for given shapes) is made once and kept. One thread at a time.
"""
from __future__ import annotations

import ctypes
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import paddle
from paddle.nn import functional as F

Dims = tuple[int, ...]

# Constants of oneDNN 3, dnnl_types.h
FLOAT32, BFLOAT16 = 3, 2
SRC, WEIGHTS, BIAS, DST, MEAN, VARIANCE, SCALE, SHIFT = 1, 33, 41, 17, 49, 50, 51, 52
DIFF_SRC, DIFF_DST, DIFF_SCALE, DIFF_SHIFT = 129, 145, 255, 256
FORWARD_TRAINING, BACKWARD = 64, 128
GELU_ERF, SOFTMAX_ACCURATE, USE_SCALE_AND_SHIFT = 0x31, 0x30000, 6
ISA_AVX512_BF16 = 0xe7  # dnnl_cpu_isa_avx512_core_bf16, a subset of the bits of every later one
KEPT_PRIMITIVES = 512  # of each kind: batches have many shapes


class OneDNNError(RuntimeError):
    """The library refused a call, or computes something else than expected."""


class _Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int)]


class _Argument(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("memory", ctypes.c_void_p)]


class _Library:
    """The loaded library with an engine and a stream on the CPU."""

    def __init__(self) -> None:
        self.calls = ctypes.CDLL(str(Path(paddle.__file__).parent / "libs" / "libdnnl.so.3"))
        self.calls.dnnl_version.restype = ctypes.POINTER(_Version)
        found = self.calls.dnnl_version().contents
        self.version = f"{found.major}.{found.minor}.{found.patch}"
        if found.major != 3:
            raise OneDNNError(f"oneDNN {self.version} in Paddle's wheel, 3.x is needed")
        if self.calls.dnnl_get_effective_cpu_isa() & ISA_AVX512_BF16 != ISA_AVX512_BF16:
            raise OneDNNError("this processor has no bfloat16 products (avx512_bf16 or amx_bf16)")
        self.engine = self.create("dnnl_engine_create", 1, ctypes.c_size_t(0))
        self.stream = self.create("dnnl_stream_create", self.engine, 1)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status."""
        status = getattr(self.calls, name)(*arguments)
        if status:
            raise OneDNNError(f"{name} of oneDNN {self.version} returned status {status}")

    def create(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose first argument receives a new handle."""
        handle = ctypes.c_void_p()
        self.call(name, ctypes.byref(handle), *arguments)
        return handle


@lru_cache(maxsize=1)
def library() -> _Library:
    """Load the library, once. Raises OSError or OneDNNError where it cannot be used."""
    return _Library()


class _Layout:
    """A memory descriptor."""

    def __init__(self, dims: Dims, strides: Dims, kind: int):
        room = ctypes.c_int64 * 12
        self.handle = library().create("dnnl_memory_desc_create_with_strides", len(dims), room(*dims), kind,
                                       room(*strides))
        weakref.finalize(self, library().calls.dnnl_memory_desc_destroy, self.handle).atexit = False


class _Primitive:
    """A kernel with a memory object for each of its arguments.

    Args:
        create: name of the function that makes the primitive descriptor.
        arguments: what it takes before the hint and the attributes.
        slots: argument number -> layout, in the order of the call.
        hint: the forward primitive of a backward one.
    """

    def __init__(self, create: str, arguments: tuple, slots: list[tuple[int, _Layout]],
                 hint: Optional[_Primitive] = None):
        found, handles = library(), [layout.handle for _, layout in slots]
        hints = () if hint is None else (hint.descriptor,)
        self.layouts = [layout for _, layout in slots]  # alive as long as their memory
        self.descriptor: ctypes.c_void_p = found.create(create, *arguments, *hints, None)
        self.handle = found.create("dnnl_primitive_create", self.descriptor)
        self.memory = [found.create("dnnl_memory_create", handle, found.engine, None) for handle in handles]
        pairs = [_Argument(number, memory) for (number, _), memory in zip(slots, self.memory)]
        self.arguments = (_Argument * len(slots))(*pairs)
        for name, owned in (("dnnl_primitive_desc_destroy", self.descriptor), ("dnnl_primitive_destroy", self.handle),
                            *(("dnnl_memory_destroy", memory) for memory in self.memory)):
            weakref.finalize(self, getattr(found.calls, name), owned).atexit = False

    def __call__(self, *tensors: paddle.Tensor) -> None:
        """Run on contiguous tensors, in the order of the slots."""
        found = library()
        for memory, tensor in zip(self.memory, tensors):
            found.call("dnnl_memory_set_data_handle", memory, ctypes.c_void_p(tensor.data_ptr()))
        found.call("dnnl_primitive_execute", self.handle, found.stream, len(tensors), self.arguments)


def contiguous_strides(dims: Dims) -> Dims:
    """Return the strides of a row-major array, in values."""
    strides = [1]
    for size in reversed(dims[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides))


def _rows(dims: Dims, kind: int = FLOAT32) -> _Layout:
    return _Layout(dims, contiguous_strides(dims), kind)


class View(NamedTuple):
    """A contiguous tensor seen as an array of other dimensions and strides."""

    tensor: paddle.Tensor
    dims: Dims
    strides: Dims

    @property
    def transposed(self) -> View:
        """Return the view with its last two dimensions exchanged."""
        return View(self.tensor, (*self.dims[:-2], self.dims[-1], self.dims[-2]),
                    (*self.strides[:-2], self.strides[-1], self.strides[-2]))


def view(tensor: paddle.Tensor) -> View:
    """Return a view of a contiguous tensor as it is."""
    dims = tuple(tensor.shape)
    return View(tensor, dims, contiguous_strides(dims))


def by_head(tensor: paddle.Tensor) -> View:
    """Return a view of [r, L, heads, size] as [r, heads, L, size]."""
    rows, length, count, size = tensor.shape
    return View(tensor, (rows, count, length, size), (length * count * size, size, count * size, 1))


@lru_cache(maxsize=KEPT_PRIMITIVES)
def _matmul(a: tuple[Dims, Dims], b: tuple[Dims, Dims], out: tuple[Dims, Dims], biased: bool) -> _Primitive:
    left, right, result = _Layout(*a, BFLOAT16), _Layout(*b, BFLOAT16), _Layout(*out, FLOAT32)
    bias = _rows((1,) * (len(out[0]) - 1) + out[0][-1:])
    slots = [(SRC, left), (WEIGHTS, right), (DST, result)] + [(BIAS, bias)] * biased
    described = left.handle, right.handle, bias.handle if biased else None, result.handle
    return _Primitive("dnnl_matmul_primitive_desc_create", (library().engine, *described), slots)


def matmul(a: View, b: View, out: View, bias: Optional[paddle.Tensor] = None) -> paddle.Tensor:
    """Compute [..., m, k] @ [..., k, n] of bfloat16 into float32 ``out`` and return it; ``bias``: [n] float32."""
    multiply = _matmul(a[1:], b[1:], out[1:], bias is not None)
    multiply(a.tensor, b.tensor, out.tensor, *(() if bias is None else (bias,)))
    return out.tensor


@lru_cache(maxsize=KEPT_PRIMITIVES)
def _round(values: int) -> _Primitive:
    source, target = _rows((values,)), _rows((values,), BFLOAT16)
    return _Primitive("dnnl_reorder_primitive_desc_create",
                      (source.handle, library().engine, target.handle, library().engine),
                      [(SRC, source), (DST, target)])


def to_bfloat16(tensor: paddle.Tensor) -> paddle.Tensor:
    """Round float32 values to the nearest bfloat16."""
    rounded = paddle.empty(tensor.shape, "bfloat16")
    _round(tensor.size)(tensor, rounded)
    return rounded


@lru_cache(maxsize=KEPT_PRIMITIVES)
def _gelu(values: int) -> tuple[_Primitive, _Primitive]:
    data, rest = _rows((values,)), (ctypes.c_float(0), ctypes.c_float(0))
    forward = _Primitive("dnnl_eltwise_forward_primitive_desc_create",
                         (library().engine, FORWARD_TRAINING, GELU_ERF, data.handle, data.handle, *rest),
                         [(SRC, data), (DST, data)])
    backward = _Primitive("dnnl_eltwise_backward_primitive_desc_create",
                          (library().engine, GELU_ERF, data.handle, data.handle, data.handle, *rest),
                          [(SRC, data), (DIFF_DST, data), (DIFF_SRC, data)], forward)
    return forward, backward


def gelu(x: paddle.Tensor) -> paddle.Tensor:
    """Compute the exact gelu of float32."""
    y = paddle.empty_like(x)
    _gelu(x.size)[0](x, y)
    return y


def gelu_gradient(x: paddle.Tensor, gradient: paddle.Tensor) -> paddle.Tensor:
    """Return the gradient of the argument of ``gelu``."""
    result = paddle.empty_like(x)
    _gelu(x.size)[1](x, gradient, result)
    return result


@lru_cache(maxsize=KEPT_PRIMITIVES)
def _softmax(dims: Dims) -> tuple[_Primitive, _Primitive]:
    data, axis = _rows(dims), 1
    forward = _Primitive("dnnl_softmax_forward_primitive_desc_create",
                         (library().engine, FORWARD_TRAINING, SOFTMAX_ACCURATE, data.handle, data.handle, axis),
                         [(SRC, data), (DST, data)])
    backward = _Primitive("dnnl_softmax_backward_primitive_desc_create",
                          (library().engine, SOFTMAX_ACCURATE, data.handle, data.handle, data.handle, axis),
                          [(DST, data), (DIFF_DST, data), (DIFF_SRC, data)], forward)
    return forward, backward


def softmax(x: paddle.Tensor) -> paddle.Tensor:
    """Compute softmax over the last dimension, float32."""
    y = paddle.empty_like(x)
    _softmax((x.size // x.shape[-1], x.shape[-1]))[0](x, y)
    return y


def softmax_gradient(y: paddle.Tensor, gradient: paddle.Tensor) -> paddle.Tensor:
    """Return the gradient of the argument of ``softmax``, from its result ``y``."""
    result = paddle.empty_like(y)
    _softmax((y.size // y.shape[-1], y.shape[-1]))[1](y, gradient, result)
    return result


@lru_cache(maxsize=KEPT_PRIMITIVES)
def _layer_norm(dims: Dims, epsilon: float) -> tuple[_Primitive, _Primitive]:
    data, rows, columns = _rows(dims), _rows(dims[:1]), _rows(dims[1:])
    rest = (rows.handle, ctypes.c_float(epsilon), USE_SCALE_AND_SHIFT)
    forward = _Primitive("dnnl_layer_normalization_forward_primitive_desc_create",
                         (library().engine, FORWARD_TRAINING, data.handle, data.handle, *rest),
                         [(SRC, data), (SCALE, columns), (SHIFT, columns), (DST, data), (MEAN, rows), (VARIANCE, rows)])
    backward = _Primitive("dnnl_layer_normalization_backward_primitive_desc_create",
                          (library().engine, BACKWARD, data.handle, data.handle, data.handle, *rest),
                          [(SRC, data), (SCALE, columns), (SHIFT, columns), (DIFF_DST, data), (MEAN, rows),
                           (VARIANCE, rows), (DIFF_SRC, data), (DIFF_SCALE, columns), (DIFF_SHIFT, columns)], forward)
    return forward, backward


def layer_norm(x: paddle.Tensor, scale: paddle.Tensor, shift: paddle.Tensor, epsilon: float
               ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Compute LayerNorm over the last dimension, float32, with the mean and variance of every row."""
    dims = (x.size // x.shape[-1], x.shape[-1])
    y, mean, variance = paddle.empty_like(x), paddle.empty(dims[:1]), paddle.empty(dims[:1])
    _layer_norm(dims, epsilon)[0](x, scale, shift, y, mean, variance)
    return y, mean, variance


def layer_norm_gradient(x: paddle.Tensor, scale: paddle.Tensor, shift: paddle.Tensor, mean: paddle.Tensor,
                        variance: paddle.Tensor, gradient: paddle.Tensor, epsilon: float
                        ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Return the gradients of the arguments x, scale and shift of ``layer_norm``."""
    dims = (x.size // x.shape[-1], x.shape[-1])
    result = paddle.empty_like(x), paddle.empty_like(scale), paddle.empty_like(shift)
    _layer_norm(dims, epsilon)[1](x, scale, shift, gradient, mean, variance, *result)
    return result


@lru_cache(maxsize=1)
def unavailable() -> str:
    """Say why the library cannot be used here; empty when it can. Tests what it computes, once a process."""
    try:
        library()
        _self_test()
    except OSError:
        return "Paddle's wheel has no libdnnl.so.3"
    except (AttributeError, OneDNNError) as error:
        return str(error)
    return ""


def _self_test() -> None:
    """Compare every function with Paddle's; raise OneDNNError where one differs."""
    random = np.random.default_rng(0)
    x, w, g = (paddle.to_tensor(random.standard_normal(shape, np.float32)) for shape in ((37, 48), (48, 40), (37, 48)))
    rounded = [to_bfloat16(tensor) for tensor in (x, w)]
    a, b = (nearest_bfloat16(tensor.numpy()) for tensor in (x, w))
    y, mean, variance = layer_norm(x, g[0], g[1], 1e-5)
    found = [matmul(view(rounded[0]), view(rounded[1]), view(paddle.empty([37, 40])), w[0]),
             matmul(view(rounded[0]).transposed, view(rounded[0]), view(paddle.empty([48, 48]))),
             matmul(view(rounded[1]).transposed, view(rounded[0]).transposed, view(paddle.empty([40, 37]))),
             gelu(x), gelu_gradient(x, g), softmax(x), softmax_gradient(softmax(x), g),
             y, *layer_norm_gradient(x, g[0], g[1], mean, variance, g, 1e-5)]
    expected = [paddle.to_tensor(array) for array in (a @ b + w[0].numpy(), a.T @ a, b.T @ a.T)]
    x, scale, shift = (tensor.detach() for tensor in (x, g[0], g[1]))
    for tensor in (x, scale, shift):
        tensor.stop_gradient = False
    for function, of in ((F.gelu, [x]), (F.softmax, [x]),
                         (lambda x: F.layer_norm(x, [48], scale, shift, 1e-5), [x, scale, shift])):
        result = function(x)
        expected += [result, *paddle.grad(result, of, g)]
    for number, (one, other) in enumerate(zip(found, expected)):
        if not np.allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-4):
            raise OneDNNError(f"oneDNN {library().version} fails its self-test {number}")


def nearest_bfloat16(array: np.ndarray) -> np.ndarray:
    """Round float32 values to the nearest that bfloat16 has, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)
