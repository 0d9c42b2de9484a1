"""The house: which room may import which, no circles, and rooms that one can find one's way in."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("reader", "tasks", "ernie")
# A room may import itself, and the rooms that are named with it; a test below holds that nothing goes round in circles.
READER = {"utils": (), "text": ("utils",), "store": ("utils", "text"), "batches": ("utils", "text", "store"),
          "finetune": ("utils",)}
BELOW_TRAINING = ("utils", "model", "checkpoints")
BELOW_RUNS = (*BELOW_TRAINING, "training")
BELOW_USERS = (*BELOW_RUNS, "baselines", "pretraining", "finetuning")
ERNIE = {"utils": (), "model": ("utils",), "checkpoints": ("utils", "model"), "training": BELOW_TRAINING,
         "launching": ("utils", "training"), "baselines": ("utils", "training"),
         "pretraining": (*BELOW_RUNS, "baselines"),
         "finetuning": BELOW_RUNS, "planning": BELOW_USERS, "serving": BELOW_USERS,
         "comparison": (*BELOW_USERS, "launching"), "report": (*BELOW_USERS, "comparison"), "release2019": BELOW_USERS,
         "commands": (*BELOW_USERS, "planning", "serving", "comparison", "report")}
MOST_FILES = 15


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the three packages."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imports(file: Path) -> set[str]:
    """Modules that a file imports, anywhere in it, as dotted names; ours as they are, others by their top level."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the room"
            found.update(name if (name := f"{node.module}.{alias.name}") in MODULES else node.module
                         for alias in node.names)
    return {name if name in MODULES else name.partition(".")[0] for name in found}


GRAPH = {name: imports(file) for name, file in MODULES.items()}


def room(name: str) -> tuple[str, str]:
    """(package, room) of a module; files of a package that lie in no room have room ""."""
    parts = name.split(".")
    inside = len(parts) > 2 or (len(parts) == 2 and MODULES[name].name == "__init__.py")
    return parts[0], parts[1] if inside else ""


@pytest.mark.parametrize("package, forbidden", [("reader", {"paddle", "tasks", "ernie"}),
                                                ("tasks", {"paddle", "ernie"})])
def test_packages_import_one_way(package, forbidden):
    wrong = [f"{name} imports {other}" for name, others in GRAPH.items() if room(name)[0] == package
             for other in others if other.partition(".")[0] in forbidden]
    assert not wrong


@pytest.mark.parametrize("package, allowed", [("reader", READER), ("ernie", ERNIE)])
def test_rooms_import_one_way(package, allowed):
    wrong = []
    for name, others in GRAPH.items():
        home = room(name)
        if home[0] != package or not home[1]:
            continue
        for other in others:
            if other in MODULES and room(other)[0] == package and room(other)[1] not in (home[1], *allowed[home[1]]):
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_every_room_is_declared():
    assert {room(name)[1] for name in MODULES if name.startswith("ernie.")} - {""} == set(ERNIE)
    assert {room(name)[1] for name in MODULES if name.startswith("reader.")} - {""} == set(READER)


def test_no_import_goes_round_in_circles():
    done, path = set(), []

    def visit(name):
        if name in path:
            pytest.fail("circle: " + " -> ".join([*path[path.index(name):], name]))
        if name in done:
            return
        path.append(name)
        for other in sorted(GRAPH[name] & set(MODULES)):
            visit(other)
        path.pop()
        done.add(name)

    for name in MODULES:
        visit(name)


def test_no_room_is_crowded():
    counts: dict[Path, int] = {}
    for file in MODULES.values():
        counts[file.parent] = counts.get(file.parent, 0) + (file.name != "__init__.py")
    crowded = {str(folder.relative_to(ROOT)): count for folder, count in counts.items()
               if count > MOST_FILES and folder.name != "commands"}
    assert not crowded


def test_every_benchmark_is_listed():
    listed = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert not [file.name for file in (ROOT / "benchmarks").glob("*.py") if f"`{file.name}`" not in listed]


def test_engine_names_no_concrete_task():
    names = {file.stem for file in (ROOT / "tasks").glob("*.py")} - {"__init__", "base"}
    wrong = [f"{name} imports {other}" for name, others in GRAPH.items() if name.startswith("ernie")
             for other in others if other.startswith("tasks.") and other.split(".")[1] in names]
    assert not wrong


def public_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Functions and methods that a reader from outside may call."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found.append(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += [method for method in node.body if isinstance(method, ast.FunctionDef)
                      and (not method.name.startswith("_") or method.name == "__init__")]
    return found


def is_annotated(function: ast.FunctionDef) -> bool:
    """Whether every parameter and the result have a type (no result for __init__)."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    typed = all(argument.annotation for argument in named if argument.arg not in ("self", "cls"))
    return typed and (function.returns is not None or function.name == "__init__")


def test_public_functions_are_annotated():
    bare = [f"{name}.{function.name}" for name, file in MODULES.items()
            for function in public_functions(ast.parse(file.read_text("utf-8"))) if not is_annotated(function)]
    assert not bare


NOT_IMPERATIVE = ("What ", "Of ", "Where ", "How ", "That ", "Which ", "Whether ", "In a ")
NOTHING_DONE = (  # of public functions that are no property
    "A ", "After ", "Along ", "An ", "As ", "At ", "Before ", "For ", "From ", "InputError ", "Lines ", "Mean ",
    "Most ", "One ", "Plain ", "Raises ", "Returns ", "The ", "Those ", "``", "(", "["
)


def test_docstrings_say_what_is_done():
    """Not "Of each stage and the run, at a speed.": a sentence in the imperative, or the name of the thing."""
    wrong = []
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if text.startswith(NOT_IMPERATIVE):
                    wrong.append(f"{name}: {text.splitlines()[0]}")
        wrong += [f"{name}.{function.name}: {text.splitlines()[0]}"
                  for function in public_functions(ast.parse(file.read_text("utf-8")))
                  if not any("property" in ast.unparse(decorator) for decorator in function.decorator_list)
                  and (text := ast.get_docstring(function) or "").startswith(NOTHING_DONE)]
    assert not wrong


def test_no_two_classes_share_a_name():
    homes: dict[str, list[str]] = {}
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(f"{name}:{node.lineno}")
    assert not {name: places for name, places in homes.items() if len(places) > 1}


# Before the log is there (a package of the same name is in the way), a progress line, usage, and Paddle's import.
PRINT_TO_STDERR = {"ernie", "ernie.cli", "ernie.commands.encode", "ernie.launching.cards", "ernie.utils.paddle_setup"}


def test_notices_go_through_the_log():
    wrong = []
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and any(
                    keyword.arg == "file" and ast.unparse(keyword.value) == "sys.stderr" for keyword in node.keywords):
                wrong.append(f"{name}:{node.lineno}")
    assert not [place for place in wrong if place.split(":")[0] not in PRINT_TO_STDERR]
