# %% [markdown]
# # Look at what a task teaches, and add one
# The labels of the pre-training tasks are made from raw text. Here the text is the Wikipedia sample that gensim ships.

# %%
import tempfile
from pathlib import Path

import numpy as np

import tasks
from ernie.pretraining.inspection import draw, pages
from reader.batches.corpus import Corpus
from reader.store.demo import prepare_demo

folder = Path(tempfile.mkdtemp())
data = prepare_demo("en", folder / "data", workers=1)
corpus = Corpus([data / "dev"], max_length=96)

# %% [markdown]
# ## Three examples of sentence reordering
# The segments are shown as the model reads them; the label is the permutation that restores the text.


# %%
def show(task, count: int = 3) -> None:
    """Print examples of a task with their labels."""
    for page in pages(task, corpus, draw(task, corpus, count, seed=1), np.arange(count)):
        print(page)


show(tasks.load("sentence_reordering"))
show(tasks.load("capitalization"), 1)

# %% [markdown]
# ## A task of your own
# One class in one file, anywhere: is a token part of a named entity? The store knows already.

# %%
file = folder / "named_entity.py"
file.write_text('''
import numpy as np

from reader.text.flags import ENTITY, KIND, KIND_SHIFT
from tasks.base import TokenTask


class NamedEntity(TokenTask):
    """Is a token part of a named entity?"""

    name = "named_entity"
    classes = ("other", "entity")

    def labels(self, tokens):
        return ((tokens.flags & KIND) >> KIND_SHIFT == ENTITY).astype(np.int64)
''')
show(tasks.load("named_entity", tasks_from=[file]), 2)

# %% [markdown]
# `ernie.pretrain({..., "tasks": ["knowledge_masking", "named_entity"]}, "output", tasks_from=[file])` trains it;
# docs/add_a_task.md goes on from here.
