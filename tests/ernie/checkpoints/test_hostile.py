"""Weight files and archives made to cost more than they weigh: refused in a line, with little memory and time."""
import gzip
import io
import json
import pickle
import random
import tarfile
import zipfile

import numpy as np
import pytest

from ernie.checkpoints.formats.archives import unpacked
from ernie.checkpoints.formats.families import read, write
from ernie.checkpoints.formats.pickles import read_paddle, read_torch
from ernie.checkpoints.formats.tensor_files import read_lod, read_safetensors, write_lod
from tests.bounded import outcome, refused
from tests.ernie.released import checkpoint
from tests.long_form import LONG

MEGA = 1 << 20


class Call:
    """Pickled as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def nested(depth: int, kind=tuple):
    """A structure that is small in a pickle, and of size 2 ** depth to whoever walks it."""
    value = kind(("x",))
    for _ in range(depth):
        value = kind((value, value))
    return value


def get(index: int) -> bytes:
    return pickle.LONG_BINGET + index.to_bytes(4, "little")


def program(first: object, body: bytes, end: bytes = b"e.") -> bytes:
    """A pickle: put ``first`` in memo 0, open a list, run ``body``, close the list."""
    return b"\x80\x04" + pickle.dumps(first, 4)[2:-1] + b"r\0\0\0\0" + b"0](" + body + end


GLOBAL_LIST, GLOBAL_ENCODE = b"c__builtin__\nlist\n", b"c_codecs\nencode\n"
LATIN = b"\x8c\x06latin1"
HOSTILE_PICKLES = {
    "hash of a key": b"\x80\x04}" + pickle.dumps(nested(60))[2:-1] + b"Ns.",
    "hash of several keys": b"\x80\x04}(" + pickle.dumps(nested(60))[2:-1] + b"Nu.",
    "hash of a member of a set": b"\x80\x04\x8f(" + pickle.dumps(nested(60))[2:-1] + b"\x90.",
    "hash of a frozen set": b"\x80\x04(" + pickle.dumps(nested(60))[2:-1] + b"\x91.",
    "hash in a dict of pairs": pickle.dumps(Call(dict, [(nested(60), 1)])),
    "hash in a set of items": pickle.dumps(Call(set, [nested(60)])),
    "text of a shape": pickle.dumps({"a": Call(np.zeros(1).__reduce__()[0], np.ndarray, (nested(60, list),), b"b")}),
    "text of a dtype": pickle.dumps({"a": Call(np.dtype, nested(60))}),
    "lists of the same bytes": program(b"x" * MEGA, (GLOBAL_LIST + get(0) + b"\x85R") * 5_000),
    "lists of the same list": program([0] * 10_000, (GLOBAL_LIST + get(0) + b"\x85R") * 100_000),
    "codes of the same text": program("x" * MEGA, (GLOBAL_ENCODE + get(0) + LATIN + b"\x86R") * 5_000),
    "many steps": program(0, get(0) * 2 * MEGA),
    "many sets": program(0, b"\x8f" * 2 * MEGA),
    "long arguments": program((0,) * 100_000, (b"ccollections\nOrderedDict\n" + get(0) + b"R") * 50_000),
    "long numbers as keys": program(1 << (8 * MEGA), b"}" + (get(0) + b"Ns") * 100_000),
    "a name of 4 MB": b"\x80\x02c" + b"m" * 4 * MEGA + b"\nn\n.",
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
@pytest.mark.parametrize("reader", [read_paddle, read_torch])
def test_pickles_that_cost_more_than_they_weigh(tmp_path, name, reader):
    file = tmp_path / "weights"
    file.write_bytes(HOSTILE_PICKLES[name])
    refused(lambda: reader(file))


def test_one_array_under_many_names(tmp_path):
    array = np.ones(MEGA // 4, np.float32)
    (tmp_path / "weights").write_bytes(pickle.dumps({f"n{n}": array for n in range(1_000)}))
    assert "far more than a file of this size" in refused(lambda: read_paddle(tmp_path / "weights"))
    (tmp_path / "weights").write_bytes(pickle.dumps({f"n{n}": array for n in range(3)}))
    assert len(read_paddle(tmp_path / "weights")) == 3  # tied weights are welcome


def text(word: str) -> bytes:
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def torch_zip(path, names, count: int, kind: str = "Float", width: int = 4) -> None:
    """What torch.save writes for tensors over one storage."""
    index = b"\x80\x02}("
    for name in names:
        storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"Storage\n" + text("0") + text("cpu") \
            + b"J" + count.to_bytes(4, "little") + b"tQ"
        index += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0J" \
            + count.to_bytes(4, "little") + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", index + b"u.")
        archive.writestr("archive/data/0", bytes(count * width))


@pytest.mark.parametrize("kind, width", [("Float", 4), ("BFloat16", 2)])
def test_one_torch_storage_under_many_names(tmp_path, kind, width):
    torch_zip(tmp_path / "weights", [f"n{n}" for n in range(1_000)], MEGA, kind, width)
    assert "far more than a file of this size" in refused(lambda: read_torch(tmp_path / "weights"))
    torch_zip(tmp_path / "weights", ["a", "b"], MEGA, kind, width)
    assert read_torch(tmp_path / "weights")["b"].shape == (MEGA,)


def safetensors(entries: dict, size: int) -> bytes:
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize("entry", [
    {"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4.5]}, {"dtype": "F32", "shape": [1], "data_offsets": 3},
    {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": None, "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [10 ** 400], "data_offsets": [0, 4]}, [1], None, 3, "x",
    {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}, {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
])
def test_hostile_safetensors(tmp_path, entry):
    (tmp_path / "m.safetensors").write_bytes(safetensors({"a": entry}, 4))
    refused(lambda: read_safetensors(tmp_path / "m.safetensors"))


def test_safetensors_with_1e400_and_nesting(tmp_path):
    for header in (b'{"a": {"dtype": "F32", "shape": [1e400], "data_offsets": [0, 4]}}', b"[" * 1_000_000,
                   b"[1]", b"null"):
        (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
        refused(lambda: read_safetensors(tmp_path / "m.safetensors"))


def test_overlapping_safetensors(tmp_path):
    entries = {f"n{n}": {"dtype": "F32", "shape": [MEGA // 4], "data_offsets": [0, MEGA]} for n in range(4_000)}
    (tmp_path / "m.safetensors").write_bytes(safetensors(entries, MEGA))
    assert "overlap" in refused(lambda: read_safetensors(tmp_path / "m.safetensors"))


def raw_member(name: bytes, kind: bytes, size: int) -> bytes:
    """The header of a tar member, by hand: tarfile would not write what is in these."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    header[:100] = name[:100].ljust(100, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
                                  tarfile.SOLARIS_XHDTYPE])
