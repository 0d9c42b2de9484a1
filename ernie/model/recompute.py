"""The choice of what a step computes again in its backward pass instead of keeping it. No paddle.

``recompute`` of a curriculum or recipe: false (nothing), true (every layer of a Transformer), a number k (every k-th
layer) or "attention" (scores, softmax and context of every layer: Korthikanti et al. 2022 call it selective).
"""
from __future__ import annotations

from typing import Union

ATTENTION = "attention"
Choice = Union[bool, int, str]


def whole_layer(choice: Choice, number: int) -> bool:
    """Tell whether the layer of that number, from 1, is computed again as a whole."""
    return not isinstance(choice, str) and choice > 0 and number % int(choice) == 0


def describe(choice: Choice) -> str:
    """Return the choice in the words of a table's heading."""
    if choice == ATTENTION:
        return "attention again"
    if int(choice) < 2:
        return "every layer again" if choice else "as it is"
    return f"each {choice}{'nd' if choice == 2 else 'rd' if choice == 3 else 'th'} layer again"
