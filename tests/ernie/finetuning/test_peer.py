"""One forward pass and one optimiser step of fine-tuning beside transformers' BERT on torch, with the same weights."""
import json

import numpy as np
import pytest

from reader.finetune.labels import Classes
from reader.finetune.rows import TextRow
from reader.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from tasks import finetune
from tasks.finetune.batches import EpochBatches

pytestmark = pytest.mark.peer
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
         "vocab_size": 40, "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu",
         "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
RATE, CLIP = 1e-3, 1.0


def rows():
    generator = np.random.default_rng(3)
    words = list("abcdefghijklmnop")
    return [TextRow((" ".join(generator.choice(words, generator.integers(1, 9))),
                     " ".join(generator.choice(words, generator.integers(1, 9)))),
                    int(generator.integers(3)), "", "", n)
            for n in range(8)]


def test_forward_and_one_step_agree(peer, tmp_path):
    torch, transformers = peer("torch"), peer("transformers")
    from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
    from ernie.model.finetuning_model import FinetuningModel
    from ernie.model.pretraining_model import to_tensors
    from ernie.training.amp import Precision
    from ernie.training.distributed import World
    from ernie.training.optimizer import Updater
    from ernie.training.settings import LossScaling, OptimizerSettings

    torch.manual_seed(0)
    theirs = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES, num_labels=3))
    theirs.save_pretrained(tmp_path)
    vocab = [*SPECIAL_TOKENS, *"abcdefghijklmnop", *(f"[unused{n}]" for n in range(19))]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))

    kind, tokenizer = finetune.load("classification", Classes(["0", "1", "2"])), Tokenizer(vocab)
    features = kind.features(rows(), tokenizer, 24)
    (batch,) = EpochBatches(features, kind, seed=1, epochs=1, batch_size=8, batch_unit="examples", task_id=0, pad_id=0,
                            micro_tokens=10**6).at(0)
    labels = batch.targets[kind.name].labels

    pretrained = read_pretrained(tmp_path)
    ours = FinetuningModel(pretrained.config, kind)
    load_pretrained(ours, pretrained)
    head = ours.heads[kind.name]
    head.weight.set_value(theirs.classifier.weight.detach().numpy().T.copy())
    head.bias.set_value(theirs.classifier.bias.detach().numpy().copy())

    tensors = to_tensors(batch)
    inputs = {key: value for key, value in tensors.items() if key != "targets"}
    mask = np.arange(batch.token_ids.shape[1]) < batch.lengths[:, None]
    given = {"input_ids": torch.tensor(batch.token_ids), "token_type_ids": torch.tensor(batch.token_type_ids),
             "attention_mask": torch.tensor(mask.astype(np.int64)), "labels": torch.tensor(labels)}
    expected = theirs(**given)
    np.testing.assert_allclose(ours.outputs(**inputs).numpy(), expected.logits.detach().numpy(), atol=1e-5)

    decayed = [p for n, p in theirs.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    plain = [p for n, p in theirs.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    expected.loss.backward()
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), CLIP)
    optimizer.step()

    settings = OptimizerSettings(learning_rate=RATE, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.01,
                                 clip_norm=CLIP)
    updater = Updater(ours, settings, lambda update: RATE, Precision("fp32", "O1", LossScaling()), World())
    ours.train()
    loss, _, count = ours(**tensors)[kind.name]
    updater.backward(loss / float(count.item()))
    assert updater.step(1).stepped
    assert float(loss.item()) / len(labels) == pytest.approx(expected.loss.item(), abs=1e-5)
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(ours.outputs(**inputs).numpy(), theirs(**given).logits.detach().numpy(), atol=1e-4)
    theirs.save_pretrained(tmp_path)
    after, weights = read_pretrained(tmp_path).arrays, ours.state_dict()
    for name, array in after.items():
        if name in weights and name.startswith("ernie.") and "k_proj.bias" not in name:  # whose true gradient is 0
            np.testing.assert_allclose(weights[name].numpy(), array, atol=1e-4, err_msg=name)
