"""The errors that raytl raises on purpose.

Each message gives the law, the values and the remedy in one to three lines; the command line
prints it without a traceback and exits with the class's `exit_code`.
"""

import errno


class RaytlError(Exception):
    """What raytl raises on purpose: itself a failure that is not the user's mistake, such as a
    broken file or a full disk; its subclass `UserError` is one, something to change in a file, an
    option or a folder.

    Examples:
        >>> try:
        ...     raytl.inspect("nowhere")
        ... except raytl.RaytlError as error:
        ...     print(str(error).partition(":")[0], error.exit_code)
        nowhere 2
    """

    exit_code = 1


class UserError(RaytlError):
    """The user's mistake: something to change in a file, an option or a folder."""

    exit_code = 2


class ConfigError(UserError):
    """A study or an option that does not hold; the message starts with the place in the file."""


class DataError(UserError):
    """Input data that cannot be used as it is."""


class ModelError(UserError):
    """A source model, or a composition of parts, that cannot be built."""


class MissingModelError(ModelError):
    """A source model, or a part of it, that is not there: on one machine, perhaps, or for now."""


class CorruptError(RaytlError):
    """Stored bytes that are not what was written: a missing, truncated or altered file."""


class CheckpointError(CorruptError):
    """A checkpoint that cannot be read; the one before it may be."""


class TrainingError(RaytlError):
    """Training that cannot go on, such as a loss that is not finite."""


def is_full(error: Exception) -> bool:
    """Whether a disk, or what a user may have of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def why_not_written(error: OSError) -> str:
    """Return what to say of a file that the system does not let be written."""
    return "the disk is full" if is_full(error) else str(error.strerror or error)
