"""Every family in and out, without its peer: round trips, configurations, damage, and what is no checkpoint."""
import dataclasses
import gzip
import io
import json
import os
import pickle
import random
import resource
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ernie.checkpoints.formats import FAMILIES, read, write
from ernie.checkpoints.formats.families import WORDS
from ernie.checkpoints.formats.pickles import read_paddle
from ernie.checkpoints.formats.tensor_files import read_safetensors, write_lod
from ernie.model.config import ErnieConfig
from reader.utils.errors import InputError
from tests.ernie.released import checkpoint, config, minilm, same, without

STEP = 1 if os.environ.get("ERNIE_FUZZ") else 16  # every damage, or one in sixteen


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip(tmp_path, family):
    found = checkpoint(tmp_path)
    notes = write(found, tmp_path / "out", family)
    back = read(tmp_path / "out")
    assert back.family == family and back.unexpected == [] and back.lower_case
    assert back.vocab.read_text("utf-8") == found.vocab.read_text("utf-8")
    if family == "dygraph":  # that release has no task embedding
        assert len(notes) == 1 and "task_type" in notes[0]
        found = without(found, "task_type")
        assert not back.config.use_task_id
    else:
        assert notes == [] and back.config == found.config
    same(found.arrays, back.arrays)


def test_through_every_family_and_back(tmp_path):
    found = first = checkpoint(tmp_path)
    for number, family in enumerate(("own", "static", "huggingface", "paddlenlp", "own")):
        write(found, tmp_path / str(number), family)
        found = read(tmp_path / str(number))
    same(first.arrays, found.arrays)
    assert found.config == first.config


@pytest.mark.parametrize("family, ending", zip(FAMILIES, (".tar.gz", ".tgz", ".tar", ".tar.gz", ".tgz")))
def test_archives(tmp_path, family, ending):
    found = checkpoint(tmp_path)
    write(found, tmp_path / "out", family)
    with tarfile.open(tmp_path / f"a{ending}", "w:gz" if "gz" in ending else "w") as archive:
        archive.add(tmp_path / "out", "ERNIE_stable/deeper")
    back = read(tmp_path / f"a{ending}")
    assert back.family == family and back.vocab.is_file()
    np.testing.assert_array_equal(back.arrays[WORDS], found.arrays[WORDS])


@pytest.mark.parametrize("name, kind, target", [("../evil", tarfile.REGTYPE, ""), ("/evil", tarfile.REGTYPE, ""),
                                                ("a/../../evil", tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "/etc"),
                                                ("l", tarfile.LNKTYPE, "../x"), ("f", tarfile.FIFOTYPE, "")])
def test_archives_that_reach_out_are_refused(tmp_path, name, kind, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"bad") if member.size else None)
    with pytest.raises(InputError, match="refused"):
        read(tmp_path / "a.tgz")
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_archive_bombs_are_refused(tmp_path):
    member = tarfile.TarInfo("model.safetensors")
    member.size = 1 << 28
    with gzip.open(tmp_path / "a.tgz", "wb", 9) as file:
        file.write(member.tobuf() + bytes(1 << 20))
    with pytest.raises(InputError, match="far more"):
        read(tmp_path / "a.tgz")


def test_the_path_may_be_the_weights_themselves(tmp_path):
    found = checkpoint(tmp_path)
    for family, weights in (("static", "params"), ("dygraph", "saved_weights.pdparams"), ("own", "model.safetensors")):
        write(found, tmp_path / family, family)
        assert read(tmp_path / family / weights).family == family


@pytest.mark.parametrize("values, expected", [
    ({"sent_type_vocab_size": 4, "task_type_vocab_size": 16}, (4, True, 16, 1e-5)),  # ERNIE 2.0, English
    ({"type_vocab_size": 2, "max_position_embeddings": 513}, (2, False, 0, 1e-5)),   # ERNIE 1.0, Chinese
    ({"type_vocab_size": 4, "use_task_id": False, "task_type_vocab_size": 3}, (4, False, 3, 1e-5)),
    ({"use_task_id": True, "task_type_vocab_size": 3, "layer_norm_eps": 1e-12}, (2, True, 3, 1e-12)),
    ({"use_task_id": True}, (2, True, 16, 1e-5))])
def test_spellings_of_released_configurations(values, expected):
    found = ErnieConfig.from_dict({"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1,
                                   "num_attention_heads": 2, "hidden_act": "relu", "finetuning_task": None, **values})
    assert (found.type_vocab_size, found.use_task_id, found.task_type_vocab_size, found.layer_norm_eps) == expected
    assert found.intermediate_size == 32 and ErnieConfig.from_dict(found.to_dict()) == found


