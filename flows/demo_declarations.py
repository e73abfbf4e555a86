"""The demonstration's declarations: a fictional platform, started for a moment on this machine, and pulled as the real one is.

Two forms, two declarations; the platform's clock stands where the demonstration reads it, so that a second run reads the same.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time

from connectors import simulator_forms as forms
from connectors import synthetic_references as references
from connectors.demarches_client import TOKEN_VARIABLE, Pace
from connectors.simulator_demarches import TOKEN, Simulator
from connectors.simulator_platform import Platform
from flows import demo_bordereaux, pull
from flows.demarches_settings import URL_VARIABLE
from flows.hub import CONFIG, Hub, open_hub

PEOPLE = {ref: (profession, number) for ref, profession, number, _ in references.PROFESSIONALS}
SETTINGS = 'local = true # le simulateur, sur cette machine\nfile_hosts = ["127.0.0.1"]\n'


def platform() -> Platform:
    """The platform as the demonstration reads it."""
    found = Platform(datetime(2022, 7, 18, 8, tzinfo=UTC))
    found.publish(forms.NATIONAL, "Déclaration d'équipe SNP (fictive)", forms.national())
    found.publish(forms.DEROGATORY, "Déclaration SNP dérogatoire 2022 (fictive)", forms.derogatory())
    cpts = _team(demo_bordereaux.CPTS, "CPTS du Val Sablier", "CPTS", references.FAMILIES, ("PH2", "IDE1", "MED1"))
    msp = _team(
        demo_bordereaux.MSP, "MSP des Tilleuls", "MSP", ("CYSTITE", "ODYNO", "CHEVILLE"), ("PH1", "IDE1", "MK1", "MED1")
    )
    for number, form, team, at in (
        (900002, forms.DEROGATORY, cpts, datetime(2022, 7, 20, 7, tzinfo=UTC)),
        (900001, forms.NATIONAL, msp, datetime(2025, 11, 3, 9, 12, tzinfo=UTC)),
    ):
        found.now = at
        found.deposit(form, forms.answers(form, team), number)
        found.advance(86_400)
        found.settle(number, "accepte")
    found.now = datetime.combine(demo_bordereaux.READ_ON, time(4), UTC)
    return found


def pull_all(hub: Hub) -> list[pull.Pulled]:
    """Start the platform, pull its two démarches, stop it."""
    _settled(hub)
    with Simulator(platform()) as service, _environment({TOKEN_VARIABLE: TOKEN, URL_VARIABLE: service.url}):
        pace = Pace(now=lambda: service.platform.now.timestamp())
        hub = open_hub(hub.settings.home)
        return [pull.pull(hub, number, pace=pace) for number in (forms.NATIONAL, forms.DEROGATORY)]


def _team(siret: str, name: str, kind: str, families: tuple[str, ...], refs: tuple[str, ...]) -> forms.Team:
    people = [(ref, *PEOPLE[ref]) for ref in refs]
    members = [
        forms.Member(number, profession, "delegating" if profession == "MEDECIN" else "delegate")
        for _, profession, number in people
    ]
    return forms.Team(siret, name, kind, families, members)


def _settled(hub: Hub) -> None:
    """The settings name the two démarches; the address and the token are told by the environment only."""
    path = hub.settings.home / CONFIG
    told = path.read_text(encoding="utf-8")
    for number in (forms.NATIONAL, forms.DEROGATORY):
        if f"[demarches.{number}]" not in told:
            told += f"\n[demarches.{number}]\n{SETTINGS}"
    path.write_text(told, encoding="utf-8")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
