"""Bordereaux through the pipeline: the door, the gate, decisions, *annule et remplace* in every order, faults, what is told."""

import itertools
import json
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bordereaux import lines, nir
from conftest import Ecluse, Export, Jobs

from checks.snp.facts import SCHEMAS
from connectors.synthetic_bordereaux import STRUCTURE, Plan, Value, rows_of, write_csv, write_xlsx
from connectors.synthetic_bordereaux import bordereau as written
from connectors.transmissions import Refused
from contracts_schema.families import RESTRICTED
from contracts_schema.rules import catalogue
from flows import arrivals, building, decisions, deliveries, difference, replacements, state
from flows import lines as of_lines
from flows.deliveries import Report
from flows.hub import CONFIG, Hub, WrongUsage, open_hub
from warehouse.heads import Head
from warehouse.log import Event

UNTIL = date(2026, 6, 30)
Line = dict[str, Value]


def header(**changes: Value) -> dict[str, Value]:
    """The usual header without its caisse, which is a fictional code; ``replaces="…"`` says what it replaces."""
    return {**{name: value for name, value in STRUCTURE.items() if name != "caisse"}, **changes}


def put(
    folder: Path, name: str = "b1.csv", content: Sequence[Line] | None = None, told: Mapping[str, Value] | None = None
) -> Path:
    """A CSV bordereau of these lines (one by default)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(write_csv(rows_of(content or lines({}), told or header())))
    return path


def ingest(hub: Hub, path: Path, caisse: str | None = "311") -> Report:
    [found], refused = deliveries.find([path], caisse, hub.settings)
    assert not refused
    return deliveries.ingest(hub, found)


def decided(hub: Hub, report: Report) -> Event:
    assert report.scope
    assert report.delivery_id
    found = deliveries.decision(hub, report.scope, report.delivery_id)
    assert found
    return found


def table(hub: Hub, report: Report, name: str) -> pl.DataFrame:
    return pl.read_parquet(hub.blobs.segment_path(decided(hub, report).data["tables"][name]))


def standing(hub: Hub) -> dict[str, Head]:
    return deliveries.all_heads(hub, under="bordereau/")


# --- the door


def test_a_bordereau_is_its_own_scope_and_the_same_bytes_are_known_under_any_name_and_caisse(hub: Hub, tmp_path: Path) -> None:
    first = ingest(hub, put(tmp_path))
    assert first.status == "accepted"
    again = ingest(hub, put(tmp_path, "autre nom.csv"))
    assert (again.status, again.decision, again.delivery_id) == ("already_known", "accepted", first.delivery_id)
    assert first.scope == f"bordereau/{decided(hub, first).data['received'][0]['sha256'][:16]}"
    assert [event.type for event in hub.log.read()] == ["DeliveryReceived", "DeliveryAccepted"]
    assert decided(hub, first).data["caisse"] == "311"
    assert ingest(hub, put(tmp_path, "sans caisse.csv"), caisse=None).status == "already_known"


def test_a_wrong_caisse_is_corrected_by_withdrawing_and_ingesting_again(hub: Hub, tmp_path: Path) -> None:
    path = put(tmp_path)
    first = ingest(hub, path, "311")
    told = ingest(hub, path, "751")
    assert told.status == "already_known"
    assert told.message
    assert f"ecluse withdraw {str(first.delivery_id)[:8]}" in told.message
    decisions.withdraw(hub, str(first.delivery_id), "caisse 751")
    second = ingest(hub, path, "751")
    assert (second.status, second.scope) == ("accepted", first.scope)
    assert ingest(hub, path, "751").delivery_id == second.delivery_id
    [head] = deliveries.heads(hub).values()
    assert (head.data["caisse"], table(hub, second, "snp_bordereau")["caisse"].item()) == ("751", "751")
    assert ingest(hub, path, "311").decision == "withdrawn"


def test_a_withdrawn_bordereau_says_who_why_and_how_it_comes_back(hub: Hub, tmp_path: Path) -> None:
    path = put(tmp_path)
    first = ingest(hub, path)
    with pytest.raises(WrongUsage, match="rien à rétablir"):
        decisions.restore(hub, str(first.delivery_id), "erreur")
    decisions.withdraw(hub, str(first.delivery_id), "envoyé par erreur")
    again, start = ingest(hub, path), str(first.delivery_id)[:8]
    actor = decided(hub, first).meta["actor"]
    assert (again.status, again.decision) == ("already_known", "withdrawn")
    assert again.message
    assert f"par {actor} (position 3) : « envoyé par erreur »" in again.message
    assert f"ecluse withdraw {start} --undo" in again.message
    shown = of_lines.bordereau(hub, start)
    assert (shown["state"], shown["told"], shown["claimed_cents"]) == ("withdrawn", again.message, 2500)
    assert decisions.restore(hub, start, "c'était le bon").status == "accepted"
    [head] = standing(hub).values()
    assert (head.delivery_id, head.data["restores"], head.rows) == (first.delivery_id, 3, 1)
    assert ingest(hub, path).decision == "accepted"


def test_a_replaced_bordereau_names_the_one_that_replaces_it(hub: Hub, tmp_path: Path) -> None:
    old = ingest(hub, put(tmp_path))
    new = ingest(hub, put(tmp_path, "b2.csv", lines({"ref": "B1"}), header(replaces="b1.csv")))
    shown = of_lines.bordereau(hub, str(old.scope).rpartition("/")[2][:8])
    assert (shown["state"], shown["file"]) == ("replaced", "b1.csv")
    assert f"remplacé par b2.csv : rien n'y est payable ; « ecluse bordereau {str(new.delivery_id)[:8]} »" in shown["told"]


def test_the_caisse_is_that_of_the_option_else_of_the_folder_else_of_the_settings_else_of_the_header(
    hub: Hub, home: Path, tmp_path: Path
) -> None:
    inside = put(tmp_path / "cpam-2A1" / "reçus", told=header(caisse="CPAM 751"))
    outside = put(tmp_path / "ailleurs", told=header(caisse="751 - Paris"))

    def told(path: Path, option: str | None, where: Hub) -> tuple[str, str]:
        [found], _ = deliveries.find([path], option, where.settings)
        facts = found.facts([{"sha256": "0" * 64, "size": 1}], date(2022, 10, 3))
        return facts["caisse"], facts["caisse_from"]

    assert told(inside, "311", hub) == ("311", "option")
    assert told(inside, None, hub) == ("2A1", "folder")
    assert told(outside, None, hub) == ("751", "header")
    with (home / CONFIG).open("a") as settings:
        settings.write("\n[recipients.cpam-011]\n")
    assert told(outside, None, open_hub(home)) == ("011", "settings")
    with (home / CONFIG).open("a") as settings:
        settings.write("\n[recipients.cpam-021]\n")
    assert told(outside, None, open_hub(home)) == ("751", "header"), "of two CPAM, none is chosen"


def test_a_bordereau_whose_caisse_nothing_tells_is_refused_with_how_to_give_it_and_nothing_is_kept(
    hub: Hub, tmp_path: Path
) -> None:
    report = ingest(hub, put(tmp_path), caisse=None)
    assert (report.status, report.reasons) == ("rejected", ["bordereau.caisse"])
    assert report.message
    assert "--caisse 311" in report.message
    assert hub.log.head()[0] == 0
    with pytest.raises(WrongUsage, match="trois caractères"):
        deliveries.find([tmp_path], "Toulouse")


def test_transmissions_and_bordereaux_come_in_together_and_what_is_neither_is_told(
    ecluse: Ecluse, export: Export, tmp_path: Path
) -> None:
    folder = export().parent
    put(folder / "cpam-311")
    (folder / "lisez-moi.txt").write_text("rien")
    (folder / "~$b1.xlsx").write_bytes(b"")
    said = ecluse("ingest", folder, "--json")
    assert said.code == 0, said.err
    assert [one["status"] for one in said.json["deliveries"]] == ["accepted", "accepted"]
    assert [one["scope"].partition("/")[0] for one in said.json["deliveries"]] == ["pmsi", "bordereau"]
    assert said.json["passed_over"] == ["lisez-moi.txt"]


def test_a_pmsi_name_is_never_taken_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "990000010.2025.3.csv"
    path.write_text("a;b\n")
    found, [(_, refusal)] = arrivals.gather([path])
    assert not found
    assert isinstance(refusal, Refused)
    assert refusal.rule == "pmsi.file_family"


@pytest.mark.parametrize(
    ("name", "content", "rule", "told"),
    [
        ("a.csv", b"", "bordereau.FL2", "fichier vide"),
        ("a.xlsx", b"<html><table></table></html>", "bordereau.FL2", "page HTML"),
        (
            "a.xls",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "bordereau.FL2",
            "mot de passe",
        ),
        ("a.xlsx", written(lines({}))[:700], "bordereau.FL1", "tronquée"),
        ("a.csv", b"Nom;Couleur\nx;y\n", "bordereau.FL6", "écrire un profil"),
        ("a.csv", write_csv(rows_of([], header(), ["protocol", "date", "amount", "ref"])), "bordereau.FL9", "aucune ligne"),
        ("a.csv", write_csv(rows_of(lines({"comment": nir()}), header())), "bordereau.FL7", "donnée de patient"),
    ],
    ids=["empty", "html", "encrypted", "truncated", "unknown template", "no line", "patient"],
)
def test_what_cannot_be_read_is_refused_with_its_reason_and_judged_again_under_other_contracts(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, rule: str, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    report = ingest(hub, path)
    assert (report.status, report.reasons, report.rows_in) == ("rejected", [rule], 0)
    assert report.message
    assert told in report.message
    assert ingest(hub, path).message == report.message, "told again to who sends it again"
    assert standing(hub) == {}
    assert nir() not in json.dumps([event.data for event in hub.log.read()]) + report.message
    assert state.verify(hub)["sound"]
    assert [one.status for one in decisions.redecide(hub)] == ["already_known"]
    monkeypatch.setattr(deliveries, "fingerprint", lambda: "other contracts")
    monkeypatch.setattr(decisions, "fingerprint", lambda: "other contracts")
    assert [one.status for one in decisions.redecide(hub)] == ["rejected"]


def test_one_that_a_busy_machine_could_not_read_is_read_again_when_it_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as busy:
        busy.setattr("connectors.sheets.read_sheets.__defaults__", (None, 0.0))
        report = ingest(hub, put(tmp_path))
    assert (report.status, report.reasons) == ("rejected", ["bordereau.FL1"])
    assert [one.status for one in decisions.redecide(hub)] == ["already_known"]
    assert [one.status for one in decisions.redecide(hub, str(report.delivery_id))] == ["accepted"]


def test_several_processes_take_in_bordereaux_and_datasets_of_several_lanes(ecluse: Ecluse, tmp_path: Path) -> None:
    for caisse in ("311", "751"):
        chain_files(tmp_path / f"cpam-{caisse}")
        put(tmp_path / f"cpam-{caisse}", "seul.csv", lines({"ref": f"C{caisse}"}))
    rows = [["SIRET", "Nom", "Type"], [STRUCTURE["siret"], "CPTS Val Sablier", "CPTS"]]
    (tmp_path / "structures.xlsx").write_bytes(write_xlsx([Plan(rows)]))
    said = ecluse("ingest", tmp_path, "--jobs", 2, "--json")
    statuses = [one["status"] for one in said.json["deliveries"]]
    assert (said.code, statuses.count("accepted")) == (0, 6), "the same bytes in two folders are one bordereau"
    assert statuses.count("already_known") == 3


def test_an_oversized_file_is_refused_at_the_door(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.bordereau_files.MAX_BYTES", 10)
    report = ingest(hub, put(tmp_path))
    assert (report.status, report.reasons, hub.log.head()[0]) == ("rejected", ["bordereau.FL1"], 0)


# --- the gate


def test_segments_hold_the_canonical_frames_and_patients_lie_apart(hub: Hub, tmp_path: Path) -> None:
    planted = "PSEUDO-7f3a"
    report = ingest(hub, put(tmp_path, content=lines({"patient_key": planted, "age": "34", "sex": "F"}, {})))
    assert report.status == "accepted", report
    line, patient, head = (table(hub, report, name) for name in ("snp_line", "restricted_snp_patient", "snp_bordereau"))
    assert {name: line.schema[name] for name in SCHEMAS["line"]} == dict(SCHEMAS["line"])
    assert dict(patient.schema) == dict(SCHEMAS["patient"])
    by_log = {"superseded_by", "replaces"}
    assert {name: head.schema[name] for name in SCHEMAS["bordereau"] if name not in by_log} == {
        name: dtype for name, dtype in SCHEMAS["bordereau"].items() if name not in by_log
    }
    assert head.select("caisse", "siret", "period_from").row(0) == ("311", STRUCTURE["siret"], date(2022, 7, 12))
    assert patient["patient_key"].to_list() == [planted]
    assert planted not in line.write_ndjson() + head.write_ndjson() + json.dumps([e.data for e in hub.log.read()])
    assert building.query(hub, "select line_number from segment_snp_line order by 1")["line_number"].to_list() == [1, 2]
    with pytest.raises(WrongUsage, match="table inconnue"):
        building.query(hub, f"select * from segment_{RESTRICTED}snp_patient")


def test_rows_in_are_rows_accepted_plus_rows_set_aside_and_the_sender_is_told_where(
    hub: Hub, ecluse: Ecluse, tmp_path: Path
) -> None:
    sound: list[Line] = lines(*[{}] * 39)
    unreadable: Line = {"protocol": "", "ref": "Z9", "delegate": "Délégué 7"}
    report = ingest(hub, put(tmp_path, content=[*sound[:20], unreadable, *sound[20:]]))
    assert (report.status, report.rows_in, report.rows_accepted, report.rows_quarantined) == ("accepted", 40, 39, 1)
    row = len(header()) + 2 + 21
    [line] = deliveries.set_aside(hub, decided(hub, report).data).to_dicts()
    assert (line["line_number"], line["rule"]) == (row, "bordereau.FL11")
    assert report.delivery_id
    told = ecluse("reject-report", report.delivery_id[:8])
    assert f"b1.csv, ligne {row} : {catalogue()['bordereau.FL11'].label_fr}" in told.out
    assert "Délégué 7" not in told.out + ecluse("quarantine").out + ecluse("ingest", tmp_path / "b1.csv", "--json").out


def test_too_many_rows_set_aside_hold_a_bordereau_until_a_waiver_lets_it_in(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    report = ingest(hub, put(tmp_path, content=[*lines({}, {}), {"protocol": "", "ref": "Z9", "delegate": "Délégué 7"}]))
    assert (report.status, report.reasons) == ("held", ["bordereau.quarantine_rate"])
    assert standing(hub) == {}
    assert report.delivery_id
    assert report.delivery_id[:8] in ecluse("status").out
    waived = decisions.waive(hub, report.delivery_id[:8], "lignes vues avec la structure", UNTIL)
    assert (waived.status, list(standing(hub))) == ("accepted", [report.scope])


def test_the_header_that_names_another_caisse_raises_an_alert(hub: Hub, tmp_path: Path) -> None:
    assert ingest(hub, put(tmp_path, told=header(caisse="CPAM 751"))).alerts == ["bordereau.other_caisse"]


def test_the_same_lines_in_another_file_are_let_in_and_told(hub: Hub, tmp_path: Path) -> None:
    first = ingest(hub, put(tmp_path))
    other = tmp_path / "b1.xlsx"
    other.write_bytes(written(lines({}), header=header()))
    second = ingest(hub, other)
    assert (second.status, second.alerts) == ("accepted", ["bordereau.same_content"])
    assert decided(hub, second).data["same_content"] == first.delivery_id
    assert len(standing(hub)) == 2


# --- annule et remplace


def chain_files(folder: Path) -> dict[str, Path]:
    """Three bordereaux of one period, each of which replaces the one before; and one that replaces none."""
    return {
        "b1": put(folder, "b1.csv"),
        "b2": put(folder, "b2.csv", lines({}, {"amount": Decimal("30")}), header(replaces="b1.csv")),
        "b3": put(folder, "b3.csv", lines({}, {}, {}), header(replaces="bordereau b2.csv du 3 octobre")),
    }


@pytest.mark.parametrize("order", list(itertools.permutations(("b1", "b2", "b3"))), ids="-".join)
def test_in_every_order_of_arrival_the_last_of_a_chain_stands_and_the_others_are_superseded(
    hub: Hub, tmp_path: Path, order: tuple[str, ...]
) -> None:
    files = chain_files(tmp_path)
    scopes = {name: ingest(hub, files[name]).scope for name in order}
    heads = standing(hub)
    follows = [(heads[str(scopes[name])].replaces, heads[str(scopes[name])].superseded_by) for name in ("b1", "b2", "b3")]
    assert follows == [(None, scopes["b2"]), (scopes["b1"], scopes["b3"]), (scopes["b2"], None)]
    assert list(deliveries.heads(hub)) == [scopes["b3"]]
    rows = building.query(hub, "select distinct bordereau_id from segment_snp_line")
    assert rows["bordereau_id"].to_list() == [str(scopes["b3"]).removeprefix("bordereau/")]


@pytest.mark.soak
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
@pytest.mark.parametrize("says", [("", "x0.csv", "x1.csv", "x2.csv"), ("", "oui", "x1.csv", "x0.csv")], ids=["chain", "fork"])
def test_whatever_the_order_one_of_four_stands(hub: Hub, tmp_path: Path, order: tuple[int, ...], says: tuple[str, ...]) -> None:
    files = [put(tmp_path, f"x{n}.csv", lines(*[{}] * (n + 1)), header(replaces=said)) for n, said in enumerate(says)]
    for number in order:
        assert ingest(hub, files[number]).status == "accepted"
    assert len(deliveries.heads(hub)) == 1
    assert len(standing(hub)) == 4


def test_line_ids_survive_a_new_sending_whoever_came_first(hub: Hub, home: Path, tmp_path: Path) -> None:
    files = chain_files(tmp_path)
    for order in (("b1", "b2"), ("b2", "b1")):
        other = open_hub(home)
        (home / "ecluse.db").unlink()
        from warehouse.log import create_log

        create_log(other.settings.database_url)
        old, new = sorted((ingest(other, files[name]) for name in order), key=lambda report: report.rows_in)
        ids = [table(other, report, "snp_line").sort("ref")["line_id"].to_list() for report in (old, new)]
        assert ids[0] == ids[1][:1]
        first = next(event.data["scope"] for event in other.log.read(types={"DeliveryReceived"}))
        assert {decided(other, report).data["lineage"] for report in (old, new)} == {first}


def test_withdrawing_the_replacing_one_brings_the_former_back_and_links_outlive_the_one_in_the_middle(
    hub: Hub, tmp_path: Path
) -> None:
    reports = {name: ingest(hub, path) for name, path in chain_files(tmp_path).items()}

    def withdraw(name: str) -> list[str]:
        decisions.withdraw(hub, str(reports[name].delivery_id), "envoyé par erreur")
        return [name for name in reports if reports[name].scope in deliveries.heads(hub)]

    assert withdraw("b2") == ["b3"], "what replaces the one in the middle replaces the first too"
    assert standing(hub)[str(reports["b1"].scope)].superseded_by == reports["b3"].scope
    assert withdraw("b3") == ["b1"]
    assert withdraw("b1") == []


def test_of_two_that_replace_the_same_one_the_later_stands_and_it_is_said(hub: Hub, tmp_path: Path) -> None:
    first = ingest(hub, put(tmp_path))
    second = ingest(hub, put(tmp_path, "b2.csv", lines({}, {}), header(replaces="b1.csv")))
    third = ingest(hub, put(tmp_path, "b3.csv", lines({}, {}, {}), header(replaces=str(first.scope)[-16:])))
    assert (second.alerts, third.alerts) == ([], ["bordereau.replaced_twice"])
    assert list(deliveries.heads(hub)) == [third.scope]
    assert standing(hub)[str(second.scope)].superseded_by == third.scope


def test_a_mention_alone_means_the_one_that_stands_for_the_same_period_before_or_after_it(hub: Hub, tmp_path: Path) -> None:
    other = put(tmp_path, "autre.csv", told=header(period="du 01/10/2022 au 31/10/2022"))
    kept = ingest(hub, other)
    mention = put(tmp_path, "b2.csv", lines({}, {}), header(replaces="oui"))
    replacing = ingest(hub, mention)
    assert replacing.alerts == ["bordereau.replaces_unknown"]
    replaced = ingest(hub, put(tmp_path, "quelconque.csv", lines({}, {}, {})))
    assert replaced.alerts == ["bordereau.replaced_already"]
    assert sorted(deliveries.heads(hub)) == sorted([str(kept.scope), str(replacing.scope)])
    again = ingest(hub, put(tmp_path, "b4.csv", lines({}, {}, {}, {}), header(replaces="oui")))
    assert (again.alerts, decided(hub, again).data["replaces"]) == ([], replacing.scope)


def test_of_several_that_a_mention_could_mean_none_is_chosen(hub: Hub, tmp_path: Path) -> None:
    for number, name in enumerate(("x1.csv", "x2.csv"), 1):
        ingest(hub, put(tmp_path, name, lines(*[{}] * number)))
    report = ingest(hub, put(tmp_path, "b.csv", lines({}, {}, {}), header(replaces="le précédent")))
    assert (report.status, report.alerts) == ("accepted", ["bordereau.replaces_ambiguous"])
    assert len(deliveries.heads(hub)) == 3


def test_a_bordereau_of_another_structure_or_caisse_is_never_replaced(hub: Hub, tmp_path: Path) -> None:
    mine = ingest(hub, put(tmp_path))
    told = header(siret="99900001200016", replaces="b1.csv")
    assert ingest(hub, put(tmp_path, "c.csv", lines({}, {}), told)).alerts == ["bordereau.replaces_unknown"]
    elsewhere = put(tmp_path, "d.csv", lines({}, {}, {}), header(replaces="b1.csv"))
    assert ingest(hub, elsewhere, "751").alerts == ["bordereau.replaces_unknown"]
    assert mine.scope in deliveries.heads(hub)


def test_a_held_one_replaces_when_it_is_waived(hub: Hub, tmp_path: Path) -> None:
    aside: Line = {"protocol": "", "ref": "Z9", "delegate": "Délégué 7"}
    held = ingest(hub, put(tmp_path, "b2.csv", [*lines({}, {}), aside], header(replaces="b1.csv")))
    first = ingest(hub, put(tmp_path))
    assert (held.status, held.alerts, first.alerts) == ("held", ["bordereau.replaces_unknown"], [])
    waived = decisions.waive(hub, str(held.delivery_id), "vu", UNTIL)
    assert (waived.alerts, list(deliveries.heads(hub))) == ([], [held.scope])
    assert decided(hub, waived).data["lineage"] == first.scope
    assert table(hub, waived, "snp_line")["line_id"][0] == table(hub, first, "snp_line")["line_id"][0]


def test_judged_again_a_bordereau_keeps_its_place_and_its_line_ids(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = chain_files(tmp_path)
    reports = [ingest(hub, files[name]) for name in ("b2", "b1", "b3")]
    before = [decided(hub, report).data for report in reports]
    monkeypatch.setattr(deliveries, "fingerprint", lambda: "other contracts")
    monkeypatch.setattr(decisions, "fingerprint", lambda: "other contracts")
    assert [report.status for report in decisions.redecide(hub)] == ["accepted"] * 3
    after = [decided(hub, report).data for report in reports]
    for name in ("tables", "replaces", "replaced_by", "lineage", "alerts"):
        assert [data[name] for data in after] == [data[name] for data in before], name


def test_two_decided_at_once_find_each_other(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = chain_files(tmp_path)
    place, seen = replacements.place, list[str]()

    def overtaken(where: Hub, received: Event, told: Mapping[str, Any]) -> replacements.Placed:
        found = place(where, received, told)
        if not seen:
            seen.append(received.stream)
            ingest(hub, files["b1"])
        return found

    monkeypatch.setattr(replacements, "place", overtaken)
    second = ingest(hub, files["b2"])
    assert decided(hub, second).data["replaces"] in standing(hub)
    assert list(deliveries.heads(hub)) == [second.scope]


def test_diff_tells_that_one_event_moved_two_scopes(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    files = chain_files(tmp_path)
    first = ingest(hub, files["b1"])
    before = hub.log.head()[0]
    second = ingest(hub, files["b2"])
    answer = difference.difference(hub, before, hub.log.head()[0])
    assert {(move["scope"], move["after"] is None) for move in answer["moves"]} == {(first.scope, True), (second.scope, False)}
    line = {one["scope"]: next(t for t in one["tables"] if t["table"] == "snp_line") for one in answer["scopes"]}
    assert (line[first.scope]["removed"], line[second.scope]["added"]) == (1, 2)
    assert ecluse("diff", before, hub.log.head()[0]).code == 0
    assert ecluse("diff", "--scope", second.scope).code == 2


def test_status_build_and_missing_answer_with_bordereaux_alone(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    reports = [ingest(hub, path) for path in list(chain_files(tmp_path).values())[:2]]
    said = ecluse("status").out
    for told in ("99900001100018", "12/07/2022", "311", f"remplacé par {str(reports[1].delivery_id)[:8]}", "55,00 €"):
        assert told in said, told
    assert ecluse("build").code == 0
    assert ecluse("missing").code == 0
    assert ecluse("verify").code == 0
    assert [one["superseded_by"] for one in ecluse("status", "--json").json["bordereaux"]].count(None) == 1


# --- faults


def test_killed_at_any_numbered_point_a_bordereau_ends_in_the_same_single_decision(
    jobs: Jobs, home: Path, tmp_path: Path
) -> None:
    files, trace = chain_files(tmp_path), tmp_path / "trace"
    deliveries.ingest(open_hub(home), arrivals.gather([files["b1"]], "311")[0][0])
    kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    command = [["--home", home, "ingest", files["b2"], "--caisse", "311"]]
    assert jobs(command, ECLUSE_CRASH_TRACE=str(trace)) == [0]
    whole = [(event.type, event.data) for event in open_hub(home).log.read()]
    names = trace.read_text().split()
    last = {name: number for number, name in enumerate(names, start=1)}
    for number in last.values():
        for path in home.rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
        assert jobs(command, ECLUSE_CRASH_AT=str(number)) == [-signal.SIGKILL]
        assert jobs(command, ECLUSE_CRASH_AT="") == [0]
        assert [(event.type, event.data) for event in open_hub(home).log.read()] == whole
        assert state.verify(open_hub(home))["sound"]


# --- speed


@pytest.mark.soak
def test_fifty_thousand_lines_come_in_within_the_budget(hub: Hub, tmp_path: Path) -> None:
    from time import process_time

    from connectors.synthetic_bordereaux import sample_lines

    path = tmp_path / "grand.xlsx"
    path.write_bytes(written(sample_lines(50_000), header=header()))
    start = process_time() - sum(os.times()[2:4])
    report = ingest(hub, path)
    assert report.rows_accepted == 50_000
    assert process_time() + sum(os.times()[2:4]) - start < 20


def test_hidden_folders_are_no_place_to_look_for_deliveries(tmp_path: Path) -> None:
    for folder in (".venv/lib", "received"):
        (tmp_path / folder).mkdir(parents=True)
        put(tmp_path / folder)
    (tmp_path / "received" / ".hidden.csv").write_bytes(b"x;y")
    assert [one.name for one in deliveries.find([tmp_path])[0]] == ["b1.csv"]
    assert arrivals.passed_over([tmp_path]) == []
