"""Runs a command on a rented machine, trusting the signed host key and nothing else."""

from __future__ import annotations

import asyncio

import asyncssh

from decent_cloud.domain.keys.access import Access


def run_over_ssh(
    access: Access, command: str, private_key: bytes = b"", timeout_s: float = 15.0
) -> str:
    """Log in with the key (or the credential's password if none is given) and return what the command says."""
    return asyncio.run(asyncio.wait_for(_run(access, command, private_key), timeout_s))


async def _run(access: Access, command: str, private_key: bytes) -> str:
    trusted = asyncssh.import_known_hosts(
        "".join(f"[{access.host}]:{access.port} {key}\n" for key in access.host_keys)
    )
    keys = [asyncssh.import_private_key(private_key)] if private_key else []
    connection = await asyncssh.connect(
        access.host,
        access.port,
        username=access.user,
        known_hosts=trusted,
        client_keys=keys,
        password=None if keys else access.password,
        agent_path=None,
        config=None,
    )
    async with connection:
        done = await connection.run(command, check=True)
    return str(done.stdout)
