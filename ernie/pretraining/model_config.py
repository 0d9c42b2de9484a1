"""The model that a curriculum declares. No paddle: planning needs the sizes only."""
from __future__ import annotations

import tasks
from ernie.model.config import ErnieConfig, find_config, read_json
from ernie.pretraining.curriculum import Curriculum
from ernie.utils.resources import locate
from reader.utils.errors import InputError


def model_config(curriculum: Curriculum, vocabulary: int | None = None) -> ErnieConfig:
    """Return the model that a curriculum declares, checked against the lengths it is to read.

    The word embedding has at least as many rows as the vocabulary has tokens, and exactly as many where the model file
    says ``"vocab_size": null``.

    Args:
        vocabulary: tokens of the stores' vocabulary, where it is known.
    Raises:
        InputError: the model cannot read what the curriculum's tasks make.
    """
    file = find_config(locate(curriculum.model))
    config = ErnieConfig.load(file, strict=True)
    if vocabulary is not None and (vocabulary > config.vocab_size or read_json(file)["vocab_size"] is None):
        config.vocab_size = vocabulary
        config.check(curriculum.model)
    if curriculum.encoder:
        config.encoder = curriculum.encoder
        config.check(curriculum.model)
    if curriculum.max_length > config.max_position_embeddings:
        raise InputError(f"max_length {curriculum.max_length} is more than the model's "
                         f"max_position_embeddings {config.max_position_embeddings}", curriculum.model)
    if len(curriculum.tasks) > config.task_type_vocab_size and config.use_task_id:
        raise InputError(f"{len(curriculum.tasks)} tasks do not fit task_type_vocab_size "
                         f"{config.task_type_vocab_size}", curriculum.model)
    for entry in curriculum.tasks:
        needed = tasks.load(entry.name, entry.options, curriculum.tasks_from).max_segments
        if needed > config.type_vocab_size:
            raise InputError(f"task {entry.name} needs {needed} sentence types, type_vocab_size is "
                             f"{config.type_vocab_size}", curriculum.model)
    return config
