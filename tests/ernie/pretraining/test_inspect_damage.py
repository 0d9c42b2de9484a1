"""Damaged stores in `ernie inspect`: examples, or one line and code 2."""
import random
import shutil

from ernie import cli
from tests.builders import build_store, random_documents
from tests.long_form import LONG


def test_inspect_shows_examples_or_says_what_is_damaged(tmp_path, capsys):
    """60 damaged stores, 1,000 in the long form."""
    store = build_store(tmp_path / "store", random_documents(60)).path
    rng, codes = random.Random(8), {0: 0, 2: 0}
    arrays = [file.name for file in store.glob("*.npy")]
    for _ in range(1_000 if LONG else 60):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(store, copy)
        file = copy / rng.choice([*arrays, *arrays, "manifest.json", "vocab.txt", "checksums.npz"])
        raw = bytearray(file.read_bytes())
        place = rng.randrange(len(raw))
        raw[place:place + rng.choice([1, 8, 64])] = rng.randbytes(rng.choice([0, 1, 8, 64]))
        if rng.random() < 0.1:
            file.unlink()
        else:
            file.write_bytes(raw)
        task = rng.choice(["knowledge_masking", "sentence_reordering", "capitalization", "sentence_distance"])
        code = cli.main(["inspect", "--corpus", str(copy), "--task", task, "-n", "2"])
        codes[code] += 1
        error = capsys.readouterr().err
        assert code == 0 or error.startswith("ernie: ") and error.count("\n") == 1, error
    assert codes[2] > 30, codes
