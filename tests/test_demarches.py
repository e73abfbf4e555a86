"""Pulls of démarches-simplifiées: each trap of the service has a test that a simpler client would fail."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from demarches import TEAM, Bench, platform

from connectors import demarches as pulling
from connectors import demarches_client
from connectors import demarches_query as queries
from connectors import simulator_forms as forms
from connectors.demarches import Order, pull
from connectors.demarches_client import Client, Service, Token, Unanswered, WronglySet, token_from_environment
from connectors.demarches_journal import AlreadyPulling, alone
from connectors.demarches_merge import SnapshotDamaged, read_snapshot
from connectors.simulator_demarches import TOKEN, Simulator


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path)


def asked(bench: Bench, operation: str) -> list[dict[str, Any]]:
    """The variables of each request of an operation."""
    return [one["variables"] for one in bench.service.seen.api if one["operationName"] == operation]


# --- walks


def test_c01_pages_are_of_a_hundred_at_most_whatever_is_asked(bench: Bench) -> None:
    bench.fill(250)
    found = bench.deliver(page=500)
    assert [told["first"] for told in asked(bench, "dossiers")] == [100, 100, 100]
    assert sorted(bench.snapshot().dossiers) == list(range(1, 251))
    assert found.report.complete
    assert found.report.requests == 6  # the form, three pages, two lists


def test_c02_a_dossier_that_changes_between_two_pages_is_seen_twice_and_kept_once(bench: Bench) -> None:
    bench.fill(6)
    bench.service.before[3] = lambda: bench.platform.settle(1, "en_instruction")
    found = bench.deliver(page=3)
    assert found.report.read == 6
    assert sorted(bench.snapshot().dossiers) == [1, 2, 3, 4, 5, 6]
    assert bench.snapshot().dossiers[1]["state"] == "en_instruction"


def test_a_change_behind_the_walk_is_found_by_the_next_pull_and_not_lost(bench: Bench) -> None:
    bench.fill(4, seconds=3600)
    bench.deliver()
    late = bench.platform.now - timedelta(minutes=5)
    bench.platform.advance(3600)
    bench.platform.settle(4, "accepte")
    bench.deliver()
    bench.platform.dossiers[2].updated = bench.platform.now - timedelta(minutes=5)  # committed behind the watermark
    bench.platform.dossiers[2].state = "en_instruction"
    bench.platform.dossiers[2].stamp += 1
    bench.deliver()
    assert late
    assert bench.snapshot().dossiers[2]["state"] == "en_instruction"


def test_what_was_committed_later_than_the_overlap_is_found_by_the_walk_of_numbers(bench: Bench) -> None:
    bench.fill(3, seconds=3600)
    bench.deliver()
    dossier = bench.platform.dossiers[1]
    dossier.updated, dossier.state = bench.platform.now - timedelta(hours=1, minutes=50), "refuse"
    dossier.stamp += 1
    bench.deliver()
    assert bench.snapshot().dossiers[1]["state"] == "en_construction", "behind any cursor"
    found = bench.deliver(numbers=True)
    assert bench.snapshot().dossiers[1]["state"] == "refuse"
    assert found.report.changed == 1


def test_c03_an_empty_page_leaves_the_watermark_where_it_was(bench: Bench) -> None:
    bench.fill(3)
    first = bench.deliver()
    bench.platform.advance(86_400)
    again = bench.deliver()
    assert again.sha256 == first.sha256
    bench.platform.dossiers.clear()  # nothing at all is given any more, and no list says why
    bench.deliver()
    assert bench.snapshot().header["walked_to"] == read_snapshot(first.path).header["walked_to"]
    assert sorted(bench.snapshot().dossiers) == [1, 2, 3]


def test_an_empty_demarche_is_read_completely(bench: Bench) -> None:
    found = bench.deliver()
    assert (found.report.dossiers, found.report.complete, found.report.requests) == (0, True, 4)
    bench.fill(2)
    assert bench.deliver().report.added == 2


def test_c04_a_new_revision_moves_open_dossiers_without_a_date_and_they_are_all_read_again(bench: Bench) -> None:
    bench.fill(5, seconds=3600)
    for number in (1, 2):
        bench.platform.settle(number, "accepte")
    bench.platform.settle(3, "en_instruction")
    bench.deliver()
    before = bench.snapshot()
    bench.platform.advance(86_400)
    bench.platform.publish(forms.NATIONAL, "Déclaration", forms.national(2))
    found = bench.deliver()
    assert found.report.new_revision
    revisions = {number: record["revision"] for number, record in bench.snapshot().dossiers.items()}
    first, second = (one["id"] for one in bench.snapshot().header["revisions"])
    assert revisions == {1: first, 2: first, 3: second, 4: second, 5: second}
    for number in (3, 4, 5):
        record = bench.snapshot().dossiers[number]
        assert record["modified_at"] == before.dossiers[number]["modified_at"]
        assert record["champs"] == before.dossiers[number]["champs"], "the declaration is the same under another revision"
        assert record["earlier"] == []
    assert not bench.deliver().report.new_revision


def test_c05_a_hidden_dossier_is_withdrawn_once_on_the_day_of_its_hiding(bench: Bench) -> None:
    bench.fill(3)
    bench.deliver()
    bench.platform.advance(86_400)
    bench.platform.hide(2)
    hidden = bench.platform.dossiers[2].hidden_by_user
    assert hidden
    assert bench.deliver().report.deleted == 1
    assert bench.snapshot().dossiers[2]["deletion"]["list"] == "pending"
    day = bench.snapshot().dossiers[2]["deletion"]["at"]
    bench.platform.advance(14 * 86_400)
    bench.fill(1)
    bench.platform.hide(4)
    bench.platform.purge(4)  # a later deletion, seen first: a cursor by date would be past the other
    bench.deliver()
    bench.platform.purge(2)
    found = bench.deliver()
    deletion = bench.snapshot().dossiers[2]["deletion"]
    assert (deletion["list"], deletion["at"], deletion["reason"]) == ("deleted", day, "user_request")
    assert found.report.deleted == 0, "known already"
    assert asked(bench, "deleted")[-1]["since"] < hidden.isoformat()


def test_c06_a_deletion_taken_back_withdraws_nothing_and_is_remembered(bench: Bench) -> None:
    bench.fill(2)
    bench.platform.hide(1)
    bench.deliver()
    assert bench.snapshot().dossiers[1]["deletion"]["list"] == "pending"
    bench.platform.advance(3 * 86_400)
    bench.platform.restore(1)
    found = bench.deliver()
    record = bench.snapshot().dossiers[1]
    assert found.report.restored == 1
    assert record["deletion"] is None
    assert [one["reason"] for one in record["restored"]] == ["user_request"]
    assert record["restored"][0]["seen_on"] == "2022-07-23"
    assert record["champs"]


def test_a_hidden_dossier_that_then_vanishes_stays_withdrawn_and_is_asked_for_once(bench: Bench) -> None:
    bench.fill(2)
    bench.platform.hide(1)
    bench.deliver()
    bench.platform.expire(1)
    assert [bench.deliver().report.requests for _ in range(3)] == [5, 4, 4]
    record = bench.snapshot().dossiers[1]
    assert (record["deletion"]["list"], record["absent_on"]) == ("pending", "2022-07-20")


def test_c07_a_dossier_in_no_list_is_no_longer_visible_and_never_withdrawn(bench: Bench) -> None:
    bench.fill(3)
    bench.deliver()
    bench.platform.advance(86_400)
    bench.platform.expire(2)
    assert bench.deliver().report.absent == 0, "an incremental pull cannot know"
    found = bench.deliver(numbers=True)
    record = bench.snapshot().dossiers[2]
    assert (found.report.absent, record["absent_on"], record["deletion"]) == (1, "2022-07-21", None)
    assert bench.deliver(numbers=True).report.requests == found.report.requests - 1, "asked for once, when it vanished"
    bench.platform.dossiers[2].expired = False
    bench.deliver(mode="full")
    assert bench.snapshot().dossiers[2]["absent_on"] is None


def test_a_mass_of_dossiers_that_vanish_is_a_fault_of_the_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "MANY", 3)
    bench.fill(8)
    first = bench.deliver()
    bench.platform.advance(86_400)
    for number in range(1, 6):
        bench.platform.expire(number)
    found = bench.deliver(numbers=True)
    assert (found.report.many_absent, found.report.absent, found.report.complete) == (5, 0, False)
    assert bench.snapshot().header["completed_on"] == read_snapshot(first.path).header["completed_on"]


def test_c15_another_type_name_for_the_same_answer_is_no_change_of_the_declaration(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fill(2)
    bench.deliver()
    before = bench.snapshot()
    older = queries.DOSSIERS.replace("  ... on DropDownListChamp { text: value }\n", "")
    older = older.replace("  ... on YesNoChamp { bool: value }\n", "").replace(
        "  ... on DepartementChamp { departement { code } }\n", ""
    )
    assert older != queries.DOSSIERS
    monkeypatch.setattr(queries, "DOSSIERS", older)
    monkeypatch.setattr(queries.digest, "__defaults__", (older,))
    found = bench.deliver()
    assert found.report.mode == "full", "another query is another way of seeing: everything is read again"
    assert {n: r["champs"] for n, r in bench.snapshot().dossiers.items()} == {
        n: r["champs"] for n, r in before.dossiers.items()
    }


def test_a_new_deposit_of_a_correction_keeps_what_was_declared_before_with_its_dates(bench: Bench) -> None:
    bench.fill(1)
    bench.deliver()
    bench.platform.advance(5 * 86_400)
    bench.platform.ask_correction(1)
    bench.deliver()
    bench.platform.edit(1, {106: [forms.PROTOCOLS["CYSTITE"], forms.PROTOCOLS["ODYNO"]]})
    bench.deliver()
    assert bench.snapshot().dossiers[1]["earlier"] == [], "what is typed before the new deposit is not seen"
    bench.platform.advance(86_400)
    bench.platform.redeposit(1)
    bench.deliver()
    record = bench.snapshot().dossiers[1]
    assert [one["since"] for one in record["earlier"]] == [None]
    assert record["since"] == record["built_at"] == "2022-07-26T10:01:00+02:00"
    assert record["deposited_at"] == "2022-07-20T10:00:00+02:00", "the legal date does not move"


def test_only_chosen_champs_are_kept_and_another_choice_reads_everything_again(bench: Bench) -> None:
    bench.fill(2)
    bench.deliver(keep=frozenset(["Q2hhbXAtMTAx", "Q2hhbXAtMTE2", "Q2hhbXAtMTEw"]))
    text = bench.head.read_text(encoding="utf-8") if bench.head else ""
    assert "NOMFICTIF" not in text
    assert "99900000011" in text
    assert bench.deliver(keep=frozenset(["Q2hhbXAtMTAx", "Q2hhbXAtMTEy"])).report.mode == "full"


def test_an_unknown_type_of_champ_is_read_by_its_text_and_flagged(bench: Bench) -> None:
    fields = tuple(forms.Field(one.stable, "RpnsChamp", one.label) if one.stable == 103 else one for one in forms.national())
    bench.platform.publish(forms.NATIONAL, "Déclaration", fields)
    bench.fill(1)
    found = bench.deliver()
    assert found.report.unknown_types == ["RpnsChamp"]
    champ = next(one for one in bench.snapshot().dossiers[1]["champs"] if one["id"] == "Q2hhbXAtMTAz")
    assert champ == {"id": "Q2hhbXAtMTAz", "text": TEAM.name, "unknown": "RpnsChamp"}


def test_the_verdict_of_the_scanner_is_learnt_though_no_instant_moves(bench: Bench) -> None:
    bench.fill(3, seconds=3600)
    bench.platform.replace_piece(2, 120, scan="pending")
    bench.deliver()
    bench.platform.advance(86_400)
    bench.platform.replace_piece(2, 120, scan="safe")
    found = bench.deliver()
    assert (found.report.requests, found.report.changed) == (5, 1)
    assert bench.snapshot().dossiers[2]["earlier"] == [], "the declaration is the same"
    assert bench.deliver().report.requests == 4, "once known, it is not asked for again"


def test_a_new_deposit_that_changes_nothing_but_a_verdict_of_the_scanner_is_no_other_declaration(bench: Bench) -> None:
    bench.fill(1)
    bench.platform.replace_piece(1, 120, scan="pending")
    bench.deliver()
    bench.platform.advance(86_400)
    bench.platform.replace_piece(1, 120, scan="safe")
    bench.platform.redeposit(1)
    bench.deliver()
    assert bench.snapshot().dossiers[1]["earlier"] == []


# --- one dossier that fails


@pytest.mark.parametrize("code", ["internal_server_error", "invalid_null", "timeout"])
def test_one_dossier_that_always_fails_stops_no_other_and_is_read_when_it_can_be(bench: Bench, code: str) -> None:
    bench.fill(40)
    bench.platform.dossiers[17].broken = code
    found = bench.deliver()
    assert (found.report.failed, found.report.complete, found.report.read) == (1, False, 39)
    assert bench.snapshot().header["failed"] == [17]
    assert bench.snapshot().header["completed_on"] is None, "absence of a declaration proves nothing yet"
    bench.platform.dossiers[17].broken = None
    found = bench.deliver()
    assert (found.report.added, found.report.failed, found.report.complete) == (1, 0, False)
    assert bench.deliver(numbers=True).report.complete
    assert 17 in bench.snapshot().dossiers


def test_c10_the_page_shrinks_when_the_service_has_no_time_for_it_and_grows_again(bench: Bench) -> None:
    bench.fill(60)
    bench.service.faults[2] = lambda exchange: exchange.send(
        body=json.dumps({"errors": [{"message": "Timeout", "extensions": {"code": "timeout"}}], "data": None}).encode()
    )
    found = bench.deliver(page=8)
    pages = asked(bench, "dossiers")
    assert [told["first"] for told in pages[:7]] == [8, 4, 4, 4, 4, 8, 8]
    assert pages[0]["after"] is pages[1]["after"] is None, "the same cursor"
    assert found.report.read == 60


# --- waits


def test_c08_too_many_requests_waits_for_the_reset_or_a_floor_or_its_own_back_off(bench: Bench) -> None:
    bench.fill(1)
    now = int(bench.platform.now.timestamp())

    def refused(**headers: str) -> Any:
        return lambda exchange: exchange.send(429, b"Retry later\n", "text/plain", **headers)

    bench.service.faults = {
        1: refused(RateLimit_Reset=str(now + 20)),
        2: refused(RateLimit_Reset=str(now - 100)),
        3: refused(),
        4: refused(RateLimit_Reset="99999999999"),
        5: refused(RateLimit_Reset="soon"),
    }
    found = bench.deliver()
    jitter = 0.5
    assert bench.slept == [pytest.approx(20 + jitter, abs=0.1), 1 + jitter, 4, 120, 16]
    assert found.report.attempts_failed == {"429": 5}


def test_a_service_that_always_refuses_is_left_in_peace(bench: Bench) -> None:
    bench.service.per_minute = -1
    with pytest.raises(pulling.PullStopped, match="429"):
        bench.deliver()
    assert len(bench.service.seen.api) == 20
    bench.service.per_minute = 400
    assert bench.deliver().report.complete


def test_no_minute_sees_more_requests_than_the_service_allows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.service.per_minute > demarches_client.PER_MINUTE
    monkeypatch.setattr(demarches_client, "PER_MINUTE", 40)
    bench.service.per_minute = 45
    bench.fill(60)
    found = bench.deliver(page=1)
    assert found.report.requests == 63
    assert found.report.attempts_failed == {}, "the service never had to refuse"
    assert found.report.seconds_waited >= 59


def test_a_run_ends_with_its_time_and_the_next_goes_on_from_there(bench: Bench) -> None:
    bench.fill(3)
    bench.settings = {"budget_seconds": 100}
    bench.service.before[2] = lambda: bench.platform.advance(101)
    with pytest.raises(pulling.PullStopped, match="temps"):
        bench.deliver()
    assert bench.deliver().report.resumed


def test_a_run_ends_with_its_budget_and_the_next_goes_on_from_there(bench: Bench) -> None:
    bench.fill(20)
    bench.settings = {"budget_requests": 5}
    for _ in range(4):
        with pytest.raises(pulling.PullStopped, match="reprendra"):
            bench.deliver(page=1)
    bench.settings = {}
    found = bench.deliver(page=1)
    assert found.report.resumed
    assert len(bench.service.seen.api) == 23, "no page twice"


# --- secrets and addresses


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_c12_a_redirection_is_not_followed_and_its_host_never_hears_of_the_token(bench: Bench, status: int) -> None:
    bench.fill(1)
    with Simulator(platform()) as other:
        bench.service.faults[1] = lambda exchange: exchange.send(status, b"", Location=other.url)
        with pytest.raises(WronglySet, match="renvoie vers une autre adresse"):
            bench.deliver()
        assert other.seen.headers == []


def test_the_token_and_signed_addresses_are_nowhere(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ECLUSE_DEMARCHES_TOKEN", f" {TOKEN}\n")
    bench.fill(3)
    service = Service(token_from_environment(), bench.service.url, local=True)
    assert TOKEN not in f"{service!r} {service.token!r} {service.token!s} {Client(service).__dict__}"
    found = bench.deliver()
    said = [str(found.report), caplog.text]
    for broken in (401, 403, 400, 302):
        bench.service.restart_count()
        bench.service.faults[1] = lambda exchange, broken=broken: exchange.send(broken, TOKEN.encode())
        with pytest.raises(WronglySet) as stopped:
            bench.pull()
        said.append(f"{stopped.value!r} {stopped.getrepr(showlocals=False)}")
    bench.service.deaf()
    with pytest.raises(pulling.PullStopped) as stopped:
        bench.pull()
    said.append(str(stopped.value))
    files = [path.read_text(encoding="utf-8") for path in bench.folder.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for text in said + files:
        assert TOKEN not in text
        assert "signature=" not in text
        assert "/files/" not in text
    assert all("url" not in one["query"].split() for one in bench.service.seen.api)
    for headers in (headers for path, headers in bench.service.seen.headers if path != "/api/v2/graphql"):
        assert "Authorization" not in headers


@pytest.mark.parametrize("value", [None, "", "  ", "deux mots", "é", "a\x00b"])
def test_a_token_that_is_none_stops_before_anything_is_sent(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {} if value is None else {"ECLUSE_DEMARCHES_TOKEN": value})
    with pytest.raises(WronglySet, match="ECLUSE_DEMARCHES_TOKEN"):
        token_from_environment()


@pytest.mark.parametrize(
    "url",
    [
        "http://demarche.numerique.gouv.fr/api/v2/graphql",
        "ftp://x/",
        "https://user:secret@host/",
        "https:///x",
        "http://10.0.0.1/",
    ],
)
def test_an_address_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(WronglySet):
        Service(Token("x"), url, local=True)


def test_plain_http_is_for_the_simulator_only() -> None:
    with pytest.raises(WronglySet, match="https"):
        Service(Token("x"), "http://127.0.0.1:1/api")


def test_neither_netrc_nor_a_proxy_of_the_environment_gets_the_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    bench.fill(1)
    assert bench.deliver().report.complete


@pytest.mark.parametrize(("kind", "said"), [("unknown", "jeton inconnu"), ("expired", "périmé")])
def test_a_token_that_does_not_open_stops_at_once(bench: Bench, kind: str, said: str) -> None:
    if kind == "expired":
        bench.service.expired_tokens.add(TOKEN)
    else:
        bench.service.token = "another"
    with pytest.raises(WronglySet, match=said):
        bench.deliver()
    assert len(bench.service.seen.api) == 1


def test_a_demarche_out_of_reach_is_an_error_of_settings(bench: Bench) -> None:
    bench.demarche = 4
    with pytest.raises(WronglySet, match="démarche 4"):
        bench.deliver()


def test_a_host_that_answers_nothing_at_all_costs_a_bounded_time(bench: Bench) -> None:
    """A connection that is never accepted: the queue of a listener that is full."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        service = Service(
            Token("x"), f"http://127.0.0.1:{full.getsockname()[1]}/", local=True, connect_seconds=0.1, read_seconds=0.1
        )
        client = Client(service, bench.pace())
        with pytest.raises((pulling.PullStopped, Unanswered)):
            client.ask(queries.FORM, "form", {"number": 1})
        assert 1 <= client.tally.requests <= 6


