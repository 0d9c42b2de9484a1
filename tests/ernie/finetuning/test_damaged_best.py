"""Damaged best weights: the training is done again, to the same bits; neither taken for good nor a dead end."""
import pytest

from tests.ernie.finetuning.tiny import finetune, make_data


@pytest.mark.parametrize("finished", [True, False])
def test_a_training_whose_best_weights_are_damaged_is_done_again(tmp_path, model_files, capsys, finished):
    data, output = make_data("rte", tmp_path / "data"), tmp_path / "out"
    command = ("rte", data, output, model_files, "batch_size=4", "epochs=2", "checkpoint_every=1")
    assert finetune(*command) == 0
    best = output / "seed-1" / "best" / "model.safetensors"
    whole = best.read_bytes()
    best.write_bytes(whole[:-1])
    if not finished:  # killed between the last step and its end
        (output / "result.json").unlink()
        (output / "seed-1" / "result.json").unlink()
    capsys.readouterr()
    assert finetune(*command) == 0
    assert f"{output / 'seed-1'}: the best weights are damaged (model.safetensors has " in capsys.readouterr().out
    assert best.read_bytes() == whole
    assert finetune(*command) == 0
    assert "damaged" not in capsys.readouterr().out
