"""Folders: the files of an archive, here or elsewhere; each is whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from postledger.address import hidden
from postledger.arguments import FilePath
from postledger.errors import LedgerError, PostledgerError, of_medium, requires
from postledger.export.files import is_archive
from postledger.lock import Lock

SCRATCH, LOCK = ".scratch", ".lock"
"""What a run has in a folder while it is at work."""

PARTIAL = ".partial"
"""What the name of a file ends in until it is whole."""

_PIECE = 1 << 20


def arrow(part: str = "") -> Any:
    """PyArrow, or a part of it; raises ``PostledgerError`` where it is not installed."""
    try:
        return import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ImportError:
        raise requires("an archive requires PyArrow", "pyarrow") from None


@contextmanager
def telling(name: str, what: str) -> Iterator[None]:
    """Say of a folder in one line why it can't be ``what``, written or read: a ``LedgerError``."""
    try:
        yield
    except Exception as error:
        # Of Azure, PyArrow raises what all its errors are, and no error of the system.
        if not isinstance(error, OSError) and type(error) is not arrow().ArrowException:
            raise
        # PyArrow's own text tells an inner path, and the reason twice.
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error).partition("\n")[0]
        raise of_medium(LedgerError(hidden(f"{name}: it can't be {what}: {reason}"))) from None


class Written:
    """A file that is being written, with what is to be known of it: its size and SHA-256."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._hash = sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Write bytes; returns how many these are."""
        data = bytes(data)
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._stream.close()
            self.closed = True

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal."""
        return self._hash.hexdigest()


def _require_utf8(text: str) -> None:
    """Raise ``LedgerError`` for a name that PyArrow can't take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = hidden(text.encode(errors="backslashreplace").decode())
        raise LedgerError(f"{shown}: the name of a folder must be UTF-8") from None


def _bounded(address: str) -> str:
    """An address of Google's with a bound: its client tries for a quarter of an hour, deaf to signals."""
    if not address.startswith(("gs://", "gcs://")) or "retry_limit_seconds=" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds=60"


