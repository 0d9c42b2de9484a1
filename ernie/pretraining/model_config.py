"""The model that a curriculum declares. No paddle: planning needs the sizes only."""
from __future__ import annotations

import tasks
from ernie.model.config import ErnieConfig
from ernie.pretraining.curriculum import Curriculum
from ernie.utils.resources import locate
from reader.utils.errors import InputError


def model_config(curriculum: Curriculum, vocabulary: int | None = None) -> ErnieConfig:
    """The model that a curriculum declares, checked against the lengths it is to read and, if given, the vocabulary."""
    config = ErnieConfig.load(locate(curriculum.model), strict=True)
    if curriculum.encoder:
        config.encoder = curriculum.encoder
        config.check(curriculum.model)
    if vocabulary is not None and vocabulary > config.vocab_size:
        raise InputError(f"vocab_size is {config.vocab_size}, but the vocabulary has {vocabulary} entries",
                         curriculum.model)
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
