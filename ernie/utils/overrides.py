"""Overrides that change nothing: told, so that nobody waits for an effect that cannot come. No paddle."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def given(assignments: Iterable[str], key: str) -> str | None:
    """Return the first ``key=value`` assignment that sets ``key``, or something inside it, as ``optimizer.beta1=0.9``
    is inside ``optimizer``; None where there is none."""
    return next((text for text in assignments if (text.partition("=")[0] + ".").startswith(key + ".")), None)


def idle(assignments: Iterable[str], reasons: Mapping[str, str]) -> list[str]:
    """Return a line for each of the keys that is assigned.

    Args:
        reasons: why a key, with all that is inside it, has no effect here.
    """
    assignments = list(assignments)
    return [f"--set {found} has no effect: {reason}" for key, reason in reasons.items()
            if (found := given(assignments, key))]


def idle_in_training(settings: Any) -> dict[str, str]:
    """Return the keys, of those that curricula and recipes share, that have no effect beside their others.

    Args:
        settings: has ``precision`` and ``loss_spike``.
    """
    reasons = {}
    if settings.precision != "fp16":
        reasons["loss_scaling"] = f"the loss is scaled in precision fp16, this is {settings.precision}"
    if settings.precision == "fp32":
        reasons["amp_level"] = "it is for precision fp16 and bf16, this is fp32"
    if settings.loss_spike and settings.loss_spike.action == "warn":
        reasons["loss_spike.max_rollbacks"] = "loss_spike.action is warn, which rolls nothing back"
    return reasons
