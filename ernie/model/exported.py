"""Running an exported model: Paddle's inference engine or ONNX Runtime, behind one call. Needs no model code.

    <directory>/export.json, ernie_config.json, vocab.txt, and inference.{json,pdmodel,pdiparams} or model.onnx
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import reprlib
from pathlib import Path
from typing import Any

import numpy as np

from ernie.model.config import read_json
from reader.utils.errors import InputError

FILE = "export.json"
INPUTS = ("token_ids", "token_type_ids", "position_ids", "lengths", "task_ids")
PRECISIONS = ("fp32", "bf16")
KEPT_PRIMITIVES = 64


def is_exported(path: str | Path) -> bool:
    """Tell whether a directory was written by ``ernie export``."""
    return (Path(path) / FILE).is_file()


class Exported:
    """A model that ``ernie export`` wrote.

    Args:
        precision: "fp32" or "bf16"; None: as it was exported.
    Raises:
        InputError: it is damaged, or its engine is not installed.
    """

    def __init__(self, path: str | Path, precision: str | None = None):
        self.path, self.facts = Path(path), _facts(Path(path) / FILE)
        self.precision = precision or self.facts["precision"]
        try:
            self._run = MAKERS[self.facts["to"]](self.path, self.precision)
        except InputError:
            raise
        except Exception as error:  # each engine has errors of its own for a file that is damaged or of another version
            raise InputError(f"cannot be run ({_reason(error)}); `ernie verify` tells whether it is whole", self.path) \
                from None

    def __call__(self, **inputs) -> list[np.ndarray]:
        """Outputs of the arrays ``INPUTS`` names, in the order of ``facts["outputs"]``."""
        return self._run({name: np.ascontiguousarray(inputs[name], np.int64) for name in self.facts["inputs"]})


class ExportedScores:
    """An exported fine-tuned model in the place of a ``FinetuningModel`` that only answers."""

    training = False

    def __init__(self, path: str | Path, kind: Any):
        from ernie.model.finetuning_model import LOSSES
        self.run, self.loss = Exported(path), LOSSES[kind.loss]

    def eval(self) -> None:
        """Do nothing: there is no dropout in the graph."""

    def outputs(self, **inputs: Any) -> Any:
        """Compute scores as ``FinetuningModel.outputs`` does."""
        import paddle
        return paddle.to_tensor(self.run(**{name: value.numpy() for name, value in inputs.items()})[0])


def _facts(file: Path) -> dict[str, Any]:
    """The description of an export, checked."""
    facts = read_json(file)
    if not isinstance(facts, dict):
        raise InputError(f"is a {type(facts).__name__}, not a mapping", file)
    for key, allowed in (("to", MAKERS), ("precision", PRECISIONS)):
        if not isinstance(facts.get(key), str) or facts[key] not in allowed:
            raise InputError(f"{key} is {reprlib.repr(facts.get(key))}, expected {' or '.join(allowed)}", file)
    if not isinstance(facts.get("inputs"), list) or facts["inputs"] not in (list(INPUTS), list(INPUTS[:-1])):
        raise InputError(f"inputs are {reprlib.repr(facts.get('inputs'))}, expected {', '.join(INPUTS)}", file)
    if facts.get("outputs") not in (["scores"], ["hidden", "pooled"]):
        raise InputError(f"outputs are {reprlib.repr(facts.get('outputs'))}, expected scores or hidden, pooled", file)
    return facts


def _reason(error: Exception) -> str:
    """The line of an engine's message that says what is wrong: Paddle puts the places in its own code before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if line.startswith("(")), lines[0])[:200]


def _paddle(path: Path, precision: str):
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from paddle import inference
    program = next((path / name for name in ("inference.json", "inference.pdmodel") if (path / name).is_file()), None)
    if program is None:
        raise InputError("has neither inference.json nor inference.pdmodel", path)
    config = inference.Config(str(program), str(path / "inference.pdiparams"))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(_threads())
    config.enable_mkldnn()  # oneDNN
    if precision == "bf16":
        config.enable_mkldnn_bfloat16()
    predictor = inference.create_predictor(config)
    _bound_primitives()

    def run(arrays: dict) -> list[np.ndarray]:
        for name, array in arrays.items():
            predictor.get_input_handle(name).copy_from_cpu(array)
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]
    return run


def _bound_primitives() -> None:
    """Let oneDNN keep few kernels: it compiles one for each shape of a batch and keeps a thousand, some 500 MB.

    Batches come in order of length, so that older shapes are hardly asked for again.
    """
    import paddle
    with contextlib.suppress(OSError, AttributeError):  # a Paddle without the library: nothing to bound
        library = ctypes.CDLL(str(Path(paddle.__file__).parent / "libs" / "libdnnl.so.3"))
        library.dnnl_set_primitive_cache_capacity(KEPT_PRIMITIVES)


def _onnx(path: Path, precision: str):
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"an ONNX export needs another package: pip install onnxruntime ({error})", path) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(str(path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(None, arrays)


MAKERS = {"inference": _paddle, "onnx": _onnx}


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
