"""Attached files: fetched once, from public addresses of allowed hosts only, checked, and their addresses told to nobody."""

import hashlib
import io
import ipaddress
import json
import logging
import os
import signal
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from demarches import TEAM, Bench, platform

from connectors import demarches_attachments as attachments
from connectors import simulator_forms as forms
from connectors.attached_kinds import STORED_KINDS, sniff
from connectors.demarches_attachments import LEDGER, STATUSES_FR, Attachment, Hosts, Ledger, fetch, is_public, wanted
from connectors.demarches_frames import declared
from connectors.simulator_demarches import TOKEN, Simulator
from connectors.simulator_platform import Piece
from contracts_schema.demarches_mappings import mappings

Fault = Callable[[Any, bytes], None]


@dataclass
class Store:
    """What was put, by sha256."""

    held: dict[str, bytes] = field(default_factory=dict)
    puts: int = 0

    def put(self, chunks: Any) -> str:
        content = b"".join(chunks)
        self.puts += 1
        sha256 = hashlib.sha256(content).hexdigest()
        self.held[sha256] = content
        return sha256


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Two dossiers, the same team: four pieces of members and one document, the same in both."""
    with Simulator(platform()) as service:
        found = Bench(service, tmp_path)
        found.fill(2)
        found.deliver()
        service.restart_count()
        yield found


def bring(bench: Bench, store: Store, **changes: Any) -> Counter[str]:
    assert bench.head
    hosts = {"allowed": frozenset(["127.0.0.1"]), "local": True, "seconds": 20} | changes.pop("hosts", {})
    return fetch(
        bench.settled(),
        bench.demarche,
        wanted(bench.head),
        bench.folder / "files",
        store.put,
        Hosts(**hosts),
        bench.pace(),
        **changes,
    )


def file_answer(status: int, body: bytes = b"", **headers: str) -> Fault:
    return lambda handler, _: handler.reply(status, body, "application/octet-stream", headers)


def test_each_content_is_fetched_once_and_stored_by_its_hash(bench: Bench) -> None:
    store = Store()
    assert bring(bench, store) == {"stored": 10}
    assert len(bench.service.seen.files) == len(store.held) == store.puts == 5, "the second dossier has copies"
    assert len(bench.service.seen.api) == 1
    assert {sniff(io.BytesIO(content)) for content in store.held.values()} == {"pdf"}
    assert bring(bench, store) == {"stored": 10}
    assert len(bench.service.seen.files) == 5, "nothing twice, ever"
    assert len(bench.service.seen.api) == 1


def test_the_token_is_not_sent_to_the_host_of_files(bench: Bench) -> None:
    bring(bench, Store())
    sent = [headers for path, headers in bench.service.seen.headers if path.startswith("/files/")]
    assert len(sent) == 5
    assert all(set(headers) == {"Host", "Accept-Encoding", "User-Agent"} for headers in sent)


def test_addresses_are_told_to_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.service.file_faults = {2: file_answer(500), 4: file_answer(403)}
    store = Store()
    bring(bench, store)
    kept = [path.read_text(encoding="utf-8") for path in bench.folder.rglob("*") if path.is_file()]
    for text in [caplog.text, *kept]:
        assert "signature=" not in text
        assert "/files/" not in text
        assert TOKEN not in text


def test_c11_an_address_older_than_an_hour_is_asked_for_again(bench: Bench) -> None:
    store = Store()

    def slow(handler: Any, content: bytes) -> None:
        bench.platform.advance(3700)
        handler.reply(200, content, "application/pdf", {})

    bench.service.file_faults = {1: slow}
    assert bring(bench, store) == {"stored": 10}
    assert len(bench.service.seen.api) == 2


def test_an_address_that_expired_early_is_asked_for_again_once(bench: Bench) -> None:
    bench.service.file_faults = {2: file_answer(403, b"<Error>expired</Error>")}
    assert bring(bench, Store()) == {"stored": 10}
    assert len(bench.service.seen.api) == 2
    bench.service.restart_count()


def test_a_file_that_fails_stops_no_other_and_is_fetched_later(bench: Bench) -> None:
    store = Store()
    bench.service.file_faults = {1: file_answer(500), 6: file_answer(500)}
    assert bring(bench, store) == {"unreachable": 2, "stored": 8}, "the copy was tried too"
    assert bring(bench, store) == {"stored": 10}


@pytest.mark.parametrize("cut", [lambda content: content[:-1], lambda content: content + b"x", lambda content: content[::-1]])
def test_what_does_not_match_its_checksum_is_not_stored_and_its_member_waits(
    bench: Bench, cut: Callable[[bytes], bytes]
) -> None:
    store = Store()
    wrong = {
        number: (lambda handler, content: handler.reply(200, cut(content), "application/pdf", {})) for number in range(1, 40)
    }
    bench.service.file_faults = dict(wrong)
    assert bring(bench, store) == {"mismatch": 10}
    assert store.held == {}
    assert bench.head
    doubtful = Ledger.read(bench.folder / "files").doubtful()
    members = declared([bench.head], mappings(), doubtful).frames["member"]
    assert members["piece_pending"].to_list() == [True] * 4
    bench.service.file_faults = {}
    assert bring(bench, store) == {"stored": 10}
    assert Ledger.read(bench.folder / "files").doubtful() == frozenset()


def test_a_body_that_is_cut_or_too_slow_costs_a_bounded_time(bench: Bench) -> None:
    def short(handler: Any, content: bytes) -> None:
        handler.trickle(content[:5], len(content), 0)

    def slow(handler: Any, content: bytes) -> None:
        handler.trickle(content, len(content), 0.1)

    bench.service.file_faults = {1: short, 2: short, 3: slow, 4: slow}
    counts = bring(bench, Store(), hosts={"seconds": 2})
    assert counts.total() == 10
    assert counts["unreachable"] >= 2
    assert counts["stored"] >= 5, "those that follow"
    assert Ledger.read(bench.folder / "files").doubtful() == frozenset(), "a line that was cut says nothing about the file"


def test_sizes_are_capped_before_and_while_reading(bench: Bench) -> None:
    assert bring(bench, Store(), hosts={"cap": 30}) == {"too_large": 10}
    assert bench.service.seen.files == []


def test_a_file_that_says_more_than_it_said_is_dropped_as_it_comes(bench: Bench) -> None:
    sent: list[int] = []

    def endless(handler: Any, content: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(10_000):
            sent.append(handler.wfile.write(b"x" * 65_536))

    bench.service.file_faults = {1: endless, 2: endless}
    assert bring(bench, Store())["mismatch"] == 1
    assert sum(sent) < 100 << 20


@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_redirection_is_followed(bench: Bench, status: int) -> None:
    for target in ("file:///etc/passwd", "http://169.254.169.254/latest", f"http://127.0.0.1:{bench.service.port}/files/x"):
        bench.service.restart_count()
        (bench.folder / "files" / LEDGER).unlink(missing_ok=True)
        bench.service.file_faults = {1: file_answer(status, Location=target)}
        assert bring(bench, Store())["unreachable"] == 1


PUBLIC = "93.184.216.34"
REFUSED = {
    "another host": "https://evil.example/f",
    "plain http": "http://files.example/f",
    "an odd port": "https://files.example:8443/f",
    "credentials": "https://user:pass@files.example/f",
    "a file": "file:///etc/passwd",
    "an address in decimal": "https://2130706433/f",
    "an address": "https://127.0.0.1/f",
    "a host in disguise": "https://files.example@evil.example/f",
    "a host that ends alike": "https://xfiles.example/f",
    "a port that is none": "https://files.example:99999/f",
    "no host": "https:///f",
    "a line in the path": "https://files.example/f\r\nHost: evil",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_addresses_of_other_places_are_refused_before_anything_is_resolved(kind: str) -> None:
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with pytest.raises(attachments._Refused) as refusal:
        list(attachments._download(REFUSED[kind], Hosts(frozenset(["files.example"])), resolve))
    assert refusal.value.status == "refused_address"
    assert asked in ([], ["files.example"])
    assert "evil" not in asked


NOT_PUBLIC = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_to_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(attachments._Refused) as refusal:
        list(
            attachments._download("https://files.example/f", Hosts(frozenset(["files.example"])), lambda *_: [PUBLIC, address])
        )
    assert refusal.value.status == "refused_address"


def test_public_addresses_are_public() -> None:
    assert all(is_public(ipaddress.ip_address(one)) for one in (PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"))


def test_a_name_is_resolved_once_and_what_was_checked_is_what_is_reached(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers otherwise the second time, as in a rebinding: there is no second time."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    reached: list[Any] = []
    create = attachments.socket.create_connection

    def connect(address: Any, *rest: Any) -> Any:
        reached.append(address[0])
        return create(address, *rest)

    monkeypatch.setattr(attachments.socket, "create_connection", connect)
    url = f"http://files.example:{bench.service.port}/files/x"
    with pytest.raises(attachments._Refused) as refusal:
        list(attachments._download(url, Hosts(frozenset(["files.example"]), local=True), lambda *_: answers.pop(0)))
    assert refusal.value.status == "unreachable", "it was reached, and the file refused: the signature is none"
    assert reached == ["127.0.0.1"]
    assert len(answers) == 1
    assert bench.service.seen.headers[-1][1]["Host"] == f"files.example:{bench.service.port}"


def test_local_addresses_are_for_the_simulator_and_no_other_private_ones() -> None:
    with pytest.raises(attachments._Refused):
        list(
            attachments._download(
                "http://files.example/f", Hosts(frozenset(["files.example"]), local=True), lambda *_: ["10.0.0.1"]
            )
        )


def test_a_piece_that_the_scanner_holds_waits_and_an_infected_one_is_gone(bench: Bench) -> None:
    store = Store()
    bench.platform.replace_piece(1, 120, scan="pending")
    bench.platform.replace_piece(2, 120, scan="infected")
    assert bring(bench, store) == {"stored": 8, "unsafe": 1, "gone": 1}
    bench.platform.replace_piece(1, 120, scan="safe")
    assert bring(bench, store)["stored"] == 9 + 1, "and the other is a copy of it"


def test_a_dossier_that_is_shown_no_more_leaves_its_files(bench: Bench) -> None:
    bench.platform.expire(2)
    bench.platform.dossiers[2].answers[120] = [Piece("other.pdf", b"%PDF- other")]
    assert bring(bench, Store()) == {"stored": 10}
    bench.platform.expire(1)
    (bench.folder / "files" / LEDGER).unlink()
    assert bring(bench, Store()) == {"gone": 10}


def test_files_of_deleted_dossiers_are_not_asked_for(bench: Bench) -> None:
    bench.platform.hide(1)
    bench.platform.purge(1)
    bench.deliver()
    assert bench.head
    assert {one.number for one in wanted(bench.head)} == {2}


def test_killed_between_store_and_ledger_a_file_is_fetched_again_and_nothing_is_lost(bench: Bench) -> None:
    for place in (1, 2, 5, 6):
        folder = bench.folder / f"killed-{place}"
        child = os.fork()
        if not child:
            calls = iter(range(1, 99))

            def reached(_: str, calls: Iterator[int] = calls, place: int = place) -> None:
                if next(calls) == place:
                    os.kill(os.getpid(), signal.SIGKILL)

            try:
                Bench(bench.service, folder, head=bench.head)
                bring(replace(bench, folder=folder), Store(), reached=reached)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        bench.service.restart_count()
        store = Store()
        assert bring(replace(bench, folder=folder), store) == {"stored": 10}
        assert store.puts == 5 - place // 2
        lines = [json.loads(line) for line in (folder / "files" / LEDGER).read_bytes().splitlines()]
        assert len(lines) == len({json.dumps(line["attachment"]) for line in lines}) == 10


def test_a_torn_ledger_is_mended(bench: Bench) -> None:
    store = Store()
    bring(bench, store)
    ledger = bench.folder / "files" / LEDGER
    ledger.write_bytes(ledger.read_bytes()[:-40])
    assert bring(bench, store) == {"stored": 10}
    assert store.puts == 5


def test_every_status_has_a_word() -> None:
    assert set(attachments.FINAL) < set(STATUSES_FR)


# --- kinds


def archive(*names: str, mimetype: str | None = None) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, mimetype if mimetype and name == "mimetype" else "x")
    return content.getvalue()


TYPES = "[Content_Types].xml"
KINDS = {
    "pdf": b"%PDF-1.7\n", "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "tiff": b"II*\x00",
    "webp": b"RIFF\0\0\0\0WEBPVP8 ", "heic": b"\0\0\0\x18ftypheic", "text": "Attestation signée\r\nle 3 août".encode("cp1252"),
    "docx": archive(TYPES, "word/document.xml"), "xlsx": archive(TYPES, "xl/workbook.xml"),
    "odf": archive("mimetype", "content.xml", mimetype="application/vnd.oasis.opendocument.text"),
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "program": b"MZ\x90\0", "zip": archive("a.pdf"),
    "macro": archive(TYPES, "xl/workbook.xml", "xl/vbaProject.bin"), "markup": b"\n <svg onload=alert(1)>",
    "unknown": b"PK\x03\x04 broken",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_what_its_bytes_say(kind: str) -> None:
    assert sniff(io.BytesIO(KINDS[kind])) == kind


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01", b"  \n", b"<!DOCTYPE html>", b"#!/bin/sh\n", b"\x7fELF\x02", b"\x1b[31mred"]
)
def test_what_is_no_document_is_not_stored(content: bytes) -> None:
    assert sniff(io.BytesIO(content)) not in STORED_KINDS


def test_a_program_sent_as_a_pdf_is_set_aside_and_not_fetched_again(bench: Bench) -> None:
    answers = forms.answers(forms.NATIONAL, replace(TEAM, document=(Piece("document.pdf", b"MZ program"),)))
    bench.platform.deposit(forms.NATIONAL, answers)
    bench.deliver()
    store = Store()
    assert bring(bench, store)["refused_type"] == 1
    fetched = len(bench.service.seen.files)
    assert bring(bench, store)["refused_type"] == 1
    assert len(bench.service.seen.files) == fetched
    assert b"MZ program" not in store.held.values()
    assert (
        Attachment(3, "Q2hhbXAtMTIw", hashlib.md5(b"MZ program").hexdigest(), 10)
        in Ledger.read(bench.folder / "files").outcomes
    )
