"""Errors that a user can mend, and the exit codes they lead to."""

EXIT_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_TERMINATED = 143  # 128 + SIGTERM
LONGEST = 600  # characters of a message to a user


class UserError(Exception):
    """A mistake in the configuration, the data or the surroundings of a run.

    The message is one short text that names the key or the file, says what is allowed and how to
    mend it. Entries print it without a traceback and exit with `EXIT_USER_ERROR`.

    Whatever value or name it quotes, it is one line and no longer than `LONGEST` characters.
    """

    def __init__(self, text: str) -> None:
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        if len(shown) > LONGEST:  # the key stands first, the mend last
            shown = f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 2 + 5 :]}"
        super().__init__(shown)


class CannotFuse(Exception):
    """Jobs that can't, or had better not, train together in one program; the message says why.

    Attributes:
        members: how many of them could; less than two: none.
    """

    def __init__(self, reason: str, members: int = 1) -> None:
        super().__init__(reason)
        self.members = members


class WorkerLost(Exception):
    """Another process that trains this run is gone; the message says which and why."""
