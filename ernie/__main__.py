"""``python -m ernie``: the same as the ``ernie`` command. Also the script that Paddle's launcher starts."""
import sys
from pathlib import Path

if __package__ in (None, ""):  # started as a file: put the checkout, not this folder, in front
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

if __name__ == "__main__":
    from ernie.cli import main

    sys.exit(main())
