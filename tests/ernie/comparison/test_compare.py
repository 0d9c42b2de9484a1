"""ernie compare, with real runs: two small curricula, one seed; killed, resumed, refused."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ernie.checkpoints.formats import write
from ernie.cli import main
from ernie.comparison import children
from ernie.comparison.driver import Driver
from ernie.comparison.plan import ComparisonPlan, Contestant, FineTuning
from ernie.finetuning.recipe import DIRECTORY
from tests.ernie import runs
from tests.ernie.finetuning.tiny import make_data
from tests.ernie.released import checkpoint


@pytest.fixture
def curricula(tmp_path):
    """Two curricula of equal steps over one corpus."""
    for name, stages in (("joint", [{"knowledge_masking": 4, "sentence_distance": 4}]),
                         ("alone", [{"knowledge_masking": 4}, {"sentence_distance": 4}])):
        (runs.declare(tmp_path, stages, dev_batches=2)).rename(tmp_path / f"{name}.yaml")
    return tmp_path


def arguments(folder, *more) -> list[str]:
    return ["compare", str(folder / "joint.yaml"), str(folder / "alone.yaml"), "--corpus", str(folder), "--output",
            str(folder / "out"), "--seeds", "1", *more]


def test_unequal_budgets_are_one_message(curricula, capsys):
    assert main(arguments(curricula)) == 2
    error = capsys.readouterr().err
    assert "the curricula differ in updates of a task (say which to equal: --equal steps tokens)" in error
    assert not (curricula / "out").exists()


@pytest.mark.parametrize("more, message", [
    (["--equal", "steps", "--finetune", "rte"], "expected TASK=DIR"),
    (["--equal", "steps", "--set", "batch_tokenz=3"], "unknown key 'batch_tokenz'"),
    (["--equal", "steps", "--report-only"], "no run has begun"),
])
def test_mistakes_are_one_line(curricula, capsys, more, message):
    assert main(arguments(curricula, *more)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_two_curricula_of_one_name_are_refused(curricula, capsys):
    assert main(["compare", str(curricula / "joint.yaml"), str(curricula / "joint.yaml"), "--corpus", str(curricula),
                 "--output", str(curricula / "out")]) == 2
    assert "two curricula are called 'joint'" in capsys.readouterr().err


@pytest.mark.parametrize("spoil, message", [
    (lambda data: (data / "train.tsv").rename(data / "rows.tsv"), "no train file"),
    (lambda data: (data / "dev.tsv").unlink(), "no dev file"),
    (lambda data: (data / "train.tsv").open("a").write("99\tc d\tc d\tc d\n"), "line 10: label 'c d' is not one of"),
    (lambda data: None, "max_length 128 is more than the model's 64 positions (--finetune-set max_length=...)"),
], ids=["no train file", "no dev file", "a bad last row", "too long"])
def test_fine_tuning_data_is_read_before_hours_of_pretraining(curricula, tmp_path, capsys, spoil, message):
    spoil(make_data("rte", tmp_path / "rte"))
    assert main(arguments(curricula, "--equal", "steps", "--finetune", f"rte={tmp_path / 'rte'}")) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (curricula / "out").exists()


def test_a_task_without_training_data_is_refused(curricula, tmp_path, capsys):
    make_data("ax", tmp_path / "ax")
    assert main(arguments(curricula, "--equal", "steps", "--finetune", f"ax={tmp_path / 'ax'}")) == 2
    assert "ax: it has no training data of its own" in capsys.readouterr().err


def test_a_corpus_that_a_later_curriculum_lacks_is_found_first(curricula, capsys):
    runs.declare(curricula, [{"knowledge_masking": 4, "discourse_relation": 4}], dev_batches=2).rename(
        curricula / "alone.yaml")
    assert main(arguments(curricula, "--equal", "steps")) == 2
    assert "discourse_relation" in capsys.readouterr().err
    assert not (curricula / "out").exists()


def test_runs_that_were_begun_as_something_else_are_refused(curricula, tmp_path, capsys):
    """A changed curriculum or recipe, fewer seeds: the figures that are there would stand below another name."""
    data = make_data("rte", tmp_path / "rte")
    first = ["compare", str(curricula / "joint.yaml"), "--corpus", str(curricula), "--output", str(curricula / "out"),
             "--seeds", "1", "--finetune", f"rte={data}", "--finetune-set", "max_length=32",
             "--finetune-set", "epochs=1"]
    assert main(first) == 0
    written = {file: file.read_bytes() for file in (curricula / "out").rglob("*") if file.is_file()}
    capsys.readouterr()
    for more, message in ((["--set", "optimizer.learning_rate=0.5"], "optimizer.learning_rate: was"),
                          (["--set", "optimizer.learning_rate=0.5", "--report-only"], "optimizer.learning_rate: was"),
                          (["--finetune-set", "epochs=2"], "epochs: was 1, is now 2")):
        assert main([*first, *more]) == 2, more
        assert message in capsys.readouterr().err
    for part in "train", "dev":  # a corpus of other text
        shutil.copytree(curricula / "dev", tmp_path / "other" / part)
    assert main([str(tmp_path / "other") if part == str(curricula) else part for part in first]) == 2
    assert "data.corpus: was" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in (curricula / "out").rglob("*") if file.is_file()} == written
    assert main(first) == 0  # unchanged: nothing is trained again
    capsys.readouterr()
    tuned = curricula / "out" / "joint" / "finetune-rte" / "seed-1"
    before = (tuned / "seed-1" / "result.json").stat().st_mtime_ns
    assert main([*first, "--finetune-seeds", "2", "--report-only"]) == 0
    assert "joint, seed 1, rte: 1 of 2 fine-tuning seeds" in capsys.readouterr().out
    (data / "train.tsv").rename(data / "rows.tsv")  # as before a first seed, all is read before anything is trained
    assert main([*first, "--finetune-seeds", "2"]) == 2
    assert "no train file" in (said := capsys.readouterr()).err and "compare: joint" not in said.out
    (data / "rows.tsv").rename(data / "train.tsv")
    assert main([*first, "--finetune-seeds", "2"]) == 0  # more can be added
    values = json.loads((tuned / "result.json").read_text())["figures"]["dev"]["accuracy"]["values"]
    line, = map(json.loads, (curricula / "out" / "results.jsonl").read_text().splitlines())
    assert len(values) == 2 and line["downstream"]["rte"] == pytest.approx(sum(values) / 2)
    assert (tuned / "seed-1" / "result.json").stat().st_mtime_ns == before and (tuned / "seed-2").exists()
    assert main(first) == 2
    assert "was made with --finetune-seeds 2, now it is 1" in capsys.readouterr().err


def test_fine_tuning_seeds_begin_with_the_seed_of_pretraining(tmp_path):
    """However many there are to be: so that more can be added later."""
    plan = ComparisonPlan(tmp_path, "corpus", [], [1, 2, 3], {"rte": FineTuning("rte", "data")}, finetune_seeds=3,
                          untouched="weights")
    jobs = [job for chain in plan.chains() for job in chain]
    assert [job.arguments[-4:] for job in jobs] == [["--runs", "3", "--set", f"seed={seed}"] for seed in (1, 2, 3)]


def test_a_killed_comparison_goes_on_and_ends_in_a_page(curricula):
    """kill -9 of the command in the midst of the second run; the launcher below it goes, too."""
    log = open(curricula / "log", "a")  # noqa: SIM115  (the process writes it)
    command = [sys.executable, "-m", "ernie", *arguments(curricula, "--equal", "steps")]
    process = subprocess.Popen([*command, "--set", "checkpoint_every=1"], stdout=log, stderr=log, env=runs.ENVIRONMENT)
    second = curricula / "out" / "alone" / "seed-1"
    deadline = time.monotonic() + 400
    while not (second / "run.json").exists():
        assert process.poll() is None and time.monotonic() < deadline, (curricula / "log").read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = curricula / "out" / "joint" / "seed-1" / "stage-1" / "done.json"
    stamp = finished.stat().st_mtime_ns
    done = subprocess.run([*command, "--set", "checkpoint_every=1"], capture_output=True, text=True, timeout=400,
                          env=runs.ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished.stat().st_mtime_ns == stamp  # what was finished is left alone
    assert "compare: joint" not in done.stdout and "compare: alone, seed 1" in done.stdout
    assert "knowledge masking, loss (lower)" in done.stdout and "alone - joint" in done.stdout
    page = (curricula / "out" / "compare.html").read_text("utf-8")
    assert "Final dev metrics" in page and "Checked to be equal: steps" in page and page.count("<svg") == 4
    lines = [json.loads(line) for line in (curricula / "out" / "results.jsonl").read_text().splitlines()]
    assert [(line["curriculum"], line["seed"], list(line["stages"])) for line in lines] == [
        ("joint", 1, ["1"]), ("alone", 1, ["1", "2"])]
    again = subprocess.run(command + ["--set", "checkpoint_every=1"], capture_output=True, text=True, timeout=400,
                           env=runs.ENVIRONMENT)
    assert again.returncode == 0 and "compare: alone" not in again.stdout


def test_a_run_that_is_not_finished_is_not_in_the_figures(tmp_path, capsys):
    """The mean of a run's end and of another one's middle is no figure of either."""
    runs.declare(tmp_path, [{"knowledge_masking": 3}, {"sentence_distance": 3}], dev_batches=2).rename(
        tmp_path / "alone.yaml")
    command = ["compare", str(tmp_path / "alone.yaml"), "--corpus", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main([*command, "--seeds", "1"]) == 0
    capsys.readouterr()
    first, second = (tmp_path / "out" / "alone" / f"seed-{number}" for number in (1, 2))
    shutil.copytree(first, second)
    record = json.loads((second / "run.json").read_text())
    record["curriculum"]["seed"] = 2
    (second / "run.json").write_text(json.dumps(record))
    shutil.rmtree(second / "stage-2")
    assert main([*command, "--seeds", "2", "--report-only"]) == 0
    out = capsys.readouterr().out
    assert "±" not in out.split("mean ± standard")[0]  # one run
    assert "not finished, and so in no figure: alone, seed 2" in out
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 1
    assert "1 of 2 finished" in (tmp_path / "out" / "compare.html").read_text("utf-8")
    shutil.rmtree(first / "stage-2")
    assert main([*command, "--seeds", "2", "--report-only"]) == 0
    out = capsys.readouterr().out
    assert "not finished, and so in no figure: alone, seed 1; alone, seed 2" in out and "knowledge masking" not in out
    assert "0 of 2 finished" in (tmp_path / "out" / "compare.html").read_text("utf-8")


def test_a_stop_is_handed_on_to_the_run(curricula):
    command = [sys.executable, "-m", "ernie", *arguments(curricula, "--equal", "steps")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=runs.ENVIRONMENT)
    first = curricula / "out" / "joint" / "seed-1"
    deadline = time.monotonic() + 400
    while not (first / "run.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 1, out
    assert not (curricula / "out" / "alone").exists()


def test_a_stop_while_a_run_is_being_started_is_handed_on_to_it(tmp_path, monkeypatch):
    sent = []

    class Started:
        stdout = None

        def __init__(self, *command, **settings):
            os.kill(os.getpid(), signal.SIGTERM)

        def send_signal(self, number):
            sent.append(number)

        def wait(self):
            return 1

    monkeypatch.setattr(children.subprocess, "Popen", Started)
    plan = ComparisonPlan(tmp_path, "corpus", [Contestant("a", "a.yaml")], [1, 2])
    assert Driver(plan).run() == 1
    assert sent == [signal.SIGTERM]


@pytest.mark.slow
def test_downstream_scores_stand_beside(curricula, tmp_path):
    data = make_data("rte", tmp_path / "rte")
    recipe = shutil.copy(DIRECTORY / "rte.yaml", tmp_path / "mine.yaml")  # of one's own: known by its name
    write(checkpoint(tmp_path, max_position_embeddings=64), tmp_path / "released", "huggingface")
    done = subprocess.run([sys.executable, "-m", "ernie", "compare", str(curricula / "joint.yaml"), "--corpus",
                           str(curricula), "--output", str(curricula / "out"), "--seeds", "2", "--finetune",
                           f"{recipe}={data}", "--untouched", str(tmp_path / "released"),
                           "--finetune-set", "epochs=1", "--finetune-set", "max_length=32"],
                          capture_output=True, text=True, timeout=400, env=runs.ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine, dev" in done.stdout
    lines = [json.loads(line) for line in (curricula / "out" / "results.jsonl").read_text().splitlines()]
    assert [(line["curriculum"], line["seed"], set(line["downstream"])) for line in lines] == [
        ("joint", 1, {"mine"}), ("joint", 2, {"mine"}), ("untouched", 1, {"mine"}), ("untouched", 2, {"mine"})]
    assert [bool(line["stages"]) for line in lines] == [True, True, False, False]
    for number in 1, 2:  # fine-tuning begins with the seed of pre-training
        assert (curricula / "out" / "joint" / "finetune-mine" / f"seed-{number}" / f"seed-{number}").is_dir()
    assert "Fine-tuned" in (curricula / "out" / "compare.html").read_text("utf-8")
