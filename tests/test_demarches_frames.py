"""Declarations from the form to the decision: filed on the simulator, pulled, mapped, then judged as the scenarios say."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from demarches import TEAM, Bench, platform
from polars.testing import assert_frame_equal
from snp_facts import FAMILIES, PEOPLE, SPEC, day, facts_of, instant, structures

from checks.dataset_facts import facts_of as facts_from_rows
from checks.snp.facts import SCHEMAS, check_facts
from checks.snp.law import default_law
from checks.snp.reconcile import reconcile
from connectors import demarches_frames
from connectors import simulator_forms as forms
from connectors.demarches import describe
from connectors.demarches_client import WronglySet
from connectors.demarches_frames import COLUMNS, NOTES_FR, Declared, declared
from connectors.demarches_mapping import misfits, propose
from connectors.demarches_merge import read_snapshot
from connectors.demarches_rows import rows
from connectors.simulator_demarches import Simulator
from connectors.simulator_platform import Field, Platform
from contracts_schema.bordereau_profiles import normalised
from contracts_schema.demarches_mappings import InvalidMapping, load, mappings, protocol_titles
from flows.law_table import as_published

Row = dict[str, Any]
MAPPINGS = mappings()
ATTESTED = as_published(("snp.tariff", "snp.window"), "texte détenu par la caisse")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path)


def read(*benches: Bench) -> Declared:
    return declared([one.head for one in benches if one.head], MAPPINGS)


def kinds(found: Declared) -> set[tuple[str, str]]:
    return {(number, kind) for number, kind in found.notes.select("number", "kind").rows()}


# --- the scenarios, through the form


def filed(entry: Row, places: Row, form: int) -> forms.Team:
    """A declaration of a scenario, as a team fills the form in."""
    place = places[entry["structure"]]
    families = FAMILIES if entry["protocols"] == "all" else entry["protocols"]
    members = []
    for role, names in (("delegate", entry.get("delegates", [])), ("delegating", entry.get("delegating", []))):
        for name in names:
            person = PEOPLE[name]
            member = forms.Member(person["rpps"], person["profession"], role)
            if name in entry.get("pieces_missing", []):
                member = replace(member, pieces=_pieces(person, "infected"))
            if name in entry.get("pieces_pending", []):
                member = replace(member, pieces=_pieces(person, "pending"))
            members.append(member)
    title = {family: title for title, family in protocol_titles().items()}
    said = " et ".join(title[family] for family in entry.get("named", [])) or None
    return forms.Team(place["siret"], entry.get("name", place["name"]), place["kind"], families, members, said=said)


def _pieces(person: Row, scan: str) -> tuple[forms.Piece, ...]:
    first = forms.Piece("engagement.pdf", f"%PDF-1.4 {person['rpps']}".encode(), scan=scan)
    return (first, forms.Piece("attestation.pdf", b"%PDF-1.4 attestation"))


def acted(bench: Bench, scenario: Row, decision: Row, form: int) -> list[Bench]:
    """Let all that a scenario tells happen on the platform until its decision, pulling when a hub would; the pulled forms."""
    until, places = day(decision["decided"]), structures(scenario)
    told: list[tuple[datetime, int, Any]] = []
    used: dict[int, Bench] = {}
    for entry in scenario["declarations"]:
        if day(entry.get("known_from", "0001-01-01")) > until:
            continue
        at = form if entry.get("form", "snp") == "snp" else forms.DIRECT_ACCESS
        target = used.setdefault(at, Bench(bench.service, bench.folder / str(at), at))
        number, answers = int(entry["dossier"]), forms.answers(at, filed(entry, places, at))
        told.append((instant(entry["deposited"]), 0, (target, "deposit", number, answers, None)))
        for event in entry.get("events", []):
            if instant(event["at"]).astimezone(UTC).date() <= until:
                told.append((instant(event["at"]), 1, (target, event["kind"], number, None, event.get("reason"))))
        for family, since in entry.get("added", {}).items():
            more = forms.answers(at, replace(filed(entry, places, at), families=[*entry["protocols"], family]))
            told.append(
                (
                    datetime.combine(day(since), datetime.min.time(), UTC) + timedelta(hours=9),
                    1,
                    (target, "add", number, more, None),
                )
            )
        if not entry.get("events"):
            told.append((instant(entry["deposited"]) + timedelta(seconds=1), 2, (target, "accepte", number, None, None)))
    for at, _, (target, kind, number, answers, reason) in sorted(told, key=lambda one: one[:2]):
        happens(target, at, kind, number, answers, reason)
    synchronised = day(decision.get("synchronised", decision["decided"]))
    bench.platform.now = datetime.combine(synchronised, datetime.min.time(), UTC) + timedelta(hours=18)
    for one in used.values() or [used.setdefault(form, Bench(bench.service, bench.folder / str(form), form))]:
        one.deliver(mode="full", keep=MAPPINGS[one.demarche].kept())
    return list(used.values())


def happens(bench: Bench, at: datetime, kind: str, number: int, answers: Any, reason: str | None) -> None:
    world: Platform = bench.platform
    world.now = at
    if kind == "deposit":
        world.deposit(bench.demarche, answers, number)
    elif kind == "add":
        bench.deliver(mode="full", keep=MAPPINGS[bench.demarche].kept())
        world.now = at
        world.edit(number, answers)
        world.redeposit(number)
    elif kind == "purged":
        world.purge(number, reason or "expired")
    elif kind == "withdrawn":
        if reason in (None, "user_request"):
            world.hide(number)
        else:
            world.purge(number, reason)
    elif kind == "correction_asked":
        world.ask_correction(number, reason or "incorrect")
    elif kind == "correction_resolved":
        world.resolve(number)
    else:
        world.settle(number, kind)


def known(scenario: Row) -> bool:
    """Whether a hub could have pulled each deletion: a dossier purged before it was ever seen tells only its number."""
    return all(event["kind"] != "purged" for entry in scenario["declarations"] for event in entry.get("events", []))


def enters_as_an_export_would(found: Declared) -> None:
    """Through the rows of the dataset of declarations nothing is lost."""
    facts = facts_from_rows("declarations", rows(found))
    for name, frame in found.frames.items():
        assert_frame_equal(facts[name].unique(), frame.unique(), check_row_order=False)


def judged(scenario: Row, decision: Row, found: Declared) -> set[tuple[str, str, int, tuple[str, ...]]]:
    enters_as_an_export_would(found)
    facts = replace(facts_of(scenario, decision), **found.frames)
    check_facts(facts)
    result = reconcile(facts, default_law(scenario.get("policies"), ATTESTED), decision["decided"])
    told = set()
    for line in result.lines.iter_rows(named=True):
        here = pl.col("line_number").is_null() | (pl.col("line_number") == line["line_number"])
        said = result.findings.filter(pl.col("bordereau_id") == line["bordereau_id"], here, ~pl.col("note"))
        names = {f"{row['rule'][4:]} {'mention' if row['mention'] else row['outcome']}" for row in said.iter_rows(named=True)}
        names = {name for name in names if not name.startswith("A03")}
        key = f"{line['bordereau_id']}/{line['line_number']}"
        told.add((key, line["outcome"], line["payable_cents"], tuple(sorted(names))))
    return told


def expected(decision: Row) -> set[tuple[str, str, int, tuple[str, ...]]]:
    return {(one["line"], one["outcome"], one["payable"], tuple(sorted(set(one["findings"])))) for one in decision["expected"]}


CASES = [
    pytest.param(scenario, decision, id=f"{scenario['id']}-{decision['decided']}")
    for scenario in SPEC["scenarios"]
    for decision in scenario["decisions"]
    if scenario["declarations"]
]
DEROGATORY = {"S01", "S04", "S05", "S08", "S10", "S11", "S13", "S14", "S17", "S18"}


@pytest.mark.parametrize(("scenario", "decision"), CASES)
def test_a_declaration_filed_pulled_and_mapped_is_judged_as_its_scenario_says(
    bench: Bench, scenario: Row, decision: Row
) -> None:
    found = pulled_before_purges(bench, scenario, decision, forms.NATIONAL)
    assert judged(scenario, decision, read(*found)) == expected(decision)


@pytest.mark.parametrize(("scenario", "decision"), [case for case in CASES if case.values[0]["id"] in DEROGATORY])
def test_the_derogatory_form_feeds_the_same_frames(bench: Bench, scenario: Row, decision: Row) -> None:
    found = acted(bench, scenario, decision, forms.DEROGATORY)
    assert judged(scenario, decision, read(*found)) == expected(decision)


def pulled_before_purges(bench: Bench, scenario: Row, decision: Row, form: int) -> list[Bench]:
    """As ``acted``; a dossier to be purged was pulled while it could be seen."""
    if known(scenario):
        return acted(bench, scenario, decision, form)
    quiet = [
        {**entry, "events": [event for event in entry.get("events", []) if event["kind"] != "purged"]}
        for entry in scenario["declarations"]
    ]
    found = acted(bench, {**scenario, "declarations": quiet}, decision, form)
    for entry in scenario["declarations"]:
        for event in entry.get("events", []):
            if event["kind"] == "purged" and instant(event["at"]).date() <= day(decision["decided"]):
                after = bench.platform.now
                bench.platform.now = instant(event["at"])
                bench.platform.purge(int(entry["dossier"]), event.get("reason") or "expired")
                bench.platform.now = after
    for one in found:
        one.deliver(mode="full", keep=MAPPINGS[one.demarche].kept())
    return found


def test_the_frames_are_those_that_the_reconciliation_takes() -> None:
    assert {name: dict(SCHEMAS[name]) for name in COLUMNS} == {name: dict(columns) for name, columns in COLUMNS.items()}


# --- what befalls a dossier


def events(found: Declared) -> list[tuple[str, str, date, str | None]]:
    rows = found.frames["dossier_event"].select("number", "kind", "on", "reason").rows()
    return [(number, kind, on, reason) for number, kind, on, reason in rows]


def test_a_decision_taken_back_is_no_event_any_more(bench: Bench) -> None:
    bench.fill(2)
    bench.platform.settle(1, "refuse")
    bench.platform.settle(2, "accepte")
    bench.deliver()
    assert [(number, kind) for number, kind, _, _ in events(read(bench))] == [("1", "refuse"), ("2", "accepte")]
    bench.platform.reopen(1, "en_instruction")
    bench.platform.settle(1, "accepte")
    bench.deliver()
    assert [(number, kind) for number, kind, _, _ in events(read(bench))] == [("1", "accepte"), ("2", "accepte")]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("expired", "purged"), ("user_expired", "purged"), ("procedure_removed", "purged"), ("manager_request", "purged"),
     ("user_request", "withdrawn"), ("user_removed", "withdrawn"), ("instructeur_request", "withdrawn")],
)  # fmt: skip
def test_a_purge_for_retention_is_no_withdrawal(bench: Bench, reason: str, kind: str) -> None:
    bench.fill(1)
    bench.platform.settle(1, "accepte")
    bench.deliver()
    bench.platform.advance(86_400)
    bench.platform.purge(1, reason)
    bench.deliver()
    found = read(bench)
    assert [(name, on.isoformat(), why) for _, name, on, why in events(found)] == [
        ("accepte", "2022-07-20", None),
        (kind, "2022-07-21", reason),
    ]
    assert found.frames["member"].height == 2, "rights are still judged by the team that was declared"
    assert bench.head
    assert "document-unique.pdf" not in bench.head.read_text(encoding="utf-8"), "names of files are no fact to keep"


def test_no_snapshot_ever_holds_the_name_of_a_file_and_those_that_did_are_read_as_the_others(
    bench: Bench, tmp_path: Path
) -> None:
    bench.fill(1)
    text = bench.deliver().path.read_text(encoding="utf-8")
    assert ".pdf" not in text
    title, family = next(iter(protocol_titles().items()))
    named = text.replace('"families":[]', f'"families":["{family}"]', 1)
    old = text.replace('"families":[]', f'"name":"{title} de Mme Exemple.pdf"', 1)
    assert len({text, named, old}) == 3
    (tmp_path / "named.jsonl").write_text(named, encoding="utf-8")
    (tmp_path / "old.jsonl").write_text(old, encoding="utf-8")
    assert read_snapshot(tmp_path / "old.jsonl").dossiers == read_snapshot(tmp_path / "named.jsonl").dossiers
    told = [declared([tmp_path / f"{name}.jsonl"], MAPPINGS).frames for name in ("old", "named")]
    assert all(told[0][name].equals(told[1][name]) for name in told[0])


def test_what_the_administration_hides_is_not_withdrawn_by_the_team(bench: Bench) -> None:
    bench.fill(1)
    bench.platform.settle(1, "accepte")
    bench.platform.hide(1, "administration")
    bench.deliver()
    bench.platform.restore(1)
    bench.deliver()
    bench.platform.hide(1, "administration")
    bench.deliver()
    assert [(kind, reason) for _, kind, _, reason in events(read(bench))] == [("accepte", None), ("purged", "manager_request")]


def test_a_decision_taken_after_the_last_reading_of_a_dossier_is_known_by_its_deletion(bench: Bench) -> None:
    bench.fill(2)
    bench.deliver()
    bench.platform.advance(86_400)
    for number, state in ((1, "accepte"), (2, "refuse")):
        bench.platform.settle(number, state)
        bench.platform.purge(number, "expired")
    bench.deliver()
    day = date(2022, 7, 21)
    assert events(read(bench)) == [
        ("1", "accepte", day, None),
        ("1", "purged", day, "expired"),
        ("2", "purged", day, "expired"),
        ("2", "refuse", day, None),
    ]


def test_a_pending_deletion_taken_back_leaves_no_withdrawal(bench: Bench) -> None:
    bench.fill(1)
    bench.deliver()
    bench.platform.hide(1)
    bench.deliver()
    assert [kind for _, kind, _, _ in events(read(bench))] == ["withdrawn"]
    bench.platform.restore(1)
    bench.deliver()
    assert events(read(bench)) == []


def test_what_vanished_stays_in_force_and_is_told(bench: Bench) -> None:
    bench.fill(2)
    bench.deliver()
    bench.platform.expire(1)
    bench.deliver(numbers=True)
    found = read(bench)
    assert events(found) == []
    assert found.frames["dossier"].height == 2
    assert kinds(found) == {("1", "invisible")}


def test_a_dossier_that_fails_leaves_the_last_complete_synchronisation_where_it_was(bench: Bench) -> None:
    bench.fill(3)
    bench.deliver()
    bench.platform.advance(3 * 86_400)
    bench.platform.write_message(2)
    bench.platform.dossiers[2].broken = "internal_server_error"
    bench.deliver(mode="full")
    found = read(bench)
    assert found.frames["synchronisation"].rows() == [("990001", date(2022, 7, 20))]
    assert kinds(found) == {("2", "failed")}
    assert found.frames["dossier"].height == 3, "its last known state is kept"


def test_protocols_added_and_dropped_by_new_deposits_carry_their_days(bench: Bench) -> None:
    bench.fill(1)
    bench.deliver()
    for days, families in ((10, ["CYSTITE", "RHINO", "ODYNO"]), (20, ["ODYNO"]), (30, ["ODYNO", "CYSTITE"])):
        bench.platform.now = datetime(2022, 7, 20, 8, tzinfo=UTC) + timedelta(days=days)
        bench.platform.edit(1, {106: [forms.PROTOCOLS[family] for family in families]})
        bench.platform.redeposit(1)
        bench.deliver()
    enters_as_an_export_would(read(bench))
    spans = read(bench).frames["dossier_protocol"].drop("number").rows()
    first, second, third, fourth = (date(2022, 7, 20) + timedelta(days=days) for days in (0, 10, 20, 30))
    assert spans == [
        ("CYSTITE", first, third),
        ("CYSTITE", fourth, None),
        ("ODYNO", second, None),
        ("RHINO", first, third),
    ]


def test_a_dossier_first_seen_after_a_new_deposit_says_that_its_beginning_is_not_known(bench: Bench) -> None:
    bench.fill(1)
    bench.platform.advance(86_400)
    bench.platform.redeposit(1)
    bench.deliver()
    assert kinds(read(bench)) == {("1", "earlier_unknown")}


# --- answers


def with_answers(bench: Bench, **changes: Any) -> Declared:
    """The frames of one dossier of the national form whose answers were changed: ``a106=[…]``."""
    answers = forms.answers(forms.NATIONAL, TEAM) | {int(name[1:]): value for name, value in changes.items()}
    bench.platform.deposit(forms.NATIONAL, answers)
    bench.deliver()
    return read(bench)


def test_an_answer_that_means_nothing_known_gives_no_row_and_a_note_without_the_answer(bench: Bench) -> None:
    row = forms.answers(forms.NATIONAL, TEAM)[110][0]
    odd = ("row-09", row[1] | {115: "Coordonnateur secret", 116: "99900000029"})
    found = with_answers(bench, a106=["Odynophagie", "Protocole secret"], a110=[row, odd], a104="Cabinet secret")
    assert found.frames["dossier_protocol"]["family"].to_list() == ["ODYNO"]
    assert found.frames["member"]["rpps"].to_list() == ["99900000011"]
    assert found.frames["dossier"]["structure_kind"].to_list() == [None]
    assert kinds(found) == {("1", "unknown_protocol"), ("1", "unknown_role"), ("1", "unknown_kind")}
    assert "secret" not in str(found.notes.rows())
    assert set(found.notes["kind"]) <= set(NOTES_FR)


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [("999 000 000 11", "99900000011"), (" 99900000011 ", "99900000011"), ("899900000011", "99900000011"),
     ("en cours", "en cours"), ("", None), (None, None)],
)  # fmt: skip
def test_an_rpps_is_free_text_and_is_read_as_in_a_bordereau(bench: Bench, typed: str | None, read_as: str | None) -> None:
    name, row = forms.answers(forms.NATIONAL, TEAM)[110][0]
    found = with_answers(bench, a110=[(name, row | {116: typed})])
    assert found.frames["member"]["rpps"].to_list() == [read_as]


def test_a_piece_that_is_pending_missing_or_not_asked_for_are_three_things(bench: Bench) -> None:
    name, row = forms.answers(forms.NATIONAL, TEAM)[110][0]
    pending = [replace(row[117][0], scan="pending")]
    infected = [replace(row[118][0], scan="infected")]
    found = with_answers(
        bench, a110=[(name, row | {117: pending}), ("row-7", row | {118: infected, 116: "99900000029"})], a120=[]
    )
    seen = found.frames["member"].select("rpps", "piece_missing", "piece_pending").rows()
    assert seen == [("99900000011", False, True), ("99900000029", True, False)]
    assert found.frames["dossier"]["document_unique"].to_list() == [False]
    bench.platform.replace_piece(1, 117, scan="safe")
    bench.platform.dossiers[1].invisible |= {118, 120}
    bench.platform.dossiers[1].stamp += 1
    bench.deliver(mode="full")
    found = read(bench)
    assert found.frames["member"]["piece_missing"].to_list() == [False, False]
    assert found.frames["dossier"]["document_unique"].to_list() == [None], "a champ that is not shown is not an empty one"
    assert bench.snapshot().dossiers[1]["earlier"] == []


def test_the_register_of_businesses_may_be_down(bench: Bench) -> None:
    found = with_answers(bench, a101="99900001100018!")
    assert found.frames["dossier"]["siret"].to_list() == ["99900001100018"]


def test_blank_rows_and_absent_tables_are_no_members(bench: Bench) -> None:
    found = with_answers(bench, a110=[("row-0", {}), ("row-1", {116: "99900000011", 115: "Délégué", 114: "Pharmacien"})])
    assert found.frames["member"]["rpps"].to_list() == ["99900000011"]
    bench.platform.dossiers[1].invisible.add(110)
    bench.platform.dossiers[1].stamp += 1
    bench.deliver(mode="full")
    assert read(bench).frames["member"].height == 0


def test_a_demarche_without_a_mapping_is_told_and_not_read(bench: Bench) -> None:
    bench.fill(1)
    bench.deliver()
    assert bench.head
    found = declared([bench.head], {})
    assert found.frames["dossier"].height == 0
    assert found.notes["kind"].to_list() == ["no_mapping"]


def test_frames_do_not_depend_on_the_order_of_the_snapshots(bench: Bench) -> None:
    other = Bench(bench.service, bench.folder / "other", forms.DEROGATORY)
    bench.fill(3)
    other.fill(2)
    bench.deliver()
    other.deliver()
    assert bench.head
    assert other.head
    one, two = declared([bench.head, other.head], MAPPINGS), declared([other.head, bench.head], MAPPINGS)
    assert all(one.frames[name].equals(two.frames[name]) for name in COLUMNS)
    assert one.frames["dossier"]["demarche"].value_counts().sort("demarche").rows() == [("990001", 3), ("990002", 2)]
    assert set(one.frames["dossier"]["structure_kind"]) == {"CPTS"}


def test_the_platform_of_the_demonstration_is_read_through_two_mappings(tmp_path: Path) -> None:
    with Simulator(forms.demonstration()) as service:
        pulled = [Bench(service, tmp_path / str(form), form) for form in (forms.NATIONAL, forms.DEROGATORY)]
        for one in pulled:
            one.deliver(keep=MAPPINGS[one.demarche].kept())
        found = read(*pulled)
    assert found.notes.rows() == []
    teams = found.frames["member"].group_by("number").agg(pl.col("rpps").len()).sort("number").rows()
    assert teams == [("900001", 4), ("900002", 3), ("900003", 4)], "the withdrawn one was never seen"
    assert events(found) == [
        ("900001", "accepte", date(2025, 11, 3), None),
        ("900002", "accepte", date(2022, 7, 20), None),
        ("900003", "refuse", date(2024, 2, 5), None),
    ]
    assert rows(found)["kind"].value_counts().sort("kind").rows() == [
        ("dossier", 3), ("event", 3), ("member", 11), ("synchronisation", 2),
    ]  # fmt: skip


# --- mappings


def header(bench: Bench) -> Row:
    bench.deliver()
    return bench.snapshot().header


def test_the_mapping_goes_on_through_a_revision_that_renames_and_says_what_was_renamed(bench: Bench) -> None:
    bench.fill(2)
    assert misfits(MAPPINGS[forms.NATIONAL], header(bench)) == []
    bench.platform.publish(forms.NATIONAL, "Déclaration", forms.national(2))
    bench.fill(1)
    found = misfits(MAPPINGS[forms.NATIONAL], header(bench))
    assert [(one.field, one.kind) for one in found] == [("teams.1.rpps", "renamed"), ("teams.1.profession", "renamed")]
    members = read(bench).frames["member"]
    assert members.height == 6
    assert set(members["profession"]) == {"PHARMACIEN", "MEDECIN"}


def test_a_champ_that_a_revision_took_away_or_never_had_is_told(bench: Bench) -> None:
    fields = tuple(one for one in forms.national() if one.stable != 102)
    bench.platform.publish(forms.NATIONAL, "Déclaration", fields)
    assert [(one.field, one.kind) for one in misfits(MAPPINGS[forms.NATIONAL], header(bench))] == [
        ("structure.finess", "retired")
    ]
    wrong = misfits(MAPPINGS[forms.DEROGATORY], bench.snapshot().header)
    assert {one.kind for one in wrong} == {"absent"}


@pytest.mark.parametrize("demarche", [forms.NATIONAL, forms.DEROGATORY, forms.DIRECT_ACCESS])
def test_the_proposal_for_each_form_is_its_mapping_once_the_open_questions_are_answered(
    bench: Bench, demarche: int, tmp_path: Path
) -> None:
    bench.demarche = demarche
    proposal = propose(header(bench))
    facts = yaml.safe_load(proposal.text)
    assert facts == proposal.facts
    draft = tmp_path / "draft.yaml"
    draft.write_text(proposal.text, encoding="utf-8")
    with pytest.raises(InvalidMapping, match="form"):
        load(draft)
    facts["form"] = MAPPINGS[demarche].form
    facts["structure"] |= {"kind_is": "CPTS"} if demarche == forms.DEROGATORY else {}
    if demarche == forms.DEROGATORY:
        facts["teams"][1]["profession_is"] = "MEDECIN"
    draft.write_text(yaml.safe_dump(facts), encoding="utf-8")
    found, right = load(draft), MAPPINGS[demarche]
    assert dict(found.champs()) == {name: champ for name, champ in right.champs() if name != "named"}
    assert [(team.role_is, team.table) for team in found.teams] == [(team.role_is, team.table) for team in right.teams]


def test_a_mapping_is_proposed_before_any_dossier_is_read(bench: Bench) -> None:
    bench.fill(1)
    form = describe(bench.settled(), forms.NATIONAL, bench.pace())
    assert len(bench.service.seen.api) == 1
    assert propose(form).text == propose(header(bench)).text
    with pytest.raises(WronglySet, match="démarche 7"):
        describe(bench.settled(), 7, bench.pace())


def test_a_proposal_refuses_to_guess_between_two_champs(bench: Bench) -> None:
    more = (
        Field(901, "SiretChamp", "SIRET du mandataire"),
        Field(902, "MultipleDropDownListChamp", "Autres protocoles"),
        Field(
            903,
            "RepetitionChamp",
            "Équipe",
            champs=(Field(904, "TextChamp", "RPPS"), Field(905, "TextChamp", "RPPS du remplaçant")),
        ),
    )
    bench.platform.publish(forms.NATIONAL, "Déclaration", (*forms.national(), *more))
    proposal = propose(header(bench))
    assert "siret" not in proposal.facts["structure"]
    assert [one["label"] for one in proposal.open["structure.siret"]] == ["SIRET de la structure", "SIRET du mandataire"]
    assert "protocols" not in proposal.facts
    assert len(proposal.open["protocols.choices"]) == 2
    assert [one["label"] for one in proposal.open["teams.2.rpps"]] == ["RPPS", "RPPS du remplaçant"]
    assert any(name.startswith("teams.2.role_is") for name in proposal.open)
    for name in ("structure.siret", "protocols.choices", "teams.2.rpps"):
        assert f"À COMPLÉTER : {name}" in proposal.text
    assert '{champ: Q2hhbXAtOTAx, label: "SIRET du mandataire"}' in proposal.text


BAD = {
    "il manque le champ « form »": lambda facts: facts.pop("form"),
    "champ inconnu « forme »": lambda facts: facts.update(forme="snp"),
    "form : vaut l'un de": lambda facts: facts.update(form="autre"),
    "à compléter": lambda facts: facts["structure"].update(siret=None),
    "sert à la fois": lambda facts: facts["structure"].update(name=facts["structure"]["siret"]),
    "il manque le champ « rpps »": lambda facts: facts["teams"][0].pop("rpps"),
    "dites où lire le rôle": lambda facts: facts["teams"][0].pop("role"),
    "où lire les protocoles": lambda facts: facts.pop("protocols"),
    "role_is : vaut l'un de": lambda facts: (facts["teams"][0].pop("role"), facts["teams"][0].update(role_is="chef")),
}


@pytest.mark.parametrize("said", BAD)
def test_a_mapping_that_leaves_a_question_open_cannot_be_used(said: str, tmp_path: Path) -> None:
    path = Path(demarches_frames.__file__).parent.parent / "contracts_schema" / "demarches" / "snp-national.yaml"
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    BAD[said](facts)
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(facts), encoding="utf-8")
    with pytest.raises(InvalidMapping, match=said):
        load(bad)


def test_titles_are_long_enough_not_to_be_found_by_chance() -> None:
    assert all(len(title) > 40 and title == normalised(title) for title in protocol_titles())


def test_the_order_to_keep_is_what_the_mapping_names(bench: Bench) -> None:
    bench.fill(1)
    bench.deliver(keep=MAPPINGS[forms.NATIONAL].kept())
    assert bench.head
    champs = read_snapshot(bench.head).dossiers[1]["champs"]
    assert "NOMFICTIF" not in json.dumps(champs)
    assert read(bench).frames["member"].height == 2
