"""Opening a file that may be no file, and writing one whole or not at all.

A killed process leaves the old file or the new one, never half of one.
"""

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Mapping

_AN_HOUR = 3600
_LONGEST_REASON = 300


def reason_of(error: Exception) -> str:
    """What an error about a file says, as one line to read: it may quote what the file holds.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str
        Of printable characters, at most 303.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = text[: _LONGEST_REASON + 1]
    text = "".join(symbol if symbol.isprintable() else ascii(symbol)[1:-1] for symbol in text)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def open_at_once(path: str, flags: int) -> int:
    """For `open`: open without waiting, as for a pipe without a writer.

    Parameters
    ----------
    path : str
    flags : int

    Returns
    -------
    int
        The descriptor.
    """
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check_writable(path: str) -> None:
    """Fail now where `replace_file` would fail later, when the work for it is done.

    Parameters
    ----------
    path : str

    Raises
    ------
    OSError
        Of the path as given, with the system's reason.
    """
    target = os.path.realpath(path)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "ab"):
                return
        temporary = _beside(target)
        open(temporary, "xb").close()
        os.remove(temporary)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def replace_file(path: str, content: bytes) -> None:
    """Write beside the target, flush to the disk, then put the new file in the target's place.

    The new file has the permissions and, as far as the system lets, the owner of the old one. A
    target that is no regular file (a pipe, ``/dev/null``) is written to as it is. What killed
    processes have left beside the target is removed.

    Parameters
    ----------
    path : str
    content : bytes

    Raises
    ------
    OSError
        Of the path as given, with the system's reason; the previous file is untouched.
    """
    target = os.path.realpath(path)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb") as file:
                file.write(content)
            return
        temporary = _write_beside(target, content)
        try:
            os.replace(temporary, target)
        except BaseException:
            os.remove(temporary)
            raise
        _flush_folder(os.path.dirname(target))
        _remove_abandoned(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def replace_files(folder: str, contents: Mapping[str, bytes]) -> None:
    """Write files of one folder, as `replace_file` does: all of them, before the first appears.

    The folder is made if need be; other files in it stay.

    Parameters
    ----------
    folder : str
    contents : mapping of str to bytes
        Of each name.

    Raises
    ------
    OSError
        Of the folder as given, with the system's reason; the previous files are untouched.
    """
    is_new = not os.path.exists(folder)
    targets = {os.path.realpath(os.path.join(folder, name)): name for name in contents}
    temporaries: dict[str, str] = {}
    try:
        if is_new:
            os.makedirs(folder)
        elif not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        try:
            for target, name in targets.items():
                if os.path.isdir(target):  # which would be found out when others are replaced
                    raise IsADirectoryError(errno.EISDIR, f"{os.strerror(errno.EISDIR)}: {name}")
                temporaries[target] = _write_beside(target, contents[name])
            for target in targets:
                os.replace(temporaries[target], target)
                del temporaries[target]
        except BaseException:
            for temporary in temporaries.values():
                os.remove(temporary)
            if is_new:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            raise
        for target in targets:
            _flush_folder(os.path.dirname(target))
            _remove_abandoned(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error


def _write_beside(target: str, content: bytes) -> str:
    """Write a temporary file beside the target, and flush it to the disk; its path."""
    temporary = _beside(target)
    try:
        with open(temporary, "xb", opener=_as_private_as(target)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    return temporary


def _as_private_as(target: str) -> Callable[[str, int], int] | None:
    """An opener of new files with the permissions and owner of the target, None if there is none.

    They are set before there is anything to read.
    """
    if os.name == "nt" or not os.path.exists(target):
        return None
    old = os.stat(target)

    def open_new(path: str, flags: int) -> int:
        descriptor = os.open(path, flags, 0o600)
        with contextlib.suppress(OSError):  # another's file, which this process may replace
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        return descriptor

    return open_new


def _flush_folder(folder: str) -> None:
    """Let the new name of a file be on the disk too, on systems that open folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_abandoned(target: str) -> None:
    """Remove temporary files for this target, but those of a process that may be writing still."""
    folder, name = os.path.split(target)
    temporary = re.compile(re.escape(name) + r"\.[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if temporary.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _AN_HOUR:
                os.remove(entry)


def _beside(target: str) -> str:
    """A new name in the folder of the target."""
    return f"{target}.{os.urandom(8).hex()}.tmp"