def test_archives_with_a_long_name_that_unpacks_to_gigabytes(tmp_path, kind):
    with gzip.open(tmp_path / "c.tar.gz", "wb", 9) as file:
        file.write(raw_member(b"././@LongLink", kind, 1 << 28))
        for _ in range(16):
            file.write(bytes(1 << 24))
    refused(lambda: unpacked(tmp_path / "c.tar.gz"), megabytes=128)


def tar_of(path, names, content=b"") -> None:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("names, expected", [
    ([f"m{n}" for n in range(10_500)], "more than 10,000 members"), (["n" * 4_000], "characters"),
    (["d/" * 400 + "m"], "parts"), (["../m"], "leave"), (["/m"], "leave"), (["a/../../m"], "leave"),
])
def test_archives_of_odd_members(tmp_path, names, expected):
    tar_of(tmp_path / "c.tar.gz", names)
    assert expected in refused(lambda: unpacked(tmp_path / "c.tar.gz"))


def test_archives_of_bombs_and_sparse_files(tmp_path):
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 1 << 28
        archive.addfile(info, io.BytesIO(bytes(1 << 28)))
    assert "far more" in refused(lambda: unpacked(tmp_path / "c.tar.gz"))
    (tmp_path / "s.tar").write_bytes(raw_member(b"sparse", tarfile.GNUTYPE_SPARSE, 0) + bytes(1024))
    refused(lambda: unpacked(tmp_path / "s.tar"))


