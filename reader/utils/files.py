"""Files: written whole or not at all, read gzipped or not."""
from __future__ import annotations

import contextlib
import fcntl
import functools
import gzip
import inspect
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, Union, cast

from reader.utils.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])
StrPath = Union[str, "os.PathLike[str]"]
Paths = Union[StrPath, Sequence[StrPath]]  # one path or several


def place_of(output: StrPath) -> Path:
    """Return where an output lies: without slashes at its end, and where it is a link, what that leads to.

    What is written beside an output, and renamed to it, takes its name from this.
    """
    path = Path(output)
    return Path(os.path.realpath(path)) if os.path.islink(path) or path.name in ("", "..") else path


@contextlib.contextmanager
def atomic_write(path: StrPath, mode: str = "w", **options: Any) -> Iterator[IO]:
    """Open a file for writing that appears under its name only when the block ends without an error.

    The content is written to ``<path>.partial`` beside it, fsynced and renamed. An error removes the partial file and
    leaves an earlier file of that name as it was. A link stays one, and its target is written. Text is UTF-8 unless
    ``encoding`` says otherwise.

    Args:
        path: the file to write; its folder is created. mode: "w" or "wb". options: passed to ``open``.
    """
    path = place_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
    try:
        with open(partial, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_json(path: StrPath, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with atomic_write(path) as file:
        json.dump(content, file, indent=1, ensure_ascii=False)


OLD = ".old"  # ends the name of a directory that another one is just replacing


def replace_directory(partial: StrPath, path: StrPath) -> None:
    """Rename a whole directory to ``path``; one that is there already is deleted after that, not before.

    A kill in between leaves the former directory as ``<path>.old``, which ``present`` finds and ``settle`` puts back.
    """
    path = Path(path)
    old = path.with_name(path.name + OLD)
    if path.exists():  # then what has the other name was replaced by it
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(partial, path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    shutil.rmtree(old, ignore_errors=True)


def present(path: StrPath) -> Path:
    """Return where a directory is now: at ``path``, or beside it where a kill left it half replaced."""
    path = Path(path)
    old = path.with_name(path.name + OLD)
    return old if not path.exists() and old.is_dir() else path


def settle(folder: StrPath) -> None:
    """End what a kill left half replaced in a folder; for its only writer."""
    for old in Path(folder).glob(f"*{OLD}"):
        path = old.with_name(old.name.removesuffix(OLD))
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)


@contextlib.contextmanager
def sole_writer(output: StrPath) -> Iterator[None]:
    """Hold a name against a second process that would write the same output at the same time.

    The lock is the file ``<output>.lock``, which is removed afterwards; a process that dies lets go of it.

    Raises:
        InputError: another process holds it, or nothing can be written there.
    """
    path = Path(f"{place_of(output)}.lock")
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (held until the block ends)
        except OSError as error:
            raise InputError(f"output cannot be written ({error.strerror})", output) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise InputError(f"another process ({holder}) is writing this output", output) from None
        with contextlib.suppress(OSError):
            if os.fstat(file.fileno()).st_ino == os.stat(path).st_ino:
                break  # else its last holder has removed it in between
        file.close()
    try:
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


def one_writer(function: Function) -> Function:
    """Let a function run with its argument ``output`` held by ``sole_writer``, as ``place_of`` gives it."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def held(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        bound.arguments["output"] = place_of(bound.arguments["output"])
        with sole_writer(bound.arguments["output"]):
            return function(*bound.args, **bound.kwargs)

    return cast(Function, held)


def open_maybe_gzip(path: StrPath, mode: str = "rb", **options: Any) -> IO:
    """Open a file for reading; one whose name ends in .gz is decompressed on the way."""
    opener: Callable[..., Any] = gzip.open if str(path).endswith(".gz") else open
    return opener(path, mode, **options)
