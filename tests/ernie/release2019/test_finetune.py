"""The scripts of the 2019 release: flags to recipes, and a whole call as it stands in the wild."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ernie.release2019 import finetune as release2019
from ernie.release2019 import flags, launch
from reader.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def recipe(*given, program="classifier", cards=1):
    return flags.recipe_of(flags.parse(list(given)), program, cards)


def test_flags_become_a_recipe():
    found = recipe("--epoch", "4", "--learning_rate", "3e-5", "--batch_size", "8", "--weight_decay", "0.0",
                   "--max_seq_len", "128", "--metric", "acc_and_f1", "--for_cn", "False", "--task_id", "2",
                   "--use_fp16", "true", "--random_seed", "7", "--validation_steps", "1000000000000", cards=4)
    assert (found.epochs, found.learning_rate, found.batch_size, found.batch_unit) == (4, 3e-5, 32, "examples")
    assert (found.schedule, found.warmup_proportion, found.max_length) == ("linear", 0.1, 128)
    assert (found.metrics, found.task_id, found.precision, found.seed) == (["accuracy", "f1"], 2, "fp16", 7)
    assert found.loss_scaling.initial == 102400
    assert not found.reader.remove_spaces


# every flag of the three programs of 2019 with its default; None: the flag is taken, and without meaning
FLAGS = {
    "ernie_config_path": "", "init_checkpoint": "", "init_pretraining_params": "", "checkpoints": "checkpoints",
    "is_classify": True, "is_regression": False, "task_id": 0, "epoch": 3, "learning_rate": 5e-5,
    "lr_scheduler": "linear_warmup_decay", "weight_decay": 0.01, "warmup_proportion": 0.1, "save_steps": 10000,
    "validation_steps": 1000, "use_fp16": False, "use_dynamic_loss_scaling": None, "init_loss_scaling": 102400,
    "test_save": "checkpoints/test_result", "metric": "simple_accuracy", "incr_every_n_steps": 100,
    "decr_every_n_nan_or_inf": 2, "incr_ratio": 2.0, "decr_ratio": 0.8, "skip_steps": 10, "verbose": None,
    "tokenizer": None, "train_set": "", "test_set": "", "dev_set": "", "vocab_path": "", "max_seq_len": 512,
    "batch_size": 32, "predict_batch_size": None, "in_tokens": False, "do_lower_case": True, "random_seed": 1,
    "label_map_config": "", "num_labels": 2, "diagnostic": "", "diagnostic_save": "", "max_query_length": 64,
    "max_answer_length": 100, "doc_stride": 128, "n_best_size": 20, "chunk_scheme": None, "use_cuda": True,
    "is_distributed": None, "use_fast_executor": None, "num_iteration_per_drop_scope": None, "do_train": True,
    "do_val": True, "do_test": True, "use_multi_gpu_test": None, "metrics": None, "shuffle": None, "for_cn": True,
    "enable_ce": False}


def test_every_flag_of_2019_is_taken_with_its_default():
    found = vars(flags.parse([]))
    assert {name: found[name] or "" if default == "" else found[name] for name, default in FLAGS.items()
            if default is not None} == {name: default for name, default in FLAGS.items() if default is not None}
    assert set(found) == set(FLAGS)
    for name, default in FLAGS.items():
        given = str(not default).lower() if isinstance(default, bool) else str(default or 1)
        assert name in vars(flags.parse([f"--{name}", given]))


def test_no_warm_up_means_a_constant_rate():
    assert recipe("--warmup_proportion", "0.0").schedule == "constant"
    assert recipe("--lr_scheduler", "noam_decay").schedule == "noam"


@pytest.mark.parametrize(("program", "given", "kind"), [
    ("classifier", [], "classification"), ("classifier", ["--is_regression", "true"], "regression"),
    ("classifier", ["--metric", "acc_and_f1_and_mrr"], "ranking"), ("mrc", [], "reading_comprehension")])
def test_kinds(program, given, kind):
    assert recipe(*given, program=program).kind == kind


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
    args = flags.parse(["--checkpoints", str(tmp_path)])
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-1"
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "flags.json").write_text('{"argv": ["x"], "seed": 77}')
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-1"
    assert release2019.seed_for(tmp_path / "run-1", args) == 77
    assert release2019.output_for(args, ["y"]) == tmp_path / "run-2"
    (tmp_path / "run-1" / "result.json").write_text("{}")
    assert release2019.output_for(args, ["x"]) == tmp_path / "run-2"


def test_seeds_differ_from_run_to_run_unless_one_is_asked_for(tmp_path, monkeypatch):
    args = flags.parse(["--random_seed", "1"])
    assert len({release2019.seed_for(tmp_path / "run-1", args) for _ in range(5)}) == 5
    monkeypatch.setenv(release2019.SEED, "42")
    assert release2019.seed_for(tmp_path / "run-1", args) == 42
    monkeypatch.setenv(release2019.SEED, "x")
    with pytest.raises(InputError, match="ERNIE_2019_SEED='x' is not a whole number"):
        release2019.seed_for(tmp_path / "run-1", args)


@pytest.mark.parametrize(("environment", "given", "expected"), [
    ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, [], 8),
    ({"CUDA_VISIBLE_DEVICES": "3"}, [], 1),
    ({"CUDA_VISIBLE_DEVICES": ""}, [], 1),
    ({"CUDA_VISIBLE_DEVICES": "0,1,-1,2"}, [], 2),  # what stands behind -1 is not visible
    ({}, [], 4),  # those that are there
    ({"CUDA_VISIBLE_DEVICES": "0,1", flags.CARDS: "8"}, [], 8),  # finetune_launch.py on a machine without a GPU
    ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "1"}, [], 2),
    ({"CUDA_VISIBLE_DEVICES": "0,1"}, ["--use_cuda", "false"], 1),
    ({"CUDA_VISIBLE_DEVICES": "0,1", "CPU_NUM": "3"}, ["--use_cuda", "false"], 3),
])
def test_batch_size_is_for_every_visible_card(environment, given, expected):
    assert flags.cards(flags.parse(given), environment, lambda: 4)[0] == expected


@pytest.mark.parametrize("environment", [{"CPU_NUM": "abc"}, {"PADDLE_TRAINERS_NUM": "x"}, {flags.CARDS: "-1"}])
def test_a_number_of_cards_that_is_none_is_named(environment):
    ((name, value),) = environment.items()
    with pytest.raises(InputError, match=f"{name}='{value}' is not a whole number"):
        flags.cards(flags.parse(["--use_cuda", "false"]), environment, lambda: 4)


def test_test_save_names_a_file_for_each_test_set(tmp_path):
    found = flags.parse(["--test_set", "a,b", "--test_save", "x,y", "--diagnostic", "d", "--diagnostic_save", "z"])
    assert flags.tests_saved(found) == {"test": "x", "test.2": "y", "test.diagnostic": "z"}
    with pytest.raises(InputError, match="--test_save names 1 file, --test_set 2"):
        flags.tests_saved(flags.parse(["--test_set", "a,b", "--test_save", "x"]))
    assert flags.tests_saved(flags.parse(["--test_set", "a,b", "--do_test", "false"])) == {}
    with pytest.raises(InputError, match="missing.tsv: --diagnostic: no such file"):
        recipe("--diagnostic", str(tmp_path / "missing.tsv"))


def test_labels_that_share_a_number(tmp_path):
    labels = tmp_path / "label_map.json"
    labels.write_text('{"contradictory": 0, "contradiction": 0, "neutral": 1, "entailment": 2}')
    found = recipe("--label_map_config", str(labels)).reader.labels()
    assert found.names == ("contradictory", "neutral", "entailment")
    assert found.read("contradiction") == found.read("contradictory") == 0


def test_a_checkpoints_directory_stands_for_its_last_finished_run(tmp_path):
    for number in 2, 10, 11:
        (tmp_path / f"run-{number}").mkdir()
    for number in 2, 10:
        (tmp_path / f"run-{number}" / "result.json").write_text('{"best_seed": 7}')
        (tmp_path / f"run-{number}" / "seed-7" / "best").mkdir(parents=True)
        (tmp_path / f"run-{number}" / "seed-7" / "best" / "finetuned.json").write_text("{}")
    (tmp_path / "run-12").mkdir()  # of a call that only tested: finished, and it has no model
    (tmp_path / "run-12" / "result.json").write_text('{"best_seed": 0}')
    assert release2019.newest_run(tmp_path) == tmp_path / "run-10"
    assert release2019.newest_run(tmp_path / "run-2") == tmp_path / "run-2"


def test_nothing_to_do_is_said(capsys):
    assert release2019.main("classifier", ["--do_train", "false", "--do_val", "false", "--do_test", "false"]) == 2
    assert "are all false: nothing to do" in capsys.readouterr().err


def test_one_process_of_several_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    given = ["--do_train", "false", "--init_checkpoint", "missing", "--checkpoints", str(tmp_path / "checkpoints")]
    assert release2019.main("classifier", given) == 0
    assert not (tmp_path / "checkpoints").exists()


def test_launcher():
    args = launch.parse(["--nproc_per_node", "2", "--selected_gpus", "4,5,6", "--node_ips", "a,b", "--node_id", "1",
                         "run_mrc.py", "--use_cuda", "true"], "")
    what, _ = launch.command(args, gpus=True)
    assert what[1:] == ["-m", "ernie.launching.launcher", "--devices", "4,5", "--logs", "log", "--marks",
                        "checkpoints/alive", "--nnodes", "2", "--rank", "1", "--master", "a:6170", "--", "run_mrc.py",
                        "--use_cuda", "true"]
    what, environment = launch.command(args, gpus=False)
    assert what == [sys.executable, "-u", "run_mrc.py", "--use_cuda", "true"]
    assert environment == {flags.CARDS: "4"}
    what, environment = launch.command(args, gpus=True, pretraining=True)  # train.py starts the processes itself
    assert what == [sys.executable, "-u", "run_mrc.py", "--use_cuda", "true"]
    assert environment == {flags.CARDS: "4", launch.PLACES: "--devices 4,5 --nnodes 2 --rank 1 --master a:6170"}


def script(model, data_files, *more):
    """A fine-tuning script with every flag that 2019's scripts pass."""
    return f"""
        export FLAGS_eager_delete_tensor_gb=0.0
        export PYTHONPATH=./ernie:${{PYTHONPATH:-}}
        python ./ernie/finetune_launch.py --nproc_per_node 2 --selected_gpus 0,1 --node_ips 127.0.0.1 --node_id 0 \\
            ./ernie/run_classifier.py --use_cuda true --is_distributed true --for_cn False --use_fast_executor true \\
            --tokenizer FullTokenizer --do_train true --do_val true --do_test true --batch_size 2 --verbose true \\
            {data_files} --in_tokens false --is_classify true --is_regression false --task_id 0 --shuffle true \\
            --vocab_path {model[1]} --checkpoints ./checkpoints --save_steps 3 --weight_decay 0.0 \\
            --warmup_proportion 0.1 --validation_steps 2 --epoch 2 --max_seq_len 32 \\
            --lr_scheduler linear_warmup_decay \\
            --ernie_config_path {model[0]} --learning_rate 3e-5 --skip_steps 1 --use_fp16 false \\
            --use_dynamic_loss_scaling true --init_loss_scaling 102400 --incr_every_n_steps 100 --incr_ratio 2.0 \\
            --decr_every_n_nan_or_inf 2 --decr_ratio 0.8 --predict_batch_size 4 --do_lower_case true \\
            --num_iteration_per_drop_scope 1 --num_labels 2 --metric 'acc_and_f1' --metrics true \\
            --use_multi_gpu_test true --chunk_scheme IOB --doc_stride 128 --max_query_length 64 \\
            --max_answer_length 100 --n_best_size 20 --enable_ce true \\
            --test_save output/test_out.tsv --random_seed 1 {' '.join(more)} 2>&1 | tee job.log"""


