"""The shape of a model: one dataclass, read from every spelling that released configurations use."""
from __future__ import annotations

import dataclasses
import json
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reader.utils.errors import InputError
from reader.utils.text import did_you_mean

ENCODERS = ("transformer", "lstm", "gru")
ACTIVATIONS = ("gelu", "gelu_new", "relu", "tanh")
SPELLINGS = {"sent_type_vocab_size": "type_vocab_size", "gelu_pytorch_tanh": "gelu_new"}
RELEASED_KEYS = {"architectures", "model_type", "_name_or_path", "transformers_version"}  # of other libraries' files
FILE_NAMES = ("ernie_config.json", "config.json", "model_config.json", "bert_config.json")
LIMITS = {"vocab_size": 2_000_000, "hidden_size": 16_384, "num_hidden_layers": 256, "num_attention_heads": 256,
          "intermediate_size": 131_072, "max_position_embeddings": 131_072, "type_vocab_size": 4_096,
          "task_type_vocab_size": 4_096}


@dataclass
class ErnieConfig:
    """Sizes and rates of the shared encoder and the masked-LM head (section 4.1 of the paper; base, English).

    ``use_task_id`` says whether there is a task embedding. ``encoder`` names what stands between embeddings and pooler;
    ``num_attention_heads`` and ``intermediate_size`` matter to the Transformer only.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int | None = None  # 4 * hidden_size
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 4
    task_type_vocab_size: int = 16
    use_task_id: bool = True
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5  # Baidu's; BERT and PaddleNLP configurations say 1e-12
    pad_token_id: int = 0
    encoder: str = "transformer"

    def __post_init__(self):
        if self.intermediate_size is None and _is_number(self.hidden_size):
            self.intermediate_size = 4 * self.hidden_size
        if isinstance(self.hidden_act, str):
            self.hidden_act = SPELLINGS.get(self.hidden_act, self.hidden_act)

    @property
    def feed_forward_size(self) -> int:
        """Width of the feed-forward layer: ``intermediate_size``, which is 4 * hidden_size where it is not given."""
        return self.intermediate_size or 4 * self.hidden_size

    def check(self, path: str | Path | None = None) -> ErnieConfig:
        """Raise InputError for values no model can have; return self."""
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            least = 0 if name == "task_type_vocab_size" and not self.use_task_id else 1
            if not _is_number(value) or not least <= value <= limit or value != int(value):
                raise InputError(f"{name} is {reprlib.repr(value)}, not a whole number from {least} to {limit}", path)
            setattr(self, name, int(value))
        if self.encoder not in ENCODERS:
            raise InputError(f"encoder {reprlib.repr(self.encoder)} is not one of {', '.join(ENCODERS)}", path)
        if self.encoder == "transformer" and self.hidden_size % self.num_attention_heads:
            raise InputError(f"hidden_size {self.hidden_size} does not divide into num_attention_heads "
                             f"{self.num_attention_heads}", path)
        if self.encoder != "transformer" and self.hidden_size % 2:
            raise InputError(f"hidden_size {self.hidden_size} is odd: a bidirectional {self.encoder} halves it", path)
        if self.hidden_act not in ACTIVATIONS:
            raise InputError(f"hidden_act {reprlib.repr(self.hidden_act)} is not one of {', '.join(ACTIVATIONS)}", path)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if not _is_number(getattr(self, name)) or not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {reprlib.repr(getattr(self, name))}, not a rate from 0 to below 1", path)
        for name in ("initializer_range", "layer_norm_eps"):
            if not _is_number(getattr(self, name)) or not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {reprlib.repr(getattr(self, name))}, not a number between 0 and 1", path)
        if not _is_number(self.pad_token_id) or not 0 <= self.pad_token_id < self.vocab_size:
            raise InputError(f"pad_token_id {reprlib.repr(self.pad_token_id)} is not in the vocabulary of "
                             f"{self.vocab_size}", path)
        return self

    @classmethod
    def from_dict(cls, values: dict, path: str | Path | None = None, strict: bool = False) -> ErnieConfig:
        """Build a checked configuration. Raises InputError.

        Args:
            values: keys in any released spelling. Without ``use_task_id`` a task embedding exists exactly when the
                values give its size; ``layer_norm_eps`` is Baidu's 1e-5 when absent.
            path: named in errors. strict: unknown keys are errors that suggest the nearest one (our own files);
                released configurations carry many keys that do not concern us.
        """
        if not isinstance(values, dict):
            raise InputError(f"model configuration is a {type(values).__name__}, not a mapping", path)
        values = {SPELLINGS.get(key, key): value for key, value in values.items()}
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [key for key in values if key not in known]
        if strict and unknown:
            raise InputError(f"unknown key {unknown[0]!r} in the model configuration"
                             + did_you_mean(unknown[0], known), path)
        if values.get("vocab_size", 0) is None:  # decided by the data; this until the data is known
            values["vocab_size"] = cls.vocab_size
        needed = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        missing = [key for key in needed if key not in values]
        if missing:
            raise InputError(f"model configuration lacks {', '.join(missing)}", path)
        values.setdefault("use_task_id", bool(values.get("task_type_vocab_size")))
        values.setdefault("task_type_vocab_size", 16 if values["use_task_id"] else 0)
        values.setdefault("type_vocab_size", 2)
        return cls(**{key: value for key, value in values.items() if key in known}).check(path)

    @classmethod
    def load(cls, path: str | Path, strict: bool = False) -> ErnieConfig:
        """Read a JSON file, or the configuration file of a checkpoint directory."""
        path = find_config(path)
        return cls.from_dict(read_json(path), path, strict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``from_dict`` takes them back."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")


def find_config(path: str | Path) -> Path:
    """Return the configuration file: ``path`` itself, or the one inside it. Raises InputError without one."""
    path = Path(path)
    if not path.exists():
        raise InputError("no such file or directory", path)
    if not path.is_dir():
        return path
    found = [path / name for name in FILE_NAMES if (path / name).is_file()]
    if not found:
        raise InputError(f"no model configuration here (looked for {', '.join(FILE_NAMES)})", path)
    return found[0]


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file of at most 16 MiB. Raises InputError if it is larger, unreadable or not valid."""
    path = Path(path)
    try:
        if path.stat().st_size > 1 << 24:
            raise InputError(f"{path.stat().st_size} bytes are too many for a configuration", path)
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not valid JSON ({error})", path) from None


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
