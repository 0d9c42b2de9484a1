"""The fine-tuning page: real runs of two seeds, a folder of several, one that goes on, damaged files."""
import json
import re
from html.parser import HTMLParser

import pytest

from ernie.cli import main
from ernie.report.watch import state
from tests.ernie.finetuning.tiny import finetune, make_data

VOID = {"meta", "br", "line", "circle", "path", "link"}


class Tags(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded = [], []

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def page_of(path, capsys):
    assert main(["report", str(path)]) == 0, capsys.readouterr()
    page = (path / "report.html").read_text("utf-8")
    parser = Tags()
    parser.feed(page)
    assert not parser.open and not parser.loaded  # well formed, and nothing comes from elsewhere
    return page


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("outputs")
    files = request.getfixturevalue("model_files")
    for task, more in ("mrpc", ["epochs=2"]), ("sts-b", []):
        assert finetune(task, make_data(task, folder / "data" / task), folder / "out" / task, files, *more,
                        extra=["--runs", "2"]) == 0
    return folder / "out"


def test_two_seeds_of_a_task(outputs, capsys):
    page = page_of(outputs / "mrpc", capsys)
    result = json.loads((outputs / "mrpc" / "seed-2" / "result.json").read_text("utf-8"))
    best = next(point for point in result["dev_points"] if point["step"] == result["best_step"])
    assert f"epoch {best['epoch']} (step {result['best_step']:,}) was best on dev data" in page
    shown = re.findall(r'<td class="clear">([^<]+)</td>', page)
    assert len(shown) == 2 and f"{100 * (best['accuracy'] + best['f1']) / 2:.1f}" == shown[1]
    for title in "training loss", "dev loss", "dev accuracy", "dev f1", "confusion on dev data", "most frequent class":
        assert title in page, title
    assert sum(map(sum, result["evaluation"]["dev"]["confusion"])) == 8


def test_a_folder_of_tasks_beside_the_paper(outputs, capsys):
    page = page_of(outputs, capsys)
    assert "2 outputs in" in page and ">mrpc<" in page and "sts-b" in page
    assert "dev pearson" in page and "paper" in page


def test_the_folder_in_which_the_command_is_given_and_several(outputs, capsys, monkeypatch):
    monkeypatch.chdir(outputs / "mrpc")
    assert main(["report", "."]) == 0
    assert "<h1>mrpc: fine-tuning</h1>" in (outputs / "mrpc" / "report.html").read_text("utf-8")
    assert main(["report", ".", "../sts-b"]) == 2
    assert "naming the one folder that holds them" in capsys.readouterr().err


def test_a_run_that_goes_on_and_one_that_is_damaged(tmp_path, outputs, capsys):
    import shutil
    run = tmp_path / "run"
    shutil.copytree(outputs / "mrpc", run)
    (run / "result.json").unlink()
    (run / "seed-2" / "result.json").unlink()
    page = page_of(run, capsys)
    assert "Not finished: mrpc" in page and "step 2 of 2" in page
    (run / "seed-1" / "result.json").write_text('{"dev_points": 3}')
    assert main(["report", str(run)]) == 2
    assert "result.json" in capsys.readouterr().err


def test_every_output_below_is_watched(tmp_path):
    below = tmp_path / "first" / "second" / "third"  # as those of ernie compare lie
    (below / "seed-1" / "step-00000002").mkdir(parents=True)
    (below / "finetune.json").write_text("{}")
    before = state([tmp_path])
    (below / "seed-1" / "log.jsonl").write_text("{}")
    logged = state([tmp_path])
    (below / "result.json").write_text("{}")
    assert len({str(each) for each in (before, logged, state([tmp_path]))}) == 3


def test_a_joint_training_that_goes_on(tmp_path, capsys):
    run = tmp_path / "joint"
    for task in "rte", "mrpc":
        (run / "tasks" / task).mkdir(parents=True)
        (run / "tasks" / task / "finetune.json").write_text(json.dumps(
            {"task": task, "kind": "classification", "metrics": ["accuracy"]}))
    (run / "together.json").write_text("{}")
    before = state([run])
    state_file = run / "seed-1" / "step-00000004" / "state.json"
    state_file.parent.mkdir(parents=True)
    lines = [{"step": step, "of": 9, "tasks": {task: {"loss": loss, "accuracy": 0.5, "targets": 8}}}
             for step, task, loss in ((1, "rte", 0.9), (2, "mrpc", 0.8), (3, "rte", 0.7), (4, "mrpc", 0.6))]
    (run / "seed-1" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    state_file.write_text(json.dumps({"callbacks": {"dev": {"history": [{"step": 4, "epoch": 1, "tasks": {
        "rte": {"loss": 0.71, "accuracy": 0.625}, "mrpc": {"loss": 0.61, "accuracy": 0.75}}}]}}}))
    assert state([run]) != before
    page = page_of(run, capsys)
    assert "No training has begun" not in page and page.count("step 4 of 9") == 2
    assert page.count("<td>62.5</td>") == page.count("<td>75.0</td>") == 1
    for figure in "0.900 at step 1", "0.700 at step 3", "0.800 at step 2", "0.600 at step 4":
        assert page.count(f"seed-1: {figure}") == 1
