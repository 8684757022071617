"""The command `lynx-cl`: a table of commands, each loaded when it is called, and the one place where errors end.

Whatever a command raises for a user's mistake becomes one line on standard error and an exit code: 1 refused or failed,
2 wrong usage. Anything else is a fault of this program and shows its traceback.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lynx_cl.cli.cores import share_cores
from lynx_cl.cli.interrupts import interrupts
from lynx_cl.errors import LynxError, UsageError

MODULES = "lynx_cl.cli"
COMMANDS = {  # name: what it is for; the module has the same name, and in it `app` (a group) or `command`
    "add-task": "Learn a task: grow an expert bank beside the frozen base, measure everything, commit.",
    "update-task": "Train a new version of a task; the old one stays.",
    "remove-task": "Take a task out: the state is then as if it had never been added.",
    "ask": "Ask about a picture; the router chooses the bank that answers.",
    "route": "Show which bank would answer a prompt, and why.",
    "evaluate": "Score every task, the forgetting, the growth and the routing.",
    "experiment": "Run studies of methods on sequences of tasks, compare and report them.",
    "data": "Build, list and show data sets.",
    "base": "List, show, add and pretrain bases.",
    "registry": "List, show, verify, sign, compare, move, merge and roll back what was learned.",
    "doctor": "Check this installation and its home, or a base.",
}
DISK = {
    errno.ENOSPC: "the disk is full; free some space, or name another folder with --home",
    errno.EDQUOT: "the disk quota is used up; free some space, or name another folder with --home",
    errno.EROFS: "the filesystem is read-only; name another folder with --home",
    errno.EACCES: "permission denied; change it, or name another folder with --home",
    errno.ENOTDIR: "a file stands where a folder must be; name another one",
    errno.EISDIR: "a folder stands where a file must be; name another one",
    errno.EFBIG: "a file would be larger than this process may write; raise 'ulimit -f'",
    errno.EXDEV: "it lies on another filesystem than the files beside it; move the whole home onto one",
    errno.EIO: "the disk failed to read or write; check it, or restore from a copy",
    errno.EPERM: "not permitted; change it, or name another folder with --home",
}
FULL_DISK = ("No space left on device", "database or disk is full")  # as libraries that wrap the system's error say it
INTERRUPTED = 130


class LazyCommand(TyperCommand):
    """A name and its purpose; the command itself is imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load(str(self.name)).make_context(info_name, args, parent=parent, **extra)


class CommandTable(TyperGroup):
    """The commands of `COMMANDS`, in that order."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            return LazyCommand(name=cmd_name, help=COMMANDS[cmd_name])
        close = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {cmd_name!r}; {hint}")


def load(name: str) -> Any:
    """The group or command of a name, from its module."""
    module = importlib.import_module(f"{MODULES}.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        group = typer.main.get_group(module.app)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name)(module.command)
    return typer.main.get_command(single)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` by default) and return its exit code."""
    share_cores()
    with interrupts() as pressed:
        return _run(list(sys.argv[1:] if arguments is None else arguments), pressed)


def _run(given: list[str], pressed: Callable[[], bool]) -> int:
    table = CommandTable(name="lynx-cl", help="Teach a vision-language model new tasks without forgetting any.")
    try:
        code = table.main(args=given or ["--help"], prog_name="lynx-cl", standalone_mode=False, obj=tuple(given))
    except LynxError as error:
        return complain(str(error), error.exit_code)
    except typer.TyperException as error:
        return complain(_usage(error), 2)
    except typer.Abort:
        return complain("stopped", 1)
    except KeyboardInterrupt:
        return complain("interrupted", 1)
    except Exception as error:
        if pressed():
            return complain("interrupted", 1)
        reason = disk_trouble(error)
        if reason is None:
            raise
        return complain(reason, 1)
    if code == INTERRUPTED:
        return complain("interrupted", 1)
    return code if isinstance(code, int) else 0


def disk_trouble(error: BaseException) -> str | None:
    """The sentence for an error that the disk or its permissions caused, at whatever depth; else None."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in DISK:
            return f"{cause.filename or 'writing'}: {DISK[cause.errno]}"
        if any(sign in str(cause) for sign in FULL_DISK):
            return f"writing: {DISK[errno.ENOSPC]}"
    return None


def complain(message: str, code: int) -> int:
    """Print one line on standard error; returns the exit code."""
    if message:
        print(f"lynx-cl: {' '.join(message.split())}", file=sys.stderr)
    return code


def _usage(error: typer.TyperException) -> str:
    """One line for a wrong option or argument; nothing where the whole help was printed already."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if not message or context is None:
        return message
    return f"{message.rstrip('.')}; see '{context.command_path} --help'"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