NUMBER = r"-?\d+\.\d{6}"


def test_a_script_of_2019_runs_as_it_is(tmp_path, model_files):
    data = tmp_path / "data"
    data.mkdir()
    for split in "train", "dev", "test":
        (data / f"{split}.tsv").write_text("qid\ttext_a\ttext_b\tlabel\n" + "".join(
            f"{n}\ta b c\t{'abcdefgh'[n]}\t{n % 2 if split != 'test' else -1}\n" for n in range(8)))
    (tmp_path / "ernie").symlink_to(ROOT / "ernie")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(*more):
        text = script(model_files, "--train_set data/train.tsv --dev_set data/dev.tsv,data/train.tsv --test_set "
                      "data/test.tsv --diagnostic data/test.tsv --diagnostic_save output/diagnostic.tsv", *more)
        subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, env={**os.environ, "PATH": path})
        return (tmp_path / "job.log").read_text()

    log = run()
    assert "Traceback" not in log, log
    assert log.count("without meaning today") == log.count("no GPU here, trains on the CPU") == 1
    assert "batch_size 2 x 2 (cards of the launcher) = 4 examples a step; 1 process takes them" in log
    head = r"\[INFO\] [-0-9 :,]+ \[ *watcher.py: *\d+\]:\t"
    for line in (
            "Device count: 2", "Num train examples: 8", "Max train steps: 4", "Num warmup steps: 0",
            rf"epoch: 0, progress: 4/8, step: 1, ave loss: {NUMBER}, ave acc: {NUMBER}, speed: {NUMBER} steps/s",
            rf"epoch: 1, progress: 8/8, step: 4, ave loss: {NUMBER}, ave acc: {NUMBER}, speed: {NUMBER} steps/s",
            "validation result of dataset data/dev.tsv:",
            rf"\[dev evaluation\] ave loss: {NUMBER}, ave_acc: {NUMBER}, f1: {NUMBER}, data_num: 8, "
            rf"elapsed time: {NUMBER} s, file: data/dev.tsv, epoch: 0, steps: 2",
            "validation result of dataset data/train.tsv:",
            "testing data/test.tsv, save to output/test_out.tsv.0.2",
            "testing data/test.tsv, save to output/test_out.tsv.1.4",
            "Final diagnostic", "Done final diagnostic, saving to output/diagnostic.tsv"):
        assert re.search(f"^{head}{line}$", log, re.MULTILINE), line + "\n" + log
    for line in rf"train_duration_card2\t{NUMBER}", rf"train_loss_card2\t{NUMBER}", rf"train_acc_card2\t{NUMBER}":
        assert re.search(rf"^kpis\t{line}$", log, re.MULTILINE), line
    rows = (tmp_path / "output" / "test_out.tsv.1.4").read_text().splitlines()
    assert len(rows) == 8
    assert re.fullmatch(r"3\t[01]\t\[0\.\d+, 0\.\d+\]", rows[3]), rows[3]
    assert len((tmp_path / "output" / "diagnostic.tsv").read_text().splitlines()) == 8
    steps = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert steps == ["step_3", "step_4"]
    assert not re.search(r"^classifier +test ", log, re.MULTILINE)  # -1 is no label: nothing to compare with the paper
    seeds = [int(re.search(r"^seed (\d+) in checkpoints/run-1; the same again", log, re.MULTILINE)[1])]

    # the same script again: another run with another seed
    seeds.append(int(re.search(r"^seed (\d+) in checkpoints/run-2; the same again", run(), re.MULTILINE)[1]))
    assert len(set(seeds)) == 2
    best = [next((tmp_path / "checkpoints" / f"run-{n}").glob("seed-*/best/model.safetensors")) for n in (1, 2)]
    assert best[0].read_bytes() != best[1].read_bytes()

    # a call that only tests, from the directory of a step
    log = run("--do_train", "false", "--init_checkpoint", "checkpoints/step_4", "--checkpoints", "./again")
    assert re.search(rf"elapsed time: {NUMBER} s, file: data/dev.tsv, epoch: 0, steps: 0$", log, re.MULTILINE), log
    assert len((tmp_path / "output" / "test_out.tsv.0.0").read_text().splitlines()) == 8


