"""Attached files of dossiers, brought in once: asked for just before, fetched within their hour, checked, stored by hash.

Must never keep or tell the address of a file (it is a secret), send it the token, follow a redirection, reach an address that
is not public, or store what is not the document that the service described. Plain ``http.client`` on purpose: others write
the addresses that they fetch in their logs, and resolve names a second time.
"""

import hashlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from connectors import demarches_query as queries
from connectors.attached_kinds import STORED_KINDS, sniff
from connectors.demarches_client import Client, NotFound, Pace, Service, Unanswered
from connectors.demarches_journal import Reached, alone
from connectors.demarches_merge import read_snapshot
from connectors.demarches_records import Record, md5_hex

LEDGER = "attachments.jsonl"
CHUNK = 1 << 16
FRESH_SECONDS = 50 * 60
"""An address is asked for again after this long: it lives for an hour."""
FINAL = ("stored", "refused_type", "too_large")
"""Outcomes after which a file is not asked for again; the others are: unsafe, gone, mismatch, unreachable, refused_address."""
NOT_ASKED = "not_asked"
"""Said of the files of a démarche whose settings name no host."""
STATUSES_FR = {
    "stored": "conservée",
    "refused_type": "écartée : son contenu n'est d'aucun genre admis",
    "too_large": "écartée : plus grande que la limite",
    "unsafe": "pas encore déclarée saine par le service",
    "gone": "le service ne la donne plus",
    "mismatch": "ne correspond pas à la somme de contrôle annoncée",
    "unreachable": "le serveur de fichiers ne la donne pas",
    "refused_address": "adresse refusée : hôte absent de file_hosts ([demarches.…] d'ecluse.toml), ou adresse non publique",
    NOT_ASKED: 'pas demandée : aucun hôte permis ; écrivez file_hosts = ["…"] sous [demarches.…] dans ecluse.toml',
}
Resolve = Callable[[str, int], list[str]]
Put = Callable[[Iterable[bytes]], str]
"""Stores bytes for good and gives their sha256."""


@dataclass(frozen=True)
class Hosts:
    """Where files may come from. ``local``: the simulator on this machine, over plain HTTP; sizes in bytes, times in s."""

    allowed: frozenset[str]
    local: bool = False
    cap: int = 50 << 20
    seconds: float = 120
    connect_seconds: float = 10
    ca_bundle: str | None = None


@dataclass(frozen=True)
class Attachment:
    """A file of a dossier, as the service describes it: champ, MD5 in hexadecimal digits, size in bytes."""

    number: int
    champ: str
    md5: str
    size: int


@dataclass(frozen=True)
class Outcome:
    """What became of a file. ``sha256`` and ``kind`` (what its bytes are) when it is stored."""

    attachment: Attachment
    status: str
    sha256: str | None = None
    kind: str | None = None


