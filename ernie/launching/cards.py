"""List the NVIDIA cards of this node that a job may use, named as CUDA names them. No paddle.

``CUDA_VISIBLE_DEVICES=2,3 python -m ernie.launching.cards [--devices 3]`` prints the cards that processes would take.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ernie.utils.console import LOG, show_log
from reader.utils.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Card:
    """A card: ``label`` as CUDA_VISIBLE_DEVICES or the driver name it, ``ordinal`` among those that are visible."""

    label: str
    ordinal: int


def driver_cards() -> list[str]:
    """Return the numbers of this node's cards; empty where no NVIDIA driver answers."""
    return list(_ask(shutil.which("nvidia-smi")))


@cache  # the driver takes a second to answer
def _ask(tool: str | None) -> tuple[str, ...]:
    if tool is None:
        return ()
    answer = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()


def visible_cards(environment: Mapping[str, str] = os.environ) -> list[Card]:
    """Return the cards that CUDA shows to a process of this node: numbers, UUIDs or MIG instances.

    CUDA_VISIBLE_DEVICES ends at the first entry that names no card, such as -1; "all" is taken for no restriction, as
    Paddle's launcher takes it.
    """
    installed, value = driver_cards(), environment.get(VISIBLE)
    if not installed or value is None or value.strip() == "all":
        labels = installed
    else:
        labels = []
        for label in (word.strip() for word in value.split(",")):
            if label not in installed and not label.upper().startswith(("GPU-", "MIG-")):
                break
            labels.append(label)
    return [Card(label, ordinal) for ordinal, label in enumerate(labels)]


def choose_cards(devices: str | None, environment: Mapping[str, str] = os.environ) -> list[Card]:
    """Return the cards that ``--devices`` names, or all that are visible.

    Labels are those of CUDA_VISIBLE_DEVICES, as with Paddle's launcher: under ``2,3``, ``--devices 3`` is the second
    visible card. Where cards are visible by UUID or as MIG instances, ``--devices`` may also number them from 0.

    Raises:
        InputError: a name is not that of a visible card, or stands twice.
    """
    visible = visible_cards(environment)
    if not devices:
        return visible
    by_name = {card.label: card for card in visible}
    if not any(label.isdecimal() for label in by_name):
        by_name.update({str(card.ordinal): card for card in visible})
    chosen = []
    for name in (word.strip() for word in devices.split(",")):
        if name not in by_name:
            limit = f" ({VISIBLE}={environment[VISIBLE]})" if environment.get(VISIBLE) else ""
            shown = ",".join(card.label for card in visible) or "none"
            raise InputError(f"--devices {devices}: {name!r} is no visible card; visible here: {shown}{limit}")
        if by_name[name] in chosen:
            raise InputError(f"--devices {devices}: {name!r} stands twice")
        chosen.append(by_name[name])
    return chosen


def rank_settings(card: Card, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a process must find in its environment to compute on ``card`` under fleet."""
    settings = {"FLAGS_selected_gpus": str(card.ordinal)}
    if environment.get(VISIBLE, "").strip() == "all":  # CUDA itself does not know the word
        settings[VISIBLE] = ",".join(driver_cards())
    return settings


def main(arguments: list[str]) -> int:
    """Print one line a card: its label, and the number under which Paddle knows it."""
    show_log()
    devices = arguments[1] if len(arguments) == 2 and arguments[0] == "--devices" else None
    if arguments and devices is None:
        print("usage: python -m ernie.launching.cards [--devices 0,1]", file=sys.stderr)
        return 2
    try:
        chosen = choose_cards(devices)
    except InputError as error:
        LOG.error("%s", error)
        return 2
    for card in chosen:
        print(f"{card.label} is gpu:{card.ordinal}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
