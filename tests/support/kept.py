"""What a folder keeps on disk, read while programs still write in it."""

from __future__ import annotations

from pathlib import Path


def kept_by_file(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by its path in it.

    A file may vanish between being listed and being read: the database that closes last removes its
    "-wal" and "-shm". What was in them is in the database then, so this reads until nothing vanished.
    """
    while True:
        try:
            return {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
        except FileNotFoundError:
            continue


def kept_in(folder: Path) -> bytes:
    """Return all that the files below a folder hold, one after the other."""
    return b"\n".join(kept_by_file(folder).values())
