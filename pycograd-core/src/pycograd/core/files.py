"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def replacing(path: str | os.PathLike[str], asked: str = "") -> Iterator[str]:
    """A new file, which takes the place of another when the block ends well.

    Arguments:
        path: of the file that is there afterwards. It has the permissions of the one that was there
            before, or those of any new file.
        asked: the function that an error names.

    Returns:
        A context manager, which gives the path of the new file: empty, in the same folder, and with
        the same ending.

    Raises:
        FileNotFoundError: there is no folder for it.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.txt")
    >>> with replacing(path) as new, open(new, "w") as file:
    ...     _ = file.write("all of it")
    >>> open(path).read()
    'all of it'
    """
    path = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        said = f"{asked}: " if asked else ""
        raise FileNotFoundError(f"{said}there is no folder {folder} to write {name} in")
    stem, ending = os.path.splitext(name)
    temporary = os.path.join(folder, f".{stem}-{os.urandom(8).hex()}{ending}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        with suppress(OSError):  # none there before, or a file system without permissions
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if sys.platform != "win32":  # so that the name is on disk too
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
