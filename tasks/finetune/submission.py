"""GLUE submission files in the form that the server takes: ``index<TAB>prediction``, eleven files in one zip."""
from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

# (task, split) -> file
FILES = {("cola", "test"): "CoLA", ("sst-2", "test"): "SST-2", ("mrpc", "test"): "MRPC", ("sts-b", "test"): "STS-B",
         ("qqp", "test"): "QQP", ("mnli", "test"): "MNLI-m", ("mnli", "test_mismatched"): "MNLI-mm",
         ("qnli", "test"): "QNLI", ("rte", "test"): "RTE", ("wnli", "test"): "WNLI", ("ax", "test"): "AX"}


def write(path: str | Path, kind: Any, rows: list, predictions: list) -> None:
    """Write one task's file. STS-B's scores are clipped to 0 ... 5."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("index\tprediction\n")
        for row, prediction in zip(rows, predictions):
            value = kind.cells(row, prediction)[0]
            if kind.loss == "squared":
                value = f"{min(5.0, max(0.0, prediction)):.3f}"
            file.write(f"{row.id}\t{value}\n")


def pack(files: list, archive: str | Path) -> list[str]:
    """Zip the files; returns the names of those that a whole submission still lacks."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(files):
            packed.write(path, Path(path).name)
    present = {Path(path).stem for path in files}
    return [name for name in FILES.values() if name not in present]
