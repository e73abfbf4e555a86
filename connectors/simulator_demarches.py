"""A real HTTP server that speaks as the platform of forms does, with faults on demand. For tests and for the demo only.

The faults are scripted by the number of the request, from 1. Synthetic data only; never to be reached from another machine.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connectors.simulator_graphql import GraphError, QueryRefused, Runner, Selection, parse
from connectors.simulator_platform import Piece, Platform
from connectors.simulator_schema import root

API = "/api/v2/graphql"
TOKEN = "jeton-de-demonstration"  # noqa: S105
PER_MINUTE = 400
HOUR = 3600
_parsed = lru_cache(maxsize=64)(parse)


@dataclass
class Exchange:
    """One request to the API and the answer that it deserves; a fault decides what really goes over the wire."""

    handler: "Handler"
    number: int
    asked: dict[str, Any]
    status: int
    answer: dict[str, Any]

    @property
    def body(self) -> bytes:
        return json.dumps(self.answer, ensure_ascii=False).encode()

    def send(self, status: int = 200, body: bytes | None = None, content: str = "application/json", **headers: str) -> None:
        """Answer for good. A header's name is written with ``_`` for ``-``."""
        self.handler.reply(status, self.body if body is None else body, content, headers)

    def cut(self) -> None:
        """Close the connection at once, as a reset."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.handler.close_connection = True
        self.handler.connection.close()


Fault = Callable[[Exchange], None]


@dataclass
class Seen:
    """What the server saw, for tests: the API's requests in order, those for files, and every header of both."""

    api: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    headers: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)


