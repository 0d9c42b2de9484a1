"""Values that cannot work are refused before anything starts: curricula, recipes, and the commands that read them."""
import itertools
import random
import sys
import time

import pytest
import yaml

from ernie import cli
from ernie.finetuning import recipe
from ernie.pretraining.curriculum import load
from ernie.utils.config_io import read_yaml
from ernie.utils.resources import CONFIGS
from reader.utils.errors import InputError
from tests.long_form import LONG

IMPOSSIBLE = {  # in a curriculum
    "optimizer.learning_rate": ["nan", "0", "-1", ".inf", "fast", "[1]"], "optimizer.beta1": ["1.0", "-0.1", ".nan"],
    "optimizer.beta2": ["-2", "1"], "optimizer.epsilon": ["0", "-1e-8"], "optimizer.weight_decay": ["-1"],
    "optimizer.clip_norm": ["-1"], "optimizer.warmup_steps": ["-1", "0.5"], "optimizer.schedule": ["cosine", "3"],
    "loss_scaling.initial": ["0"], "loss_scaling.increase_every": ["0"], "loss_scaling.decrease_ratio": ["1.5", "0"],
    "seed": ["-1", "1e40", "true", "99999999999999999999"], "workers": ["-1"], "dev_batches": ["0"],
    "step_timeout": ["0", "nan"], "check_ranks_every": ["-1"], "max_length": ["0"], "batch_tokens": ["-5", "10**9"],
    "iterations_per_task": ["0", "10000000000000", "1.5"], "keep_checkpoints": ["0"], "demo": ["fr"],
    "precision": ["fp8"], "amp_level": ["O3"], "method": ["all"], "tasks": ["[]", "[3]", "{}", "[[a]]", "null"],
    "corpora": ["[a]", "{c: {path: s, weight: -1}}", "{c: {path: s, weight: .nan}}", "{c: {path: s, weight: 0}}",
                "{c: 3}", "{3: s}"], "pairs": ["{c: [1]}"], "stages": ["[3]", "3"], "tasks_from": ["[1]", "a"],
    "until_converged": ["{evaluate_every: 0}", "{evaluate_every: 5, patience: 0}", "3",
                        "{evaluate_every: 5, min_delta: .nan}"],
    "model": ["3", "null"], "name": ["[1]"], "encoder": ["cnn"], "": ["3"], "nonsense": ["3"],
}
TASKS = ["{name: knowledge_masking, weight: -1}", "{name: knowledge_masking, weight: .nan}",
         "{name: knowledge_masking, iterations: 0}", "{name: knowledge_masking, corpora: [[1]]}",
         "{name: knowledge_masking, corpora: [other]}", "{name: knowledge_masking, options: {basic: .nan}}",
         "{name: knowledge_masking, rehearsal: -1}", "{name: [1]}", "{weight: 1}"]
IMPOSSIBLE_RECIPE = {
    "learning_rate": ["nan", "0"], "beta1": ["1.0"], "beta2": ["-1"], "epsilon": ["0"], "seed": ["-1"],
    "warmup_proportion": ["nan", "1.5"], "weight_decay": ["nan"], "batch_size": ["0", "1e3"], "epochs": ["-1", "1e9"],
    "evaluate_every": ["-1"], "schedule": ["cosine"], "max_length": ["3", "1000000000"], "over_runs": ["best"],
    "precision": ["fp8"], "amp_level": ["O9"], "metrics": ["[1]", "accuracy"], "loss_scaling": ["{initial: 0}", "3"],
    "reader": ["3", "{layout: table, columns: [3]}", "{layout: other}"], "step_timeout": ["0"], "batch_unit": ["words"],
    "task_id": ["-1"], "options": ["3"], "clip_norm": ["-1"], "kind": ["3"],
}
DEMO = str(CONFIGS / "curriculum" / "demo_en.yaml")
BOMB = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
                 + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)])
HOSTILE_YAML = {
    "aliases": (BOMB, "more than 10,000 values"),
    "merges": ("\n".join(["a0: &a0 {k: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}"
                                               for n in range(1, 12)]), "more than 10,000 values"),
    "cycle": ("a: &a [*a]", "inside the value"),
    "duplicate": ("tasks: [knowledge_masking]\nmodel: m\ntasks: [capitalization]", "line 3.*'tasks' is given twice"),
    "duplicate inside": ("optimizer:\n  beta1: 0.9\n  beta1: 0.8", "line 3.*'beta1' is given twice"),
    "depth": ("a: " + "[" * 100_000, "nested too deeply"),
    "digits": ("seed: " + "9" * 10_000, "not valid yaml"),
    "date": ("name: 2019-99-99", "not valid yaml"),
    "size": ("a: 1\n" * 100_000, "larger than"),
    "object": ("a: !!python/object/apply:os.system [id]", "not valid yaml"),
    "list": ("[1]", "holds list"), "nothing": ("", "holds NoneType"), "binary": ("a: \0", "not valid yaml"),
    "key": ("{[1]: 2}", "not valid yaml"),
}


