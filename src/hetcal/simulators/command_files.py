"""Files that a command depends on, by their content, hashed once as long as their size and time stay."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from dataclasses import dataclass


@functools.lru_cache(maxsize=None)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    """Hexadecimal SHA-256 of a file that has this size and time of change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Dependency:
    """A file with the content that it had when the simulator was made.

    Examples
    --------
    >>> import sys
    >>> from hetcal.simulators.command_files import Dependency
    >>> python = Dependency.of(sys.executable, "program")
    >>> len(python.digest), python.changed
    (64, False)
    """

    path: str
    digest: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike[str], what: str) -> Dependency:
        """The file at a path, made absolute; one that cannot be read raises ``ValueError``."""
        absolute = os.path.abspath(path)
        try:
            about = os.stat(absolute)
            digest = _digest(absolute, about.st_size, about.st_mtime_ns)
        except OSError as error:
            raise ValueError(
                f"{what} {os.fspath(path)!r} cannot be read ({error.strerror}): give the path of a file"
            ) from error
        return cls(absolute, digest, about.st_size, about.st_mtime_ns)

    @property
    def changed(self) -> bool:
        """Whether the file holds something else now, or is gone; read only when its size or time differs."""
        try:
            about = os.stat(self.path)
            same = (about.st_size, about.st_mtime_ns) == (self.size, self.mtime_ns)
            return not same and _digest(self.path, about.st_size, about.st_mtime_ns) != self.digest
        except OSError:
            return True


def executable(name: str) -> Dependency:
    """The program that a command's first word names, looked for in PATH where it is no path.

    Raises
    ------
    ValueError
        When there is no such program or it cannot be executed.
    """
    found = shutil.which(name)
    if found is not None:
        return Dependency.of(found, "program")
    if os.path.isfile(name):
        if os.access(name, os.X_OK):
            raise ValueError(f"command not found in PATH: {name!r}; the one of this folder is './{name}'")
        raise ValueError(
            f"command {name!r} is not executable: run `chmod +x {name}`, or start it by its interpreter"
        )
    raise ValueError(f"command not found: {name!r}; give the path of a program, or add its folder to PATH")
