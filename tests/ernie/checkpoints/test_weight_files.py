"""Files of weights: pickles, hostile ones too, and the tensor files of Paddle's static graph."""
import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from ernie.checkpoints.formats.pickles import read_paddle, read_torch
from ernie.checkpoints.formats.tensor_files import read_lod, write_lod
from reader.utils.errors import InputError


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call, named", [
    ((os.system, ("touch pwned",)), "system"), ((eval, ("open('pwned', 'w')",)), "eval of 'open"),
    ((eval, ("data", {"data": 1, "__builtins__": {}})), "eval of 'data'"),
    ((exec, ("open('pwned', 'w')",)), "builtins.exec"), ((getattr, ("", "join")), "builtins.getattr"),
    ((np.load, ("x.npy",)), "numpy"), ((pickle.loads, (b"",)), "loads"), ((open, ("pwned", "w")), "io.open")])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("reader", [read_paddle, read_torch])
def test_pickles_that_would_run_code_are_refused_by_name(tmp_path, monkeypatch, call, named, protocol, reader):
    monkeypatch.chdir(tmp_path)
    Path("a.pdparams").write_bytes(pickle.dumps({"word_emb.weight": Evil(*call)}, protocol))
    with pytest.raises(InputError, match="asks to load .*" + named.split()[0]) as caught:
        reader("a.pdparams")
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("program, message", [
    (b"\x80\x02r\xff\xff\xff\xff.", "not a whole"), (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "not a whole"),
    (b"\x80\x05\x96" + b"\0\0\0\0\x40\0\0\0.", "not a whole|holds a"), (b"\x80\x02(" * 100000, "not a whole"),
    (b"\x80\x02]" + b"]" * 5000 + b"a" * 5000 + b".", "holds a list"),
    (pickle.dumps({"a": {"b": np.zeros(2)}}), "entry 'a' is a dict"), (pickle.dumps([1]), "holds a list"),
    (pickle.dumps({"a": np.array([None])}), "an array of O8"),
    # attributes of what the reader itself is made of stay as they are
    (b"\x80\x02cnumpy\nndarray\nN}(X\x05\x00\x00\x00valueK\x01u\x86b.", "unexpected state")])
def test_hostile_pickles(tmp_path, program, message):
    (tmp_path / "a.pdparams").write_bytes(program)
    with pytest.raises(InputError, match=message):
        read_paddle(tmp_path / "a.pdparams")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_of_paddle_save(tmp_path, protocol):
    paddle = pytest.importorskip("paddle")
    layer = paddle.nn.Linear(3, 5)
    paddle.save(layer.state_dict(), str(tmp_path / "a.pdparams"), protocol=protocol)
    found = read_paddle(tmp_path / "a.pdparams")
    assert sorted(found) == ["bias", "weight"]
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(found[name], value.numpy())
    paddle.save({"w": layer.weight, "deep": paddle.ones([2, 2])}, str(tmp_path / "b.pdparams"), protocol=protocol)
    np.testing.assert_array_equal(read_paddle(tmp_path / "b.pdparams")["w"], layer.weight.numpy())
    half = paddle.to_tensor([1.5, -2.0]).astype("bfloat16")
    paddle.save({"h": half}, str(tmp_path / "c.pdparams"), protocol=protocol)
    np.testing.assert_array_equal(read_paddle(tmp_path / "c.pdparams")["h"], np.array([1.5, -2.0], np.float32))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_numpy(tmp_path, protocol):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
              "i": np.array([1, 2]), "big": np.array([1.5], ">f4")}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({**arrays, "StructuredToParameterName@@": {"a": "b"}}, protocol))
    for name, array in read_paddle(tmp_path / "a.pdparams").items():
        np.testing.assert_array_equal(array, arrays[name])


def test_arrays_that_old_protocols_cut(tmp_path):
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    cut = {"w@@.0": whole.reshape(-1)[:7], "w@@.1": whole.reshape(-1)[7:],
           "UnpackBigParamInfor@@": {"w": {"OriginShape": (3, 4), "slices": ["w@@.0", "w@@.1"]}}}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(cut, 2))
    np.testing.assert_array_equal(read_paddle(tmp_path / "a.pdparams")["w"], whole)


def test_files_of_paddle_static(tmp_path):
    paddle = pytest.importorskip("paddle")
    values = {"word_embedding": np.random.rand(4, 3).astype("float32"), "steps": np.array([7], "int64"),
              "half": np.arange(6, dtype="float16").reshape(1, 2, 3)}
    old_graph = getattr(getattr(paddle, "pir_utils", None), "OldIrGuard", contextlib.nullcontext)
    scope = paddle.base.core.Scope()
    paddle.enable_static()
    try:
        with old_graph(), paddle.static.scope_guard(scope):
            main = paddle.static.Program()
            block = main.global_block()
            for name, value in values.items():
                block.create_var(name=name, shape=value.shape, dtype=str(value.dtype), persistable=True)
                scope.var(name).get_tensor().set(value, paddle.CPUPlace())
                block.append_op(type="save", inputs={"X": [name]}, attrs={"file_path": str(tmp_path / name)})
            paddle.static.Executor(paddle.CPUPlace()).run(main)
    finally:
        paddle.disable_static()
    for name, value in values.items():
        np.testing.assert_array_equal(read_lod(tmp_path / name), value)
        write_lod(tmp_path / "again", value)
        assert (tmp_path / "again").read_bytes() == (tmp_path / name).read_bytes()
