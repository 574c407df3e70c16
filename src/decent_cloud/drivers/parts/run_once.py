"""Running a first script inside a machine: one fixed program for its shell, and what that is fed with.

The script comes by standard input, never in a command's line. The first call that has all of it makes a folder,
which marks for ever that it was begun, and starts it beside; every other call only tells how it stands. So the
calls may be lost, repeated or made by two at once: the script runs at most once in one machine.
"""

from __future__ import annotations

import shlex

from decent_cloud.drivers.contract import Broken, FirstRun, RunState, TryLater
from decent_cloud.kernel.status import ScriptOutcome

FOLDER = "/var/lib/decent-first-script"
OUTPUT_BYTES = 32 * 1024
CUT_SHORT = 75  # the machine did not get all of it; nothing was begun
RUNNING = "running"
_MAX_EXIT_CODE = 255

# $1 folder, $2 time limit in seconds. Waits for the script, keeps its output small, ends it in time.
_WATCH = f"""
d=$1 limit=$2 spent=0
cd "${{HOME:-/}}" 2> /dev/null || cd /
: > "$d/out"
setsid sh -c '"$1/script" >> "$1/out" 2>&1 < /dev/null; echo $? > "$1/code"' first-script "$d" &
group=$!
until [ -s "$d/code" ]; do
  if [ "$spent" -ge "$limit" ]; then
    kill -TERM -"$group" 2>/dev/null
    sleep 2
    kill -KILL -"$group" 2>/dev/null
    echo timed_out > "$d/code"
    break
  fi
  sleep 1
  spent=$((spent + 1))
  if [ "$(wc -c < "$d/out")" -gt 4194304 ]; then
    tail -c {OUTPUT_BYTES} "$d/out" > "$d/tail"
    cat "$d/tail" > "$d/out"
  fi
done
tail -c {OUTPUT_BYTES} "$d/out" > "$d/log"
cp "$d/code" "$d/end.new"
mv "$d/end.new" "$d/end"
rm -f "$d/script" "$d/out" "$d/tail" "$d/code"
"""

# $1 folder, $2 the watching program. Standard input: "kind limit size", a line's end, the script.
_PROGRAM = f"""
d=$1
umask 077
read -r kind limit size || exit {CUT_SHORT}
say() {{
  printf '%s %s\\n' "$1" "$2"
  if [ -f "$3" ]; then tail -c {OUTPUT_BYTES} "$3"; fi
  exit 0
}}
if [ "$kind" = cloud_config ]; then
  log=/var/log/cloud-init-output.log
  command -v cloud-init > /dev/null 2>&1 || say not_run 0 /nowhere
  case "$(cloud-init status 2> /dev/null)" in
    *done*) say exited 0 "$log" ;;
    *error* | *degraded*) say exited 1 "$log" ;;
    *disabled*) say not_run 0 "$log" ;;
    *) say {RUNNING} 0 /nowhere ;;
  esac
fi
if [ ! -d "$d" ]; then
  new=$d.$$
  mkdir -p "$new" || exit 1
  cat > "$new/script"
  if [ "$(wc -c < "$new/script")" -ne "$size" ]; then rm -rf "$new"; exit {CUT_SHORT}; fi
  chmod 700 "$new/script"
  if mkdir "$d" 2> /dev/null; then
    mv "$new/script" "$d/script"
    setsid sh -c "$2" first-script "$d" "$limit" < /dev/null > /dev/null 2>&1 &
    echo $! > "$d/pid"
  fi
  rm -rf "$new"
fi
look() {{
  if [ -s "$d/end" ]; then
    read -r code < "$d/end"
    if [ "$code" = timed_out ]; then say timed_out 0 "$d/log"; fi
    say exited "$code" "$d/log"
  fi
  pid=$(cat "$d/pid" 2> /dev/null)
  if [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null; then say {RUNNING} 0 /nowhere; fi
}}
look
sleep 3
look
say interrupted 0 "$d/out"
"""


def command(folder: str = FOLDER) -> tuple[str, ...]:
    """Return the fixed command; only tests name another folder."""
    return ("/bin/sh", "-c", _PROGRAM, "first-script", folder, _WATCH)


def command_line(*, sudo: bool = False) -> str:
    """Return the command as one line for a remote shell; `sudo` where the login is not root's."""
    return ("sudo -n " if sudo else "") + shlex.join(command())


def standard_input(script: FirstRun) -> bytes:
    """Return what the command is fed with."""
    text = script.text.encode()
    return f"{script.kind.value} {script.timeout_s} {len(text)}\n".encode() + text


def read_state(exit_code: int | None, said: bytes) -> RunState:
    """Return what the command told. Errors: TryLater where it got too little, Broken for anything odd."""
    if exit_code is None or exit_code == CUT_SHORT:
        raise TryLater("the machine did not get the whole first script", after_s=1)
    head, _, output = said.partition(b"\n")
    word, _, number = head.decode(errors="replace").partition(" ")
    if exit_code or not number.isdigit() or int(number) > _MAX_EXIT_CODE:
        raise Broken(f"the machine cannot run a first script (exit {exit_code})")
    if word == RUNNING:
        return RunState(None)
    if word not in {one.value for one in ScriptOutcome}:
        raise Broken("the machine told something odd about its first script")
    outcome = ScriptOutcome(word)
    detail = "the machine has no cloud-init" if outcome is ScriptOutcome.NOT_RUN else ""
    return RunState(outcome, int(number), output[-OUTPUT_BYTES:], detail)
