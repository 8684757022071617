"""The errors a user can cause: one sentence each, turned into one line and an exit code at the edge of the CLI."""


class LynxError(Exception):
    """Refused or failed: what was wrong, where, what to do. Exit code 1."""

    exit_code = 1


class UsageError(LynxError):
    """Wrong usage: an unknown name or option. Exit code 2."""

    exit_code = 2


class Interrupted(LynxError):
    """Stopped by Ctrl-C or SIGTERM, and to be gone on with."""
