"""The report page: runs that are finished, still going, resumed, cut by a kill, or no runs at all."""
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ernie.cli import main
from ernie.commands.report import names_of
from ernie.report.charts import Chart, Series, short, ticks
from ernie.report.examples import examples
from ernie.report.page import FIRST, FULL_TINT, MOST, clock, columns, curve_of, granularity, render, resumes, tint
from ernie.report.runs import read_run
from tests.ernie import runs

STAGES = [{"masking": 40}, {"masking": 20, "order": 60}, {"masking": 20, "order": 20, "distance": 80}]


def line(step, tasks, stage=1, launched=1000.0, **more):
    """A log line as ``ernie.training.callbacks.Log`` writes it."""
    return {"step": step, "of": sum(STAGES[stage - 1].values()), "time": launched + step, "launched": launched,
            "cards": 1, "tasks": {name: {"loss": 8.0 / (step + 40 * stage) ** 0.3, "targets": 100,
                                         "accuracy": 0.1 * stage + step / 1000} for name in tasks},
            "learning_rate": 5e-5 * min(step / 10, (10 / step) ** 0.5), "loss_scale": 1.0, "gradient_norm": 1.5,
            "tokens_per_second": 1000.0 + step, "tokens_per_second_per_card": 1000.0 + step, "padding": 0.03,
            "data_wait": 0.001, "memory_mib": 900, "skipped": 0, "tokens": 4096 * step, "eta_stage": 9.0,
            "eta_run": 99.0, **more}


def dev(names, number):
    """Dev metrics; masking forgets a little in stage 3."""
    found = {"masking": {"loss": [7.0, 6.0, 6.5][number - 1], "accuracy": 0.1 * number, "targets": 300, "groups": {
        "word": {"accuracy": 0.1 * number, "targets": 240}, "phrase": {"accuracy": 0.0, "targets": 20},
        "entity": {"accuracy": 0.05 * number, "targets": 40}}}}
    for name in names:
        if name != "masking":
            found[name] = {"loss": 0.5, "accuracy": 0.5 + 0.1 * number, "targets": 100, "majority": 0.4,
                           "chance": 1 / 3, "baseline": {"name": "lengths", "accuracy": 0.75}}
    return found


@pytest.fixture
def run(tmp_path):
    """run(done=2, ...) makes a run directory with so many finished stages."""
    def make(done=3, count=3, with_dev=True, running=None, change=lambda stage, lines: lines):
        path = tmp_path / "run"
        stages = [{"number": k, "budgets": budgets, "new": [list(budgets)[-1]], "until_converged": None}
                  for k, budgets in enumerate(STAGES[:count], 1)]
        path.mkdir()
        (path / "run.json").write_text(json.dumps({
            "curriculum": {"name": "tiny <run>", "seed": 1}, "stages": stages, "model": {"vocab_size": 1000},
            "vocabulary": "abc", "data": {"corpus": "def"}}))
        for stage in stages[:done + (running is not None)]:
            number, steps = stage["number"], sum(stage["budgets"].values())
            folder = path / f"stage-{number}"
            folder.mkdir()
            last = steps if number <= done else running
            lines = change(number, [line(step, stage["budgets"], number) for step in range(10, last + 1, 10)])
            (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
            if number <= done:
                (folder / "done.json").write_text(json.dumps({
                    "checkpoint": f"step-{steps:08d}", "reason": "finished", "step": steps, "time": 2000.0,
                    "seconds": 60.0, "tokens": 4096 * steps}))
                if with_dev:
                    (folder / "dev.json").write_text(json.dumps(dev(stage["budgets"], number)))
        return path
    return make


class Tags(HTMLParser):
    """Collects what a page holds, and fails on tags that do not close."""

    VOID = {"meta", "br"}

    def __init__(self, page):
        super().__init__()
        self.open, self.sources, self.text = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(path, now=5000.0):
    page = render(read_run(path), now)
    tags = Tags(page)
    assert not tags.sources and "http" not in page.replace("http-equiv", "")
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).lower().split()
    return page, re.sub(r"\s+", " ", " ".join(tags.text))


def test_a_finished_run(run):
    page, text = page_of(run())
    assert "state finished 3 stages" in text and "tiny <run>" in text and "slowest rank" not in text
    assert "after stage 3" in text and "distance" in text
    assert page.count("<svg") >= 2 * 3 + 5 + 1


