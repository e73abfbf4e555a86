"""The hub that a command works on: its settings, its log, its blob store, its clock.

Settings come from the environment, then from ``ecluse.toml`` in the home, then from defaults; ``ecluse status`` shows which.
Holds no secret of its own: a database password belongs to the environment or to the driver's password file.
"""

import getpass
import os
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from warehouse.blobs import Blobs
    from warehouse.log import Log
    from warehouse.recipients import Recipient

PARIS = ZoneInfo("Europe/Paris")
CONFIG = "ecluse.toml"
TEST_CLOCK = "ECLUSE_NOW"
KNOWN = frozenset({"database_url", "store_url", "warehouse_url", "test", "expected", "recipients", "demarches"})
"""What ``ecluse.toml`` may set; a name mistyped there must not lead to a default."""


class WrongUsage(Exception):
    """The command cannot be carried out as given; the message says what to do instead. Exit code 2."""


@dataclass(frozen=True)
class Settings:
    """Where a hub lives. ``origins`` tells for each setting: environment, file or default."""

    home: Path
    database_url: str
    store_url: str
    warehouse_url: str
    """Where recipients' tables stand: a folder of SQLite files, one per recipient, or the address of a PostgreSQL."""
    test: bool
    expected: tuple[str, ...]
    """FINESS of establishments whose transmissions are expected, beside those already known."""
    recipients: "tuple[Recipient, ...]"
    """In the order of the file."""
    origins: dict[str, str]


@dataclass(frozen=True)
class Hub:
    """An open hub. The log and the store are opened when first used, so that a command pays only for what it touches."""

    settings: Settings
    clock: Callable[[], datetime]
    actor: str
    flow_run: str | None = None
    judged_on: date | None = None
    """The past day that was asked about (``--as-of DATE``): what depends on the day is judged on it."""

    @cached_property
    def log(self) -> "Log":
        from warehouse.log import open_log

        return open_log(self.settings.database_url, self.clock)

    @cached_property
    def blobs(self) -> "Blobs":
        from warehouse.blobs import open_blobs

        return open_blobs(self.settings.store_url, cache=self.settings.home / "cache")

    @property
    def views_folder(self) -> Path:
        return self.settings.home / "views"

    @property
    def products_folder(self) -> Path:
        return self.settings.home / "products"

    def today(self) -> date:
        """The civil day in Paris."""
        return self.clock().astimezone(PARIS).date()

    def meta(self, **more: Any) -> dict[str, Any]:
        """What every event says of its making: who acted, with which version, in which flow run."""
        meta = {"actor": self.actor, "code_version": version("ecluse")}
        return meta | ({"flow_run": self.flow_run} if self.flow_run else {}) | more

    def in_flow(self, run: str) -> "Hub":
        """The same hub, whose events name this run of a flow."""
        return replace(self, flow_run=run)


def default_home() -> Path:
    """``ECLUSE_HOME``, else ``~/.ecluse``."""
    return Path(os.environ.get("ECLUSE_HOME") or Path.home() / ".ecluse").expanduser().absolute()


def read_settings(home: Path | None = None) -> Settings:
    """Settings of the hub at ``home`` (else ``ECLUSE_HOME``, else ``~/.ecluse``).

    WrongUsage when its file is not TOML, or describes a recipient that cannot be.
    """
    origin = "argument" if home else "environment" if os.environ.get("ECLUSE_HOME") else "default"
    home = home.expanduser().absolute() if home else default_home()
    written = _read_toml(home / CONFIG)
    if unknown := sorted(set(written) - KNOWN):
        raise WrongUsage(f"dans {CONFIG}, réglage inconnu : {', '.join(unknown)} ; connus : {', '.join(sorted(KNOWN))}")
    values, origins = {}, {"home": origin}
    defaults = {
        "database_url": f"sqlite:///{home / 'ecluse.db'}",
        "store_url": str(home / "store"),
        "warehouse_url": str(home / "warehouse"),
    }
    for name, default in defaults.items():
        variable = f"ECLUSE_{name.upper()}"
        for value, found in ((os.environ.get(variable), "environment"), (written.get(name), CONFIG), (default, "default")):
            if value:
                values[name], origins[name] = str(value), found
                break
    return Settings(
        home=home,
        **values,
        test=bool(written.get("test")),
        expected=_expected(written.get("expected", [])),
        recipients=_recipients(written),
        origins=origins,
    )


def open_hub(home: Path | None = None, actor: str | None = None) -> Hub:
    """Open a hub made by ``init``. WrongUsage when there is none, or when a fixed clock is asked of a real one."""
    settings = read_settings(home)
    if not (settings.home / CONFIG).is_file():
        raise WrongUsage(f"pas de hub dans {settings.home} : lancez d'abord « ecluse init »")
    fixed = os.environ.get(TEST_CLOCK)
    if fixed and not settings.test:
        raise WrongUsage(f"{TEST_CLOCK} fixe l'horloge : réservé à un hub créé par « ecluse init --test »")
    return Hub(settings, _clock(fixed), actor or getpass.getuser())


