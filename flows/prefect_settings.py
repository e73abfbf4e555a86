"""What Prefect must be told before it is imported: to phone nowhere, to write in the hub's home, to lose no lease or lineage.

Must never import Prefect, which reads its settings once, at import. ``prefect.toml`` says the same to commands that
Prefect starts by itself in the project's folder.
"""

import os
from pathlib import Path

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # the default of 20 s is what a first start takes on a small machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    # the default keeps leases in memory: a server that restarts would never give back the place of the run that it forgot
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


def prefect_environment(home: Path) -> dict[str, str]:
    """The variables for Prefect in a hub's home: its database, profiles and pages go to ``<home>/prefect``.

    Pages would go where Prefect is installed; where that cannot be written, there would be none.
    """
    own = home / "prefect"
    return QUIET | {"PREFECT_HOME": str(own), "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(own / "ui")}


def set_prefect_defaults(home: Path) -> None:
    """Set these variables in this process, save those that the user has set. Call before anything imports Prefect."""
    for name, value in prefect_environment(home).items():
        os.environ.setdefault(name, value)
