"""A finished stage whose end is lost is no dead end."""
import shutil

from tests.ernie import runs


def test_a_finished_stage_with_a_damaged_end_is_trained_again_from_its_newest_whole_checkpoint(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 7}, {"knowledge_masking": 3}], checkpoint_every=5)
    runs.run(file, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stage-2")
    end = tmp_path / "run" / "stage-1" / "step-00000007" / "model.safetensors"
    end.write_bytes(end.read_bytes()[:-8])
    said = runs.run(file, tmp_path / "run")
    assert "stage 1 was finished, but its last checkpoint is damaged (model.safetensors has" in said
    assert "it is trained again from step-00000005" in said
    for stage in (1, 2):
        assert runs.identical(runs.final(tmp_path / "whole", stage), runs.final(tmp_path / "run", stage))


def test_an_earlier_stages_end_is_not_missed_once_the_next_has_begun(tmp_path):
    file = runs.declare(tmp_path, [{"knowledge_masking": 4}, {"knowledge_masking": 3}])
    runs.run(file, tmp_path / "run")
    end = tmp_path / "run" / "stage-1" / "step-00000004" / "model.safetensors"
    end.write_bytes(b"")
    assert "damaged" not in runs.run(file, tmp_path / "run")
