"""Forward passes of the encoder beside transformers on torch and PaddleNLP, float32, no gradients.

    python benchmarks/peers/inference.py --shape minilm:64x32 minilm:32x128m base:8x128

"export": what `ernie export --to inference` writes. "bf16": torch's autocast; with "export", `--precision bf16`. With
mixed lengths (m) a turn is 256 texts in batches of the shape's rows; "sorted": batches of similar length, as
`ernie encode` makes them; otherwise as they come.
"""
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import paired

TEXTS = 256


def batches(shape: paired.Shape, by_length: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, lengths) of each batch, padded to its longest."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, shape.width + 1, TEXTS) if shape.mixed else np.full(shape.rows, shape.width)
    lengths = np.sort(lengths)[::-1].copy() if by_length else lengths
    found = []
    for start in range(0, len(lengths), shape.rows):
        some = lengths[start:start + shape.rows]
        ids = rng.integers(1000, shape.vocabulary, (len(some), some.max()))
        found.append((ids * (np.arange(some.max()) < some[:, None]), some))
    return found


def ours(options: set[str], shape: paired.Shape):
    from ernie.utils.paddle_setup import import_paddle
    import_paddle()
    from ernie.checkpoints.formats import Pretrained, write
    from ernie.model.config import ErnieConfig
    from ernie.model.encoder import Encoder
    from ernie.serving.export import export
    from ernie.serving.vectors import Vectors
    config = ErnieConfig(**shape.config, use_task_id=False, task_type_vocab_size=0)
    arrays = {f"ernie.{name}": value.numpy() for name, value in Encoder(config).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "words.txt"
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        vocabulary.write_text("".join(f"{word}\n" for word in (*special, *map(str, range(1000)))), "utf-8")
        write(Pretrained("own", Path(folder), config, arrays, vocabulary), Path(folder) / "model", "own")
        if "export" in options:
            export(Path(folder) / "model", Path(folder) / "export", "inference",
                   precision="bf16" if "bf16" in options else "fp32")
        vectors = Vectors(Path(folder) / ("export" if "export" in options else "model"))
        made = batches(shape, "sorted" in options)
        return lambda: [vectors.forward(*one) for one in made]


def transformers(options: set[str], shape: paired.Shape):
    import torch
    from transformers import BertConfig, BertModel
    model = BertModel(BertConfig(**shape.config))
    model.eval()
    made = [(torch.tensor(ids), (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long())
            for ids, lengths in batches(shape, "sorted" in options)]

    def turn():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options):
            for ids, mask in made:
                found = model(ids, attention_mask=mask)
                found.last_hidden_state.float().numpy(), found.pooler_output.float().numpy()
    return turn


def paddlenlp(options: set[str], shape: paired.Shape):
    import zlib  # noqa: F401  (before paddle 2.6)

    import paddle
    from paddlenlp.transformers import ErnieConfig, ErnieModel
    model = ErnieModel(ErnieConfig(**shape.config))
    model.eval()
    made = batches(shape, "sorted" in options)

    def turn():
        with paddle.no_grad():
            for ids, lengths in made:
                mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
                hidden, pooled = model(paddle.to_tensor(ids), attention_mask=paddle.to_tensor(mask))
                hidden.numpy(), pooled.numpy()
    return turn


if __name__ == "__main__":
    paired.main(__doc__, {"ours": ours, "transformers": transformers, "paddlenlp": paddlenlp},
                ["ours", "ours:export", "ours:export:bf16", "transformers", "transformers:bf16", "paddlenlp",
                 "paddlenlp:tuned"], ["minilm:64x32", "minilm:32x128", "base:8x128"])