def init_hub(home: Path | None = None, *, test: bool = False, recipients: Sequence[str] = ()) -> Settings:
    """Make the hub's folder, settings file and log; changes nothing in a hub that is there already.

    ``recipients`` that the settings file lacks are added at its end, whose other lines stay as they are. Raises WrongUsage
    for one that cannot be, or when a hub is there that was made with another ``test``.
    """
    from warehouse.log import LogUnavailable, create_log

    settings = read_settings(home)
    config = settings.home / CONFIG
    known = {recipient.name for recipient in settings.recipients}
    added = [name for name in dict.fromkeys(recipients) if name not in known]
    _recipients({"recipients": {name: {} for name in added}})
    if config.exists():
        if settings.test != test:
            raise WrongUsage(f"un hub existe déjà dans {settings.home}, créé {'avec' if settings.test else 'sans'} --test")
    else:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = """# Réglages du hub. Les variables ECLUSE_DATABASE_URL, ECLUSE_STORE_URL et ECLUSE_WAREHOUSE_URL passent avant.
# database_url = "postgresql+psycopg://ecluse_log@localhost/ecluse"
# store_url = "s3://ecluse"
# warehouse_url = "postgresql+psycopg://ecluse_publisher@localhost/ecluse"  # tables des destinataires
# expected = ["990000010"]  # établissements attendus, en plus de ceux déjà connus
"""
        config.write_text(text + f"test = {str(test).lower()}\n", encoding="utf-8")
    if added:
        _add_recipients(config, added)
    try:
        create_log(settings.database_url)
    except LogUnavailable as error:
        if settings.database_url.startswith("sqlite"):
            raise
        raise LogUnavailable(f"{error} ; réglages écrits dans {config} ; « ecluse provision » crée rôles et journal") from None
    return read_settings(home)


def _add_recipients(config: Path, names: Sequence[str]) -> None:
    text = config.read_text(encoding="utf-8")
    tables = "".join(f"\n[recipients.{name}]\n" for name in names)
    try:
        tomllib.loads(text + "\n" + tables)
    except tomllib.TOMLDecodeError:
        raise WrongUsage(
            f"{config} : écrivez vous-même [recipients.{names[0]}], « recipients » n'y est pas en tables"
        ) from None
    with config.open("a", encoding="utf-8") as file:
        file.write(("" if text.endswith("\n") else "\n") + tables)


def _recipients(written: dict[str, Any]) -> "tuple[Recipient, ...]":
    """The recipients of a settings file; WrongUsage names the key that is wrong."""
    tables = written.get("recipients")
    if not tables:
        return ()
    from warehouse.recipients import FORMATS, UnknownRecipient, recipient

    if not isinstance(tables, dict):
        raise WrongUsage(f"{CONFIG}, recipients : attendu une table par destinataire, par exemple [recipients.ars-76]")
    found = []
    for name, options in tables.items():
        where = f"{CONFIG}, [recipients.{name}]"
        if not isinstance(options, dict):
            raise WrongUsage(f"{where} : attendu une table, vide ou avec clearance et formats")
        if unknown := sorted(options.keys() - {"clearance", "formats"}):
            raise WrongUsage(f"{where} {unknown[0]} : réglage inconnu (clearance, formats)")
        formats = options.get("formats", list(FORMATS))
        if not isinstance(formats, list) or not all(isinstance(form, str) for form in formats):
            raise WrongUsage(f'{where} formats : attendu une liste, par exemple ["parquet", "xlsx"]')
        try:
            found.append(recipient(name, options.get("clearance"), tuple(formats)))
        except UnknownRecipient as error:
            raise WrongUsage(f"{where} {error}") from None
    return tuple(found)


def parse_instant(text: str) -> datetime:
    """An ISO date or instant; without a time zone it is Europe/Paris, and a date alone means the end of that day."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time.max, PARIS)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"date illisible : {text} (attendu 2026-03-31 ou 2026-03-31T18:00)") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=PARIS)


def _expected(written: object) -> tuple[str, ...]:
    if not isinstance(written, list) or not all(isinstance(entry, str) for entry in written):
        raise WrongUsage(f'dans {CONFIG}, expected est une liste de FINESS, par exemple expected = ["990000010"]')
    return tuple(written)


def _clock(fixed: str | None) -> Callable[[], datetime]:
    if fixed:
        instant = parse_instant(fixed)
        return lambda: instant
    return lambda: datetime.now(UTC)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise WrongUsage(f"{path} n'est pas un TOML valide : {error}") from None