# --- two at once, damaged heads, counts


def test_c14_two_pulls_of_one_demarche_have_one_winner(bench: Bench) -> None:
    bench.fill(1)
    with alone(bench.folder / "work"), pytest.raises(AlreadyPulling, match="en cours"):
        bench.pull()
    assert bench.pull().report.complete


def test_a_damaged_or_foreign_head_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.fill(2)
    bench.deliver()
    assert bench.head
    for name, content in {"cut": bench.head.read_bytes()[:-20], "empty": b"", "other": b'{"kind":"x"}\n'}.items():
        damaged = tmp_path / name
        damaged.write_bytes(content)
        with pytest.raises(SnapshotDamaged):
            pull(bench.settled(), Order(forms.NATIONAL), tmp_path / "w", damaged, bench.pace())
    with pytest.raises(WronglySet, match="autre démarche"):
        pull(bench.settled(), Order(forms.DEROGATORY), tmp_path / "w", bench.head, bench.pace())


def test_a_snapshot_has_the_same_bytes_whatever_the_size_of_pages_and_the_number_of_pulls(bench: Bench) -> None:
    bench.fill(23)
    bench.platform.hide(5)
    hashes = {bench.pull(f"w{page}", page=page).sha256 for page in (1, 7, 23, 50, 100)}
    assert len(hashes) == 1
    first = bench.deliver()
    assert bench.deliver().sha256 == bench.deliver(mode="full").sha256 == first.sha256


def test_requests_are_those_that_paging_demands_and_an_incremental_pull_does_not_feel_the_total(bench: Bench) -> None:
    costs = {}
    for total in (100, 200):
        bench.fill(100, seconds=1)
        found = bench.deliver(mode="full", page=50)
        assert found.report.requests == 1 + total // 50 + 2
        bench.platform.advance(3600)
        for number in range(1, 11):
            bench.platform.write_message(number)
        bench.platform.advance(3600)
        bench.deliver()
        bench.platform.advance(3600)
        for number in range(11, 21):
            bench.platform.write_message(number)
        costs[total] = bench.deliver().report.requests
    assert costs == {100: 4, 200: 4}
