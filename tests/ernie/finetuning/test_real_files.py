"""Every published file goes through --check and two steps of training, in its distribution's own layout.

Where no published data are at hand, files in the same layouts with rows written for the tests: ``tests.official``.
"""
import json
from fnmatch import fnmatch

import pytest

from ernie.cli import main
from reader.text.tokenizer import SPECIAL_TOKENS
from tests import official
from tests.conftest import DATA
from tests.ernie.finetuning.tiny import TINY

NLI = {"classes": ["contradiction", "neutral", "entailment"], "skip_labels": ["-"]}
PAIR = {"text": ["sentence1", "sentence2"]}
OWN = {  # recipes of one's own, for what the paper has no task
    "nli": {"kind": "classification", "reader": {**NLI, "columns": [PAIR]}},
    "ocnli": {"kind": "classification", "reader": {**NLI, "format": "jsonl", "columns": [PAIR]}},
    "xnli_lines": {"kind": "classification", "reader": {**NLI, "columns": [{**PAIR, "label": "gold_label"}]}},
    "mt": {"kind": "classification", "reader": {
        "classes": ["contradictory", "neutral", "entailment"], "columns": [{"text": ["premise", "hypo"]}]}},
    "mrpc_quality": {"kind": "classification", "reader": {
        "classes": ["0", "1"], "columns": [{"text": ["#1 String", "#2 String"], "label": "Quality"}]}},
    "mrpc_bom": {"kind": "classification", "reader": {  # the sample spells the byte order mark out
        "classes": ["0", "1"], "columns": [{"text": ["#1 String", "#2 String"], "label": "BOMQuality"}]}},
    "tags": {"kind": "sequence_labelling", "reader": {"layout": "tagged"}},
    "relevance": {"kind": "ranking", "reader": {
        "classes": ["0", "1"], "columns": [{"text": ["query", "title"], "label": "cranfield_code", "group": "qid",
                                            "labels": {"1": "1", "2": "1", "-1": "1", "3": "0", "4": "0"}}]}},
}
# pattern below the data -> (task or recipe of one's own, split); a file is read by the first that fits
FILES = [
    ("glue/CoLA/*", "cola"), ("glue/SST-2/*", "sst-2"), ("glue/QNLI/*", "qnli"), ("glue/MNLI/*", "mnli"),
    ("glue/MRPC/train.tsv", "mrpc"), ("glue/MRPC/dev.tsv", "mrpc"), ("glue/MRPC/test.tsv", "mrpc"),
    ("glue/MRPC/msr_*", "mrpc_quality"),
    ("layouts/glue__ax*", "ax"), ("layouts/glue__cola*", "cola"), ("layouts/glue__sst2*", "sst-2"),
    ("layouts/glue__mrpc*/dev_ids", ""), ("layouts/glue__mrpc*", "mrpc_bom"), ("layouts/glue__stsb*", "sts-b"),
    ("layouts/glue__qqp*", "qqp"), ("layouts/glue__mnli*", "mnli"), ("layouts/glue__qnli*", "qnli"),
    ("layouts/glue__rte*", "rte"), ("layouts/glue__wnli*", "wnli"),
    ("layouts/discovery*", "discovery"), ("layouts/clue__cmnli*", "nli"), ("layouts/clue__ocnli*", "ocnli"),
    ("layouts/xnli__*/multinli.train.zh.tsv", "xnli"), ("layouts/xnli__*/multinli.*", "mt"),
    ("layouts/xnli__*.md", ""), ("layouts/xnli__*", "xnli_lines"), ("layouts/msra_ner*", "tags"),
    ("layouts/peoples*", "tags"), ("layouts/wikitext*", ""),
    ("chinese/chnsenticorp/*", "chnsenticorp"), ("chinese/msra_ner/label_map.json", ""),
    ("chinese/msra_ner/*", "msra-ner"), ("chinese/cmrc2018/*", "cmrc2018"),
    ("relevance/README.txt", ""), ("relevance/*", "relevance"), ("*_ids.tsv", ""), ("glue/MRPC/untokenised*", ""),
]
FOLDERS = ("glue", "layouts", "chinese", "relevance")
LONG = 100_000  # bytes
SUFFIXES = {"ocnli": ".jsonl", "nli": ".jsonl", "tags": ".txt", "cmrc2018": ".json"}


def real_files():
    """(path below the data, task) of every file that is labelled or can be answered."""
    real = {path.relative_to(DATA).as_posix(): path.stat().st_size
            for folder in FOLDERS for path in (DATA / folder).rglob("*") if path.is_file()}
    written = {name: len(text) for name, text in official.texts().items() if name.startswith(FOLDERS)}
    found = []
    for name, size in sorted((real or written).items()):
        task = next((task for pattern, task in FILES if fnmatch(name, pattern)), None)
        if task != "":
            found.append(pytest.param(name, task, marks=[pytest.mark.slow] * (size > LONG), id=name))
    return found


