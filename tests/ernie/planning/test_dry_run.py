"""A dry run of the paper's 48 cards: everything is checked and said, nothing is written."""
import re
import subprocess

from tests.builders import build_store, pair_store, random_documents
from tests.ernie import runs

STEPS = [16_668, 33_334, 50_000, 66_666, 83_332]  # of the stages


def test_the_papers_cluster(tmp_path):
    """The paper's curriculum as it is but for the place of its text, on six nodes of eight."""
    made = build_store(tmp_path / "made" / "train", random_documents(40))
    vocabulary = made.vocab_file.read_text("utf-8").split()
    build_store(tmp_path / "made" / "dev", random_documents(8, seed=1), vocabulary)
    for name in ("train", "dev"):
        pair_store(tmp_path / "mined" / name, [("w1 w2", "w3", 0), ("w4", "w5 w6", 1)], ["but", "so"], vocabulary)
    before = sorted(tmp_path.rglob("*"))
    command = ["bash", str(runs.ROOT / "run_pretrain.sh"), "--config", "configs/curriculum/ernie2_en.yaml", "--corpus",
               "made", "--set", "pairs.discourse_relation.path=mined/train", "--set",
               "pairs.discourse_relation.dev=mined/dev", "--devices", "0,1,2,3,4,5,6,7", "--nnodes", "6", "--rank", "5",
               "--master", "a-host-that-is-not-there:29500", "--output", "output/paper", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=runs.ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.search(r"^ +steps +(.*)$", done.stdout, re.M)
    assert steps and [int(word.replace(",", "")) for word in steps.group(1).split()] == [*STEPS, sum(STEPS)]
    assert "Batch: 393,216 tokens a step = 48 cards x 8,192 tokens (about 16 rows of 512) x 1 " in done.stdout
    assert done.stdout.endswith("would launch: stage 1 2 3 4 5 on 6 node(s) x 8 process(es), devices 0,1,2,3,4,5,6,7, "
                                "output output/paper\n")
    assert "ernie: model: 110.1 M parameters (12 layers of 768, vocabulary 30,522); 250,000 steps" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