def test_units_that_dev_data_lack_are_no_failure(run):
    path = run()
    for file in path.glob("stage-*/dev.json"):
        content = json.loads(file.read_text())
        content["masking"]["groups"]["entity"] = {"accuracy": 0.0, "targets": 0}
        file.write_text(json.dumps(content))
    found = granularity(read_run(path))[0]
    assert found["groups"] == ["word", "phrase"]
    assert [series.name for series in found["chart"].series] == ["word", "phrase"]


def test_the_folder_in_which_the_command_is_given(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(run())
    assert main(["report", "."]) == 0
    assert (tmp_path / "run" / "report.html").is_file()
    assert names_of([".", "../other"]) == {"run": ".", "other": "../other"}
    assert main(["report", ".", "../run"]) == 2
    assert "the same run directory is named twice" in capsys.readouterr().err


def test_the_matrix_compares_with_the_best_stage_so_far(run):
    masking, order, _ = columns(read_run(run()).matrix)
    assert [masking.cells[k][0] for k in (1, 2, 3)] == ["7.000", "6.000", "6.500"]
    assert [masking.cells[k][1] for k in (1, 2, 3)] == ["", "-1.000", "+0.500"]
    assert masking.forgotten == "+0.500" and masking.lost
    assert "224" in masking.cells[3][2] and "57" in masking.cells[2][2]
    assert masking.chance == "6.908" and (masking.baseline, masking.gain) == ("-", "-")  # log 1000
    assert order.cells[3][1] == "+10.0" and order.forgotten == "nothing" and order.chance == "33.3%"
    assert (order.baseline, order.baseline_name, order.gain, order.above) == ("75.0%", "lengths", "+5.0", False)


def test_colours_are_on_one_scale():
    """Of one point a tenth of the colour, whatever the other cells of the column are."""
    strength = [float(tint(change, True).rpartition(" ")[2][:-1]) for change in (0.01, 0.02, -0.10, 0.5)]
    assert strength == pytest.approx([0.06 + 0.036, 0.06 + 0.072, 0.42, 0.42], abs=0.006)
    assert tint(0.0, True) == "" and tint(FULL_TINT[False], False) == tint(FULL_TINT[True], True)


def test_a_run_that_is_still_going(run):
    _, text = page_of(run(done=1, running=30), now=1090.0)
    assert "stage 2 of 3" in text and "step 30 of 80; last heard of 1 min 0 s ago; 1 min 39 s of training left" in text
    assert "not begun" in text


def test_a_run_that_has_just_been_recorded(run):
    _, text = page_of(run(done=0))
    assert "no step logged yet" in text and "No dev metrics" in text and "Nothing logged yet" in text


def test_one_stage_without_dev_data(run):
    page, text = page_of(run(done=1, count=1, with_dev=False))
    assert "finished 1 stage" in text and "No dev metrics" in text
    assert "<line class=\"stage\"" not in page  # nothing to part


def test_a_resumed_run(run):
    def twice(stage, lines):
        return [dict(entry, launched=1000.0 if entry["step"] <= 40 else 3000.0) for entry in lines]
    record = read_run(run(done=2, count=2, change=lambda stage, lines: twice(stage, lines) if stage == 2 else lines))
    assert [(stage.number, step) for stage, step, _ in resumes(record)] == [(2, 50)]
    assert "resumed in stage 2 before step 50" in render(record)


def test_lines_that_a_kill_cut_or_repeated(run):
    path = run(done=0, running=40)
    log = path / "stage-1" / "log.jsonl"
    log.write_text(log.read_text() + json.dumps(line(20, ["masking"], launched=3.0)) + "\n{\"step\": 50, \"ta")
    record = read_run(path)
    assert [entry.step for entry in record.stages[0].lines] == [10, 20, 30, 40]
    page_of(path)


def test_loss_scale_skipped_steps_and_cards_are_shown_when_there_are_any(run):
    record = read_run(run())
    assert "loss scale" not in render(record)
    for stage in record.stages:
        stage.lines = [replace(entry, loss_scale=1024.0, skipped=2, cards=4, gradient_norm=None)
                       for entry in stage.lines]
    page = render(record, 5000.0)
    assert "loss scale" in page and "skipped steps of the stage" in page and "in the last launch" in page
    assert "gradient norm" not in page


def test_the_slowest_rank_is_shown_when_there_are_several(run):
    slowest = {"rank": 3, "host": "node7", "compute": 1.5, "data_wait": 0.3, "ratio": 1.8}

    def slow(stage, lines):
        return [{**entry, "slowest": slowest} for entry in lines]

    assert "slowest rank 1.80 x the median: rank 3 on node7" in page_of(run(change=slow))[1]


def test_a_long_log_is_thinned(run):
    path = run(done=1, count=1)
    (path / "stage-1" / "log.jsonl").write_text("".join(
        json.dumps(line(step, ["masking"])) + "\n" for step in range(1, 3001)))
    page = render(read_run(path), 5000.0)
    assert page.count("class=\"touch") <= 9 * MOST and len(page) < 2_000_000


@pytest.mark.parametrize("content", [None, "{", "{}", '{"stages": 3, "curriculum": {}}'])
def test_what_is_no_run_is_refused(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("ernie: ") and message.count("\n") == 1


def test_the_command_writes_the_page_and_never_imports_paddle(run, tmp_path):
    path = run()
    code = "import sys; from ernie.cli import main; assert main(sys.argv[1:]) == 0; assert 'paddle' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "report", str(path)], capture_output=True, text=True,
                          timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path / "report.html") and (path / "report.html").stat().st_size > 10_000
    assert main(["report", str(path), "--output", str(tmp_path / "nowhere" / "x.html")]) == 2


def test_ticks_are_round_and_cover_the_values():
    assert ticks(0, 97, 4) == [0, 25, 50, 75, 100]
    assert ticks(6.41, 7.03, 4) == pytest.approx([6.4, 6.6, 6.8, 7.0, 7.2])


def test_short_numbers():
    assert [short(x) for x in (0.25, 950, 1200, 12000, 3.5e6)] == ["0.25", "950", "1,200", "12k", "3.5M"]


def test_a_chart_breaks_its_line_where_a_value_is_missing():
    svg = Chart("x", [Series("a", [(1, 1.0), (2, None), (3, 2.0), (4, 3.0)])]).svg()
    path = re.search(r' d="(M[^"]*)"', svg).group(1)
    assert path.count("M") == 2 and path.count("L") == 1
    assert Chart("x", [Series("a", [(1, None)])]).svg() == ""
    assert "<svg" in Chart("flat", [Series("a", [(1, 2.0), (2, 2.0)])]).svg()
    assert "<svg" in Chart("zero", [Series("a", [(1, 0.0)])], zero=True).svg()


def test_clock():
    assert [clock(s) for s in (5, 65, 3700, 90000)] == ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]


