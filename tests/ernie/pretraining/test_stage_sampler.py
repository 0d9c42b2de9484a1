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