@pytest.mark.parametrize("config", ["[1]", "null", "3", '"x"', "[" * 100_000, '{"vocab_size": 1e400}',
                                    '{"init_args": [[1]]}', '{"hidden_size": Infinity}', "", "\0",
                                    '{"model_type": {}}'])
@pytest.mark.parametrize("family", ["own", "huggingface", "paddlenlp"])
def test_hostile_configurations(tmp_path, family, config):
    directory = tmp_path / family
    write(checkpoint(tmp_path), directory, family)
    place = next(directory / name for name in ("ernie_config.json", "config.json") if (directory / name).is_file())
    place.write_text(config)
    refused(lambda: read(directory))


def test_a_token_with_a_line_break_does_not_shift_the_vocabulary(tmp_path):
    directory = tmp_path / "huggingface"
    write(checkpoint(tmp_path), directory, "huggingface")
    (directory / "vocab.txt").unlink(missing_ok=True)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {"a\nb" if index == 7 else token: index for token, index in vocabulary.items()}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "line break" in refused(lambda: read(directory))


def test_a_folder_of_many_folders_is_not_searched_for_ever(tmp_path):
    for outer in range(40):
        for inner in range(40):
            (tmp_path / f"{outer}" / f"{inner}").mkdir(parents=True)
    assert "directories" in refused(lambda: read(tmp_path))


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """A file with flipped bytes, cut short, with a part repeated or one that is taken out."""
    raw = bytearray(raw)
    for _ in range(rng.choice([1, 1, 3, 10])):
        place = rng.randrange(min(len(raw), 4096) if rng.random() < 0.7 else len(raw))
        kind = rng.randrange(4)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            raw[place:place + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\x7f" + bytes(7)])
        elif kind == 2:
            del raw[place:place + rng.choice([1, 8, 1000])]
        else:
            raw[place:place] = raw[place:place + rng.choice([8, 64, 1000])]
        if len(raw) < 16:
            break
    return bytes(raw)


@pytest.mark.parametrize("form", ["paddle", "torch", "safetensors", "lod", "tar"])
def test_damaged_files_are_taken_or_refused(tmp_path, form):
    """60 damaged files of each form (4,000 in the long form), in groups: arrays or an InputError, nothing else."""
    rng, file = random.Random(form), tmp_path / "m.safetensors"
    arrays = {f"layer.{n}.weight": np.full((7, 5), n, np.float32) for n in range(6)}
    if form == "paddle":
        raw, reader = pickle.dumps(arrays, 2), read_paddle
    elif form == "torch":
        torch_zip(file, arrays, 35)
        raw, reader = file.read_bytes(), read_torch
    elif form == "safetensors":
        from safetensors.numpy import save
        raw, reader = save(arrays), read_safetensors
    elif form == "lod":
        write_lod(file, arrays["layer.1.weight"])
        raw, reader = file.read_bytes(), read_lod
    else:
        file, reader = tmp_path / "m.tar", unpacked
        with tarfile.open(file, "w") as archive:
            for name, array in arrays.items():
                info = tarfile.TarInfo(name)
                info.size = array.nbytes
                archive.addfile(info, io.BytesIO(array.tobytes()))
        raw = file.read_bytes()

    def group():
        from reader.utils.errors import InputError
        for _ in range(20):
            file.write_bytes(damaged(raw, rng))
            try:
                reader(file)
            except InputError as error:
                assert "\n" not in str(error)

    for _ in range(200 if LONG else 3):
        kind, message = outcome(group, seconds=30)
        assert not kind, (kind, message)
        rng.random()
        rng = random.Random(rng.random())


def test_zip_with_members_over_the_same_bytes(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"a": 1}))
        archive.writestr("a/data/0", bytes(1 << 24))
    assert "compressed torch archive" in refused(lambda: read_torch(tmp_path / "w.bin"))
