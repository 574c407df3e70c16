"""Runs the demo: `python demo/run.py [--keep] [--dev]`; its last line is `demo: ok in S s`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import play
from demo.narrator import Narrator, StepFailed
from demo.places import place
from demo.stage import Stage
from devtools.engine import EngineUnavailable


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def perform(narrator: Narrator, folder: Path, *, keep: bool, dev: bool) -> None:
    """Get a backend and start the programs, play the journey, end everything whatever happens."""
    with place(folder, os.environ.get("DEMO_DRIVER", "")) as where:
        stage = Stage(folder)
        try:
            cast = play.set_up(narrator, stage, where)
            if not dev:
                play.rent_and_use(narrator, cast)
                play.survive_a_kill(narrator, cast)
                play.settle_up(narrator, cast)
                print(f"demo: journey done in {narrator.elapsed_s():.1f} s", flush=True)
            if keep or dev:
                play.hold(cast)
        finally:
            stage.end()
            play.remove_leftovers(stage, where)


def main() -> int:
    """Return 0 only if every step showed what it had to show."""
    parser = argparse.ArgumentParser(description="Rent a real machine from end to end.")
    parser.add_argument("--keep", action="store_true", help="leave it running to try commands")
    parser.add_argument("--dev", action="store_true", help="only start platform and agent")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    narrator = Narrator()
    folder = Path(tempfile.mkdtemp(prefix="decent-demo-"))
    try:
        perform(narrator, folder, keep=asked.keep, dev=asked.dev)
    except EngineUnavailable as missing:
        print(f"demo: no container engine: {missing}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything it started is gone", file=sys.stderr)
        return 130
    except Exception as failure:
        narrator.failed(failure)
        if not isinstance(failure, StepFailed):
            traceback.print_exc()
        _show_logs(folder)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"demo: ok in {narrator.elapsed_s():.1f} s", flush=True)
    return 0


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-15:]
        print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
