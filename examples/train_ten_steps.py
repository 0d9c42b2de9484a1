# %% [markdown]
# # Ten steps of pre-training, object by object
# What `ernie.pretrain` does, without files, restarts and other machines: a curriculum, its data, a model, ten steps.

# %%
import tempfile
from pathlib import Path

import ernie
from ernie.utils.paddle_setup import import_paddle

paddle = import_paddle()

from ernie.model.pretraining_model import PretrainingModel, to_tensors  # noqa: E402
from ernie.pretraining.curriculum import load  # noqa: E402
from ernie.pretraining.data import PretrainingData  # noqa: E402
from ernie.pretraining.model_config import model_config  # noqa: E402
from ernie.pretraining.stages import stages_of  # noqa: E402
from reader.store.demo import prepare_demo  # noqa: E402

print("ernie", ernie.__version__)
data_folder = prepare_demo("en", Path(tempfile.mkdtemp()) / "corpus", workers=1)

# %% [markdown]
# ## A curriculum and its stages

# %%
curriculum = load("demo_en", ["micro_batch_tokens=1024", "batch_tokens=1024"])
source = curriculum.corpora["wikipedia"]
source.path, source.dev = str(data_folder / "train"), str(data_folder / "dev")
for stage in stages_of(curriculum):
    print(f"stage {stage.number}: {stage.budgets}")

# %% [markdown]
# ## Batches are a function of seed and step
# The second task of the demo: its batches carry the labels of both token-level tasks.

# %%
data = PretrainingData(curriculum)
batches = data.batches("capitalization", ["knowledge_masking", "capitalization"], cards=1)
batch = batches.at(0, range(1))[0]
print("tokens", batch.token_ids.shape, "padding", round(1 - batch.tokens / batch.token_ids.size, 3))
print(" ".join(data.tokenizer.tokens(batch.token_ids[0][:20])))
print({name: len(target.labels) for name, target in batch.targets.items()})

# %% [markdown]
# ## A model and ten steps

# %%
paddle.seed(1)
model = PretrainingModel(model_config(curriculum, data.tokenizer.size), data.tasks)
optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters())
history = []
for step in range(10):
    sums = model(**to_tensors(batches.at(step, range(1))[0]))
    losses = {name: values[0] / values[2] for name, values in sums.items()}
    sum(losses.values()).backward()
    optimizer.step()
    optimizer.clear_grad()
    history.append({name: float(loss.item()) for name, loss in losses.items()})
    print(step + 1, {name: round(value, 3) for name, value in history[-1].items()})
assert history[-1]["knowledge_masking"] < history[0]["knowledge_masking"]

# %% [markdown]
# ## A curve in text; in a notebook, any plotting library takes `history`

# %%
top = max(values["knowledge_masking"] for values in history)
for step, values in enumerate(history, 1):
    print(f"{step:3} {values['knowledge_masking']:6.3f} {'#' * round(50 * values['knowledge_masking'] / top)}")