class Simulator:
    """``with Simulator(platform) as service``: answers at ``service.url`` until the end of the block."""

    def __init__(self, platform: Platform, token: str = TOKEN, per_minute: int = PER_MINUTE) -> None:
        self.platform = platform
        self.token = token
        self.expired_tokens: set[str] = set()
        self.per_minute = per_minute
        self.faults: dict[int, Fault] = {}
        self.before: dict[int, Callable[[], None]] = {}
        """What happens on the platform just before it answers the request of that number."""
        self.file_faults: dict[int, Callable[[Handler, bytes], None]] = {}
        self.seen = Seen()
        self._lock = threading.Lock()
        self._minute = (0, 0)
        self._shown: dict[tuple[Any, int], tuple[Selection, Any]] = {}
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{API}"

    def __enter__(self) -> "Simulator":
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.deaf()

    def listen(self) -> None:
        """Begin to listen, on the port had before if there was one."""
        handler = type("Bound", (Handler,), {"service": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def deaf(self) -> None:
        """Stop listening: connections are refused until ``listen``."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def restart_count(self) -> None:
        """The next request is number 1 again, without faults."""
        self.seen = Seen()
        self.faults, self.before, self.file_faults = {}, {}, {}

    def answer(self, handler: "Handler", asked: dict[str, Any]) -> None:
        """Answer one request to the API, or let its fault do so."""
        with self._lock:  # one at a time: the platform is no thread's own
            self.seen.api.append(asked)
            number = len(self.seen.api)
            if happens := self.before.pop(number, None):
                happens()
            status, answer = self._truth(handler.headers.get("Authorization", ""), asked)
        exchange = Exchange(handler, number, asked, status, answer)
        fault = self.faults.pop(number, None)
        if fault:
            exchange.answer = deepcopy(answer)  # what it holds may be shown again
            fault(exchange)
        elif status == 429:
            reset = (int(self.platform.now.timestamp()) // 60 + 1) * 60
            exchange.send(429, b"Retry later\n", "text/plain", RateLimit_Remaining="0", RateLimit_Reset=str(reset))
        else:
            exchange.send(status)

    def _truth(self, authorization: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        told = authorization.removeprefix("Bearer ").removeprefix("token=")
        if told in self.expired_tokens:
            return 401, _errors("Token expired", "unauthorized")
        if told != self.token:  # missing or unknown: anonymous
            return 403, _errors("Without a token, only persisted queries are allowed", "forbidden")
        minute = int(self.platform.now.timestamp()) // 60
        self._minute = (minute, self._minute[1] + 1 if self._minute[0] == minute else 1)
        if self._minute[1] > self.per_minute:
            return 429, {}
        try:
            runner = Runner(_parsed(asked.get("query") or ""), asked.get("variables") or {}, self._memo)
            return 200, {"data": runner.run(asked.get("operationName") or "", root(self.platform, self.signed))}
        except QueryRefused as refusal:
            return 200, {"errors": [{"message": str(refusal)}]}
        except GraphError as error:
            return 200, {**_errors(str(error), error.code), "data": None}

    def _memo(self, node: Mapping[str, Any], selection: Selection, run: Callable[[], Any]) -> Any:
        """A dossier without files is shown once for each state that it was in: large walks are asked for again and again."""
        if "__same" not in node:
            return run()
        key = (node["__same"], id(selection))
        kept = self._shown.get(key)
        if kept is None or kept[0] is not selection:
            kept = (selection, run())
            if '"url"' not in json.dumps(kept[1]):
                self._shown[key] = kept
        return kept[1]

    def signed(self, piece: Piece) -> str:
        """The address of a file, good for one hour of the platform's time."""
        expires = int(self.platform.now.timestamp()) + HOUR
        return f"http://127.0.0.1:{self.port}/files/{piece.id}?expires={expires}&signature={self._signature(piece.id, expires)}"

    def _signature(self, name: str, expires: int) -> str:
        return hashlib.sha256(f"{self.token}/{name}/{expires}".encode()).hexdigest()[:32]

    def give_file(self, handler: "Handler") -> None:
        """Give a file to who shows a signature that still holds."""
        address = urlsplit(handler.path)
        told = {name: values[0] for name, values in parse_qs(address.query).items()}
        name = address.path.rpartition("/")[2]
        with self._lock:
            self.seen.files.append(name)
            number = len(self.seen.files)
        expires = int(told.get("expires", "0"))
        right = told.get("signature") == self._signature(name, expires) and expires > self.platform.now.timestamp()
        piece = self._pieces().get(name)
        if fault := self.file_faults.pop(number, None):
            fault(handler, piece.content if piece else b"")
        elif not right or piece is None:
            handler.reply(403, b"<Error>expired</Error>", "application/xml", {})
        else:
            handler.reply(200, piece.content, piece.type, {})

    def _pieces(self) -> dict[str, Piece]:
        found: dict[str, Piece] = {}

        def look(value: Any) -> None:
            if isinstance(value, Piece):
                found[value.id] = value
            elif isinstance(value, dict):
                for inner in value.values():
                    look(inner)
            elif isinstance(value, list | tuple):
                for inner in value:
                    look(inner)

        for dossier in self.platform.dossiers.values():
            look(dossier.answers)
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class Handler(BaseHTTPRequestHandler):
    """One connection; ``service`` is set by the simulator that listens."""

    service: Simulator
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.service.seen.headers.append((self.path, dict(self.headers.items())))
        try:
            asked = json.loads(body)
        except ValueError:
            self.reply(400, json.dumps(_errors("Parse error", "graphql_parse_failed")).encode(), "application/json", {})
            return
        self.service.answer(self, asked)

    def do_GET(self) -> None:
        self.service.seen.headers.append((self.path, dict(self.headers.items())))
        self.service.give_file(self)

    def reply(self, status: int, body: bytes, content: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        told = {"Content-Type": content, "Content-Length": str(len(body))}
        for name, value in (told | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, body: bytes, announced: int, pause: float) -> None:
        """Announce a length, then give the bytes one by one."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
            time.sleep(pause)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """The addresses of files are secrets: nothing is told."""


def _errors(message: str, code: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}
