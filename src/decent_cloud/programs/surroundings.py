"""Makes up for what a bare container lacks."""

from __future__ import annotations

import getpass
import os

_NOBODY = "decent"


def name_user() -> None:
    """Give this process a user name where its uid has none: SSH clients ask for one, whoever they log in as."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        os.environ["LOGNAME"] = _NOBODY
