"""A call in a process of its own, with little memory and little time: what a hostile file must be refused with."""
import multiprocessing
import resource
from pathlib import Path


def _limited(call, megabytes: int, seconds: int, answer) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 2 ** 20, resource.RLIM_INFINITY))
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds, int(used) + seconds + 1))
    try:
        call()
        answer.send(("", "returned"))
    except BaseException as error:
        answer.send((type(error).__name__, str(error)))


def outcome(call, megabytes: int = 512, seconds: int = 10) -> tuple[str, str]:
    """(name of the exception or "", its message) of a call; ("killed", ...) when it needed more than it was given."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(call, megabytes, seconds, theirs))
    process.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:
        return "killed", f"exit code {process.exitcode}"
    finally:
        process.join()
        mine.close()


def refused(call, **limits) -> str:
    """The line with which a call refuses its input, inside the limits."""
    kind, message = outcome(call, **limits)
    assert kind == "InputError", (kind, message[:300])
    assert "\n" not in message and len(message) < 1_200
    return message
