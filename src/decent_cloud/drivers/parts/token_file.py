"""An account's secret as a file of its own: read when needed, and checked that nobody else can."""

from __future__ import annotations

from pathlib import Path

from decent_cloud.drivers.contract import AuthFailed, Check, Secret

_OTHERS_MAY_READ = 0o007


def read_token(path: str) -> Secret:
    """Read the one secret that a file holds. Errors: AuthFailed where it cannot be read or holds none."""
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AuthFailed(f"the token file {path} cannot be read: {type(error).__name__}") from error
    if not token or not token.isascii() or len(token.split()) > 1:
        raise AuthFailed(f"the token file {path} holds no token")
    return Secret(token)


def check_token_file(path: str, cure: str) -> Check:
    """Tell whether the file is there and closed to others; `cure` says how to get a token."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        detail = f"{path}: {type(error).__name__}"
        return Check("token file", False, detail, f"{cure}, and write it into {path}")
    if mode & _OTHERS_MAY_READ:
        return Check("token file", False, f"{path} is open to others", f"chmod 600 {path}")
    return Check("token file", True, path)