def call(program, folder, model_files, *given):
    return release2019.main(program, [
        "--use_cuda", "false", "--for_cn", "false", "--checkpoints", str(folder / "checkpoints"), "--vocab_path",
        str(model_files[1]), "--ernie_config_path", str(model_files[0]), "--max_seq_len", "32", "--epoch", "1",
        "--batch_size", "8", "--skip_steps", "1", "--test_save", str(folder / "out"), *given])


@pytest.mark.parametrize(("metric", "line", "training"), [
    ("simple_accuracy", rf"ave loss: {NUMBER}, acc:{NUMBER}, data_num: 8", rf"ave loss: {NUMBER}, ave acc: {NUMBER}, "),
    ("matthews_corrcoef", rf"ave loss: {NUMBER}, matthews_corrcoef: {NUMBER}, data_num: 8", "ave loss"),
    ("acc_and_f1_and_mrr", rf"ave loss: {NUMBER}, acc: {NUMBER}, f1: {NUMBER}, mrr: {NUMBER}, data_num: 8", "ave loss"),
    ("pearson_and_spearman", rf"ave loss: {NUMBER}, pearson:{NUMBER}, spearman:{NUMBER}, corr:{NUMBER}, data_num: 8",
     rf"ave loss: {NUMBER},  ")])
