"""Which images an offering may use, and the built-in one, made on the engine when first needed."""

from __future__ import annotations

import threading

from decent_cloud.drivers.contract import Rejected
from decent_cloud.drivers.docker.api import Engine
from decent_cloud.drivers.docker.settings import TINY
from decent_cloud.drivers.parts import tiny_rootfs

REPOSITORY = "decent-tiny"


class Images:
    """The allow-list, and what is known to be on the engine."""

    def __init__(self, engine: Engine, allowed: dict[str, str]) -> None:
        self._engine = engine
        self._allowed = dict(allowed)
        self._lock = threading.Lock()
        self._ready: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names that offerings may use."""
        return tuple(sorted(self._allowed))

    def is_built_in(self, name: str) -> bool:
        """Tell whether the project makes this image itself."""
        return self._allowed.get(name) == TINY

    def resolve(self, name: str) -> str:
        """Return the engine's name of an allowed image, making the built-in one; raises Rejected."""
        if name not in self._allowed:
            raise Rejected(
                f"the image {name!r} is not allowed here; allowed: {', '.join(self.names)}",
                image=name,
            )
        with self._lock:
            if name not in self._ready:
                self._ready[name] = self._make() if self.is_built_in(name) else self._allowed[name]
            return self._ready[name]

    def forget(self, name: str) -> None:
        """Look again at the next use: somebody removed it from the engine."""
        with self._lock:
            self._ready.pop(name, None)

    def _make(self) -> str:
        """Import the tiny image unless this content is there; two makers at once do no harm."""
        rootfs = tiny_rootfs.build()
        image = f"{REPOSITORY}:{rootfs.digest}"
        if not self._engine.has_image(image):
            changes = [f'CMD ["{tiny_rootfs.ENTRY}"]', "EXPOSE 22"]
            self._engine.import_image(REPOSITORY, rootfs.digest, rootfs.tar, changes)
        return image
