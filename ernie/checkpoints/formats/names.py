"""The name of a parameter in each family. Our own names are PaddleNLP's; dense weights are [in, out] unless marked."""
from __future__ import annotations

import re
from typing import NamedTuple

TABLE, NORM, DENSE, BIAS = "table", "norm", "dense", "bias"

# kind, ours, static graph of 2019, dygraph release, Hugging Face
EMBEDDINGS = (
    (TABLE, "ernie.embeddings.word_embeddings", "word_embedding", "word_emb", "ernie.embeddings.word_embeddings"),
    (TABLE, "ernie.embeddings.position_embeddings", "pos_embedding", "pos_emb",
     "ernie.embeddings.position_embeddings"),
    (TABLE, "ernie.embeddings.token_type_embeddings", "sent_embedding", "sent_emb",
     "ernie.embeddings.token_type_embeddings"),
    (TABLE, "ernie.embeddings.task_type_embeddings", "task_embedding", "", "ernie.embeddings.task_type_embeddings"),
    (NORM, "ernie.embeddings.layer_norm", "pre_encoder_layer_norm", "ln", "ernie.embeddings.LayerNorm"),
)
LAYER = (
    (DENSE, "self_attn.q_proj", "multi_head_att_query_fc", "attn.q", "attention.self.query"),
    (DENSE, "self_attn.k_proj", "multi_head_att_key_fc", "attn.k", "attention.self.key"),
    (DENSE, "self_attn.v_proj", "multi_head_att_value_fc", "attn.v", "attention.self.value"),
    (DENSE, "self_attn.out_proj", "multi_head_att_output_fc", "attn.o", "attention.output.dense"),
    (NORM, "norm1", "post_att_layer_norm", "ln1", "attention.output.LayerNorm"),
    (DENSE, "linear1", "ffn_fc_0", "ffn.i", "intermediate.dense"),
    (DENSE, "linear2", "ffn_fc_1", "ffn.o", "output.dense"),
    (NORM, "norm2", "post_ffn_layer_norm", "ln2", "output.LayerNorm"),
)
LAYER_PREFIXES = ("ernie.encoder.layers.{}.", "encoder_layer_{}_", "encoder_stack.block.{}.", "ernie.encoder.layer.{}.")
ABOVE = (
    (DENSE, "ernie.pooler.dense", "pooled_fc", "pooler", "ernie.pooler.dense"),
    (DENSE, "cls.predictions.transform", "mask_lm_trans_fc", "mlm", "cls.predictions.transform.dense"),
    (NORM, "cls.predictions.layer_norm", "mask_lm_trans_layer_norm", "mlm_ln", "cls.predictions.transform.LayerNorm"),
    (BIAS, "cls.predictions.decoder_bias", "mask_lm_out_fc.b_0", "mlm_bias", "cls.predictions.bias"),
    (DENSE, "cls.seq_relationship", "next_sent_fc", "pooler_heads.0.nsp", "cls.seq_relationship"),
)
STATIC_ENDINGS = {TABLE: ("",), NORM: ("_scale", "_bias"), DENSE: (".w_0", ".b_0"), BIAS: ("",)}
ENDINGS = {TABLE: (".weight",), NORM: (".weight", ".bias"), DENSE: (".weight", ".bias"), BIAS: ("",)}
COLUMNS = {"own": 0, "paddlenlp": 0, "static": 1, "dygraph": 2, "huggingface": 3}

# Copies of the tied word embedding and of the decoder's bias, and buffers, that some libraries store as well.
COPIES = {"cls.predictions.decoder.weight": "ernie.embeddings.word_embeddings.weight",
          "cls.predictions.decoder_weight": "ernie.embeddings.word_embeddings.weight",
          "cls.predictions.decoder.bias": "cls.predictions.decoder_bias"}
HEAD = {"static": r"(?!encoder_layer_)(?P<task>\w+)_fc\.(?P<part>w_0|b_0)$",
        "other": r"heads\.(?P<task>.+)\.(?P<part>weight|bias)$"}


class Name(NamedTuple):
    """Our name of a stored array, and whether it is stored as [out, in]."""

    ours: str
    transposed: bool = False


def table(family: str, layers: int) -> dict[str, Name]:
    """Return our name of each stored name, for all that the family has room for."""
    column = COLUMNS[family]
    names: dict[str, Name] = {}
    rows: list[tuple[str, ...]] = [*EMBEDDINGS, *ABOVE]
    for layer in range(layers):
        prefixes = [prefix.format(layer) for prefix in LAYER_PREFIXES]
        rows += [(kind, *(prefix + name for prefix, name in zip(prefixes, parts))) for kind, *parts in LAYER]
    for kind, *parts in rows:
        endings = STATIC_ENDINGS[kind] if family == "static" else ENDINGS[kind]
        for ours, theirs in zip(ENDINGS[kind], endings):
            if parts[column]:
                matrix = family == "huggingface" and kind == DENSE and ours == ".weight"
                names[parts[column] + theirs] = Name(parts[0] + ours, matrix)
    return names


def head(family: str, stored: str) -> Name | None:
    """Return our name of a pre-training task's head, when ``stored`` is one."""
    found = re.match(HEAD["static" if family == "static" else "other"], stored)
    if found is None:
        return None
    part = {"w_0": "weight", "b_0": "bias"}.get(found["part"], found["part"])
    return Name(f"heads.{found['task']}.{part}", family == "huggingface" and part == "weight")


def stored_head(family: str, ours: str) -> str:
    """Return the family's name of a head, as ``head`` reads it."""
    task, part = ours[len("heads."):].rsplit(".", 1)
    return f"{task}_fc.{'w_0' if part == 'weight' else 'b_0'}" if family == "static" else ours


def normal_spelling(stored: str) -> str:
    """Return a spelling of BERT or of old in that of the tables: prefix ``ernie.``, LayerNorm's weight and bias."""
    stored = re.sub(r"^(?:bert\.|ernie\.)?(?=(?:embeddings|encoder|pooler)\.)", "ernie.", stored)
    return re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda m: {"gamma": "weight", "beta": "bias"}[m[0]], stored)
