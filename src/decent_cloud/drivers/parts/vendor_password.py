"""Against the root password that some vendors set by themselves: the tenant's is set once more, last of all."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from decent_cloud.drivers.contract import InstanceSpec
from decent_cloud.drivers.parts.password_hash import hash_password


def own_password_last(
    spec: InstanceSpec, beside: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    """Return what user data needs beside where the vendor's own first-start data may set a password.

    Its commands run in cloud-init's last stage, after all that sets passwords: the tenant's works and
    need not be changed, and root's is locked where the tenant logs in as somebody else. It holds the hash.
    `beside` is what one vendor needs more; its commands go first.
    """
    user = shlex.quote(spec.user)
    pair = shlex.quote(f"{spec.user}:{hash_password(spec.password.reveal())}")
    # Lines, not argument lists: `printf` is the shell's own, so that no process shows the hash.
    commands = [f"printf '%s\\n' {pair} | chpasswd -e", f'chage -d "$(date +%F)" {user}']
    if spec.user != "root":
        commands.append("passwd -l root")
    more = dict(beside or {})
    first = more.pop("runcmd", [])
    return {**more, "runcmd": [*(first if isinstance(first, list) else []), *commands]}
