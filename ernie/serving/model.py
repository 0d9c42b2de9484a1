"""A checkpoint as an object: vectors, masked words, and the answers of a fine-tuned model."""
from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np
import paddle

from ernie.checkpoints.warm_start import load_pretrained, read_pretrained
from ernie.finetuning.predictor import Predictor, find_foreign, find_model, find_weights
from ernie.model.config import ErnieConfig
from ernie.model.encoder import Encoder
from ernie.model.exported import is_exported
from ernie.model.heads import PredictionHeads
from ernie.serving.vectors import Vectors
from reader.finetune.inputs import row_of
from reader.text.tokenizer import Tokenizer
from reader.utils.errors import InputError

MASK = "[MASK]"
# a text, two texts, the words of a sentence, a question and its passage, or one or two texts and a list of choices
Input = Union[str, Sequence[Union[str, Sequence[str]]]]


class Candidate(NamedTuple):
    """A token for a masked position, and its probability."""

    token: str
    probability: float


class Model:
    """A loaded checkpoint; ``ernie.load`` returns one.

    Args:
        path: a checkpoint of any family, a pre-training run, an output of fine-tuning, an archive, or an export;
            "package:NAME/PATH" is one that an installed package ships.
        max_length: tokens of a text that are read, [CLS] and [SEP] included; the rest is cut off.
        task_id: see ``Vectors``.
    Raises:
        InputError: there is no checkpoint at ``path``, it is damaged, or the arguments do not fit it.
    """

    def __init__(self, path: str | Path, max_length: int = 512, task_id: int | None = None):
        self._reason = "is not fine-tuned: predict needs an output of `ernie finetune`, or weights with such a head"
        self.path = find_weights(path)
        finetuned = find_model(path) or find_foreign(path, lambda reason: setattr(self, "_reason", reason))
        self._predictor = Predictor(self.path) if finetuned else None
        self._arguments = max_length, task_id
        if self._predictor is None:
            self.vectors  # noqa: B018  (loaded now, so that what is wrong is said now)

    @cached_property
    def vectors(self) -> Vectors:
        """Load the encoder with its tokenizer, once."""
        return Vectors(self.path, *self._arguments)

    @property
    def config(self) -> ErnieConfig:
        """Sizes of the model."""
        return (self._predictor or self.vectors).config

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back."""
        return (self._predictor or self.vectors).tokenizer

    @property
    def report(self) -> str:
        """Return an account of what was loaded from where, and what was missing."""
        return self.vectors.report

    @property
    def task(self) -> str | None:
        """Name of the task that the model is fine-tuned on; None for a pre-trained model."""
        return self._predictor.recipe.task if self._predictor else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that ``predict`` chooses from; empty where the task has none."""
        return tuple(getattr(self._predictor.classes, "names", ())) if self._predictor else ()

    def encode(self, texts: Sequence[str], pooling: str = "mean", batch_tokens: int = 4096) -> np.ndarray:
        """Return [n, hidden size] float32, a vector for each text; see ``Vectors.encode``."""
        return self.vectors.encode(texts, pooling, batch_tokens)

    def encode_tokens(self, texts: Sequence[str], batch_tokens: int = 4096) -> list[np.ndarray]:
        """Return, for each text, [its tokens with [CLS] and [SEP], hidden size] float32."""
        return self.vectors.encode_tokens(texts, batch_tokens)

    def fill_mask(self, text: str, top: int = 5) -> list[list[Candidate]]:
        """Return, for each [MASK] in ``text``, the ``top`` most probable tokens, the best first.

        >>> model.fill_mask("Paris is the [MASK] of France.")[0][0].token

        Raises:
            InputError: no [MASK] in the text or behind ``max_length``; the checkpoint has no masked-LM head.
        """
        if not isinstance(text, str) or MASK not in text:
            raise InputError(f"fill_mask: expected a text with {MASK}, found {text!r:.80}")
        if top < 1:
            raise InputError(f"fill_mask: top {top} is less than 1")
        head, tokenizer, vectors = self._masked_lm, self.tokenizer, self.vectors
        ids = [tokenizer.cls_id]
        for place, part in enumerate(text.split(MASK)):
            ids += [tokenizer.mask_id] * (place > 0) + tokenizer.encode(part).ids.tolist()
        ids = [*ids[:vectors.max_length - 1], tokenizer.sep_id]
        masked = [place for place, token in enumerate(ids) if token == tokenizer.mask_id]
        if len(masked) < text.count(MASK):
            raise InputError(f"fill_mask: a {MASK} stands behind the first {vectors.max_length} tokens")
        hidden, _ = vectors.forward(np.array([ids]), np.array([len(ids)]))
        with paddle.no_grad():
            scores = head.predictions(paddle.to_tensor(hidden[0, masked]),
                                      vectors.model.embeddings.word_embeddings.weight)
        scores = scores.astype("float32").numpy()[:, :tokenizer.size]
        probabilities = np.exp(scores - scores.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        return [[Candidate(tokenizer.vocab[index], float(row[index])) for index in np.argsort(-row)[:top]]
                for row in probabilities]

    @cached_property
    def _masked_lm(self) -> PredictionHeads:
        found = None if is_exported(self.path) else read_pretrained(self.path)
        if found is None or not any(name.startswith("cls.") for name in found.arrays):
            raise InputError("holds no masked-LM head: fine-tuned, exported, or saved without one", self.path)
        holder = paddle.nn.Layer()
        holder.ernie, holder.cls = Encoder(found.config), PredictionHeads(found.config)
        load_pretrained(holder, found)
        holder.eval()
        return holder.cls

    def predict(self, inputs: Sequence[Input]) -> list[Any]:
        """Return one answer for each input, of a fine-tuned model.

        Args:
            inputs: for texts, each a str, or two of them where the task compares two; for tagging, a list of the words
                of a sentence, or a str, whose characters are the words; for reading, (question, passage); for multiple
                choice, (text, [choices]) or (text, text, [choices]). They are read as those of a file are.
        Returns:
            For classes and multiple choice, ``tasks.finetune.classification.Label`` (name, probability,
            probabilities); for any number of classes, ``tasks.finetune.multi_label.Labels`` (names, probabilities); for
            scores, float; for tags, list of str; for reading, ``tasks.finetune.reading_comprehension.Answer``.
        Raises:
            InputError: the model is not fine-tuned, or an input has another form than its task reads.
        """
        model = self._predictor
        if model is None:
            raise InputError(self._reason, self.path)
        if isinstance(inputs, str):
            raise InputError("predict: expected a list of inputs, found one text: predict([text])")
        rows = []
        for number, item in enumerate(inputs):
            try:
                rows.append(row_of(model.recipe.reader, item, number))
            except InputError:
                raise
            except ValueError as error:
                raise InputError(f"predict: input {number} {error}") from None
        return [model.kind.answer(prediction) for prediction in model.predict(rows)] if rows else []
