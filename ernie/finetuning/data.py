"""Inputs of a fine-tuning run: vocabulary, label set, and the rows and features of every split. No paddle."""
from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ernie.finetuning.recipe import Recipe, load, make_kind, names, paper
from ernie.model.config import ErnieConfig, find_config, read_json
from ernie.utils.resources import CONFIGS, locate
from reader.finetune.questions import Questions
from reader.finetune.rows import row_texts
from reader.finetune.tables import Table
from reader.finetune.tagged import Tagged
from reader.text.tokenizer import Tokenizer, read_vocab
from reader.utils.errors import InputError
from reader.utils.text import counted, did_you_mean
from tasks.finetune.features import Features

if TYPE_CHECKING:  # the formats import paddle
    from ernie.checkpoints.formats import Pretrained

CHUNK = 2048  # rows that are tokenized together
MODELS = CONFIGS / "model"


@dataclass
class Start:
    """Starting point of training. pretrained: None for random weights."""

    config: ErnieConfig
    tokenizer: Tokenizer
    vocab_text: str
    pretrained: Pretrained | None = None

    def fingerprint(self) -> str:
        """Return a hash of the weights to start from, 32 hexadecimal digits; "" for random ones."""
        if self.pretrained is None:
            return ""
        digest = hashlib.sha256()
        for name, array in sorted(self.pretrained.arrays.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:32]


@dataclass
class Split:
    """One file as the model reads it. rows: none for training data, whose text is not kept."""

    name: str
    path: Path
    count: int
    features: Features
    rows: list = field(default_factory=list)


class FinetuningData:
    """Label set, kind of task, and the splits of a data directory.

    Args:
        say: takes the lines about what was read.
    Attributes:
        source: what a file ``ernie-source.txt`` beside the rows says they are, where they are not those of the paper.
    """

    def __init__(self, recipe: Recipe, directory: str | Path, say: Callable[[str], None] = print):
        self.recipe, self.directory, self.say = recipe, Path(directory), say
        self.classes = recipe.reader.labels(directory)
        self.kind = make_kind(recipe, self.classes)
        self.source = recipe.reader.source(directory)
        self.published = {} if self.source else paper()["rows"].get(recipe.task, {})
        if self.source:
            say(f"data: {self.source}")

    def split(self, name: str, tokenizer: Tokenizer, required: bool = False, keep_rows: bool = True) -> Split | None:
        """Read, check and tokenize a split; None where the directory has none and none is required."""
        begun = time.perf_counter()
        path = self.recipe.reader.find(self.directory, name, required)
        if path is None:
            return None
        source = self.open(path, name)
        stream = self.drawn(source, path) if name == "train" and self.recipe.train_rows else source
        parts: list[Features] = []
        rows: list = []
        count = 0
        for chunk in chunks(stream, CHUNK):
            parts.append(self.kind.features(chunk, tokenizer, self.recipe.max_length))
            count += len(chunk)
            rows += chunk if keep_rows else []
        features = Features.join(parts)
        known = self.published.get(name)
        beside = "" if known is None else \
            ", as many as published" if known == source.account.rows else f", {known:,} published"
        drawn = f"; {count:,} of them drawn" if count != source.account.rows else ""
        in_parts = f"; {counted(len(features), 'part')}" if len(features) != count else ""
        self.say(f"{name}: {source.account}{beside}{drawn}{in_parts}; {len(features.ids):,} tokens "
                 f"({time.perf_counter() - begun:.1f} s)")
        return Split(name, path, count, features, rows)

    def open(self, path: Path, name: str) -> Questions | Tagged | Table:
        """Return the rows of a split's file, see ``SplitReader.open``.

        Raises:
            InputError: `only` or `group` of a recipe of one's own names a column that no file of the data has.
        """
        source = self.recipe.reader.open(path, name, self.classes)
        if not isinstance(source, Table):
            return source
        for key, column in source.absent:
            if not self._published() and not any(other.has(column) for other in self._others(path)):
                near = did_you_mean(column, source.names)
                raise InputError(f"no column {column!r}, which `{key}` in reader.columns names; no other file of the "
                                 f"data has it{near}", path, source.header_line())
        return source

    def _published(self) -> bool:
        """Tell whether the columns are those of a recipe that comes with the package: its files differ in them."""
        recipe = self.recipe
        return recipe.task in names() and recipe.reader.columns == load(recipe.task).reader.columns

    def _others(self, path: Path) -> Iterator[Table]:
        """Open the tables of the other splits, as far as they can be read."""
        for name in ("train", *self.recipe.splits("dev"), *self.recipe.splits("test")):
            with suppress(InputError):
                other = self.recipe.reader.find(self.directory, name, required=False)
                if other is not None and other != path:
                    table = self.recipe.reader.open(other, name, self.classes)
                    if isinstance(table, Table):
                        yield table

    def no_dev(self) -> str:
        """Return a line that there are no dev data, with the files that may have been meant."""
        unread = self.recipe.reader.unread(self.directory)
        beside = f" (not read: {', '.join(unread[:4])}; reader.files names the file of each split)" if unread else ""
        return f"no dev file{beside}"

    def drawn(self, source: Iterable, path: Path) -> Iterator:
        """Yield ``train_rows`` rows, drawn from the whole file and left in its order: the same for every seed."""
        total = sum(1 for _ in self.open(path, "train"))
        generator = np.random.Generator(np.random.Philox(key=0xD4A3))
        chosen = np.zeros(total, bool)
        chosen[generator.permutation(total)[:self.recipe.train_rows]] = True
        return (row for row, keep in zip(source, chosen.tolist()) if keep)

    def texts(self) -> Iterator[str]:
        """Yield the texts of the training file, for learning a vocabulary."""
        path = self.recipe.reader.find(self.directory, "train")
        for row in self.open(path, "train"):
            yield from row_texts(row)


