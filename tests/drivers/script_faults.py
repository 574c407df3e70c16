"""Stands before a script and lets one verb go wrong as a file says; a program of its own, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ERRORS = {
    "rate_limited": {"kind": "try_later", "message": "429", "after_s": 3},
    "unavailable": {"kind": "try_later", "message": "503", "after_s": 1},
    "locked": {"kind": "try_later", "message": "busy", "after_s": 1},
    "denied": {"kind": "auth_failed", "message": "the token lacks: machines.write"},
    "sold_out": {"kind": "no_capacity", "message": "sold out"},
}


def never_answer(*, hangs: bool) -> None:
    if hangs:
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


def main(order: Path, *script: str) -> None:
    asked = sys.stdin.buffer.read()
    verb = json.loads(asked)["verb"]
    told = json.loads(order.read_text()) if order.exists() else {}
    fault = told.get("fault", "") if told.get("verb") == verb else ""
    if fault:
        order.unlink()
    if fault in ERRORS:
        sys.stdout.write(json.dumps({"protocol": 1, "error": ERRORS[fault]}))
    elif fault == "garbled":
        sys.stdout.write("<html>It works!</html>")
    elif fault == "timeout":
        never_answer(hangs=told.get("hangs", True))
    else:
        done = subprocess.run(script, input=asked, capture_output=True, check=True)
        if fault == "lost":
            never_answer(hangs=told.get("hangs", True))
        sys.stdout.buffer.write(done.stdout)


main(Path(sys.argv[1]), *sys.argv[2:])
