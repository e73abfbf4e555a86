"""One conversation with the API of démarches-simplifiées: ask, wait when told to, try again, give up in words.

Must never follow a redirect, send the token elsewhere than to the one host, put it or an answer's content in an error, or go on
asking without bound.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import SystemRandom
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

TOKEN_VARIABLE = "ECLUSE_DEMARCHES_TOKEN"  # noqa: S105
URL = "https://demarche.numerique.gouv.fr/api/v2/graphql"
MIN_WAIT, MAX_WAIT = 1.0, 120.0
"""Seconds: floor and ceiling of a wait that the service asks for."""
PER_MINUTE = 350
"""Requests that we send in any minute: the service refuses from 400 on."""
LATER = "relancez plus tard, la lecture reprendra où elle en est"
REFUSALS = 20
"""Refusals for too many requests in a row, after which we give up."""
ATTEMPTS = 6
TRIES_OF_A_PAGE = 2
CHUNK = 1 << 16


class PullStopped(Exception):
    """The pull cannot go on now; what was read is kept, and the same call goes on from there. The sentence is French."""


class WronglySet(PullStopped):
    """Address, token or query are refused: trying again changes nothing before someone corrects them."""


class Unanswered(Exception):
    """This request got no usable answer, even tried again: a smaller one may. ``reason`` is a code, never a content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotFound(Exception):
    """The service knows no such démarche or dossier, or no longer shows it."""


