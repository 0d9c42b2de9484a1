"""PaddleNLP's own Trainer fine-tunes what we write: a pre-trained run, converted, read back after training."""
import json

import numpy as np
import pytest

pytest.importorskip("paddle")
from ernie.checkpoints.formats import read  # noqa: E402
from ernie.cli import main  # noqa: E402
from tests.ernie import runs  # noqa: E402

pytestmark = pytest.mark.peer


def test_paddlenlp_trainer_fine_tunes_a_run_of_ours(peer, tmp_path):
    nlp = peer("paddlenlp")
    from paddlenlp.trainer import Trainer, TrainingArguments
    runs.run(runs.declare(tmp_path, [{"knowledge_masking": 4}]), tmp_path / "run")
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "theirs"), "--to", "paddlenlp"]) == 0
    model = nlp.transformers.ErnieForSequenceClassification.from_pretrained(str(tmp_path / "theirs"), num_labels=2)
    before = model.ernie.embeddings.word_embeddings.weight.numpy().copy()
    np.testing.assert_array_equal(before[1:], runs.final(tmp_path / "run")[
        "ernie.embeddings.word_embeddings.weight"][1:])  # row 0 is padding, which PaddleNLP never reads
    rng = np.random.default_rng(1)  # a sentence is of class 1 where its first word is of the upper half
    words = rng.integers(5, 60, (64, 12))
    rows = [{"input_ids": row.tolist(), "token_type_ids": [0] * 12, "labels": int(row[0] >= 32)} for row in words]
    trainer = Trainer(model=model, train_dataset=rows, eval_dataset=rows, args=TrainingArguments(
        str(tmp_path / "out"), max_steps=40, per_device_train_batch_size=16, learning_rate=5e-3, logging_steps=10,
        save_steps=40, report_to=["none"], device="cpu", disable_tqdm=True))
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.9 * first
    trainer.save_model(str(tmp_path / "tuned"))
    assert json.loads((tmp_path / "tuned" / "config.json").read_text())["hidden_size"] == runs.MODEL["hidden_size"]
    found = read(tmp_path / "tuned")  # and we read what it wrote
    assert not np.array_equal(found.arrays["ernie.embeddings.word_embeddings.weight"], before)
