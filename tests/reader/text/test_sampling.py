"""Samples are uniform over all input, bounded and reproducible."""
import gzip
import json
import random

import numpy as np
import pytest

from reader.text import sampling
from reader.text.documents import ReadOptions, Rejected
from reader.text.sampling import Reservoir, Sample, runs


def numbered(count: int, length: int = 100) -> list[str]:
    return [f"{number:06d} ".ljust(length, "x") for number in range(count)]


def sampled(files, characters, seed=0, **options) -> list[int]:
    sample = Sample(files, ReadOptions(**options), characters, Rejected(), seed)
    return [int(paragraph[:6]) for run in sample for paragraph in run]


def write(folder, form: str, documents: list[str]) -> list:
    if form == "files":
        for number, document in enumerate(documents):
            (folder / f"{number:06d}.txt").write_text(document)
        return sorted(folder.glob("*.txt"))
    file = folder / {"jsonl": "a.jsonl", "jsonl.gz": "a.jsonl.gz", "lines": "a.txt"}[form]
    text = "".join(f"{document}\n\n" if form == "lines" else json.dumps({"text": document}) + "\n"
                   for document in documents)
    file.write_bytes(gzip.compress(text.encode()) if form.endswith("gz") else text.encode())
    return [file]


@pytest.mark.parametrize("form", ["files", "jsonl", "jsonl.gz", "lines"])
def test_every_part_of_the_input_is_sampled_alike(tmp_path, form):
    files = write(tmp_path, form, numbered(2000))
    found = sampled(files, 50_000, layout="lines" if form == "lines" else "file")
    assert len(found) == 500 and found == sorted(found)
    tenths = np.bincount(np.array(found) // 200, minlength=10)
    assert tenths.min() > 30 and tenths.max() < 72, tenths  # binomial: 50 +- 3 standard deviations of 6.7
    again = sampled(files, 50_000, seed=1, layout="lines" if form == "lines" else "file")
    assert 80 < len(set(found) & set(again)) < 170  # 125 are expected


def test_long_and_short_documents_give_their_share_of_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "RUN", 1000)
    long = ["\n".join(numbered(3000))]                   # 300 runs of ten paragraphs
    files = write(tmp_path, "jsonl", long + [f"9{text[1:]}" for text in numbered(3000)])
    found = np.array(sampled(files, 120_000))
    assert 350 < (found < 900_000).sum() < 850           # half of the text: 600 of 1,200 paragraphs
    assert 350 < (found >= 900_000).sum() < 850


def test_passed_over_records_are_not_parsed(tmp_path, monkeypatch):
    parsed = []
    from reader.text.formats import json_lines
    real = json_lines.parse_line
    monkeypatch.setattr(json_lines, "parse_line", lambda *args: (parsed.append(1), real(*args))[1])
    assert len(sampled(write(tmp_path, "jsonl", numbered(20_000, 20)), 4000)) == 200
    assert len(parsed) < 2500  # 200 * (1 + ln 100) = 1,120 are expected


def test_a_reservoir_keeps_the_least_keys():
    reservoir, keys = Reservoir(1000, 3), random.Random(5)
    pairs = [(keys.random(), [f"{k} " + "y" * keys.randrange(50), "z"]) for k in range(3000)]
    for key, paragraphs in pairs:
        reservoir.add(key, paragraphs)
    kept, size = [], 0
    for _, paragraphs in sorted(pairs):
        if size < 1000:
            kept.append(paragraphs)
            size += len("\n".join(paragraphs))
    assert sorted(reservoir) == sorted(kept)


def test_a_small_input_is_taken_whole_and_faults_are_counted_once(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nx\n{"text": "two"}\n')
    rejected = Rejected()
    sample = Sample([tmp_path / "a.jsonl"], ReadOptions(), 1000, rejected)
    assert list(sample) == list(sample) == [["one"], ["two"]] and rejected.total == 1


def test_runs():
    assert [len(run) for run in runs(["x" * 9000] * 5)] == [2, 2, 1]
    assert list(runs([])) == []
