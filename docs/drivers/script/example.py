#!/usr/bin/env python3
"""An example for the script driver: a pretend cloud in a folder, one JSON file a machine.

Reads one request on standard input and prints one answer; README.md beside it explains both.
Replace what is in the functions called do_... with calls to your own backend.
"""

import fcntl
import hashlib
import json
import os
import secrets
import sys
import time
from contextlib import contextmanager
from pathlib import Path

PROTOCOL = 1


class Refused(Exception):
    """Becomes the answer's "error"."""

    def __init__(self, kind, message, **more):
        super().__init__(message)
        self.error = {"kind": kind, "message": message, **more}


class Cloud:
    """The backend: replace it with yours."""

    def __init__(self, config):
        self.folder = Path(config["folder"])
        self.images = config.get("images", ["debian"])
        self.max_cpu_milli = config.get("max_cpu_milli", 8000)
        self.capacity = config.get("capacity", 100)

    @contextmanager
    def locked(self):
        """Two scripts may run at once: let them take turns."""
        try:
            self.folder.mkdir(exist_ok=True)
            lock = open(self.folder / "lock", "w")
        except OSError as error:
            raise Refused("try_later", f"{self.folder}: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def scope(self):
        """The fingerprint: it lives with the data, so an empty folder has another one."""
        mark = self.folder / "scope"
        if not mark.exists():
            self.write(mark, "folder-" + secrets.token_hex(8))
        return mark.read_text()

    def machines(self):
        return [json.loads(each.read_text()) for each in sorted(self.folder.glob("*.json"))]

    def find(self, name):
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, machine):
        self.write(self.folder / f"{machine['name']}.json", json.dumps(machine))

    def remove(self, name):
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def write(self, path, text):
        """Whole or not at all, also when we are killed."""
        new = path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, path)


def shown(machine):
    """What the agent may know: no secrets."""
    return {
        "platform": machine.get("platform", ""),
        "contract": machine.get("contract", ""),
        "attempt": machine.get("attempt", ""),
        "state": machine["state"],
        "handle": {"name": machine["name"]},
        "host": machine["host"],
        "port": machine["port"],
        "created_at_ms": machine["created_at_ms"],
    }


def hashed(password):
    salt = secrets.token_hex(8)
    return salt + "$" + hashlib.sha256((salt + password).encode()).hexdigest()


def do_probe(cloud, _request):
    ok = os.access(cloud.folder, os.W_OK)
    check = {"name": "folder", "passed": ok, "detail": str(cloud.folder)}
    return {"limits": [], "checks": [check if ok else {**check, "cure": "let the agent write there"}]}


def do_scope(_cloud, _request):
    return {}


def do_create(cloud, request):
    spec = request["spec"]
    found = cloud.find(spec["name"])
    if found is not None:  # ours or not, the driver sees by the tags
        return {"machine": shown(found)}
    if spec["image"] not in cloud.images:
        raise Refused("rejected", f"there is no image {spec['image']!r}; there are: {cloud.images}")
    if len(cloud.machines()) >= cloud.capacity:
        raise Refused("no_capacity", "the folder is full")
    machine = {
        "name": spec["name"],
        "platform": spec["platform"],
        "contract": spec["contract"],
        "attempt": spec["attempt"],
        "state": "running",
        "host": "127.0.0.1",
        "port": spec["ssh_port"] or 22,
        "created_at_ms": int(time.time() * 1000),
        "host_key_public": spec["host_key_public"],
        "password": hashed(spec["password"]),
    }
    cloud.keep(machine)
    return {"machine": shown(machine)}


def do_inspect(cloud, request):
    found = cloud.find(request["handle"]["name"])
    return {"machine": shown(found) if found else None}


def do_destroy(cloud, request):
    # The driver has just read that the machine carries our tags, or that it is gone.
    cloud.remove(request["handle"]["name"])
    return do_inspect(cloud, request)


def do_list(cloud, request):
    return {
        "machines": [
            shown(each)
            for each in cloud.machines()
            if each.get("platform") == request["platform"]
            and request["contract"] in ("", each["contract"])
        ]
    }


def switched(cloud, request, state):
    found = cloud.find(request["handle"]["name"])
    if found:
        cloud.keep({**found, "state": state})
    return do_inspect(cloud, request)


def do_stop(cloud, request):
    return switched(cloud, request, "stopped")


def do_start(cloud, request):
    return switched(cloud, request, "running")


def do_reset_password(cloud, request):
    found = cloud.find(request["handle"]["name"])
    cloud.keep({**found, "password": hashed(request["password"])})
    return {}


def do_meter(cloud, request):
    found = cloud.find(request["handle"]["name"])
    return {"traffic": {"received_bytes": 0, "sent_bytes": 0, "since_ms": found["created_at_ms"]}}


def do_check_plan(cloud, request):
    plan = request["plan"]
    return {
        "checks": [
            {
                "name": "image",
                "passed": plan["image"] in cloud.images,
                "detail": plan["image"],
                "cure": f"use one of {cloud.images}",
            },
            {
                "name": "size",
                "passed": plan["cpu_milli"] <= cloud.max_cpu_milli,
                "detail": f"{plan['cpu_milli']} of {cloud.max_cpu_milli} thousandths of a CPU",
                "cure": "offer a smaller machine",
            },
        ]
    }


def answer(request):
    if request["protocol"] != PROTOCOL:
        raise Refused("broken", f"this script speaks protocol {PROTOCOL}")
    verb = globals().get("do_" + request["verb"])
    if verb is None:
        raise Refused("rejected", f"this script cannot {request['verb']}")
    cloud = Cloud(request["config"])
    with cloud.locked():
        return {"scope": cloud.scope(), **verb(cloud, request)}


def main():
    try:
        said = answer(json.load(sys.stdin))
    except Refused as refused:
        said = {"error": refused.error}
    print(json.dumps({"protocol": PROTOCOL, **said}))


main()
