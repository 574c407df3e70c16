"""How the driver gets at a cluster: the token from its file, the certificate it trusts."""

from __future__ import annotations

from pathlib import Path

from decent_cloud.drivers.contract import AuthFailed, Rejected
from decent_cloud.drivers.proxmox.api import ProxmoxApi, read_token
from decent_cloud.drivers.proxmox.settings import ProxmoxSettings


def open_api(settings: ProxmoxSettings) -> ProxmoxApi:
    """Return the client of the settings' cluster. Errors: AuthFailed, Invalid for the certificate."""
    path = settings.token_file
    try:
        token = read_token(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AuthFailed(f"the token file {path} cannot be read: {type(error).__name__}") from error
    except Rejected as error:
        raise AuthFailed(f"the token file {path} holds no token: {error.message}") from error
    return ProxmoxApi(settings.api, token, settings.timeout_s, settings.ca_file)
