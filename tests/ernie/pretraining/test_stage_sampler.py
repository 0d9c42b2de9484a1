"""What a rank takes of a step, and which worker makes it."""
import numpy as np
import pytest

import tasks
from ernie.pretraining.stage_sampler import StageBatches
from ernie.pretraining.stages import Stage
from reader.batches.batches import Batches
from reader.batches.corpus import Corpus
from tests.builders import build_store, random_documents


@pytest.fixture
def sources(tmp_path):
    corpus = Corpus([build_store(tmp_path / "s", random_documents(60))], max_length=32)
    return {name: Batches(tasks.load(name), [], corpus, seed=1, task_id=0, batch_tokens=512, window=3, slices=6)
            for name in ("knowledge_masking", "sentence_distance")}


STAGE = Stage(1, {"knowledge_masking": 20, "sentence_distance": 30}, [])


def test_ranks_take_the_micro_batches_of_the_global_batch_once(sources):
    for size in (1, 2, 3, 6):
        ranks = [StageBatches(STAGE, 1, sources, {}, rank, size) for rank in range(size)]
        for step in (0, 7, 49):
            made = [batch for rank in ranks for batch in rank.at(step)]
            assert [batch.place for batch in made] == list(range(6))
            one = StageBatches(STAGE, 1, sources, {}).at(step)
            assert all(np.array_equal(a.token_ids, b.token_ids) for a, b in zip(made, one))


@pytest.mark.parametrize("cards", [48, 64])
def test_the_slices_of_the_papers_cards_are_exactly_the_global_batch(tmp_path, cards):
    """Of every task of both languages that needs no pairs; each card makes its own, knowing nothing of the others."""
    names = ["knowledge_masking", "capitalization", "token_document", "sentence_reordering", "sentence_distance"]
    store = build_store(tmp_path / "s", random_documents(150))

    def sources(slices: int) -> dict:
        corpus = Corpus([store], max_length=32)
        return {name: Batches(tasks.load(name), [tasks.load(token) for token in names[:3]], corpus, seed=1, task_id=k,
                              batch_tokens=64 * 48, window=4, slices=slices) for k, name in enumerate(names)}

    stage = Stage(1, dict.fromkeys(names, 1), [])
    one, shared = StageBatches(stage, 1, sources(1), {}), sources(cards)
    seen = set()
    for step in range(stage.steps):
        (whole,) = one.at(step)
        parts = [batch for rank in range(cards) for batch in StageBatches(stage, 1, shared, {}, rank, cards).at(step)]
        assert [batch.place for batch in parts] == list(range(cards))
        assert rows(parts) == rows([whole])
        assert sum(batch.row_hash for batch in parts) == whole.row_hash
        for name, target in whole.targets.items():
            mine = np.concatenate([batch.targets[name].labels for batch in parts])
            assert sorted(mine.tolist()) == sorted(target.labels.tolist())
        seen.add(whole.task)
    assert seen == set(names)


def rows(batches: list) -> list:
    """The tokens of every row without padding, in one order."""
    return sorted(tuple(ids[:length].tolist()) for batch in batches
                  for ids, length in zip(batch.token_ids, batch.lengths))


def test_two_workers_never_draw_the_same_window(sources):
    drawn = StageBatches(STAGE, 1, sources, {"sentence_distance": 5})
    workers: dict = {}
    for step in range(STAGE.steps):
        name, n = drawn.names[drawn.draws[step]], int(drawn.numbers[step])
        windows = sources[name].windows
        window = name, n % windows.turns, n // windows.turns // windows.size
        workers.setdefault(window, set()).add(drawn.turn(step) % 2)
    assert len(workers) > 10 and all(len(used) == 1 for used in workers.values())
    assert len(set.union(*workers.values())) == 2