def test_the_line_of_every_metric(tmp_path, model_files, capfd, metric, line, training):
    file = tmp_path / "rows.tsv"
    file.write_text("text_a\tlabel\n" + "".join(f"{'abcdefgh'[n]}\t{n % 2}\n" for n in range(8)))
    regression = "true" if metric.startswith("pearson") else "false"
    assert call("classifier", tmp_path, model_files, "--train_set", str(file), "--dev_set", str(file), "--test_set",
                str(file), "--metric", metric, "--is_regression", regression) == 0
    log = capfd.readouterr().err
    assert re.search(rf"\[dev evaluation\] {line}, elapsed time: {NUMBER} s, file: {file}, epoch: 0, steps: 1$", log,
                     re.MULTILINE), log
    assert re.search(rf"epoch: 0, progress: 8/8, step: 1, {training}", log), log
    (first, *_) = (tmp_path / "out.0.1").read_text().splitlines()
    assert re.fullmatch(r"-?[\d.e-]+\t\[.*\]", first), first


@pytest.mark.parametrize(("given", "told"), [((), False), (("--metric", "acc_and_f1"), True)])
def test_a_regression_is_measured_by_its_own_metric(tmp_path, model_files, capfd, given, told):
    """The default of --metric is accuracy. Also where a call only tests."""
    file = tmp_path / "rows.tsv"
    file.write_text("text_a\tlabel\n" + "".join(f"{'abcdefgh'[n]}\t{n / 2}\n" for n in range(8)))
    regression = "--is_classify", "false", "--is_regression", "true", "--dev_set", str(file), *given
    line = rf"\[dev evaluation\] ave loss: {NUMBER}, pearson:{NUMBER}, spearman:{NUMBER}, corr:{NUMBER}, data_num: 8,"
    test = "--do_train", "false", "--init_checkpoint", str(tmp_path / "checkpoints")
    for more in ("--train_set", str(file)), test, test:  # the second finds the model behind the first
        assert call("classifier", tmp_path, model_files, *regression, *more) == 0
        out, log = capfd.readouterr()
        assert re.search(line, log), log
        assert ("--metric acc_and_f1: a regression is measured by pearson_and_spearman" in out) is told, out