@pytest.fixture(scope="module", autouse=True)
def imported():
    """Import what the commands need, so that no test times it."""
    cli.main(["plan", "--config", DEMO, "--set", "nonsense=1"])
    cli.main(["finetune", "--task", "nonsense", "--data", ".", "--output", "none"])


def refused(capsys, *arguments) -> str:
    """The one line with which the command line refuses the arguments, within a second of this process."""
    begun = time.process_time()
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ernie: ") and captured.err.count("\n") == 1, captured.err
    assert len(captured.err) < 600 and not captured.out
    assert time.process_time() - begun < (5 if sys.gettrace() else 1)  # measuring coverage takes several times as long
    return captured.err


@pytest.mark.parametrize("key, value", [(key, value) for key, values in IMPOSSIBLE.items() for value in values])
def test_plan_refuses_a_curriculum_that_cannot_work(capsys, key, value):
    line = refused(capsys, "plan", "--config", DEMO, "--set", f"{key}={value}")
    assert key.split(".")[-1] in line


@pytest.mark.parametrize("task", TASKS)
def test_plan_refuses_a_task_that_cannot_work(capsys, task):
    refused(capsys, "plan", "--config", DEMO, "--set", f"tasks=[{task}]")


@pytest.mark.parametrize("budget", ["0", "-1", "10000000000000", "many", "1.5"])
def test_plan_refuses_stages_that_cannot_be_trained(capsys, budget):
    refused(capsys, "plan", "--config", DEMO, "--set", "method=explicit", "--set",
            f"stages=[{{tasks: {{knowledge_masking: {budget}}}}}]")


@pytest.mark.parametrize("key, value", [(key, value) for key, values in IMPOSSIBLE_RECIPE.items() for value in values])
def test_finetune_refuses_a_recipe_that_cannot_work(capsys, tmp_path, key, value):
    line = refused(capsys, "finetune", "--task", "cola", "--data", str(tmp_path), "--output", str(tmp_path / "out"),
                   "--set", f"{key}={value}")
    assert key in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml_ends_in_a_line_within_a_second(capsys, tmp_path, name):
    text, expected = HOSTILE_YAML[name]
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=expected):
        read_yaml(file)
    refused(capsys, "plan", "--config", str(file))
    refused(capsys, "finetune", "--task", str(file), "--data", str(tmp_path), "--output", str(tmp_path / "out"))


def test_aliases_and_merges_that_stay_small_are_welcome(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "c.yaml")["b"] == {"x": 1, "y": 3}


def test_limits_hold_wherever_a_dataclass_is_nested(tmp_path):
    (tmp_path / "c.yaml").write_text("tasks: [{name: knowledge_masking, weight: .inf}]\ncorpora: {}\nmodel: m\n")
    with pytest.raises(InputError, match=r"c.yaml: tasks\[0\]: weight: inf is not a finite number"):
        load(tmp_path / "c.yaml")


def test_random_values_under_random_keys_are_taken_or_refused(tmp_path):
    """300 mutated curricula and recipes (2,000 in the long form): an InputError or an instance, nothing else."""
    rng = random.Random(4)
    values = [None, True, -1, 0, 1, 3, 1e400, float("nan"), 10 ** 30, "", "x", "nan", "1e400", [], [1], [None], {},
              {"a": 1}, {1: 2}, [[]], [{}], {"name": []}, "\0", "é" * 5000]
    sources = [(load, yaml.safe_load((CONFIGS / "curriculum" / f"{name}.yaml").read_text()))
               for name in ("demo_en", "ernie2_en", "demo_zh")]
    sources += [(recipe.load, yaml.safe_load((CONFIGS / "finetune" / f"{name}.yaml").read_text()))
                for name in ("cola", "msra-ner", "cmrc2018")]
    outcomes = {"taken": 0, "refused": 0}
    for _turn, (read, source) in zip(range(2_000 if LONG else 300), itertools.cycle(sources)):
        mutated = yaml.safe_load(yaml.safe_dump(source))
        for _ in range(rng.choice([1, 1, 2, 5])):
            node = mutated
            while isinstance(node, dict) and node:
                key = rng.choice(list(node))
                if isinstance(node[key], dict) and rng.random() < 0.7:
                    node = node[key]
                else:
                    node[key] = rng.choice(values)
                    break
        file = tmp_path / "m.yaml"
        file.write_text(yaml.safe_dump(mutated))
        try:
            read(str(file))
            outcomes["taken"] += 1
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 1_200, mutated
            outcomes["refused"] += 1
    assert outcomes["refused"] > 60 and outcomes["taken"] > 6, outcomes
