"""Writing files so that a killed process leaves the old one or the new one, never half of one."""

import os


def replace_file(path: str, content: bytes) -> None:
    """Write beside the target, flush to the disk, then put the new file in the target's place.

    A target that is no regular file (a pipe, ``/dev/null``) is written to as it is.

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
        temporary = f"{target}.{os.urandom(8).hex()}.tmp"
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