class _Retry(Exception):
    """One attempt failed. ``wait``: seconds asked for, None for our own back-off; ``ours``: the page may be too much."""

    def __init__(self, reason: str, *, wait: float | None = None, ours: bool = False, limited: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.ours, self.limited = reason, wait, ours, limited


class Token:
    """The secret that opens the API: nothing shows it but ``header``."""

    def __init__(self, value: str) -> None:
        self._value = value.strip()

    @property
    def header(self) -> str:
        return f"Bearer {self._value}"

    def __repr__(self) -> str:
        return "Token(…)"


def token_from_environment(variable: str = TOKEN_VARIABLE) -> Token:
    """The token, which only the environment may give. WronglySet when it is not there or could not be a header."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise WronglySet(f"pas de jeton : donnez celui d'un administrateur, en lecture seule, dans la variable {variable}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise WronglySet(f"la variable {variable} ne tient pas un jeton : elle contient un signe qu'aucun jeton n'a")
    return Token(value)


@dataclass(frozen=True)
class Pace:
    """Time, as given from outside: ``now`` in epoch seconds, ``sleep``, ``jitter`` in [0, 1)."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = SystemRandom().random


@dataclass(frozen=True)
class Service:
    """Where and how to ask. ``local`` allows plain HTTP on this machine, for the simulator only; times in seconds."""

    token: Token
    url: str = URL
    local: bool = False
    connect_seconds: float = 10
    read_seconds: float = 60
    answer_seconds: float = 120
    answer_bytes: int = 32 << 20
    ca_bundle: str | None = None
    budget_requests: int = 20_000
    budget_seconds: float = 4 * 3600

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        here = self.local and address.hostname in ("127.0.0.1", "localhost", "::1")
        if address.scheme != "https" and not here:
            raise WronglySet("l'adresse du service doit commencer par https:// : le jeton ne voyage pas en clair")
        if address.username or address.password or not address.hostname:
            raise WronglySet("l'adresse du service doit nommer un hôte, sans identifiant ni mot de passe")


PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
WITHOUT_PROXY = "le mandataire de l'environnement (HTTPS_PROXY) n'est pas suivi, il verrait le jeton : il faut un accès direct"


@dataclass
class Tally:
    """What a conversation cost: requests sent, attempts that failed by reason, seconds waited."""

    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    waited: float = 0


class _Watched(HTTPAdapter):
    """Knows the socket in use, so that an answer that never ends, in its headers even, can be cut."""

    socket: Any = None

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        pool = super().get_connection_with_tls_context(*arguments, **named)
        made: Any = pool.ConnectionCls
        if not getattr(made, "watched", False):

            def connect(connection: Any) -> None:
                made.connect(connection)
                self.socket = connection.sock

            pool.ConnectionCls = type(made.__name__, (made,), {"connect": connect, "watched": True})
        return pool

    def cut(self) -> None:
        with suppress(OSError, AttributeError):
            self.socket.shutdown(SHUT_RDWR)


class Client:
    """A session with the service. ``tally`` grows with each request."""

    def __init__(self, service: Service, pace: Pace | None = None) -> None:
        self.service = service
        self.pace = pace or Pace()
        self.tally = Tally()
        self._sent: list[float] = []
        self._began = self.pace.now()
        self._session = requests.Session()
        self._adapter = _Watched()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._session.trust_env = False  # a .netrc or a proxy of the environment would get the token

    def close(self) -> None:
        self._session.close()

    def ask(self, query: str, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The ``data`` of an answer without errors.

        NotFound; Unanswered when the same request may do better with a smaller page; WronglySet; PullStopped.
        """
        failures, refusals = 0, 0
        while True:
            try:
                return self._once({"query": query, "operationName": operation, "variables": dict(variables)})
            except _Retry as problem:
                self.tally.failed[problem.reason] = self.tally.failed.get(problem.reason, 0) + 1
                refusals = refusals + 1 if problem.limited else 0
                failures += 0 if problem.limited else 1
                if problem.ours and failures >= (1 if problem.reason == "timeout" else TRIES_OF_A_PAGE):
                    raise Unanswered(problem.reason) from None
                if failures >= ATTEMPTS or refusals >= REFUSALS:
                    proxied = problem.reason.startswith("connection") and any(os.environ.get(name) for name in PROXIES)
                    told = f"le service ne répond pas ({problem.reason}) : {LATER}"
                    raise PullStopped(told + (f" ; {WITHOUT_PROXY}" if proxied else "")) from None
                backoff = min(MAX_WAIT, 2.0 ** (max(failures, refusals) - 1)) * (0.5 + self.pace.jitter())
                self.wait(backoff if problem.wait is None else problem.wait + self.pace.jitter())

    def wait(self, seconds: float) -> None:
        """Sleep, unless the budget of the run ends before."""
        seconds = min(max(seconds, MIN_WAIT / 2), MAX_WAIT)
        if self.pace.now() + seconds > self._began + self.service.budget_seconds:
            raise PullStopped(f"le temps donné à cette lecture est épuisé : {LATER}")
        self.tally.waited += seconds
        self.pace.sleep(seconds)

    def _once(self, body: dict[str, Any]) -> dict[str, Any]:
        self._keep_pace()
        self.tally.requests += 1
        watch = threading.Timer(self.service.connect_seconds + self.service.answer_seconds, self._adapter.cut)
        watch.daemon = True
        watch.start()
        try:
            return self._exchange(body)
        finally:
            watch.cancel()

    def _exchange(self, body: dict[str, Any]) -> dict[str, Any]:
        service = self.service
        try:
            answer = self._session.post(
                service.url,
                data=json.dumps(body).encode(),
                headers={
                    "Authorization": service.token.header,
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
                timeout=(service.connect_seconds, service.read_seconds),
                allow_redirects=False,
                stream=True,
                verify=service.ca_bundle or True,
            )
        except requests.exceptions.ReadTimeout:
            raise _Retry("timeout", ours=True) from None
        except requests.exceptions.SSLError:
            raise WronglySet("le certificat du service n'est pas reconnu : rien ne lui a été envoyé") from None
        except (requests.RequestException, HTTPError, OSError) as problem:
            raise _Retry(f"connection:{type(problem).__name__}") from None
        with closing(answer):
            _refuse_status(answer, self.pace.now())
            text = _body(answer, service)
        return _data(text)

    def _keep_pace(self) -> None:
        if self.tally.requests >= self.service.budget_requests:
            raise PullStopped(f"le nombre de requêtes permis à cette lecture est atteint : {LATER}")
        now = self.pace.now()
        if now > self._began + self.service.budget_seconds:
            raise PullStopped(f"le temps donné à cette lecture est épuisé : {LATER}")
        self._sent = [at for at in self._sent if now - 60 < at <= now]
        if len(self._sent) >= PER_MINUTE:
            self.wait(self._sent[0] + 60 - now)
            now = self.pace.now()
        self._sent.append(now)


def _refuse_status(answer: requests.Response, now: float) -> None:
    """Whatever is no 200: wait, shrink or stop."""
    status = answer.status_code
    if 300 <= status < 400:
        raise WronglySet("le service renvoie vers une autre adresse : elle n'est pas suivie ; corrigez l'adresse configurée")
    if status == 401:
        raise WronglySet("le jeton est périmé ou révoqué : demandez-en un autre")
    if status == 403:
        raise WronglySet("accès refusé : jeton inconnu, ou réseau d'appel qui n'est pas permis à ce jeton")
    if status == 429:
        raise _Retry("429", wait=_until_reset(answer, now), limited=True)
    if status == 500:
        raise _Retry("500", ours=True)
    if status == 504:
        raise _Retry("timeout", ours=True)
    if status == 408 or status > 500:
        raise _Retry(str(status))
    if status != 200:
        raise WronglySet(f"le service refuse la requête (code {status}) : ecluse et le service ne se comprennent plus")


def _until_reset(answer: requests.Response, now: float) -> float | None:
    """Seconds until the instant that the service gives; None when it gives none that can be read."""
    told = answer.headers.get("RateLimit-Reset", "")
    if not told.isascii() or not told.isdigit() or len(told) > 12:
        return None
    return min(max(int(told) - now, MIN_WAIT), MAX_WAIT)


def _body(answer: requests.Response, service: Service) -> bytes:
    """The whole body, within the size and the time allowed."""
    until = time.monotonic() + service.answer_seconds
    parts, size = [], 0
    try:
        while chunk := answer.raw.read1(CHUNK, decode_content=True):
            size += len(chunk)
            if size > service.answer_bytes:
                raise _Retry("too_large", ours=True)
            if time.monotonic() > until:
                raise _Retry("timeout", ours=True)
            parts.append(chunk)
    except (HTTPError, OSError, EOFError) as problem:
        slow = "Timeout" in type(problem).__name__
        raise _Retry("timeout" if slow else "cut_short", ours=slow) from None
    return b"".join(parts)


_CODES = {"unauthorized", "forbidden", "deprecated_token", "bad_request", "graphql_parse_failed"}


def _data(text: bytes) -> dict[str, Any]:
    """The ``data`` of an answer; nothing of one that has errors, whatever else it holds."""
    try:
        answer = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        raise _Retry("no_json", ours=True) from None
    if not isinstance(answer, dict):
        raise _Retry("no_json", ours=True)
    if answer.get("errors"):
        codes = _codes_of(answer["errors"])
        if "not_found" in codes:
            raise NotFound
        refused = sorted(codes & _CODES)
        if refused:
            raise WronglySet(f"le service refuse ({refused[0]}) : démarche hors de la portée du jeton, ou jeton ancien")
        if not codes and answer.get("data") is None:
            raise WronglySet("le service ne comprend pas la requête : son schéma a changé, ecluse est à mettre à jour")
        raise _Retry(sorted(codes)[0] if codes else "errors", ours=True)
    data = answer.get("data")
    if not isinstance(data, dict):
        raise _Retry("no_data", ours=True)
    return data


KNOWN_CODES = _CODES | {"not_found", "timeout", "invalid_null", "internal_server_error"}


def _codes_of(errors: Any) -> set[str]:
    found: set[str] = set()
    for error in errors if isinstance(errors, list) else []:
        told = error.get("extensions") if isinstance(error, dict) else None
        code = told.get("code") if isinstance(told, dict) else None
        if isinstance(code, str):
            found.add(code if code in KNOWN_CODES else "other_error")
    return found


def instant(text: str) -> datetime:
    """An instant as the service prints it. ValueError when it has no offset."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return found
