"""A trained model as a static graph for Paddle's inference engine, or as ONNX; checked against the model itself."""
from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec

from ernie.checkpoints.formats.finetuned import DESCRIPTION
from ernie.checkpoints.manifest import write_manifest
from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
from ernie.finetuning.predictor import Predictor, describe, find_foreign, find_model, find_weights
from ernie.model.encoder import Encoder
from ernie.model.exported import FILE, INPUTS, Exported
from reader.text.tokenizer import read_vocab
from reader.utils.errors import InputError
from reader.utils.files import place_of

OPSET = 17
TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}  # of the largest output; far above what is measured, far below a wrong graph


class Graph(nn.Layer):
    """The traced layer: ``forward`` has exactly the inputs that reach the outputs."""

    def __init__(self, model: nn.Layer, outputs: Callable):
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, lengths: Tensor,
                task_ids: Tensor) -> Any:
        return self.outputs(token_ids, token_type_ids, position_ids, lengths, task_ids)


class GraphWithoutTask(Graph):
    """The same for a model without a task embedding: one input fewer."""

    def forward(self, token_ids: Tensor, token_type_ids: Tensor,  # type: ignore[override]
                position_ids: Tensor, lengths: Tensor) -> Any:
        return self.outputs(token_ids, token_type_ids, position_ids, lengths, None)


def export(source: str | Path, directory: str | Path, to: str, precision: str = "fp32",
           say: Callable[[str], Any] = print) -> None:
    """Write a fine-tuned model (scores), or the encoder of any checkpoint (hidden, pooled), and check it.

    Args:
        to: "inference" or "onnx". precision: "fp32" or "bf16" (oneDNN, on the CPU): how it will be run.
    Raises:
        InputError: the directory is in use, paddle2onnx is not there, or this Paddle cannot run the graph.
    """
    directory = place_of(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError("exists already and is not an empty directory", directory)
    if to == "onnx" and precision != "fp32":
        raise InputError("ONNX models are written in fp32")
    if to == "onnx" and paddle.__version__.startswith("2."):
        raise InputError(f"paddle2onnx needs Paddle 3.0 or later, this is {paddle.__version__}")
    finetuned = find_model(source) or find_foreign(source, say)
    model, config, files, facts = (_finetuned if finetuned else _encoder)(source)
    graph = (Graph if config.use_task_id else GraphWithoutTask)(model, facts.pop("function"))
    graph.eval()
    facts.update(to=to, precision=precision, inputs=list(INPUTS[:4 + config.use_task_id]), paddle=paddle.__version__)
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, text in {**files, FILE: json.dumps(facts, indent=1), "ernie_config.json":
                           json.dumps(config.to_dict(), indent=1)}.items():
            (partial / name).write_text(text, "utf-8")
        _trace(graph, partial, facts["inputs"])
        if to == "onnx":
            _to_onnx(partial)
        _check(graph, partial, config, precision, say)
        write_manifest(partial, [file.name for file in partial.iterdir() if file.is_file()])
        if directory.exists():
            directory.rmdir()
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _finetuned(source):
    found = Predictor(source)
    files = {DESCRIPTION: describe(found.recipe, found.classes), "vocab.txt": _vocab(found.vocabulary)}
    return found.model, found.config, files, {"outputs": ["scores"], "function": found.model.outputs}


def _encoder(source):
    found = read_pretrained(find_weights(source))
    holder = nn.Layer()
    holder.ernie = Encoder(found.config)
    report = load_pretrained(holder, found)
    files = {"vocab.txt": _vocab(found.vocab)} if found.vocab else {}
    return holder, found.config, files, {"outputs": ["hidden", "pooled"], "function": holder.ernie,
                                         "lower_case": found.lower_case, "loaded": str(report)}


def _vocab(path) -> str:
    return "".join(token + "\n" for token in read_vocab(path))


def _trace(graph: nn.Layer, directory: Path, inputs: list) -> None:
    shapes = {"lengths": [None]}
    spec = [InputSpec(shapes.get(name, [None, None]), "int64", name) for name in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about places that a graph does not have
        paddle.jit.save(paddle.jit.to_static(graph, input_spec=spec, full_graph=True), str(directory / "inference"))


def _to_onnx(directory: Path) -> None:
    """Convert what ``_trace`` wrote, which is then not needed any more."""
    try:
        import paddle2onnx
    except ImportError as error:
        raise InputError(f"ONNX needs another package: pip install paddle2onnx onnxruntime ({error})") from None
    files = [str(directory / name) for name in ("inference.json", "inference.pdiparams", "model.onnx")]
    paddle2onnx.export(*files, opset_version=OPSET, optimize_tool=None)
    for file in directory.glob("inference.*"):
        file.unlink()


def _check(graph, directory: Path, config, precision: str, say) -> None:
    """Run both on random rows; report the largest difference and the speeds."""
    rng, rows, width = np.random.default_rng(0), 16, min(64, config.max_position_embeddings)
    arrays = {"token_ids": rng.integers(0, config.vocab_size, (rows, width)),
              "token_type_ids": rng.integers(0, config.type_vocab_size, (rows, width)),
              "position_ids": np.tile(np.arange(width), (rows, 1)), "lengths": rng.integers(2, width + 1, rows),
              "task_ids": np.zeros((rows, 1), np.int64)}
    inside = np.arange(width) < arrays["lengths"][:, None]
    exported = Exported(directory)
    tensors = [paddle.to_tensor(arrays[name]) for name in exported.facts["inputs"]]

    def eager():
        with paddle.no_grad():
            found = graph(*tensors)
        return [value.numpy() for value in (found if isinstance(found, (tuple, list)) else [found])]

    try:
        (expected, slow), (found, fast) = _timed(eager), _timed(lambda: exported(**arrays))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"Paddle {paddle.__version__} cannot run this graph in {precision}: "
                         f"{str(error).strip().splitlines()[0][:200]}") from None
    for name, wanted, value in zip(exported.facts["outputs"], expected, found):
        wanted, value = (wanted[inside], value[inside]) if value.shape[:2] == inside.shape else (wanted, value)
        difference, scale = np.abs(value - wanted).max(), np.abs(wanted).max()
        say(f"  {name}: largest difference from the model {difference:.1e} (largest value {scale:.1f})")
        if not difference <= TOLERANCE[precision] * scale:
            raise InputError(f"the exported graph does not compute what the model does ({name}): nothing was written")
    say(f"  {int(rows * width / slow)} tokens/s by the model, {int(rows * width / fast)} by the export")


def _timed(call, repeats: int = 3):
    """(result, seconds of the fastest of a few calls after the first)."""
    result, seconds = call(), []
    for _ in range(repeats):
        begun = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begun)
    return result, min(seconds)
