"""Finding tasks by name, their options, and tasks in the user's own file."""
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from reader.utils.errors import InputError

OWN = '''
import numpy as np
from tasks.base import TokenTask

class IsNumber(TokenTask):
    """Is the token short?"""
    name = "is_short"
    classes = ("long", "short")

    def __init__(self, letters: int = 3):
        self.letters = letters

    def labels(self, tokens):
        return (tokens.ids < self.letters).astype(np.int64)
'''


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_has_what_the_engine_asks_for(name):
    task = tasks.load(name)
    assert task.name == name and task.level in ("token", "sequence") and task.weight == 1.0
    assert hasattr(task, "corrupt") == (task.head == "vocabulary")
    assert task.classes or name in ("knowledge_masking", "discourse_relation", "given_label")
    again = pickle.loads(pickle.dumps(task))
    assert type(again) is type(task) and vars(again) == vars(task)


@pytest.mark.parametrize("line", ["level = 'sentence'", "head = 'binary'"])
def test_a_level_or_head_that_there_is_not_is_named(tmp_path, line):
    file = tmp_path / "own.py"
    file.write_text(OWN.replace('    classes =', f"    {line}\n    classes ="))
    with pytest.raises(InputError, match="task is_short: (level 'sentence'|head 'binary') is not one of "):
        tasks.load("is_short", {}, [file])


def test_options():
    assert tasks.load("knowledge_masking", {"basic": 0.2}).basic == 0.2
    with pytest.raises(InputError, match="task knowledge_masking has no option 'phrases': did you mean 'phrase'"):
        tasks.load("knowledge_masking", {"phrases": 0.2})
    with pytest.raises(InputError, match="task capitalization has no option 'x'; known: none"):
        tasks.load("capitalization", {"x": 1})


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="unknown task 'sentence_reorder': did you mean 'sentence_reordering'"):
        tasks.load("sentence_reorder")
    with pytest.raises(InputError, match="unknown task 'xyz'; known: knowledge_masking, "):
        tasks.load("xyz")


def test_own_file(tmp_path):
    file = tmp_path / "my_task.py"
    file.write_text(OWN)
    task = tasks.load("is_short", {"letters": 5}, [file])
    assert (task.letters, task.classes) == (5, ("long", "short"))
    assert tasks.load("is_short", tasks_from=str(file)).letters == 3
    with pytest.raises(InputError, match="did you mean 'is_short'"):
        tasks.load("is_shrt", tasks_from=file)
    root = Path(tasks.__file__).resolve().parent.parent
    code = f"import pickle; task = pickle.loads({pickle.dumps(task)!r}); print(task.name, task.letters)"
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["is_short", "5"]  # a worker process finds the class again


def test_bad_own_files(tmp_path):
    with pytest.raises(InputError, match="no such file of tasks"):
        tasks.load("x", tasks_from=tmp_path / "absent.py")
    broken = tmp_path / "broken.py"
    broken.write_text("a = 1\ndef f(:\n")
    with pytest.raises(InputError, match="broken.py line 2: cannot be imported: SyntaxError"):
        tasks.load("x", tasks_from=broken)
    empty = tmp_path / "empty.py"
    empty.write_text("from tasks.base import TokenTask\n")
    with pytest.raises(InputError, match="empty.py: defines no task"):
        tasks.load("x", tasks_from=empty)


@pytest.mark.parametrize("name, options, said", [
    ("knowledge_masking", {"basic": True}, "basic True is no probability"),
    ("knowledge_masking", {"whole_words": "maybe"}, "whole_words 'maybe' is neither true nor false"),
    ("knowledge_masking", {"units": 2}, "units 2 is neither true nor false"),
    ("sentence_reordering", {"m": 3.0}, "m 3.0 is not between 2 and 6"),
    ("dialogue", {"roles": 2.0}, "roles 2.0 is not between 1 and 16")])
def test_options_of_another_type_are_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        tasks.load(name, options)
