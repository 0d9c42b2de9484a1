"""Divide the cards, or the cores, of this machine between runs that go on at the same time. No paddle."""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ernie.launching.cards import choose_cards, visible_cards
from reader.utils.errors import InputError

THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Share:
    """A part of the machine, for one run at a time. options: flags of its launcher. environment: additions to it."""

    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def divide(jobs: int, devices: Optional[str], environment: Mapping[str, str] = os.environ) -> list[Share]:
    """Return an equal share for each of ``jobs`` runs at the same time.

    Args:
        devices: as for ``run_pretrain.sh --devices``; None for all visible cards.
        environment: OMP_NUM_THREADS is left alone where it is set.
    Raises:
        InputError: the devices cannot be divided equally, or one of them is not there.
    """
    if jobs == 1:
        return [Share(["--devices", devices] if devices else [])]
    cards = visible_cards(environment)
    labels = [card.label for card in choose_cards(devices, environment)] if cards else (devices or "").split(",")
    if len(labels) % jobs and labels != [""]:
        raise InputError(f"--jobs {jobs}: {len(labels)} devices ({','.join(labels)}) cannot be shared equally")
    each = len(labels) // jobs
    cores = max(1, (os.cpu_count() or 1) // max(jobs, len(labels)))  # of a process
    threads = {} if environment.get(THREADS) else {THREADS: str(cores)}
    return [Share(["--devices", ",".join(labels[at * each:(at + 1) * each])] if each else [], threads)
            for at in range(jobs)]