def recipe_of(task, folder, data):
    """The task's name, or the path of a recipe of one's own."""
    own = dict(OWN)
    if task == "discovery":
        names = data("discourse/discovery_markers.txt").read_text("utf-8").split("\n")
        own["discovery"] = {"kind": "classification", "reader": {
            "classes": [name for name in names if name], "columns": [PAIR]}}
    if task not in own:
        return task
    (folder / f"{task}.yaml").write_text(json.dumps(own[task]), "utf-8")  # json is yaml
    return str(folder / f"{task}.yaml")


ANSWERED = {  # test files without labels, and the training file that makes the model which answers them
    "glue/CoLA/test.tsv": "layouts/glue__cola*/*/train.tsv", "glue/SST-2/test.tsv": "layouts/glue__sst2*/*/train.tsv",
    "glue/MRPC/test.tsv": "glue/MRPC/train.tsv", "glue/QNLI/test.tsv": "layouts/glue__qnli*/QNLI/train.tsv",
    "layouts/glue__mrpc*": "", "layouts/glue__*/test*.tsv": "{folder}/train.tsv",
    "layouts/glue__ax*": "layouts/glue__mnli*/*/train.tsv", "layouts/clue__*/test.json": "{folder}/train.json",
}


def training_file(name, root):
    """The labelled file beside which an unlabelled one is read; None where it has labels itself."""
    pattern = next((train for test, train in ANSWERED.items() if fnmatch(name, test)), "")
    folder = name.rpartition("/")[0]
    return next(iter(sorted(root.glob(pattern.format(folder=folder)))), None) if pattern else None


@pytest.fixture
def command(tmp_path, data):
    """Flags of a tiny model over letters, with short inputs."""
    (tmp_path / "model.json").write_text(json.dumps(TINY))
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *letters, *(f"##{c}" for c in letters)]) + "\n")

    def build(task, files):
        flags = ["finetune", "--task", recipe_of(task, tmp_path, data), "--data", str(files), "--vocab",
                 str(tmp_path / "vocab.txt"), "--set", "max_length=64", "--set", "batch_size=64"]
        if task == "cmrc2018":
            flags += ["--set", "options.max_query_length=16", "--set", "options.doc_stride=16"]
        return flags
    return build


def two_steps(tmp_path, flags, size, capsys):
    assert main([*flags, "--check"]) == 0, capsys.readouterr()
    assert "  example, " in capsys.readouterr().out
    rows = ["--set", "train_rows=96"] if size > LONG else []
    assert main([*flags, *rows, "--model", str(tmp_path / "model.json"), "--output", str(tmp_path / "out"), "--set",
                 "max_steps=2", "--set", "epochs=2", "--set", "log_every=1"]) == 0
    assert "step 2/2" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "task"), real_files())
def test_a_published_file(tmp_path, capsys, command, data, name, task):
    assert task, f"{name}: say in FILES how it is read"
    path = data(name)
    train = training_file(name, path.parents[name.count("/")])
    suffix = SUFFIXES.get(task, ".tsv" if path.suffix not in (".json", ".jsonl") else path.suffix)
    (tmp_path / "data").mkdir()
    if path.with_name("label_map.json").exists():
        (tmp_path / "data" / "label_map.json").symlink_to(path.with_name("label_map.json"))
    mine = tmp_path / "data" / f"rows{suffix}"  # the name of no split: one file, and the training file
    if train is None:
        mine.symlink_to(path)
        two_steps(tmp_path, command(task, mine), path.stat().st_size, capsys)
        return
    (tmp_path / "data" / f"train{suffix}").symlink_to(train)
    if task == "ax":
        two_steps(tmp_path, command("mnli", tmp_path / "data"), 0, capsys)
        flags = command("ax", path)
        assert main([*flags, "--check"]) == 0
        assert main([*flags, "--init", str(tmp_path / "out"), "--output", str(tmp_path / "ax")]) == 0
        answers = next((tmp_path / "ax").rglob("test.tsv"))
    else:
        test = "test_mismatched" if "mismatched" in name else "test_matched" if task == "mnli" else "test"
        (tmp_path / "data" / f"{test}{suffix}").symlink_to(path)
        two_steps(tmp_path, command(task, tmp_path / "data"), 0, capsys)
        answers = tmp_path / "out" / "seed-1" / f"{test.replace('_matched', '')}.tsv"
    rows = sum(1 for line in path.read_text("utf-8").splitlines() if line.strip()) - (suffix == ".tsv")
    assert len(answers.read_text("utf-8").splitlines()) == rows + 1