def test_the_first_steps_are_shown(run):
    path = run(done=0, running=10)
    (path / "stage-1" / "log.jsonl").write_text("".join(
        json.dumps(line(step, ["masking"])) + "\n" for step in range(1, 3 * MOST)))
    curve = curve_of(read_run(path), lambda entry: entry.learning_rate)
    assert [step for step, _ in curve[0][:FIRST]] == list(range(1, FIRST + 1)) and len(curve[0]) <= MOST + FIRST


def test_the_page_of_a_real_run_shows_its_batches_corpora_and_machine(tmp_path):
    pytest.importorskip("paddle")
    runs.run(runs.declare(tmp_path, [{"knowledge_masking": 6}]), tmp_path / "run", ERNIE_SCALARS="none")
    record = read_run(tmp_path / "run")
    page = render(record, shown=examples(record))
    assert "What it reads" in page and re.search(r"word: \d+ of \d+ tokens chosen \(\d+\.\d%\)", page)
    assert "Cannot be shown" not in page and "<h2>Corpora" in page
    assert [launch.of for launch in record.launches] == ["stage 1"] and record.launches[0].paddle in page
    drawn = re.search(r'<td class="text">made</td><td>([\d,]+)</td><td>([\d,]+)</td>', page)
    assert drawn and int(drawn.group(2).replace(",", "")) == 6 * 256  # batch_tokens of the declaration
    (tmp_path / "train").rename(tmp_path / "gone")
    assert "Cannot be shown" in render(record, shown=examples(record))


def test_a_page_executes_no_code_that_a_run_names(run, tmp_path):
    path, evil = run(), tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    record = json.loads((path / "run.json").read_text())
    record["curriculum"]["tasks_from"] = [str(evil)]
    (path / "run.json").write_text(json.dumps(record))
    log = path / "stage-1" / "log.jsonl"
    log.write_text("".join(json.dumps({**json.loads(text), "task": "masking"}) + "\n"
                           for text in log.read_text().splitlines()))
    assert main(["report", str(path)]) == 0
    assert "ernie inspect --run" in (path / "report.html").read_text() and not (tmp_path / "executed").exists()
