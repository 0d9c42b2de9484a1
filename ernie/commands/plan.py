"""Print what a curriculum will take: stages, steps, tokens, rates, memory, communication, time. Trains nothing.

Needs no data and no Paddle. Memory is counted, not tried (docs/planning.md); time needs a speed: give one, or
measure it on this machine.

example: ernie plan --config configs/curriculum/ernie2_en.yaml --cards 48
         ernie plan --config configs/curriculum/demo_en.yaml --measure
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence

from ernie.commands import common
from ernie.model.recompute import ATTENTION, Choice
from ernie.model.recompute import describe as describe_choice
from ernie.planning.plan import GIB, SPARE, Plan
from ernie.pretraining.curriculum import idle_overrides
from ernie.pretraining.passes import describe
from ernie.pretraining.run_directory import RunDirectory
from ernie.utils.arguments import within
from ernie.utils.limits import Count, Positive
from ernie.utils.text import clock
from reader.utils.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    common.add_run_arguments(parser, output=False)
    parser.add_argument("--cards", type=within(Count), default=1, metavar="N", help="over all machines (default 1)")
    parser.add_argument("--card-memory", type=within(Positive), nargs="+", default=[16, 32], metavar="GB",
                        help="what one card has (default: 16 and 32)")
    parser.add_argument("--tokens-per-second-per-card", type=within(Positive), metavar="X", help="gives the time")
    parser.add_argument("--measure", action="store_true", help="time a few real steps on this machine for the speed")


def run(args: argparse.Namespace) -> None:
    """Carry the command out; return its exit code, None for 0."""
    curriculum = common.read_curriculum(args)
    plan = Plan.of(curriculum, args.cards, RunDirectory(args.output).stages(curriculum))
    sections = [heading(plan, args.config), iterations(plan), learning_rates(plan), batch(plan), memory(plan),
                fitting(plan, args.card_memory), communication(plan), data(plan)]
    print("\n\n".join(sections), flush=True)
    speed, source = args.tokens_per_second_per_card, "as given"
    if args.measure:
        from ernie.planning.benchmark import measure

        measured = measure(plan)
        print(f"\n{measured.describe()}", flush=True)
        if not speed:
            speed, source = measured.tokens_per_second, "as measured here"
    print(f"\n{time(plan, speed, source)}")
    for warning in [*idle_overrides(curriculum, args.assignments, args.corpus), *plan.warnings()]:
        print(f"\nnote: {warning}")


def data(plan: Plan) -> str:
    """Format how often each corpus is read."""
    return "Data, over all stages\n  " + "\n  ".join(describe(plan.curriculum, plan.stages))


def heading(plan: Plan, file: str) -> str:
    """Describe the curriculum and its model."""
    curriculum, config, count = plan.curriculum, plan.config, plan.parameters
    sizes = (f"{counted(config.num_hidden_layers, 'layer')}, hidden {config.hidden_size}, "
             f"vocabulary {config.vocab_size:,}")
    parts = ", ".join(f"{name} {_millions(value)}" for name, value in count.items() if value)
    return (f"{curriculum.name} ({file}): {curriculum.method}, {counted(len(curriculum.tasks), 'task')}, "
            f"{counted(len(plan.stages), 'stage')}\n"
            f"model {curriculum.model or curriculum.init}: {config.encoder}, {sizes}\n"
            f"{_millions(sum(count.values()))} parameters: {parts}")


def iterations(plan: Plan) -> str:
    """Format the stage x task table of iterations, with steps and tokens."""
    names = [task.name for task in plan.curriculum.tasks]
    stages = plan.stages
    rows = [["", *(f"stage {stage.number}" for stage in stages), "in all"]]
    for name in names:
        counts = [stage.budgets.get(name, 0) for stage in stages]
        rows.append([name.replace("_", " "), *(f"{count:,}" if count else "-" for count in counts), f"{sum(counts):,}"])
    rows.append(["steps", *(f"{stage.steps:,}" for stage in stages), f"{plan.steps:,}"])
    tokens = plan.curriculum.batch_tokens
    rows.append(["tokens", *(_count(stage.steps * tokens) for stage in stages), _count(plan.steps * tokens)])
    text = "Iterations of each task\n" + _table(rows)
    if any(stage.until_converged for stage in stages):
        text += "\n  at most: a stage ends earlier when its dev losses have converged"
    return text


def learning_rates(plan: Plan) -> str:
    """Format the rate at telling steps of every stage."""
    settings = plan.curriculum.optimizer
    rows = [["", "step 1", "step 100", "warm-up ends", "1/4", "1/2", "3/4", "last step"]]
    for stage in plan.stages:
        rate, total = plan.schedule(stage), stage.steps
        steps = [1, 100, settings.warmup_steps, total // 4, total // 2, 3 * total // 4, total]
        rows.append([f"stage {stage.number}", *(f"{rate(step):.2e}" if 1 <= step <= total else "-" for step in steps)])
    return (f"Learning rate: {settings.schedule}, peak {settings.learning_rate:g}, warm-up {settings.warmup_steps:,} "
            f"steps, started anew in every stage (Adam {settings.beta1:g}/{settings.beta2:g})\n{_table(rows)}")


def batch(plan: Plan) -> str:
    """Describe how the global batch is cut into micro-batches."""
    tokens, count = plan.micro_tokens, plan.micro_batches
    times = f"{count} micro-batches one after another" if count > 1 else "1 micro-batch"
    return (f"Batch: {plan.curriculum.batch_tokens:,} tokens a step = {counted(plan.cards, 'card')} x "
            f"{tokens:,} tokens (about {counted(plan.rows(tokens), 'row')} of {plan.curriculum.max_length}) x {times}")


def recomputations(plan: Plan) -> list[Choice]:
    """Return the values of ``recompute`` to show."""
    if plan.config.encoder != "transformer":
        return [False]
    own = plan.curriculum.recompute
    return [False, own if isinstance(own, int) and own > 1 else 2, ATTENTION, True]


def memory(plan: Plan) -> str:
    """Format the memory of a card, part by part."""
    tokens = plan.micro_tokens
    choices = recomputations(plan)
    found = [plan.memory(tokens, choice) for choice in choices]
    parts = [("weights", "weights"), ("float32 master weights", "master"), ("Adam's moments", "moments"),
             ("gradients", "gradients"), ("gradients sent to other cards", "buffers"),
             ("activations", "activations"), ("* scores over the vocabulary", "scores"),
             ("* inside the backward pass", "passing"), ("at once, at most", "peak")]
    rows = [["", *map(describe_choice, choices)]]
    rows += [[name, *(_gib(getattr(each, key)) for each in found)] for name, key in parts if getattr(found[0], key)]
    level = f" {plan.curriculum.amp_level}" if plan.curriculum.precision != "fp32" else ""
    return (f"Memory of a card, last stage, micro-batch of {tokens:,} tokens, {plan.curriculum.precision}{level} "
            f"(recompute: {str(plan.curriculum.recompute).lower()})\n{_table(rows)}\n"
            "  *: not at the same moment; the larger one counts")


def fitting(plan: Plan, sizes: Sequence[float]) -> str:
    """Format the largest micro-batch for each size of card."""
    choices = recomputations(plan)
    rows = [["", *map(describe_choice, choices), "configured"]]
    for size in sizes:
        fits = [plan.largest(size, choice) for choice in choices]
        needed = plan.memory(plan.micro_tokens, plan.curriculum.recompute).peak
        verdict = "fits" if needed <= (size - SPARE) * GIB else "does not fit"
        rows.append([f"{size:g} GB card", *(f"{found:,} tokens" if found else "none fits" for found in fits), verdict])
    return f"Largest micro-batch ({SPARE:g} GB of the card left free)\n{_table(rows)}"


def communication(plan: Plan) -> str:
    """Format the bytes on the wire and on the disk."""
    disk = (f"Disk: {_gib(plan.checkpoint)} a checkpoint; {plan.curriculum.keep_checkpoints} kept in every stage "
            f"({_gib(plan.checkpoint * plan.curriculum.keep_checkpoints * len(plan.stages))} for the run)")
    if plan.cards == 1:
        return f"Communication: none on one card\n{disk}"
    sent = plan.reduced * 2 * (plan.cards - 1) / plan.cards
    return (f"Communication: {_gib(plan.reduced)} of gradients summed once a step; in a ring every card sends and "
            f"receives {_gib(sent)}\n{disk}")


def time(plan: Plan, speed: float | None, source: str) -> str:
    """Return the time of each stage and the run at a speed, as a table."""
    if not speed:
        return "Time: needs a speed: --tokens-per-second-per-card X, or --measure on such a machine"
    seconds = [plan.seconds(stage, speed) for stage in plan.stages]
    rows = [["", *(f"stage {stage.number}" for stage in plan.stages), "in all"],
            ["time", *(clock(value) for value in seconds), clock(sum(seconds))]]
    return f"Time at {speed:,.0f} tokens/s a card, {source}\n{_table(rows)}"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))])
             for row in rows]
    return "\n".join("  " + line.rstrip() for line in lines)


def _gib(size: float) -> str:
    return f"{size / GIB:.2f} GB" if size >= GIB / 10 else f"{size / 2 ** 20:.1f} MB"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def _count(tokens: int) -> str:
    return f"{tokens / 1e9:,.2f} G" if tokens >= 1e8 else f"{tokens / 1e6:,.1f} M"
