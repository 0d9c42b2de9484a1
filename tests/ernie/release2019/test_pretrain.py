"""The pre-training script of 2019, as it stands in the wild, on a few lines of Baidu's text format."""
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ernie.release2019 import pretrain
from reader.text.tokenizer import SPECIAL_TOKENS
from reader.utils.errors import InputError
from tests.ernie.runs import MODEL

ROOT = Path(__file__).resolve().parents[3]
VOCAB = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(40))]


def instances(count, seed):
    """Lines of the format: two sentences and a label."""
    rng = np.random.default_rng(seed)
    cls, sep = VOCAB.index("[CLS]"), VOCAB.index("[SEP]")
    for _ in range(count):
        first, second = (rng.integers(len(SPECIAL_TOKENS), len(VOCAB), rng.integers(3, 9)).tolist() for _ in range(2))
        ids = [cls, *first, sep, *second, sep]
        types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        words = [-1, *([0] * len(first)), -1, *([0, 1] * len(second))[:len(second)], -1]
        fields = [ids, types, range(len(ids)), words, [int(rng.integers(2))]]
        yield ";".join(" ".join(map(str, field)) for field in fields)


def files(folder):
    for name, seed in ("train", 0), ("valid", 1):
        (folder / f"{name}.gz").write_bytes(gzip.compress("\n".join(instances(60, seed)).encode() + b"\n"))
        (folder / f"{name}_filelist").write_text(f"{folder / name}.gz\t0.8\n")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    (folder / "config.json").write_text(json.dumps({**MODEL, "type_vocab_size": 2}))


def test_pretrain_sh_of_2019(tmp_path):
    files(tmp_path)
    (tmp_path / "ernie").symlink_to(ROOT / "ernie")
    script = """
        export FLAGS_fraction_of_gpu_memory_to_use=0.98
        export PYTHONPATH=./ernie:${PYTHONPATH:-}
        python ./ernie/pretrain_launch.py --nproc_per_node 2 --selected_gpus 0,1 --node_ips 127.0.0.1 --node_id 0 \\
            ./ernie/train.py --use_cuda True --is_distributed True --use_fast_executor True --weight_sharing True \\
            --in_tokens true --batch_size 64 --vocab_path ./vocab.txt --train_filelist ./train_filelist \\
            --valid_filelist ./valid_filelist --validation_steps 2 --num_train_steps 5 --checkpoints ./checkpoints \\
            --save_steps 2 --ernie_config_path ./config.json --learning_rate 1e-4 --use_fp16 false \\
            --weight_decay 0.01 --max_seq_len 32 --skip_steps 1 --epoch 100 --warmup_steps 2 \\
            --lr_scheduler linear_warmup_decay --generate_neg_sample false --use_dynamic_loss_scaling true \\
            --init_loss_scaling 102400 2>&1 | tee job.log
        exit ${PIPESTATUS[0]}"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for _ in range(2):  # the second time there is nothing left to do
        code = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, env=environment).returncode
        log = (tmp_path / "job.log").read_text()
        assert code == 0, log
        assert "5 steps of 128 tokens (batch_size 64 x 2 cards)" in log
    assert "finished before: stage 1 of 1" in log
    stage = tmp_path / "checkpoints" / "stage-1"
    lines = [json.loads(line) for line in (stage / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert any(set(line["tasks"]) == {"knowledge_masking", "given_label"} for line in lines)
    assert (stage / "step-00000005" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "checkpoints/store/train/manifest.json").read_text())["documents"] == 60


def test_flags_become_a_curriculum(tmp_path):
    args = pretrain.parse(["--ernie_config_path", "c.json", "--batch_size", "4", "--in_tokens", "false",
                           "--max_seq_len", "128", "--epoch", "2", "--warmup_steps", "0", "--use_fp16", "true"])
    made = pretrain.curriculum_of(args, 8, 10_000, {"path": "store"})
    assert made["batch_tokens"] == 4 * 128 * 8
    assert sum(made["stages"][0]["tasks"].values()) == 5  # two epochs of 10,000 tokens
    assert "until_converged" not in made["stages"][0]
    assert (made["optimizer"]["schedule"], made["precision"]) == ("constant", "fp16")


def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    given = ["--vocab_path", "vocab.txt", "--ernie_config_path", "config.json", "--train_filelist"]
    assert pretrain.main([*given, "missing"]) == 2
    assert "--train_filelist: no such file missing" in capsys.readouterr().err
    assert pretrain.main([*given, "train_filelist", "--do_test", "true"]) == 2
    assert "--do_test: give the files as --valid_filelist" in capsys.readouterr().err
    pretrain.prepare(pretrain.parse([*given, "train_filelist"]), 1)
    with pytest.raises(InputError, match="was made of other files than valid_filelist names"):
        pretrain.prepare(pretrain.parse([*given, "valid_filelist"]), 1)