def test_baidus_own_configurations(data):
    english = ErnieConfig.load(data("baidu_release/ernie_large_en/ernie_config.json"))
    chinese = ErnieConfig.load(data("baidu_release/config/ernie_config.json"))
    assert (english.hidden_size, english.type_vocab_size, english.task_type_vocab_size) == (1024, 4, 16)
    assert (chinese.vocab_size, chinese.max_position_embeddings, chinese.use_task_id) == (18000, 513, False)


@pytest.mark.parametrize("changes, message", [
    ({"hidden_size": 7}, "hidden_size 7 does not divide into num_attention_heads 2"),
    ({"hidden_size": 10**12}, "hidden_size is 1000000000000, not a whole number from 1 to 16384"),
    ({"vocab_size": 0}, "vocab_size is 0"), ({"num_hidden_layers": 2.5}, "num_hidden_layers is 2.5"),
    ({"num_hidden_layers": float("inf")}, "num_hidden_layers is inf"), ({"vocab_size": float("nan")}, "nan"),
    ({"vocab_size": True}, "vocab_size is True"), ({"vocab_size": "30522"}, "vocab_size is '30522'"),
    ({"hidden_act": "swish"}, "'swish' is not one of gelu"), ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
    ({"hidden_act": ["gelu"]}, "hidden_act"), ({"encoder": "cnn"}, "'cnn' is not one of transformer, lstm, gru")])
def test_impossible_configurations(changes, message):
    values = {"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, **changes}
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        ErnieConfig.from_dict(values)


def test_our_own_configurations_suggest_the_nearest_key():
    values = {"vocab_size": 100, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "hiden_act": "x"}
    with pytest.raises(InputError, match="unknown key 'hiden_act' .* did you mean 'hidden_act'"):
        ErnieConfig.from_dict(values, strict=True)
    for name in ("base_en", "large_en", "base_zh", "large_zh", "demo_en", "demo_zh"):
        ErnieConfig.load(Path(__file__).resolve().parents[3] / f"configs/model/{name}.json", strict=True)


def test_real_released_weights_are_recognised():
    root = minilm()
    found = read(root)
    assert found.family == "huggingface" and found.unexpected == [] and len(found.arrays) == 5 + 6 * 16 + 2
    assert found.arrays["ernie.encoder.layers.5.linear1.weight"].shape == (384, 1536)
    assert found.config.layer_norm_eps == 1e-12 and not found.config.use_task_id


# ---- what a checkpoint and its configuration say of each other

def test_arrays_that_contradict_the_configuration(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "static")
    settings = tmp_path / "out" / "ernie_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "vocab_size": 50}))
    with pytest.raises(InputError, match=r"word_embeddings.weight is \[40, 8\], its configuration says \[50, 8\]"):
        read(tmp_path / "out")


def test_a_lost_file_of_a_params_directory(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "static")
    (tmp_path / "out/params/encoder_layer_1_ffn_fc_0.w_0").unlink()
    with pytest.raises(InputError, match="lacks 1 array of the encoder, ernie.encoder.layers.1.linear1.weight"):
        read(tmp_path / "out")


def test_extra_arrays_are_reported(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "static")
    params = tmp_path / "out/params"
    write_lod(params / "some_out_w", np.zeros((8, 2), np.float32))
    write_lod(params / "word_embedding_moment1_0", np.zeros((40, 8), np.float32))
    assert read(tmp_path / "out").unexpected == ["some_out_w"]


def test_half_precision_becomes_float32(tmp_path):
    found = checkpoint(tmp_path)
    halves = {name: array.astype(np.float16) for name, array in found.arrays.items()}
    for family in FAMILIES:
        write(dataclasses.replace(found, arrays=halves), tmp_path / family, family)
        back = read(tmp_path / family)
        assert back.arrays[WORDS].dtype == np.float32
        np.testing.assert_array_equal(back.arrays[WORDS], halves[WORDS].astype(np.float32))


def test_bfloat16_safetensors(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], np.float32)
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + raw)
    np.testing.assert_array_equal(read_safetensors(tmp_path / "a.safetensors")["x"], values)


def test_a_decoder_that_is_not_tied_is_said(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "paddlenlp")
    file = tmp_path / "out/model_state.pdparams"
    arrays = read_paddle(file)
    arrays["cls.predictions.decoder.weight"] = arrays["cls.predictions.decoder.weight"] + 1
    file.write_bytes(pickle.dumps(arrays))
    assert read(tmp_path / "out").unexpected == [
        "cls.predictions.decoder.weight (differs from the array it should be tied to)"]


def test_paddlenlps_older_nested_configuration(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "paddlenlp")
    values = json.loads((tmp_path / "out/config.json").read_text())
    (tmp_path / "out/config.json").unlink()
    nested = {"init_args": [{**values, "init_class": "ErnieModel"}], "init_class": "ErnieForPretraining"}
    (tmp_path / "out/model_config.json").write_text(json.dumps(nested))
    assert read(tmp_path / "out").config == config()


