"""A simulated platform, its service, and pulls of it, for tests. Nobody waits: time is told."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors import simulator_forms as forms
from connectors.demarches import Order, Pulled, finish, pull
from connectors.demarches_client import Pace, Service, Token
from connectors.demarches_merge import Snapshot, read_snapshot
from connectors.simulator_demarches import TOKEN, Simulator
from connectors.simulator_platform import Platform

START = datetime(2022, 7, 20, 8, tzinfo=UTC)
TEAM = forms.Team(
    "99900001100018",
    "CPTS du Val Sablier",
    "CPTS",
    ["CYSTITE", "RHINO"],
    [forms.Member("99900000011", "PHARMACIEN"), forms.Member("99900000094", "MEDECIN", "delegating")],
)


@dataclass
class Bench:
    """One démarche of the simulator and the hub's side of it: ``head`` is the snapshot last delivered."""

    service: Simulator
    folder: Path
    demarche: int = forms.NATIONAL
    head: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    @property
    def platform(self) -> Platform:
        return self.service.platform

    def pace(self) -> Pace:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.platform.advance(seconds)
            self.on_sleep()

        return Pace(lambda: self.platform.now.timestamp(), sleep, lambda: 0.5)

    def settled(self) -> Service:
        patient = {"connect_seconds": 5, "read_seconds": 60, "answer_seconds": 90}  # the machine may be busy
        return Service(Token(TOKEN), self.service.url, local=True, **(patient | self.settings))

    def pull(self, work: str = "work", reached: Callable[[str], None] = lambda _: None, **order: Any) -> Pulled:
        """Pull without delivering: the head stays."""
        return pull(self.settled(), Order(self.demarche, **order), self.folder / work, self.head, self.pace(), reached)

    def deliver(self, **order: Any) -> Pulled:
        """Pull, and make the result the head."""
        found = self.pull(**order)
        self.head = self.folder / f"head-{found.sha256[:12]}.jsonl"
        shutil.copy(found.path, self.head)
        finish(self.folder / "work")
        return Pulled(self.head, found.sha256, found.report)

    def snapshot(self) -> Snapshot:
        assert self.head
        return read_snapshot(self.head)

    def fill(self, count: int, seconds: float = 60) -> list[int]:
        """Deposit the same team again and again; the numbers."""
        found = []
        for _ in range(count):
            found.append(self.platform.deposit(self.demarche, forms.answers(self.demarche, TEAM)).number)
            self.platform.advance(seconds)
        return found


def platform() -> Platform:
    """The three forms, without a dossier."""
    found = Platform(START)
    found.publish(forms.NATIONAL, "Déclaration d'équipe SNP", forms.national())
    found.publish(forms.DEROGATORY, "Déclaration SNP dérogatoire 2022", forms.derogatory())
    found.publish(forms.DIRECT_ACCESS, "Accès direct aux kinésithérapeutes", forms.direct_access())
    return found
