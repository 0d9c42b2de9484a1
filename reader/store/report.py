"""The report at the end of a build: what a store holds, what was left out, where it lies."""
from __future__ import annotations

import sys
from collections import Counter

from reader.text.documents import Rejected
from reader.text.script import MANY_UNKNOWN
from reader.utils.files import StrPath
from reader.utils.text import counted


def describe(manifest: dict) -> str:
    """Format the report of a build for a person."""
    rejected = Rejected(Counter(manifest["rejected"]), list(manifest["rejected_examples"]))
    units = ", ".join(f"{count:,} {kind}" for kind, count in manifest["units"].items())
    built, seconds = manifest["built_bytes"] / 1e6, manifest["seconds"]
    speed = f", {built:.1f} of them built in {seconds:.1f} s: {built / max(1e-9, seconds):.2f} MB/s" if built else ""
    unknown, tokens = manifest.get("unknown", 0), manifest["tokens"]
    lines = [f"{counted(manifest['documents'], 'document')}, {counted(manifest['paragraphs'], 'paragraph')}, "
             f"{counted(manifest['sentences'], 'sentence')}, {tokens:,} tokens"
             + (f", {unknown:,} of them [UNK] ({100 * unknown / tokens:.2f} %)" if unknown else ""), f"units: {units}",
             f"{manifest['input_bytes'] / 1e6:.1f} MB{speed}"]
    if unknown > MANY_UNKNOWN * tokens:
        lines.append("note: many [UNK]; is the vocabulary of this language, script and case?")
    if manifest.get("near_copies_across_train_and_dev"):
        lines.append(f"{manifest['near_copies_across_train_and_dev']:,} of the near copies were across train and dev")
    return "\n".join(lines + ([str(rejected)] if rejected.total else []))


def print_report(manifest: dict, output: StrPath) -> None:
    """Print ``describe`` and where the store lies."""
    print(describe(manifest))
    print(f"store: {output} (fingerprint {manifest['fingerprint']})")
    sys.stdout.flush()
