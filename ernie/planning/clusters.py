"""Estimate what a curriculum would take on GPU clusters, from data sheets: arithmetic, nothing was measured. No paddle.

    python -m ernie.planning.clusters --config configs/curriculum/ernie2_en.yaml [--cards 8 48 64] [--set key=value]

A step is the products of its tokens at ``UTILISATION`` of the card's peak, the update at the speed of its memory, and
the sum of the gradients at the speed of the slowest link of a ring. ``docs/planning.md`` shows the sums.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass

from ernie.model.config import ErnieConfig
from ernie.planning.memory import MASKED_SHARE
from ernie.planning.plan import Plan
from ernie.pretraining import curriculum as curricula
from ernie.utils.arguments import Parser, within
from ernie.utils.console import LOG, show_log
from ernie.utils.limits import Count
from reader.utils.errors import InputError

# PaddlePaddle's published 85,000 tokens/s of BERT-base at length 128 with AMP are 37 % of a V100's peak.
UTILISATION = 0.37
NODE = 8             # cards of a node
UPDATE_BYTES = 48    # a parameter: gradient to float32 (6), its norm (4), unscaled (8), AdamW reads 16, writes 14


@dataclass(frozen=True)
class Machine:
    """A node of eight cards by its data sheet.

    Attributes:
        name: of the card. flops: half-precision products a second of a card. memory: bytes a second of its memory.
        link: bytes a second that a card sends to its neighbour. network: bytes a second that a node sends.
    """

    name: str
    flops: float
    memory: float
    link: float
    network: float


MACHINES = (
    Machine("V100", 125e12, 0.9e12, 150e9, 12.5e9),      # DGX-1 class; one 100 Gb/s network card a node
    Machine("A100", 312e12, 2.0e12, 300e9, 200e9),       # DGX A100; eight 200 Gb/s network cards
    Machine("H100", 989e12, 3.35e12, 450e9, 400e9),      # DGX H100; eight 400 Gb/s network cards
)


@dataclass(frozen=True)
class Estimate:
    """Seconds of one step on a cluster, by part."""

    machine: Machine
    cards: int
    tokens: int        # of the global batch
    compute: float
    update: float
    reduce: float

    @property
    def hidden(self) -> float:
        """Return the step when the sum of the gradients runs behind the backward pass as far as that goes."""
        return self.compute + self.update + max(0.0, self.reduce - self.compute / 2)

    @property
    def exposed(self) -> float:
        """Return the step when nothing runs behind the sum of the gradients."""
        return self.compute + self.update + self.reduce

    @property
    def efficiency(self) -> float:
        """Return the share of a step without communication in one with none of it hidden."""
        return (self.compute + self.update) / self.exposed


def flops_per_token(config: ErnieConfig, width: int) -> float:
    """Return the operations of a token's forward and backward pass in a row of ``width`` tokens.

    Six for every weight of a product (two forward, four backward), and the two products of attention.
    """
    hidden = config.hidden_size
    inner = config.intermediate_size or 4 * hidden
    layer = 4 * hidden * hidden + 2 * hidden * inner
    head = MASKED_SHARE * (hidden * hidden + config.vocab_size * hidden)
    return 6 * (config.num_hidden_layers * layer + head) + 12 * config.num_hidden_layers * hidden * width


def estimate(plan: Plan, machine: Machine, cards: int) -> Estimate:
    """Return the parts of a step of a Transformer curriculum."""
    tokens = plan.curriculum.batch_tokens
    work = tokens / cards * flops_per_token(plan.config, plan.curriculum.max_length)
    count = sum(plan.parameters.values())
    kind = 4 if plan.curriculum.precision == "fp32" else 2
    slowest = machine.link if cards <= NODE else min(machine.link, machine.network)
    ring = 2 * (cards - 1) / cards * count * kind
    return Estimate(machine, cards, tokens, work / (UTILISATION * machine.flops), UPDATE_BYTES * count / machine.memory,
                    ring / slowest)


def table(plan: Plan, sizes: list[int]) -> str:
    """Return one line a cluster: milliseconds of a step's parts, tokens a second, hours of the run."""
    rows = [f"{'cards':>6} {'card':<5} {'compute':>8} {'update':>7} {'all-reduce':>10} {'step, ms':>14} "
            f"{'tokens/s a card':>16} {'efficiency':>10} {'run, hours':>13}"]
    for cards in sizes:
        for machine in MACHINES:
            found = estimate(plan, machine, cards)
            speeds = [found.tokens / cards / seconds for seconds in (found.exposed, found.hidden)]
            hours = [plan.steps * seconds / 3600 for seconds in (found.hidden, found.exposed)]
            rows.append(f"{cards:>6} {machine.name:<5} {1000 * found.compute:>8.1f} {1000 * found.update:>7.1f} "
                        f"{1000 * found.reduce:>10.1f} {1000 * found.hidden:>6.0f} to {1000 * found.exposed:>4.0f} "
                        f"{speeds[0]:>7,.0f}-{speeds[1]:<8,.0f} {found.efficiency:>10.0%} {hours[0]:>5.1f} to "
                        f"{hours[1]:>4.1f}")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Print the table of a curriculum."""
    show_log()
    parser = Parser(prog="clusters", description=__doc__)
    parser.add_argument("--config", required=True, help="curriculum")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, repeatable")
    parser.add_argument("--cards", type=within(Count), nargs="+", default=[8, 48, 64], metavar="N",
                        help="sizes of clusters")
    flags = parser.parse_args(arguments)
    try:
        plan = Plan.of(curricula.load(flags.config, flags.set), max(flags.cards))
        if plan.config.encoder != "transformer":
            raise InputError(f"encoder {plan.config.encoder}: only Transformers are counted here", flags.config)
        print(table(plan, flags.cards))
    except InputError as error:
        LOG.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
