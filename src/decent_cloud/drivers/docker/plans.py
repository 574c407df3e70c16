"""Whether this host could make what an offering promises; nothing is made."""

from __future__ import annotations

from collections.abc import Iterator

from decent_cloud.drivers.contract import Check, Plan, Rejected
from decent_cloud.drivers.docker.api import Engine
from decent_cloud.drivers.docker.image import Images

_MIB = 2**20


def check(engine: Engine, images: Images, plan: Plan) -> tuple[Check, ...]:
    """Compare a plan with the engine's images and the host's size. Errors: AuthFailed, TryLater, Broken."""
    return (_image(engine, images, plan.image), *_size(engine, plan), _user(plan))


def _image(engine: Engine, images: Images, name: str) -> Check:
    try:
        image = images.resolve(name)
    except Rejected as error:
        cure = f"offer one of {', '.join(images.names)}, or add it to `images` of the driver"
        return Check("image", False, error.message, cure)
    if engine.has_image(image):
        return Check("image", True, image)
    return Check("image", False, f"{image} is not on the engine", f"docker pull {image}")


def _size(engine: Engine, plan: Plan) -> Iterator[Check]:
    """Compare with the whole host: what runs there already is for the stock to say."""
    host = engine.info()
    cpu_milli, memory_mib = int(host["NCPU"]) * 1_000, int(host["MemTotal"]) // _MIB
    fits = plan.cpu_milli <= cpu_milli
    cure = "" if fits else f"offer {cpu_milli} thousandths of a core at most"
    yield Check("cpu", fits, f"{plan.cpu_milli} of the host's {cpu_milli}", cure)
    fits = plan.memory_mib <= memory_mib
    cure = "" if fits else f"offer {memory_mib} MiB at most"
    yield Check("memory", fits, f"{plan.memory_mib} of the host's {memory_mib} MiB", cure)


def _user(plan: Plan) -> Check:
    user = plan.settings.get("user", "root")
    if user == "root":
        return Check("user", True, "root")
    cure = "leave `user` out of the offering's settings"
    return Check("user", False, f"{user}: machines of this driver are entered as root", cure)
