"""Fixtures of the engine's tests."""
import json

import pytest

from reader.text.tokenizer import SPECIAL_TOKENS
from tests.ernie.finetuning.tiny import TINY


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """(configuration, vocabulary) of a tiny model."""
    directory = tmp_path_factory.mktemp("tiny")
    (directory / "model.json").write_text(json.dumps(TINY))
    (directory / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *"abcdefgh", *"天地人光荣公司"]) + "\n", "utf-8")
    return directory / "model.json", directory / "vocab.txt"
