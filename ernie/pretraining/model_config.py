"""The model that a curriculum declares. No paddle: planning needs the sizes only."""
from __future__ import annotations

import dataclasses

import tasks
from ernie.checkpoints.warm_start import read_pretrained
from ernie.model.config import RELEASED_KEYS, ErnieConfig, find_config, read_json
from ernie.pretraining.curriculum import Curriculum
from ernie.utils.resources import locate, locate_checkpoint
from reader.utils.errors import InputError


def model_config(curriculum: Curriculum, vocabulary: int | None = None) -> ErnieConfig:
    """Return the model that a curriculum declares, checked against the lengths it is to read.

    The word embedding has at least as many rows as the vocabulary has tokens, and exactly as many where the model file
    says ``"vocab_size": null``. Without a model file it is the model of the checkpoint ``init``, with as many sentence
    types as the tasks need and a task embedding.

    Args:
        vocabulary: tokens of the stores' vocabulary, where it is known.
    Raises:
        InputError: the model cannot read what the curriculum's tasks make.
    """
    needed = {entry.name: tasks.load(entry.name, entry.options, curriculum.tasks_from).max_segments
              for entry in curriculum.tasks}
    if curriculum.model:
        named, config = curriculum.model, declared(curriculum.model, vocabulary)
    else:
        named = str(curriculum.init)
        config = extended(read_pretrained(locate_checkpoint(named)).config, max(needed.values()))
        config.vocab_size = max(config.vocab_size, vocabulary or 0)
    config.encoder = curriculum.encoder or config.encoder
    config.check(named)
    if curriculum.max_length > config.max_position_embeddings:
        raise InputError(f"max_length {curriculum.max_length} is more than the model's "
                         f"max_position_embeddings {config.max_position_embeddings}", named)
    if len(curriculum.tasks) > config.task_type_vocab_size and config.use_task_id:
        raise InputError(f"{len(curriculum.tasks)} tasks do not fit task_type_vocab_size "
                         f"{config.task_type_vocab_size}", named)
    for name, types in needed.items():
        if types > config.type_vocab_size:
            raise InputError(f"task {name} needs {types} sentence types, type_vocab_size is {config.type_vocab_size}",
                             named)
    return config


def declared(path: str, vocabulary: int | None) -> ErnieConfig:
    """Read a model file; unknown keys are errors in one of ours, and passed over in a released config.json."""
    file = find_config(locate(path))
    values = read_json(file)
    config = ErnieConfig.from_dict(values, file, strict=not (isinstance(values, dict) and RELEASED_KEYS & set(values)))
    if vocabulary is not None and (vocabulary > config.vocab_size or values["vocab_size"] is None):
        config.vocab_size = vocabulary
    return config


def vocabulary_of_the_store(curriculum: Curriculum) -> bool:
    """Tell whether the model file leaves it to the data how many tokens there are."""
    file = curriculum.model
    return file is not None and read_json(find_config(locate(file))).get("vocab_size", 0) is None


def extended(config: ErnieConfig, types: int) -> ErnieConfig:
    """Return a released model's configuration with ``types`` sentence types at least, and a task embedding.

    The weights that are new begin as initialised, those of the task embedding as zeros.
    """
    return dataclasses.replace(config, use_task_id=True, type_vocab_size=max(config.type_vocab_size, types),
                               task_type_vocab_size=max(config.task_type_vocab_size, ErnieConfig.task_type_vocab_size))