@attrs.frozen
class Folder:
    """A folder of a file system; ``name`` is what people call it, ``local`` its path if it is here."""

    name: str
    system: Any = attrs.field(eq=False, repr=False)
    root: str
    local: Path | None

    @classmethod
    def of(cls, place: FilePath) -> Folder:
        """The folder of a path, or of an address such as ``s3://bucket/folder``.

        ``fsspec+sftp://host/folder`` is of a file system that fsspec knows. Raises ``LedgerError`` for an
        address of no file system, ``PostledgerError`` for one that a missing package has.
        """
        systems = arrow("fs")
        text = str(place)
        if not text or "\0" in text:
            raise ValueError(f"folder must name a folder, got {text!r}")
        _require_utf8(text)
        if "://" not in text:
            path = Path(place).absolute()
            return cls(text, systems.LocalFileSystem(), str(path), path)
        try:
            with telling(text, "reached"):
                system, root = systems.FileSystem.from_uri(_bounded(text))
        except ImportError as error:
            if error.name is None and error.__cause__ is not None:
                # fsspec itself is there, and says what this file system of it lacks.
                raise PostledgerError(hidden(f"{text}: {error}")) from None
            package = error.name or "fsspec"
            raise requires(hidden(f"{text} requires {package}"), package) from None
        except (arrow().ArrowException, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise LedgerError(hidden(f"{text}: not the address of a folder: {reason}")) from None
        if not root.strip("/"):
            raise LedgerError(hidden(f"{text}: not the address of a folder: it names none"))
        local = Path(root) if isinstance(system, systems.LocalFileSystem) else None
        return cls(hidden(text), system, root, local)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _info(self, place: Any) -> Any:
        with telling(self.name, "read"):
            return self.system.get_file_info(place)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return bool(self._info(self._path(name)).is_file)

    def is_file(self) -> bool:
        """Whether a file is in the place of the folder."""
        return bool(self._info(self.root).is_file)

    def is_empty(self, *apart: str) -> bool:
        """Whether nothing is there, or no folder; what is named apart doesn't count."""
        found = self._info(arrow("fs").FileSelector(self.root, allow_not_found=True))
        return all(info.base_name in apart for info in found)

    def names(self) -> Iterator[str]:
        """All files of it and of the folders in it, but those of a run that is at work."""
        selector = arrow("fs").FileSelector(self.root, recursive=True)
        for info in self._info(selector):
            name = info.path.removeprefix(self.root).lstrip("/")
            if info.is_file and name != LOCK and not name.startswith(f"{SCRATCH}/"):
                yield name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of a folder that is here; raises ``LedgerError`` where one is at work."""
        if self.local is None:
            yield
            return
        self.system.create_dir(str(self.local), recursive=True)
        path = self.local / LOCK
        try:
            # guard: one run writes an archive
            lock = Lock(path, f"{self.name}: another run writes there", "archive as its owner")
        except LedgerError:
            raise
        except PostledgerError as error:
            raise LedgerError(str(error)) from None
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            lock.close()

    def require_free(self, *apart: str) -> None:
        """Raise ``LedgerError`` unless it is not there, or empty but for what is named apart."""
        if self.is_file():
            raise LedgerError(f"{self.name}: a file is there; name a folder")
        if not self.is_empty(*apart):
            raise LedgerError(f"{self.name}: the folder is not empty; name another one")

    def require_new(self) -> None:
        """Raise ``LedgerError`` unless nothing is there, and no archive around it.

        Elsewhere than here an empty folder is nothing.
        """
        if (target := self._target) is not None and not self.is_file():
            # It would be replaced, with its mode, and under whoever works in it.
            if os.path.lexists(target):
                raise LedgerError(f"{self.name}: the folder is there already; name a new one")
            with telling(self.name, "written"):
                if any(map(is_archive, target.parents)):
                    raise LedgerError(
                        f"{self.name}: it is within an archive; name a folder elsewhere"
                    )
        self.require_free()

    @property
    def _target(self) -> Path | None:
        # A link stays one: what it leads to is what is made. One that leads to itself is there.
        return None if self.local is None else Path(os.path.realpath(self.local))

    def open(self, name: str) -> Any:
        """A file to read from any place of it; raises ``OSError`` where it is missing."""
        return self.system.open_input_file(self._path(name))

    def read(self, name: str) -> bytes:
        """What a file holds."""
        with self.open(name) as file:
            return bytes(file.read())

    def size_of(self, name: str) -> int:
        """The bytes of a file, -1 where there is none."""
        info = self._info(self._path(name))
        return int(info.size) if info.is_file else -1

    def digest_of(self, name: str) -> str:
        """The SHA-256 of a file, in hexadecimal; raises ``OSError`` where it is missing."""
        found = sha256()
        with self.open(name) as file:
            while piece := file.read(_PIECE):
                found.update(piece)
        return found.hexdigest()

    @contextmanager
    def written(self, name: str) -> Iterator[Written]:
        """A file to write, which takes its name once it is whole; if that fails nothing changes there."""
        path = self._path(name)
        self.system.create_dir(path.rpartition("/")[0], recursive=True)
        file = Written(self.system.open_output_stream(f"{path}{PARTIAL}"))
        try:
            yield file
        except BaseException:
            file.close()
            self.system.delete_file(f"{path}{PARTIAL}")
            raise
        file.close()
        self.system.move(f"{path}{PARTIAL}", path)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, in place of one of that name."""
        with self.written(name) as file:
            file.write(data)

    def drop(self, *names: str) -> None:
        """Remove files and folders, those of them that are there."""
        for name in names:
            info = self._info(self._path(name))
            if info.is_file:
                self.system.delete_file(self._path(name))
            elif info.type == arrow("fs").FileType.Directory:
                self.system.delete_dir(self._path(name))

    @contextmanager
    def whole(self) -> Iterator[Folder]:
        """A folder to write to, which takes this one's name once it is whole; else nothing changes.

        Elsewhere than here its files come one after the other then. Raises ``LedgerError`` where
        something is there, before or by then.
        """
        self.require_new()
        with telling(self.name, "written"):
            target = self._target
            parent = None if target is None else target.parent
            if parent is not None:
                if parent.exists() and not parent.is_dir():
                    raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
                self.system.create_dir(str(parent), recursive=True)
            with TemporaryDirectory(
                prefix=".postledger-", dir=parent, ignore_cleanup_errors=True
            ) as around:
                made = Path(around, "whole")
                made.mkdir()
                systems = arrow("fs")
                yield Folder(self.name, systems.LocalFileSystem(), str(made), made)
                # Another run may have been quicker.
                self.require_new()
                if target is not None:
                    made.rename(target)
                else:
                    self.system.create_dir(self.root, recursive=True)
                    systems.copy_files(str(made), self.root, destination_filesystem=self.system)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder here for what is needed meanwhile."""
        if self.local is None:
            with TemporaryDirectory(prefix="postledger-") as made:
                yield Path(made)
            return
        folder = self.local / SCRATCH
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
