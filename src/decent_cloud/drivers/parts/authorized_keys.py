"""The SSH keys that a machine takes from a user: two fixed shell commands, what they are fed, and what they say.

The tenant's keys are replaced as a whole, in one rename: a login meanwhile sees the old file or the new one.
Of what was there stays only the agent's management key, and that only where the tenant has left it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from decent_cloud.drivers.contract import Broken, Rejected, SshKey, TryLater

NO_SUCH_USER = 9
_CUT_OFF = 8
_FULL_STOP = "end"  # without it the input was cut off, and half a list locks somebody out
_MAX_LINES = 1_000
_FIND_HOME = r"""
umask 077
IFS= read -r user || exit 8
entry=$(awk -F: -v user="$user" '$1 == user { print; exit }' /etc/passwd)
[ -n "$entry" ] || exit 9
dir=$(printf '%s\n' "$entry" | cut -d: -f6)/.ssh
file=$dir/authorized_keys
"""
_REPLACE = (
    _FIND_HOME
    + r"""
IFS= read -r kept || exit 8
owner=$(printf '%s\n' "$entry" | cut -d: -f3,4)
new=$dir/.authorized_keys.new
[ -d "$dir" ] || { mkdir -p "$dir" && chown "$owner" "$dir"; } || exit 1
rm -f "$new"
awk 'NR > 1 { print line } { line = $0 } END { exit line != "end" }' > "$new" || {
  rm -f "$new"
  exit 8
}
if [ -n "$kept" ] && awk -v blob="${kept#* }" '
  /^[[:space:]]*#/ { next }
  { for (i = 1; i <= NF; i++) if ($i == blob) found = 1 }
  END { exit !found }' "$file" 2>/dev/null
then printf '%s\n' "$kept" >> "$new" || exit 1
fi
chown "$owner" "$new" && mv -f "$new" "$file" && rm -f "$dir/authorized_keys2"
"""
)
_READ = (
    _FIND_HOME
    + r"""
for each in "$file" "$dir/authorized_keys2"; do
  [ ! -f "$each" ] || { cat "$each" && echo; } || exit 1
done
echo end
"""
)
REPLACE = ("/bin/sh", "-c", _REPLACE)
READ = ("/bin/sh", "-c", _READ)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def command_line(command: tuple[str, ...], *, sudo: bool = False) -> str:
    """Return a command as one line for a remote shell; `sudo` where the login is not root's."""
    return ("sudo -n " if sudo else "") + shlex.join(command)


def fed_to_replace(user: str, keys: Iterable[SshKey], kept: SshKey | None) -> bytes:
    """Return what `REPLACE` is fed with. Errors: Rejected for a user that does not fit a line."""
    lines = [_line_of(user), kept.line() if kept else "", *(key.line() for key in keys)]
    return "".join(f"{line}\n" for line in [*lines, _FULL_STOP]).encode()


def fed_to_read(user: str) -> bytes:
    """Return what `READ` is fed with. Errors: Rejected."""
    return f"{_line_of(user)}\n".encode()


def check_exit(code: int) -> None:
    """Turn a command's exit code into an error. Errors: Rejected, TryLater (cut off on the way)."""
    if code == _CUT_OFF:
        raise TryLater("the machine got half of what it was sent; nothing was changed", after_s=1)
    if code == NO_SUCH_USER:
        raise Rejected("the machine has no such user", exit_code=code)
    if code:
        raise Rejected(f"the machine did not change its SSH keys (exit {code})", exit_code=code)


def lines_in(said: str) -> tuple[str, ...]:
    """Return the lines of an authorized_keys file, or of all of them, that may let somebody in.

    Errors: TryLater for an answer that was cut off, Broken for one that is absurdly long.
    """
    lines = [line.strip() for line in said.splitlines()]
    if not lines or lines[-1] != _FULL_STOP:
        raise TryLater("the machine's answer was cut off", after_s=1)
    if len(lines) > _MAX_LINES:
        raise Broken(f"the machine has more than {_MAX_LINES} lines of SSH keys")
    return tuple(line for line in lines[:-1] if line and not line.startswith("#"))


def _line_of(user: str) -> str:
    if not _USER.fullmatch(user):
        raise Rejected("SSH keys can be set for users of a-z, 0-9, _ and - only")
    return user