def test_the_lines_and_files_of_the_tagger(tmp_path, model_files, capfd):
    file, labels = tmp_path / "rows.tsv", tmp_path / "label_map.json"
    file.write_text("text_a\tlabel\n" + "天\x02光\x02荣\tO\x02B-ORG\x02I-ORG\n" * 8)
    labels.write_text('{"B-ORG": 0, "I-ORG": 1, "O": 2}')
    assert call("sequence_labeling", tmp_path, model_files, "--train_set", str(file), "--dev_set", str(file),
                "--test_set", str(file), "--label_map_config", str(labels)) == 0
    log = capfd.readouterr().err
    scores = rf"f1: {NUMBER}, precision: {NUMBER}, recall: {NUMBER}"
    assert re.search(rf"epoch: 0, progress: 8/8, step: 1, loss: {NUMBER}, {scores}, speed: {NUMBER} steps/s$", log,
                     re.MULTILINE), log
    assert re.search(rf"\[evaluation\] {scores}, elapsed time: {NUMBER} s, file: {file}, epoch: 0, steps: 1$", log,
                     re.MULTILINE), log
    units, names, chances = (tmp_path / "out.0.1").read_text().splitlines()[0].split("\t")
    assert units == "天 光 荣"
    assert set(names.split()) <= {"B-ORG", "I-ORG", "O"}
    assert re.fullmatch(r"0\.\d{5} 0\.\d{5} 0\.\d{5}", chances)


def test_the_lines_and_files_of_the_reader(tmp_path, model_files, capfd):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "天地人", "qas": [
        {"id": f"q{n}", "question": "光", "answers": [{"text": "地", "answer_start": 1}]} for n in range(8)]}]}]}))
    assert call("mrc", tmp_path, model_files, "--train_set", str(file), "--dev_set", str(file), "--test_set", str(file),
                "--doc_stride", "8", "--max_query_length", "4") == 0
    log = capfd.readouterr().err
    assert re.search(rf"\[dev evaluation\] em: {NUMBER}, f1: {NUMBER}, avg: {NUMBER}, questions: 8, elapsed time: "
                     rf"{NUMBER}, file: {file}, epoch: 0, steps: 1$", log, re.MULTILINE), log
    em = float(re.search(rf"em: ({NUMBER})", log)[1])
    assert em in [100 * n / 8 for n in range(9)]  # percent
    for split in "dev", "test":
        answers = json.loads((tmp_path / "checkpoints" / f"{split}_predictions.json").read_text())
        best = json.loads((tmp_path / "checkpoints" / f"{split}_nbest_predictions.json").read_text())
        assert list(answers) == list(best) == [f"q{n}" for n in range(8)]
        assert best["q0"][0]["text"] == answers["q0"]
