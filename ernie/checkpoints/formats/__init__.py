"""Released checkpoints of every family, in and out.

``read`` recognises the family from the content; ``write`` produces one. In between stands ``Pretrained``:
configuration, vocabulary, and arrays under our own names.
"""
from ernie.checkpoints.formats.families import FAMILIES, Pretrained, read, write

__all__ = ["FAMILIES", "Pretrained", "read", "write"]
