"""The scripts of the 2019 release: flags to recipes, and a whole call as it stands in the wild."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ernie import finetune_launch
from ernie.release2019 import finetune as release2019
from reader.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
from tests.ernie.finetuning.test_run import model_files  # noqa: E402, F401  (a fixture)


def recipe(*flags, program="classifier", cards=1):
    return release2019.recipe_of(release2019.parse(list(flags)), program, cards)


def test_flags_become_a_recipe():
    found = recipe("--epoch", "4", "--learning_rate", "3e-5", "--batch_size", "8", "--weight_decay", "0.0",
                   "--max_seq_len", "128", "--metric", "acc_and_f1", "--for_cn", "False", "--task_id", "2",
                   "--use_fp16", "true", "--random_seed", "7", "--validation_steps", "1000000000000", cards=4)
    assert (found.epochs, found.learning_rate, found.batch_size, found.batch_unit) == (4, 3e-5, 32, "examples")
    assert (found.schedule, found.warmup_proportion, found.max_length) == ("linear", 0.1, 128)
    assert (found.metrics, found.task_id, found.precision, found.seed) == (["accuracy", "f1"], 2, "fp16", 7)
    assert found.loss_scaling.initial == 102400
    assert not found.reader.remove_spaces


def test_no_warm_up_means_a_constant_rate():
    assert recipe("--warmup_proportion", "0.0").schedule == "constant"
    assert recipe("--lr_scheduler", "noam_decay").schedule == "noam"


@pytest.mark.parametrize(("program", "flags", "kind"), [
    ("classifier", [], "classification"), ("classifier", ["--is_regression", "true"], "regression"),
    ("classifier", ["--metric", "acc_and_f1_and_mrr"], "ranking"), ("mrc", [], "reading_comprehension")])
def test_kinds(program, flags, kind):
    assert recipe(*flags, program=program).kind == kind


def test_tokens_a_batch_and_labels(tmp_path):
    assert recipe("--in_tokens", "true", "--batch_size", "8192", cards=8).batch_size == 65536
    assert recipe("--num_labels", "3").reader.classes == ["0", "1", "2"]
    labels = tmp_path / "label_map.json"
    labels.write_text(json.dumps({"B-PER": 0, "O": 1}))
    assert recipe("--label_map_config", str(labels), program="sequence_labeling").reader.classes == ["B-PER", "O"]
    with pytest.raises(InputError, match="--label_map_config is missing"):
        recipe(program="sequence_labeling")


def test_several_files_of_a_kind(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text("x")
    found = recipe("--dev_set", f"{tmp_path / 'a'},{tmp_path / 'b'}", "--test_set", str(tmp_path / "c"))
    assert found.splits("dev") == ["dev", "dev.2"]
    assert found.reader.files["dev.2"] == [str(tmp_path / "b")]
    with pytest.raises(InputError, match="--dev_set: no such file"):
        recipe("--dev_set", "missing.tsv")


def test_every_call_has_a_directory_of_its_own_but_a_killed_one_goes_on(tmp_path):
    args = release2019.parse(["--checkpoints", str(tmp_path)])
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-1"
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "flags.json").write_text('["x"]')
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-1"
    assert release2019.output_for(args, ["y"]) == tmp_path / "run-2"
    (tmp_path / "run-1" / "result.json").write_text("{}")
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-2"


def test_test_save_names_a_file_for_each_test_set(tmp_path):
    flags = release2019.parse(["--test_set", "a,b", "--test_save", "x,y",
                               "--diagnostic", "d", "--diagnostic_save", "z"])
    assert release2019.tests_saved(flags) == [("test", "x"), ("test.2", "y"), ("test.diagnostic", "z")]
    with pytest.raises(InputError, match="--test_save names 1 files, --test_set 2"):
        release2019.tests_saved(release2019.parse(["--test_set", "a,b", "--test_save", "x"]))
    assert release2019.tests_saved(release2019.parse(["--test_set", "a,b", "--do_test", "false"])) == []
    with pytest.raises(InputError, match="missing.tsv: --diagnostic: no such file"):
        recipe("--diagnostic", str(tmp_path / "missing.tsv"))


def test_a_checkpoints_directory_stands_for_its_last_finished_run(tmp_path):
    for number in 2, 10, 11:
        (tmp_path / f"run-{number}").mkdir()
    for number in 2, 10:
        (tmp_path / f"run-{number}" / "result.json").write_text("{}")
    assert release2019.newest_run(tmp_path) == tmp_path / "run-10"
    assert release2019.newest_run(tmp_path / "run-2") == tmp_path / "run-2"


def test_nothing_to_do_is_said(capsys):
    assert release2019.main("classifier", ["--do_train", "false", "--do_val", "false", "--do_test", "false"]) == 2
    assert "are all false: nothing to do" in capsys.readouterr().err


def test_one_process_of_several_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    flags = ["--do_train", "false", "--init_checkpoint", "missing", "--checkpoints", str(tmp_path / "checkpoints")]
    assert release2019.main("classifier", flags) == 0
    assert not (tmp_path / "checkpoints").exists()


def test_launcher():
    args = finetune_launch.parse(["--nproc_per_node", "2", "--selected_gpus", "4,5,6", "--node_ips", "a,b", "--node_id",
                                  "1", "run_mrc.py", "--use_cuda", "true"])
    what, _ = finetune_launch.command(args, gpus=True)
    assert what[1:] == ["-m", "paddle.distributed.launch", "--devices", "4,5", "--log_dir", "log", "--master", "a:6170",
                        "--nnodes", "2", "--rank", "1", "run_mrc.py", "--use_cuda", "true"]
    what, environment = finetune_launch.command(args, gpus=False)
    assert what == [sys.executable, "-u", "run_mrc.py", "--use_cuda", "true"]
    assert environment == {release2019.CARDS: "4"}


def test_a_script_of_2019_runs_as_it_is(tmp_path, model_files):  # noqa: F811
    data = tmp_path / "data"
    data.mkdir()
    for split in "train", "dev", "test":
        (data / f"{split}.tsv").write_text("qid\ttext_a\ttext_b\tlabel\n" + "".join(
            f"{n}\ta b c\t{'abcdefgh'[n]}\t{n % 2}\n" for n in range(8)))
    (tmp_path / "ernie").symlink_to(ROOT / "ernie")
    script = f"""
        export FLAGS_eager_delete_tensor_gb=0.0
        export PYTHONPATH=./ernie:${{PYTHONPATH:-}}
        python ./ernie/finetune_launch.py --nproc_per_node 2 --selected_gpus 0,1 --node_ips 127.0.0.1 --node_id 0 \\
            ./ernie/run_classifier.py --use_cuda true --for_cn False --use_fast_executor true \\
            --tokenizer FullTokenizer --do_train true --do_val true --do_test true --batch_size 2 --verbose true \\
            --train_set data/train.tsv --dev_set data/dev.tsv,data/test.tsv --test_set data/test.tsv \\
            --vocab_path {model_files[1]} --checkpoints ./checkpoints --save_steps 1000 --weight_decay 0.0 \\
            --warmup_proportion 0.1 --validation_steps 1000000 --epoch 2 --max_seq_len 32 \\
            --ernie_config_path {model_files[0]} --learning_rate 3e-5 --skip_steps 10 \\
            --num_iteration_per_drop_scope 1 --num_labels 2 --metric 'acc_and_f1' \\
            --test_save output/test_out.tsv --random_seed 1 2>&1 | tee job.log"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PATH": path})
    log = (tmp_path / "job.log").read_text()
    assert "Traceback" not in log, log
    assert "[dev evaluation] ave loss: " in log, log + done.stderr
    assert "acc:0." in log
    assert "data_num: 8, elapsed time: " in log
    assert "2 epochs of 2 steps, 4 examples a step" in log
    assert log.count("without meaning today") == log.count("no GPU here, trains on the CPU") == 1
    assert len((tmp_path / "output" / "test_out.tsv").read_text().splitlines()) == 9
    assert (tmp_path / "checkpoints" / "run-1" / "seed-1" / "best" / "model.safetensors").exists()
