"""The pre-training program of Baidu's 2019 release, see ernie/release2019/pretrain.py."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# PYTHONPATH=./ernie, as those scripts set it, must not let our modules stand in for others
sys.path[:] = [str(HERE.parent)] + [place for place in sys.path if Path(place or ".").resolve() != HERE]

if __name__ == "__main__":
    from ernie.release2019.pretrain import main

    sys.exit(main())