def test_bert_names_and_old_spellings(tmp_path):
    from safetensors.numpy import load_file, save_file
    found = checkpoint(tmp_path, use_task_id=False, task_type_vocab_size=3)
    found = without(found, "heads.")
    write(found, tmp_path / "out", "huggingface")
    file = tmp_path / "out/model.safetensors"
    for prefix in ("bert.", ""):
        arrays = {name.replace("ernie.", prefix).replace("LayerNorm.weight", "LayerNorm.gamma"): array
                  for name, array in load_file(file).items()}
        (tmp_path / prefix.join("xx")).mkdir()
        target = tmp_path / prefix.join("xx")
        save_file({**arrays, "embeddings.position_ids": np.arange(16)}, target / "model.safetensors")
        (target / "config.json").write_text((tmp_path / "out/config.json").read_text())
        back = read(target)
        same(found.arrays, back.arrays)
        assert back.unexpected == []


def test_a_vocabulary_inside_tokenizer_json(tmp_path):
    found = checkpoint(tmp_path)
    write(found, tmp_path / "out", "huggingface")
    (tmp_path / "out/vocab.txt").unlink()
    assert read(tmp_path / "out").vocab.read_text("utf-8") == found.vocab.read_text("utf-8")
    for text, message in (("[]", "does not hold a WordPiece vocabulary"),
                          ('{"model": {"vocab": {"a": 0, "b": 5}}}', "are not 0, 1, 2"),
                          ('{"model": {"vocab": {"a": 0, "b": 0}}}', "same id")):
        (tmp_path / "out/tokenizer.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read(tmp_path / "out")


@pytest.mark.parametrize("content, message", [
    ({"config.json": "{}"}, "no weights here"), ({}, "no weights here"),
    ({"model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}, "known family: it holds nothing")])
def test_what_is_not_a_checkpoint(tmp_path, content, message):
    for name, text in content.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_other_architectures_are_refused(tmp_path):
    write(checkpoint(tmp_path), tmp_path / "out", "huggingface")
    settings = tmp_path / "out/config.json"
    settings.write_text(settings.read_text().replace('"ernie"', '"roberta"'))
    with pytest.raises(InputError, match="model_type 'roberta'"):
        read(tmp_path / "out")


def test_of_several_models_in_a_folder_the_one_that_is_taken_is_named(tmp_path):
    found = checkpoint(tmp_path)
    for name, family in (("two", "own"), ("one", "static")):
        write(found, tmp_path / "all" / name, family)
    back = read(tmp_path / "all")
    assert back.family == "static" and back.notes == [f"{tmp_path / 'all'} holds 2 models: one is taken"]
    assert read(tmp_path / "all" / "one").notes == []


def test_a_directory_in_use_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    with pytest.raises(InputError, match="not an empty directory"):
        write(checkpoint(tmp_path), tmp_path / "out", "own")


# ---- damage

@pytest.mark.parametrize("family", FAMILIES)
def test_damage_ends_in_one_line(tmp_path, family):
    """Truncated and bit-flipped files, one at a time: read, or refused in one line; never gigabytes."""
    write(checkpoint(tmp_path), tmp_path / "out", family)
    before, rng, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, random.Random(family), 0
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    for file in files[::8] if family == "static" else files:
        whole = file.read_bytes()
        cuts = [whole[:size] for size in {0, 1, 7, 8, 9, *(rng.randrange(len(whole)) for _ in range(80 // STEP))}]
        flips = []
        for _ in range(1600 // STEP):
            place = rng.randrange(min(len(whole), rng.choice([16, 400, 4000, 1 << 30])))
            flips.append(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1:])
        for damaged in cuts + flips:
            file.write_bytes(damaged)
            try:
                read(tmp_path / "out")
            except InputError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1000
        file.write_bytes(whole)
    assert refused > 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_damaged_archives(tmp_path):
    def same(member: tarfile.TarInfo) -> tarfile.TarInfo:
        """Nothing of the day and the user: the same bytes are damaged in every run."""
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    write(checkpoint(tmp_path), tmp_path / "out", "static")
    with gzip.GzipFile(tmp_path / "a.tgz", "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "out", "x", filter=same)
    whole, rng, refused = (tmp_path / "a.tgz").read_bytes(), random.Random(1), 0
    for number in range(400 // STEP):
        place = rng.randrange(len(whole))
        damaged = whole[:place] if number % 2 else whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1:]
        (tmp_path / f"{number}.tgz").write_bytes(damaged)
        try:
            read(tmp_path / f"{number}.tgz")
        except InputError as error:
            refused += "\n" not in str(error)
    assert refused > 190 // STEP
