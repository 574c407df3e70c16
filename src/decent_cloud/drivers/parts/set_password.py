"""Setting a password inside a machine: one fixed command for its shell, and the line that is fed to it.

The line holds the hash, so the plaintext does not even enter the machine. Machines without `chpasswd`
(busybox) have their shadow file rewritten and replaced in one step.
"""

from __future__ import annotations

import re
import shlex

from decent_cloud.drivers.contract import Rejected
from decent_cloud.drivers.parts.password_hash import hash_password

NO_SUCH_USER = 9
_SCRIPT = """
if command -v chpasswd >/dev/null 2>&1; then exec chpasswd -e; fi
umask 077
cp -p /etc/shadow /etc/shadow.new &&
awk -F: -v OFS=: '
  NR == FNR { at = index($0, ":"); user = substr($0, 1, at - 1); hash = substr($0, at + 1); next }
  $1 == user { $2 = hash; found = 1 }
  { print }
  END { exit !found }' - /etc/shadow > /etc/shadow.new &&
mv /etc/shadow.new /etc/shadow && exit 0
rm -f /etc/shadow.new
exit 9
"""
COMMAND = ("/bin/sh", "-c", _SCRIPT)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PASSWORD = re.compile(r"[^\x00\n\r]{1,200}")


def command_line(*, sudo: bool = False) -> str:
    """Return the command as one line for a remote shell; `sudo` where the login is not root's."""
    return ("sudo -n " if sudo else "") + shlex.join(COMMAND)


def standard_input(user: str, password: str) -> bytes:
    """Return what the command is fed with. Errors: Rejected for a user or password that does not fit a line."""
    if not _USER.fullmatch(user) or not _PASSWORD.fullmatch(password):
        raise Rejected("this user or password cannot be set: one line, users of a-z, 0-9, _ and -")
    return f"{user}:{hash_password(password)}\n".encode()


def check_exit(code: int) -> None:
    """Turn the command's exit code into Rejected; what it printed may repeat its input, so that is not told."""
    if code:
        raise Rejected(f"the machine did not take the password (exit {code})", exit_code=code)
