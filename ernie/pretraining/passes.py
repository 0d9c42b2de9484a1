"""Passes of a curriculum over its data: known before training, from budgets and the sizes of the stores."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ernie.pretraining.curriculum import Curriculum
from ernie.pretraining.stages import Stage
from reader.store.store import read_manifest

MANY = 100  # passes over one text from which on a warning is due; the paper's English curriculum makes about 12


def known_tokens(curriculum: Curriculum) -> dict[str, int]:
    """Count the tokens of every corpus and pair store of a curriculum that is built already, by name."""
    return {name: int(manifest["tokens"]) for name, manifest in _manifests(curriculum).items()}


def known_vocabulary(curriculum: Curriculum) -> int | None:
    """Count the tokens of the vocabulary that the stores of a curriculum share; None while none of them is built."""
    return next((int(manifest["vocab_size"]) for manifest in _manifests(curriculum).values()), None)


def _manifests(curriculum: Curriculum) -> dict[str, dict]:
    """Manifests of the stores that are built, by name."""
    sources = {**curriculum.corpora, **curriculum.pairs}
    return {name: read_manifest(Path(source.path)) for name, source in sources.items()
            if (Path(source.path) / "manifest.json").exists()}


def tokens_drawn(curriculum: Curriculum, stages: list[Stage], tokens: Mapping[str, int]) -> dict[str, float]:
    """Count the tokens that the tasks draw from every corpus and pair store in all stages, special tokens included.

    Args:
        tokens: of the stores, as far as they are known; where weights are missing they decide the shares.
    """
    drawn = dict.fromkeys([*curriculum.corpora, *curriculum.pairs], 0.0)
    for entry in curriculum.tasks:
        names = curriculum.sources(entry.name)
        sources = [{**curriculum.corpora, **curriculum.pairs}[name] for name in names]
        weights = [tokens.get(name, 1) if source.weight is None else source.weight
                   for name, source in zip(names, sources)]
        total = sum(stage.budgets.get(entry.name, 0) for stage in stages) * curriculum.batch_tokens
        for name, weight in zip(names, weights):
            drawn[name] += total * weight / sum(weights)
    return drawn


def passes(curriculum: Curriculum, stages: list[Stage], tokens: Mapping[str, int]) -> dict[str, float]:
    """Return how many times over every store with a known size is read."""
    drawn = tokens_drawn(curriculum, stages, tokens)
    return {name: drawn[name] / size for name, size in tokens.items() if size}


def describe(curriculum: Curriculum, stages: list[Stage]) -> list[str]:
    """Return a line for each corpus and pair store: what is drawn from it, and how many passes that is."""
    tokens = known_tokens(curriculum)
    made = passes(curriculum, stages, tokens)
    return [f"{name}: {drawn:,.0f} tokens drawn" + (f", {made[name]:,.1f} passes over {tokens[name]:,}" if name in made
                                                    else ", not built yet")
            for name, drawn in tokens_drawn(curriculum, stages, tokens).items()]


def warnings(curriculum: Curriculum, stages: list[Stage]) -> list[str]:
    """Return a line for each store that is read too often to be meant."""
    tokens = known_tokens(curriculum)
    return [f"{name} has {tokens[name]:,} tokens and would be read {count:,.0f} times over: fewer iterations, a "
            f"smaller batch_tokens or more text (the paper reads its English text about 12 times)"
            for name, count in passes(curriculum, stages, tokens).items() if count > MANY]
