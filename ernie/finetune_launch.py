"""The fine-tuning launcher of Baidu's 2019 release, with its flags, see ernie/release2019/launch.py."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# PYTHONPATH=./ernie, as those scripts set it, must not let our modules stand in for others
sys.path[:] = [str(HERE.parent)] + [place for place in sys.path if Path(place or ".").resolve() != HERE]

if __name__ == "__main__":
    from ernie.release2019.launch import main

    sys.exit(main(__doc__))