@dataclass
class Ledger:
    """Outcomes so far, on disk: one line a file, synced. What is final is never fetched again."""

    path: Path
    outcomes: dict[Attachment, Outcome] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Ledger":
        """The ledger of a work folder; a torn last line is cut off."""
        ledger = cls(folder / LEDGER)
        if ledger.path.exists():
            with ledger.path.open("r+b") as file:
                whole = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    whole += len(line)
                    told = json.loads(line)
                    outcome = Outcome(Attachment(**told.pop("attachment")), **told)
                    ledger.outcomes[outcome.attachment] = outcome
                file.truncate(whole)
        return ledger

    def add(self, outcome: Outcome) -> None:
        """Remember an outcome for good."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(json.dumps(asdict(outcome), sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.outcomes[outcome.attachment] = outcome

    def stored(self, attachment: Attachment) -> Outcome | None:
        """The same bytes, stored under this or another dossier: a copy is not fetched again."""
        same = (attachment.md5, attachment.size)
        return next(
            (one for one in self.outcomes.values() if one.sha256 and (one.attachment.md5, one.attachment.size) == same), None
        )

    def doubtful(self) -> frozenset[str]:
        """MD5 of the files that did not match: the acts that lean on them wait."""
        return frozenset(one.attachment.md5 for one in self.outcomes.values() if one.status == "mismatch")


class _Refused(Exception):
    """This download gave nothing. ``expired``: a fresh address may."""

    def __init__(self, status: str, *, expired: bool = False) -> None:
        super().__init__(status)
        self.status, self.expired = status, expired


def wanted(snapshot: Path) -> list[Attachment]:
    """The files of the dossiers of a snapshot that are still there, each once."""
    found: set[Attachment] = set()
    for number, record in read_snapshot(snapshot).dossiers.items():
        if not record.get("deletion"):
            found |= {Attachment(number, champ, one["md5"], one["size"]) for champ, one in _files(record.get("champs", ()))}
    return sorted(found, key=lambda one: (one.number, one.champ, one.md5, one.size))


def _files(champs: Iterable[Record]) -> Iterator[tuple[str, Record]]:
    for champ in champs:
        yield from ((champ["id"], file) for file in champ.get("files", ()))
        for row in champ.get("rows", ()):
            yield from _files(row["champs"])


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, asked for once."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})


def fetch(
    service: Service,
    demarche: int,
    files: Collection[Attachment],
    folder: Path,
    put: Put,
    hosts: Hosts,
    pace: Pace | None = None,
    resolve: Resolve = resolved,
    reached: Reached = lambda _: None,
) -> Counter[str]:
    """Fetch what is not in the ledger of ``folder`` yet, dossier by dossier; how many files had each status.

    One request to the API for each dossier that has new files. A file that fails stops no other; stopped at any point, the same
    call goes on. PullStopped when the API itself does not answer.
    """
    with alone(folder):
        ledger = Ledger.read(folder)
        client = Client(service, pace)
        counts: Counter[str] = Counter()
        todo: dict[int, list[Attachment]] = {}
        for attachment in files:
            known = ledger.outcomes.get(attachment)
            if known and known.status in FINAL:
                counts[known.status] += 1
            elif copy := ledger.stored(attachment):
                ledger.add(Outcome(attachment, "stored", copy.sha256, copy.kind))
                counts["stored"] += 1
            else:
                todo.setdefault(attachment.number, []).append(attachment)
        with closing(client):
            for number in sorted(todo):
                for outcome in _of_dossier(client, demarche, number, todo[number], ledger, put, hosts, resolve):
                    reached("attachment.stored")
                    ledger.add(outcome)
                    reached("attachment.told")
                    counts[outcome.status] += 1
        return counts


def _of_dossier(
    client: Client,
    demarche: int,
    number: int,
    files: list[Attachment],
    ledger: Ledger,
    put: Put,
    hosts: Hosts,
    resolve: Resolve,
) -> Iterator[Outcome]:
    addresses: Mapping[tuple[str, str, int], Record] = {}
    asked = float("-inf")
    for attachment in files:
        copy = ledger.stored(attachment)  # the same bytes twice in one dossier
        if copy:
            yield Outcome(attachment, "stored", copy.sha256, copy.kind)
            continue
        if attachment.size > hosts.cap:
            yield Outcome(attachment, "too_large")
            continue
        for last in (False, True):
            if last or client.pace.now() - asked > FRESH_SECONDS:
                try:
                    addresses, asked = _addresses(client, demarche, number), client.pace.now()
                except (Unanswered, ValueError):
                    yield Outcome(attachment, "unreachable")
                    break
            told = addresses.get((attachment.champ, attachment.md5, attachment.size))
            if told is None or told["virusScanResult"] != "safe":
                yield Outcome(attachment, "gone" if told is None else "unsafe")
                break
            try:
                yield _stored(attachment, str(told["url"]), put, hosts, resolve)
                break
            except _Refused as refusal:
                if last or not refusal.expired:
                    yield Outcome(attachment, refusal.status)
                    break


def _addresses(client: Client, demarche: int, number: int) -> dict[tuple[str, str, int], Record]:
    """The files of a dossier with fresh addresses, by champ, MD5 and size; none when the service shows it no more."""
    try:
        node = client.ask(queries.FILES, "files", {"number": number})["dossier"]
        if node["number"] != number or node["demarche"]["number"] != demarche:
            raise ValueError
    except NotFound:
        return {}
    except (KeyError, TypeError):
        raise ValueError("malformed") from None
    found: dict[tuple[str, str, int], Record] = {}
    champs = list(node["champs"])
    for champ in champs:
        champs += [inner for row in champ.get("rows") or () for inner in row["champs"]]
        for one in champ.get("files") or ():
            found[champ["champDescriptorId"], md5_hex(one["checksum"]), int(one["byteSizeBigInt"])] = one
    return found


def _stored(attachment: Attachment, url: str, put: Put, hosts: Hosts, resolve: Resolve) -> Outcome:
    """Download, check, store. _Refused."""
    with tempfile.SpooledTemporaryFile(max_size=4 << 20) as file:
        digest = hashlib.md5(usedforsecurity=False)
        size = 0
        for chunk in _download(url, hosts, resolve):
            size += len(chunk)
            if size > attachment.size:
                raise _Refused("mismatch", expired=True)
            digest.update(chunk)
            file.write(chunk)
        if size != attachment.size or digest.hexdigest() != attachment.md5:
            raise _Refused("mismatch", expired=True)
        kind = sniff(file)
        if kind not in STORED_KINDS:
            return Outcome(attachment, "refused_type", kind=kind)
        file.seek(0)
        return Outcome(attachment, "stored", put(iter(lambda: file.read(CHUNK), b"")), kind)


def _download(url: str, hosts: Hosts, resolve: Resolve) -> Iterator[bytes]:
    """The bytes at an address. _Refused: nothing of the address is in it."""
    try:
        address, port = urlsplit(url), urlsplit(url).port
    except ValueError:
        raise _Refused("refused_address") from None
    plain = address.scheme == "http" and hosts.local
    host = (address.hostname or "").lower()
    odd_port = port not in (None, 443) and not hosts.local
    if (
        (address.scheme != "https" and not plain)
        or host not in hosts.allowed
        or odd_port
        or address.username
        or address.password
    ):
        raise _Refused("refused_address")
    port = port or (80 if plain else 443)
    pinned = _public(host, port, hosts, resolve)
    connection = _connection(host, pinned, port, plain, hosts)
    until = time.monotonic() + hosts.seconds
    with closing(connection), _watched(connection, hosts.seconds):
        try:
            connection.request("GET", _path(address), headers={"Accept-Encoding": "identity", "User-Agent": "ecluse"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise _Refused("unreachable", expired=answer.status in (400, 401, 403, 404, 410))
            told, given = answer.getheader("Content-Length", ""), 0
            while chunk := answer.read1(CHUNK):
                if time.monotonic() > until:
                    raise _Refused("unreachable")
                given += len(chunk)
                yield chunk
            if told.isdigit() and given < int(told):  # the line was cut: it says nothing about the file
                raise _Refused("unreachable", expired=True)
        except (OSError, http.client.HTTPException, ValueError):
            raise _Refused("unreachable") from None


@contextmanager
def _watched(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Cut the connection after so many seconds, were it in the middle of its headers."""

    def cut() -> None:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, cut)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _path(address: SplitResult) -> str:
    path = (address.path or "/") + (f"?{address.query}" if address.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise _Refused("refused_address")
    return path


def _public(host: str, port: int, hosts: Hosts, resolve: Resolve) -> str:
    """The address to connect to: resolved once, and refused when any of them is not public. _Refused."""
    try:
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in resolve(host, port)]
    except (OSError, ValueError):
        raise _Refused("unreachable") from None
    if not found or not all(one.is_loopback if hosts.local else is_public(one) for one in found):
        raise _Refused("refused_address")
    return str(found[0])


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the public internet, and hides no other in it (IPv4 in IPv6, tunnels, translations)."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or address.teredo
        translated = any(address in network for network in _TRANSLATED)
        if hidden or translated:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))


def _connection(host: str, pinned: str, port: int, plain: bool, hosts: Hosts) -> http.client.HTTPConnection:
    """A connection to one address, under the name of its host: for the certificate and for the request."""
    connection = http.client.HTTPConnection(host, port, timeout=min(hosts.seconds, 30))
    connection.default_port = 80 if plain else 443  # the signature covers the host as named without it
    context = None if plain else ssl.create_default_context(cafile=hosts.ca_bundle)

    def connect(*_: Any) -> socket.socket:
        sock = socket.create_connection((pinned, port), hosts.connect_seconds)
        sock.settimeout(min(hosts.seconds, 30))
        return context.wrap_socket(sock, server_hostname=host) if context else sock

    connection._create_connection = connect  # type: ignore[attr-defined]
    return connection