def chunks(stream: Iterable, size: int) -> Iterator[list]:
    """Yield lists of up to ``size`` items."""
    stream = iter(stream)
    while found := list(islice(stream, size)):
        yield found


def fingerprint(features: Features) -> str:
    """Return a hash of everything that is trained on, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in (features.ids, features.offsets, features.first, features.labels, *features.tokens.values()):
        if array is not None:
            digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def find_start(recipe: Recipe, data: FinetuningData, init: str | Path | None, size: str, output: str | Path, *,
               model: str | Path | None = None, vocab: str | Path | None = None, anew: bool = False) -> Start:
    """Read the checkpoint ``init`` of any family; without one, choose a random model over ``vocab`` or a vocabulary
    learnt here. Over ``vocab`` its word embedding has at least the rows that ``model`` says, as in pre-training.

    Args:
        size: "base" or "large", for the configuration of a random model. model: a configuration file instead, also of
            a checkpoint that has none beside it. anew: learn a vocabulary even if ``output`` holds one.
    Raises:
        InputError: the checkpoint has no vocabulary, or cannot read inputs as long as the recipe's.
    """
    if init:
        from ernie.checkpoints.warm_start import read_pretrained
        from ernie.finetuning.predictor import find_weights
        pretrained = read_pretrained(find_weights(init), model)
        file = vocab or pretrained.vocab
        if file is None:
            raise InputError("has no vocab.txt; name one with --vocab", init)
        tokenizer = Tokenizer.load(file, recipe.lower_case and pretrained.lower_case)
        config = pretrained.config
        check_vocabulary(tokenizer.vocab, file, config.vocab_size, pretrained.vocab, init)
    else:
        language = "en" if recipe.suite == "glue" else "zh"
        config = ErnieConfig.load(locate(model) if model else MODELS / f"{size}_{language}.json")
        least = _rows(locate(model)) if model and vocab else 0
        file = vocab or _learnt_vocabulary(data, language, config.vocab_size, Path(output) / "vocab.txt", recipe,
                                           anew=anew)
        tokenizer, pretrained = Tokenizer.load(file, recipe.lower_case), None
        config.vocab_size = max(tokenizer.size, least)
    fit(recipe, config, tokenizer, init or model, data.say)
    text = "".join(token + "\n" for token in tokenizer.vocab)
    return Start(config, tokenizer, text, pretrained)


def _rows(model: Path) -> int:
    """Return the rows that a model file wants in its word embedding; 0 where it leaves that to the vocabulary."""
    return read_json(find_config(model)).get("vocab_size") or 0


def fit(recipe: Recipe, config: ErnieConfig, tokenizer: Tokenizer, where: str | Path | None,
        say: Callable[[str], None]) -> None:
    """Check that a model can be trained by a recipe, and put into the recipe how texts are read.

    Raises:
        InputError: as ``check_model``.
    """
    recipe.lower_case = tokenizer.lower_case  # saved with the model, for those who read with it later
    check_model(recipe, config, where)
    if recipe.task_id and not config.use_task_id:
        say(f"task_id {recipe.task_id} does nothing: the model has no task embedding")


def check_model(recipe: Recipe, config: ErnieConfig, where: str | Path | None, flag: str = "--set") -> None:
    """Check that a model can be trained by a recipe.

    Args:
        where: what the message names. flag: of the command, with which a recipe is changed.
    Raises:
        InputError: the model cannot read inputs as long as the recipe's, or has no such task embedding.
    """
    if recipe.max_length > config.max_position_embeddings:
        raise InputError(f"{recipe.task}: max_length {recipe.max_length} is more than the model's "
                         f"{config.max_position_embeddings} positions ({flag} max_length=...)", where)
    if config.use_task_id and not 0 <= recipe.task_id < config.task_type_vocab_size:
        raise InputError(f"{recipe.task}: task_id {recipe.task_id} is not below the model's "
                         f"{config.task_type_vocab_size} task embeddings", where)


def find_vocabulary(recipe: Recipe, data: FinetuningData, init: str | Path | None, vocab: str | Path | None,
                    scratch: Path) -> tuple[Path, bool]:
    """Return (vocabulary file, lower case) that a run would read texts with, without its weights."""
    lower_case = recipe.lower_case
    if init:
        from ernie.checkpoints.formats.families import read
        from ernie.finetuning.predictor import find_weights
        pretrained = read(find_weights(init))
        lower_case = lower_case and pretrained.lower_case
        vocab = vocab or pretrained.vocab
        if vocab is None:
            raise InputError("has no vocab.txt; name one with --vocab", init)
    elif not vocab:
        language = "en" if recipe.suite == "glue" else "zh"
        size = ErnieConfig.load(MODELS / f"base_{language}.json").vocab_size
        vocab = _learnt_vocabulary(data, language, size, scratch / "vocab.txt", recipe, kept=False)
    return Path(vocab), lower_case


def check_vocabulary(tokens: list, file: str | Path, rows: int, own: str | Path | None,
                     where: str | Path | None) -> None:
    """Refuse a vocabulary that is not the one that a checkpoint was trained with, before anything is computed.

    Args:
        tokens: of the vocabulary in ``file``. rows: of the word embedding. own: the vocabulary beside the checkpoint,
            or None.
    Raises:
        InputError: it has more tokens than the embedding has rows, far fewer, or other tokens at the same numbers.
    """
    if len(tokens) > rows:
        raise InputError(f"{len(tokens):,} tokens, but the word embedding of {where} has {rows:,} rows: this is the "
                         "vocabulary of another model", file)
    if own is not None and Path(own) != Path(file):
        odd = next(((number, theirs, token) for number, (theirs, token) in enumerate(zip(read_vocab(own), tokens))
                    if theirs != token), None)
        if odd:
            raise InputError(f"token {odd[0]} is {odd[2]!r}, in {own} it is {odd[1]!r}: this is the vocabulary of "
                             "another model", file, odd[0] + 1)
    elif own is None and len(tokens) < 0.9 * rows:
        raise InputError(f"{len(tokens):,} tokens, but the word embedding of {where} has {rows:,} rows: this is the "
                         "vocabulary of another model", file)


def _learnt_vocabulary(data: FinetuningData, language: str, size: int, file: Path, recipe: Recipe,
                       kept: bool = True, anew: bool = False) -> Path:
    """A WordPiece vocabulary of the training texts; learnt once for a run."""
    if anew or not file.exists():
        from reader.text.vocabulary import train_vocab, write_vocab
        write_vocab(train_vocab(data.texts(), language, size, recipe.lower_case), file)
        data.say("no --vocab: learnt one from the training texts" + (f": {file}" if kept else ", for this check alone"))
    return file
