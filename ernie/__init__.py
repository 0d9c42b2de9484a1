"""ERNIE 2.0: model and engine. The only room that imports paddle (and not before something needs it)."""
__version__ = "0.1.0"


def load(path, max_length: int = 512, task_id: int = 0):
    """Load a checkpoint of any family; see ``ernie.serving.vectors.Vectors``.

    >>> vectors = ernie.load("output/demo").encode(["A sentence.", "Another one."])  # [2, hidden size]
    """
    import zlib  # noqa: F401  (before paddle: importing it later can crash Paddle 2.6)

    from ernie.serving.vectors import Vectors
    return Vectors(path, max_length, task_id)
