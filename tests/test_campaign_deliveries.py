"""Campaigns of the centres de santé and FIR through the pipeline: the door, the gate, what each reads, closings."""

import csv
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cds_facts import entry, everything, identity, numbers, spoiled
from conftest import Ecluse
from test_cpts import HEAD, line

from connectors import synthetic_ecds
from connectors.synthetic import fictional_finess
from connectors.synthetic_ecds import Centre
from contracts_schema.datasets import datasets
from contracts_schema.families import RESTRICTED
from contracts_schema.parameters.record import said
from contracts_schema.products import CAMPAIGN, CONTRACTS, products
from contracts_schema.rules import catalogue
from flows import (
    campaigns,
    causes,
    closings,
    computed,
    decisions,
    deliveries,
    demo_campaigns,
    demo_others,
    explanation,
    law,
    law_table,
    origins,
    publication,
    replay,
    section_changes,
)
from flows.deliveries import Report, all_heads
from flows.hub import PARIS, TEST_CLOCK, Hub, WrongUsage, init_hub, open_hub

CENTRES, NODES = "out_cpam__cds_centre", "out_cpam__cds_node"


def at(hub: Hub, instant: str) -> Hub:
    """The same hub at an instant of Paris."""
    return replace(hub, clock=lambda: datetime.fromisoformat(instant).replace(tzinfo=PARIS))


def put(
    folder: Path, centres: Sequence[Centre] | None = None, day: date = synthetic_ecds.EXTRACTED,
    year: int = synthetic_ecds.YEAR, **files: bytes,
) -> Path:  # fmt: skip
    """An extraction of these centres (the twelve of the demonstration); ``rfs=…`` gives the bytes of a section."""
    folder.mkdir(parents=True, exist_ok=True)
    made = synthetic_ecds.demo() if centres is None else synthetic_ecds.files(centres, day, year)
    for name, content in made.items():
        (folder / name).write_bytes(files.get(name.split("_")[1], content))
    return folder


def lines_of(hub: Hub, table: str, row: dict[str, Any]) -> dict[str, int]:
    """How many lines of each delivery a row of the product about CPTS rests on."""
    [found] = [one for one in products()["ars", "cpts"].tables if one.name == table]
    told = origins.of(hub, CONTRACTS, found, row, hub.log.head()[0]).lines
    return {scope: sum(one["lines"] for one in counted.values()) for scope, counted in told.items()}


def take(hub: Hub, *paths: Path, caisse: str | None = None) -> dict[str, Report]:
    """What became of each file, by its name."""
    found, refused = deliveries.find(paths, caisse, hub.settings)
    reports = [*refused, *(deliveries.ingest(hub, one) for one in found)]
    return {report.files[0]["name"]: report for report in reports}


def rows(hub: Hub, name: str, made_by: str = CAMPAIGN, until: int | None = None) -> pl.DataFrame:
    found = computed.rows(hub, made_by, name, until)
    assert found is not None
    return found


def in_caisse(*caisses: str) -> list[Centre]:
    return spoiled([identity(cpam_code=caisse) for caisse in caisses])


# --- the door and the gate


def test_an_extraction_is_recognised_file_by_file_and_the_same_bytes_change_nothing(hub: Hub, tmp_path: Path) -> None:
    folder = put(tmp_path / "in")
    first = take(hub, folder)
    assert {report.status for report in first.values()} == {"accepted"}
    assert first["ECDS_rfs_2025_2026_03_02.csv"].scope == "ecds/commun/2025/2026-03-02/rfs"
    position = hub.log.head()[0]
    assert {report.status for report in take(hub, folder).values()} == {"already_known"}
    assert hub.log.head()[0] == position


def test_who_sends_an_extraction_is_told_by_the_option_or_its_folder(hub: Hub, tmp_path: Path) -> None:
    take(hub, put(tmp_path / "cpam-311"))
    take(hub, put(tmp_path / "autre", in_caisse("312")), caisse="312")
    assert {head.data["sender"] for head in all_heads(hub).values()} == {"cpam-311", "cpam-312"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("ECDS_rfs_2025.csv", "nom attendu"), ("ECDS_autre_2025_2026_03_02.csv", "nom attendu"),
     ("ECDS_rfs_2025_2026_02_30.csv", "n'existe pas"), ("saisies.csv", "nom attendu")],
)  # fmt: skip
def test_a_section_whose_name_does_not_say_its_year_and_day_is_refused(hub: Hub, tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(synthetic_ecds.demo()["ECDS_rfs_2025_2026_03_02.csv"])
    [report] = take(hub, path).values()
    assert (report.status, report.reasons) == ("rejected", ["cds.CDS57"])
    assert told in str(report.message)
    assert hub.log.head()[0] == 0


RFS = synthetic_ecds.demo()["ECDS_rfs_2025_2026_03_02.csv"]
HEADER = RFS.split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("content", "rule", "told"),
    [
        (RFS.replace(b";", b","), "cds.CDS57", "séparateur « ; » attendu"),
        (
            RFS.replace(b";niveau;", b";reponse;"),
            "cds.CDS57",
            "« reponse » deux fois dans l'en-tête (« reponse », ligne 1, colonnes 4 et 5)",
        ),
        (RFS.replace(b";2025;", b";2024;", 1), "cds.CDS20", "ligne 2, colonne annee_exercice"),
        (b"", "cds.CDS57", "fichier vide"),
        (RFS.replace(b"OUI", b"\xe9", 1), "cds.CDS57", "illisible en UTF-8"),
        (RFS.replace(b";horodatage_saisie", b";instant"), "cds.CDS57", "colonnes absentes : horodatage_saisie"),
    ],
)
def test_a_section_that_cannot_be_trusted_is_refused_with_its_file_line_and_rule(
    hub: Hub, tmp_path: Path, content: bytes, rule: str, told: str
) -> None:
    report = take(hub, put(tmp_path, rfs=content))["ECDS_rfs_2025_2026_03_02.csv"]
    assert (report.status, report.reasons) == ("rejected", [rule])
    assert told in str(report.message)
    assert "ECDS_rfs_2025_2026_03_02.csv" in str(report.message)
    assert f"[{rule}]" in str(report.message)
    assert rule in catalogue()


def test_a_header_alone_is_held_since_it_would_make_every_centre_unanswered(hub: Hub, tmp_path: Path) -> None:
    report = take(hub, put(tmp_path, rfs=HEADER + b"\r\n"))["ECDS_rfs_2025_2026_03_02.csv"]
    assert (report.status, report.reasons) == ("held", ["dataset.no_row"])


def test_a_centre_whose_line_was_set_aside_is_told_why_nothing_of_it_counts(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311")
    typed = next(row for row in centres[0]["rfs"] if row["code_indicateur"] == "CDS15-A2-COORD")
    centres[0]["rfs"] = [row for row in centres[0]["rfs"] if row is not typed]
    centres[0]["rfs"].append(typed | {"valeur_num": "17,5"})
    take(hub, put(tmp_path, centres))
    told = rows(hub, "out_cpam__cds_finding").filter(finess=numbers(centres)[0])
    line = len(centres[0]["rfs"]) + 1
    [reason] = told.filter(rule="cds.CDS57")["reason"]
    assert reason.endswith(
        f"ligne(s) {line} de ce centre mises à l'écart, colonne valeur_num illisible ; rien de ce qui y est saisi n'est compté."
    )
    assert "cds.CDS23" in told["rule"].to_list()


def test_bad_lines_are_set_aside_with_their_number_and_none_is_lost(hub: Hub, tmp_path: Path) -> None:
    lines = RFS.split(b"\r\n")
    lines[3] = lines[3].replace(b";;", b";1,5;", 1).replace(b"OUI;1,5;", b"OUI;;1,5;", 1)[: len(lines[3]) + 9] + b";"
    twice = [lines[6], lines[6].replace(b";OUI;", b";NON;")]
    report = take(hub, put(tmp_path, rfs=b"\r\n".join([*lines[:-1], lines[5], *twice, b""])))["ECDS_rfs_2025_2026_03_02.csv"]
    assert report.status == "accepted"
    decided = deliveries.decision(hub, str(report.scope), str(report.delivery_id))
    assert decided
    aside = deliveries.set_aside(hub, decided.data)
    assert report.rows_quarantined == aside.height > 0
    assert 4 in aside["line_number"].to_list()
    assert set(aside["rule"]) == {"cds.CDS57", "cds.CDS60"}
    assert report.rows_in == report.rows_accepted + report.rows_quarantined
    assert decided.data["lines_ignored"] == 2, "the same line again is left out once, and told"


def test_numbers_of_persons_are_where_no_product_may_read_them(hub: Hub, tmp_path: Path) -> None:
    take(hub, put(tmp_path))
    [head] = [one for one in all_heads(hub).values() if one.scope.endswith("/professionnels")]
    assert f"{RESTRICTED}ecds_professionnels" in head.tables
    number = synthetic_ecds.rpps(201)[:9]
    assert all(number not in str(event.data) for event in hub.log.read())
    for name in computed.names(CAMPAIGN):
        assert number not in rows(hub, name).write_csv()


def test_most_lines_kept_aside_hold_the_section_until_someone_decides(hub: Hub, tmp_path: Path) -> None:
    lines = RFS.split(b"\r\n")
    bad = [line + b";" if place % 3 == 1 else line for place, line in enumerate(lines)]
    report = take(hub, put(tmp_path, rfs=b"\r\n".join(bad)))["ECDS_rfs_2025_2026_03_02.csv"]
    assert (report.status, report.reasons) == ("held", ["dataset.quarantine_rate"])
    decisions.waive(hub, str(report.delivery_id), "relu", date(2026, 4, 30))
    assert "ecds/commun/2025/2026-03-02/rfs" in all_heads(hub)


# --- what each organisation reads


def test_each_caisse_has_its_own_centres_and_every_cent_is_somewhere(hub: Hub, tmp_path: Path) -> None:
    take(hub, put(tmp_path))
    made = rows(hub, CENTRES)
    assert sorted(made["caisse"].unique()) == ["311", "312", "313"]
    assert made["finess"].n_unique() == 12
    parts = pl.col("payable_cents") + pl.col("under_reserve_cents") + pl.col("blocked_cents")
    assert made.filter(pl.col("computed_cents") != parts).is_empty()
    region = rows(hub, "out_ars__cds_centre")
    assert region["computed_cents"].sum() == made["computed_cents"].sum()
    for name in campaigns.FINDINGS:
        place = "caisse" if "cpam" in name else "region"
        assert rows(hub, name).select(place, "number").is_unique().all()


def test_a_table_attested_from_a_file_makes_the_amounts_of_that_caisse_firm_and_of_no_other(
    hub: Hub, ecluse: Ecluse, tmp_path: Path
) -> None:
    take(hub, put(tmp_path / "in", in_caisse("311", "312")))
    assert rows(hub, CENTRES)["payable_cents"].sum() == 0
    table = tmp_path / "annexes.csv"
    assert ecluse("law", "cds.", "--output", table).code == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file, delimiter=";"))
    known = {(one.parameter, said(one.cell)): one.value for one in everything()}
    for one in lines:  # what the annexes say, typed into the rows that the hub left empty
        one["valeur"] = one["valeur"] or known.get((one["parametre"], one["dimensions"]), "")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0], delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    before = hub.log.head()[0]
    arguments = ("--organisation", "cpam-311", "--file", table, "--reference", "Annexes", "--role", "service des centres")
    assert ecluse("attest", *arguments).code == 0
    assert hub.log.head()[0] == before + 1, "one decision"
    paid = dict(rows(hub, CENTRES).filter(scheme="rfs").select("caisse", "payable_cents").iter_rows())
    assert (paid["311"] > 0, paid["312"]) == (True, 0)
    nodes = rows(hub, NODES).filter(caisse="311")
    assert nodes.filter(node="rfs.amount")["firm"].all()
    assert "Annexes" in nodes.filter(node="rfs.amount")["parameters"].item()
    assert rows(hub, CENTRES, until=before)["payable_cents"].sum() == 0, "as known before it was attested"
    [event] = hub.log.read(stream="law/cpam-311")
    law.withdraw_attestation(hub, event.position, "cpam-311", "essai")
    assert rows(hub, CENTRES)["payable_cents"].sum() == 0


def test_a_later_extraction_takes_the_place_of_the_earlier_one_whole_and_the_past_stays(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311", "311")
    take(hub, put(tmp_path / "a", centres, date(2026, 2, 1)))
    before = hub.log.head()[0]
    late = put(tmp_path / "b", centres[:1], date(2026, 3, 2))
    (late / "ECDS_horaires_2025_2026_03_02.csv").unlink()
    take(hub, late)
    assert rows(hub, CENTRES)["finess"].unique().to_list() == numbers(centres[:1])
    assert rows(hub, CENTRES, until=before)["finess"].n_unique() == 2
    told = rows(hub, "out_cpam__cds_finding")
    assert told.filter(rule="cds.CDS62", state="Alerte").height > 0, "one centre of two is gone"
    [campaign] = closings.campaigns(hub)["campaigns"]
    assert campaign["extractions"][0]["missing"] == ["horaires"]


def test_an_extraction_whose_identification_is_still_to_come_stands_for_nobody_and_the_one_before_stays(
    hub: Hub, tmp_path: Path
) -> None:
    centres = in_caisse("311")
    take(hub, put(tmp_path / "a", centres, date(2026, 2, 1)))
    closings.close(hub, 2025, "rfs")
    first = hub.log.head()[0]
    late = put(tmp_path / "b", centres, date(2026, 3, 2))
    take(hub, late / "ECDS_horaires_2025_2026_03_02.csv")
    assert rows(hub, CENTRES).equals(rows(hub, CENTRES, until=first))
    [campaign] = closings.campaigns(hub)["campaigns"]
    [extraction] = campaign["extractions"]
    assert (extraction["day"], extraction["stands"]) == (date(2026, 3, 2), date(2026, 2, 1))
    assert campaign["closings"][0]["moved"] == []
    take(hub, late)
    assert closings.campaigns(hub)["campaigns"][0]["extractions"][0]["stands"] == date(2026, 3, 2)
    runs = list(replay._together(computed.changes(hub, CAMPAIGN, first, hub.log.head()[0])))
    assert len(runs) == 1, "sections that came one after the other are one cause"
    assert "(horaires, identification, professionnels, rfs, rosp)" in replay._extraction(runs[0])["text"]


def test_what_each_section_changes_is_told_by_heading_code_and_number_of_lines_and_never_by_value(
    hub: Hub, tmp_path: Path
) -> None:
    centres = in_caisse("311", "311")
    take(hub, put(tmp_path / "a", centres, date(2026, 2, 1)))
    first = hub.log.head()[0]
    identity(patientele_mt="4321", file_active="4999")(centres[0])
    entry(centres[0], "COORD").update(valeur_num="3")
    centres[0]["professionnels"][0]["etp"] = "0.77"
    later = put(tmp_path / "b", centres, date(2026, 3, 2))
    (later / "ECDS_horaires_2025_2026_03_02.csv").unlink()
    take(hub, later)
    [run] = replay._together(computed.changes(hub, CAMPAIGN, first, hub.log.head()[0]))
    one, other = numbers(centres)
    assert section_changes.changed(hub, run, one) == (
        "pour ce centre : identification (patientele_mt, file_active), professionnels (1 ligne), "
        "horaires (section qui n'est plus reçue), rfs (CDS15-A2-COORD) ; inchangé : rosp"
    )
    assert "rfs" not in section_changes.changed(hub, run, other).partition(" ; inchangé")[0]
    assert "identification (1 centre), professionnels (1 centre), " in section_changes.changed(hub, run, None)
    before = hub.log.head()[0]
    entry(centres[1], "AD-CHR-PIEDS", "rosp").update(numerateur="1")
    take(hub, put(tmp_path / "c", centres, date(2026, 3, 2)) / "ECDS_rosp_2025_2026_03_02.csv")
    [again] = replay._together(computed.changes(hub, CAMPAIGN, before, hub.log.head()[0]))
    assert section_changes.changed(hub, again, other).startswith("pour ce centre : rosp (AD-CHR-PIEDS) ; inchangé : ")
    assert section_changes.changed(hub, again, one) == "rien d'autre pour ce centre"


def test_what_moved_since_a_deadline_was_closed_is_told_centre_by_centre(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311")
    take(hub, put(tmp_path / "a", centres, date(2026, 2, 1)))
    closings.close(hub, 2025, "rfs")
    then = rows(hub, CENTRES).filter(scheme="rfs")["computed_cents"].item()
    centres[0]["rfs"] = centres[0]["rfs"][:-1]
    take(hub, put(tmp_path / "b", centres, date(2026, 3, 2)))
    now = rows(hub, CENTRES).filter(scheme="rfs")["computed_cents"].item()
    [closed] = closings.campaigns(hub)["campaigns"][0]["closings"]
    assert now != then
    assert closed["moved"] == [{"finess": numbers(centres)[0], "before": then, "after": now}]


def test_what_an_extraction_before_the_deadline_held_without_an_instant_stays_held(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311")
    for row in centres[0]["rosp"]:
        row["horodatage_saisie"] = ""
    take(hub, put(tmp_path / "a", centres, date(2026, 1, 30)))
    after = [dict(row) for row in centres[0]["rosp"]]
    after[0]["numerateur"] = "0"
    centres[0]["rosp"] = after
    take(hub, put(tmp_path / "b", centres, date(2026, 3, 2)))
    told = rows(hub, "out_cpam__cds_finding").filter(rule="cds.CDS16")
    assert told["state"].to_list() == ["Non vérifiable"], "typed between the two extractions: nobody knows when"
    take(hub, put(tmp_path / "c", centres, date(2026, 1, 29)))
    assert rows(hub, "out_cpam__cds_finding").filter(rule="cds.CDS16").is_empty(), "that of the 29th has it"


def test_a_centre_in_two_extractions_counts_once_as_its_own_caisse_has_it(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311", "312")
    take(hub, put(tmp_path / "tout", centres))
    identity(raison_sociale="Nom donné par sa caisse")(centres[0])
    take(hub, put(tmp_path / "cpam-311", centres[:1], date(2026, 3, 1)))
    made = rows(hub, CENTRES).filter(scheme="rfs").sort("caisse")
    assert made["finess"].to_list() == sorted(numbers(centres), key=numbers(centres).index)
    assert made["legal_name"].to_list() == ["Nom donné par sa caisse", centres[1]["identification"][0]["raison_sociale"]]


def test_a_centre_that_two_caisses_say_to_be_theirs_counts_once_and_is_told(hub: Hub, tmp_path: Path) -> None:
    both = in_caisse("311")
    take(hub, put(tmp_path / "cpam-311", both))
    assert closings.campaigns(hub)["contested"] == []
    take(hub, put(tmp_path / "cpam-312", in_caisse("312", "312")))
    found = closings.campaigns(hub)
    [told] = found["contested"]
    assert told == {"year": 2025, "finess_et": numbers(both)[0], "caisses": "311, 312", "counted": "311"}
    assert [(one["caisse"], one["centres"]) for one in found["campaigns"][0]["caisses"]] == [("311", 1), ("312", 1)]
    blind = put(tmp_path / "après" / "cpam-312", in_caisse("312", "312"), date(2026, 3, 9))
    for section in ("rfs", "rosp"):
        (blind / f"ECDS_{section}_2025_2026_03_09.csv").unlink()
    take(hub, blind)
    [one, other] = closings.campaigns(hub)["campaigns"][0]["caisses"]
    assert (one["computed_cents"], other["computed_cents"]) == (4_970_000, None), "unknown is no zero"


def test_a_centre_whose_identification_cannot_be_read_is_told_to_the_caisse_that_sent_it(
    hub: Hub, ecluse: Ecluse, tmp_path: Path
) -> None:
    centres = in_caisse(*["311"] * 6)
    identity(patientele_mt="1 234", file_active="2 345")(centres[1])
    assert {report.status for report in take(hub, put(tmp_path / "cpam-311", centres)).values()} == {"accepted"}
    row = rows(hub, CENTRES).filter(finess=numbers(centres)[1], scheme="rfs").row(0, named=True)
    assert (row["caisse"], row["legal_name"], row["computed_cents"], row["result"]) == ("311", None, None, "Non calculable")
    assert "à l'écart (cds.CDS57)" in row["reason"]
    told = rows(hub, "out_cpam__cds_finding").filter(finess=numbers(centres)[1], rule="cds.CDS57")["reason"].to_list()
    assert told == [
        "ECDS_identification_2025_2026_03_02.csv : ligne(s) 3 de ce centre mises à l'écart, colonne patientele_mt illisible ; "
        "rien de ce qui y est saisi n'est compté."
    ]
    assert ecluse("centre", numbers(centres)[1]).code == 0


def test_a_centre_without_a_caisse_is_told_and_is_in_no_product(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311", "")
    take(hub, put(tmp_path, centres))
    assert rows(hub, CENTRES)["finess"].unique().to_list() == numbers(centres[:1])
    assert [one["finess_et"] for one in closings.campaigns(hub)["unplaced"]] == numbers(centres[1:])


def test_what_is_computed_is_kept_until_something_that_matters_changes(hub: Hub, tmp_path: Path) -> None:
    take(hub, put(tmp_path / "in", in_caisse("311", "312")))
    at = computed.moment(hub, CAMPAIGN)
    assert at
    known = all_heads(hub)
    keys = campaigns.shares(hub, known, at)
    assert set(keys) == {"cpam-311", "cpam-312", "ars-99"}
    law.attest(hub, everything(), "cpam-311", "service des centres")
    now = computed.moment(hub, CAMPAIGN)
    assert now
    again = campaigns.shares(hub, all_heads(hub), now)
    assert {place for place in keys if keys[place] != again[place]} == {"cpam-311"}


def test_an_extraction_makes_again_the_tables_of_the_places_of_its_centres_and_of_no_other(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, work, centres = list[str](), campaigns._tables_of, in_caisse("311", "312", "313")

    def counted(hub: Hub, known: Any, place: str, at: Any) -> Any:
        made.append(place)
        return work(hub, known, place, at)

    monkeypatch.setattr(campaigns, "_tables_of", counted)
    for caisse, centre in zip(("311", "312", "313"), centres, strict=True):
        take(hub, put(tmp_path / f"cpam-{caisse}", [centre]))
    rows(hub, CENTRES)
    assert sorted(made) == ["ars-99", "cpam-311", "cpam-312", "cpam-313"]
    made.clear()
    identity(raison_sociale="Nom changé")(centres[1])
    take(hub, put(tmp_path / "mars" / "cpam-312", centres[1:2], date(2026, 3, 3)))
    assert rows(hub, CENTRES).filter(caisse="312")["legal_name"].unique().to_list() == ["Nom changé"]
    assert sorted(made) == ["ars-99", "cpam-312"]


# --- what others say

OTHERS = {
    "patients.csv": "caisse;finess;annee_exercice;patientele_mt;file_active\n311;{0};2025;4201;5000\n311;{1};2025;1;1\n",
    "avances.csv": "N° de paiement;Caisse;FINESS;Année;Avance;Payé le\nA1;311;{0};2025;1000,00;30/06/2025\n"
    "A2;311;{0};2025;500,00;30/09/2025\nA3;311;{0};2024;9,00;30/09/2024\n",
    "horaires.csv": "Région;FINESS;Jour;Ouverture;Fermeture\n99;{0};LUN;08:00;20:30\n",
    "antennes.csv": "Région;Antenne;Site principal;Début;Fin exclue\n99;{1};{0};;2025-12-31\n",
    "crises.csv": "ars_region;date_debut;date_fin;texte\n99;2024-12-01;2025-01-01;froid\n",
    "codes.csv": "code_source;section;code_hub;date_debut;date_fin\nacc 1;rfs;CDS15-A1-HOR;2015-01-01;\n"
    "X;rfs;AUCUN;2015-01-01;\n",
    "logiciels.csv": "Logiciel;Première version\nLogiciel fictif;2019-01-01\n",
}


def test_what_others_say_is_delivered_as_datasets_and_answers_the_rules_that_ask_for_it(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311", "312")
    for row in centres[0]["rfs"]:
        row["actions_crise"] = "OUI" if row["code_indicateur"] == "CDS15-A1-CRISE" else row["actions_crise"]
        row["code_indicateur"] = "ACC1" if row["code_indicateur"] == "CDS15-A1-HOR" else row["code_indicateur"]
    one, other = numbers(centres)
    take(hub, put(tmp_path / "in", centres))
    law.attest(hub, everything(), "cpam-311", "service des centres")

    def states(rule: str, finess: str | None = one) -> list[str]:
        told = rows(hub, "out_cpam__cds_finding").filter(rule=f"cds.{rule}")
        return told.filter(pl.col("finess").eq_missing(finess), caisse="311")["state"].to_list()

    silent = [name for name in ("CDS03", "CDS09", "CDS32", "CDS49", "CDS64") if states(name, None) == ["Non vérifiable"]]
    assert silent == ["CDS03", "CDS09", "CDS32", "CDS49", "CDS64"]
    waiting = rows(hub, CENTRES).filter(scheme="rfs", finess=one).row(0, named=True)
    assert "(CDS15-A1-HOR) : CODE_SANS_CORRESPONDANCE" in waiting["prerequisites"], "its code has no mapping yet"
    assert (states("CDS23"), waiting["payable_cents"], waiting["complete"]) == ([], 0, False)
    before = hub.log.head()[0]
    for name, content in OTHERS.items():
        (tmp_path / name).write_text(content.format(one, other), encoding="utf-8")
    assert {name: said.status for name, said in take(hub, *(tmp_path / name for name in OTHERS)).items()} == dict.fromkeys(
        OTHERS, "accepted"
    )
    assert (states("CDS23"), states("CDS49"), states("CDS32")) == ([], [], ["Alerte"])
    assert (states("CDS29"), states("CDS35"), states("CDS09", None)) == (["Alerte"], [], [])
    paid = rows(hub, CENTRES).filter(scheme="rfs", finess=one).row(0, named=True)
    assert paid["advance_paid_cents"] == 150000, "of that year only"
    assert paid["balance_cents"] == paid["payable_cents"] - 150000
    compared = rows(hub, "out_cpam__cds_comparison").filter(finess=one)
    assert set(compared["source"]) == {"Assurance Maladie", "ARS"}
    assert (
        rows(hub, "out_ars__cds_comparison").filter(finess=other, source="Assurance Maladie")["other"].to_list() == [None] * 2
    ), "what caisse 311 says of a centre of 312 is not read"
    assert rows(hub, CENTRES, until=before).filter(scheme="rfs", finess=one)["advance_paid_cents"].to_list() == [None]


def test_what_others_say_of_the_centres_of_the_demonstration_is_recognised_and_answers(hub: Hub, tmp_path: Path) -> None:
    take(hub, put(tmp_path / "in"))
    demo_campaigns.attest(hub)
    waiting = rows(hub, "out_cpam__cds_finding").filter(rule="cds.CDS54")
    reports = take(hub, *demo_others.write(tmp_path / "autres"))
    assert [report.status for report in reports.values()] == ["accepted"] * 7
    row = rows(hub, CENTRES).filter(finess=demo_others.SHOWN, scheme="rfs").row(0, named=True)
    assert (row["advance_paid_cents"], row["balance_cents"]) == (2_000_000, row["payable_cents"] - 2_000_000)
    told = rows(hub, "out_cpam__cds_finding").filter(pl.col("state") != "Non vérifiable")
    assert {"cds.CDS09", "cds.CDS32", "cds.CDS49"} <= set(told["rule"])
    assert (waiting.height, told.filter(rule="cds.CDS54").height) == (1, 0), "its code has a mapping at last"


def test_the_stock_of_finess_stops_a_centre_that_it_should_hold_and_says_when_it_cannot_tell(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311", "311")
    one, other = numbers(centres)
    take(hub, put(tmp_path / "in", centres))
    fields = datasets()["finess_et"].layout("etalab-cs1100502").fields

    def stock(name: str, day: str) -> None:
        row = dict.fromkeys(fields, "") | {"structureet": "structureet", "nofinesset": one, "nofinessej": "990000010"}
        row |= {"rs": "Centre", "categetab": "124"}
        (tmp_path / name).write_text(f"finess;etalab;95;{day}\n{';'.join(row[field] for field in fields)}\n")
        assert {said.status for said in take(hub, tmp_path / name).values()} == {"accepted"}

    def told(rule: str) -> dict[str, str]:
        rows_of = rows(hub, "out_cpam__cds_finding").filter(rule=rule)
        return dict(rows_of.select("finess", "state").iter_rows())

    stock("late.csv", "2026-03-20")
    assert told("cds.CDS03") == {other: "Non vérifiable"}, "it may have closed since it was declared"
    assert told("cds.CDS08")[one] == "Alerte", "another legal entity"
    stock("near.csv", "2026-01-05")
    assert told("cds.CDS03") == {other: "Bloquant"}
    assert rows(hub, CENTRES)["finess"].unique().to_list() == [one]


def test_a_dataset_is_told_as_a_source_to_whom_it_concerns_only() -> None:
    assert campaigns.reads("centre_advances/311", "cpam-311")
    assert not campaigns.reads("centre_advances/311", "cpam-312")
    assert campaigns.reads("centre_advances/311", "ars-99")
    assert campaigns.reads("reference/finess_et", "cpam-311")
    assert not campaigns.reads("payments/311", "cpam-311")
    assert not campaigns.reads("declarations/1234", "ars-99")


# --- closings


def test_a_deadline_is_closed_once_it_has_passed_and_its_state_is_found_again(
    hub: Hub, ecluse: Ecluse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    centres = in_caisse("311")
    take(hub, put(tmp_path / "a", centres, date(2026, 2, 1)))
    monkeypatch.setenv(TEST_CLOCK, "2026-02-27T23:59")
    assert ecluse("close-campaign", "2025", "rosp").code == 0
    refused = ecluse("close-campaign", "2025", "rfs")
    assert (refused.code, "ouverte jusqu'au 27/02/2026 inclus" in refused.err) == (2, True)
    [closed] = closings.closings(hub)
    assert closings.due(hub) == [(2025, "rfs")], "on 31 March"
    assert ecluse("close-campaign", "2025", "rosp", "--json").json["position"] == closed.position
    before = rows(hub, CENTRES)
    identity(patientele_mt="9000", file_active="9000")(centres[0])
    take(hub, put(tmp_path / "b", centres, date(2026, 3, 2)))
    assert not rows(hub, CENTRES).equals(before)
    assert rows(hub, CENTRES, until=closed.position).equals(before)


def test_closing_needs_a_known_deadline_and_an_extraction(hub: Hub, tmp_path: Path) -> None:
    for year, deadline, told in ((2025, "autre", "inconnue"), (2025, "rfs", "aucune extraction"), (2030, "rfs", "attestez")):
        with pytest.raises(WrongUsage, match=told):
            closings.close(hub, year, deadline)
    take(hub, put(tmp_path, in_caisse("311"), date(2026, 2, 20)))
    assert closings.close(hub, 2025, "rfs")["before_the_end"] == ["commun"], "no extraction after the deadline: told"


def test_a_prerequisite_without_an_answer_is_told_on_the_days_of_alert_and_on_no_other(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311")
    centres[0]["rfs"] = [row for row in centres[0]["rfs"] if row["code_indicateur"] != "CDS15-A1-HOR"]
    take(hub, put(tmp_path, centres, date(2026, 2, 10)))

    def told(instant: str) -> list[str]:
        found = rows(at(hub, instant), "out_cpam__cds_finding").filter(
            pl.col("rule") == "cds.CDS21", pl.col("state") != "Non vérifiable"
        )
        return found["reason"].to_list()

    assert told("2026-02-11T12:00") == []
    for day, left in (("2026-02-12", 15), ("2026-02-20", 7), ("2026-02-26", 1)):
        [reason] = told(f"{day}T12:00")
        assert f"{left} jour" in reason
    assert told("2026-02-27T12:00") == []


def test_a_deadline_that_no_text_gives_is_the_last_one_that_an_organisation_attests(hub: Hub, tmp_path: Path) -> None:
    hub = at(hub, "2027-03-01T23:59:59")
    centres = in_caisse("311", "312")
    for one in centres:
        for section in one.values():
            for row in section:
                row["annee_exercice"] = "2026"
    take(hub, put(tmp_path, centres, date(2027, 2, 1), year=2026))
    assert closings.due(hub) == []
    with pytest.raises(WrongUsage, match=r"ecluse attest cds\.campaign\.day"):
        closings.close(hub, 2026, "rfs")
    for caisse, last in (("cpam-311", "2027-02-26"), ("cpam-312", "2027-03-01")):
        own = ("cds.campaign.day", last, date(2026, 1, 1), date(2027, 1, 1), ["deadline=rfs"], "Lettre")
        law.attest(hub, law_table.stated(*own), caisse, "service des centres")
    with pytest.raises(WrongUsage, match="ouverte jusqu'au 01/03/2027 inclus"):
        closings.close(hub, 2026, "rfs")
    hub = at(hub, "2027-03-02T00:00:00")
    assert closings.due(hub) == [(2026, "rfs")]
    assert closings.close(hub, 2026, "rfs")["last_day"] == "2027-03-01"


def test_a_centre_is_a_tree_down_to_what_was_entered(hub: Hub, ecluse: Ecluse, tmp_path: Path) -> None:
    centres = in_caisse("311")
    take(hub, put(tmp_path, centres))
    answer: Any = closings.centre(hub, numbers(centres)[0])
    rfs = next(one for one in answer["schemes"] if one["scheme"] == "rfs")
    names = []

    def walk(node: Any) -> None:
        names.append(node["node"])
        for one in node["inputs"]:
            walk(one)

    for scheme in answer["schemes"]:
        for tree in (scheme["tree"], *scheme["advance"]):
            walk(tree)
    nodes = set(rows(hub, NODES)["node"])
    assert {name for name in names if not name.startswith("entrée")} == nodes
    assert rfs["tree"]["inputs"][0]["value"] == str(rfs["computed_cents"])
    said = ecluse("centre", numbers(centres)[0], "--full")
    assert said.code == 0
    assert "rfs.amount" in said.out
    assert "cds.rfs.points" in said.out
    assert ecluse("centre", "990000999").code == 2
    assert "Campagne 2025" in ecluse("campaigns").out


# --- CPTS and FIR


def forms(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contrats.csv").write_text(
        "contrat_id;type_contrat;siret;finess_ej;population;palier;date_signature;territoire;region\n"
        "C1;ACI_CPTS;99900001100018;;60000;1;2020-01-01;Val;99\nI1;ITAOS;99900001100018;;;;2025-01-01;Val;99\n"
    )
    (folder / "missions.csv").write_text(
        "contrat_id;mission;date_demarrage;date_deploiement;taux_atteinte;premier_versement\nC1;ACCES;2020-04-01;;50;1000.00\n"
    )
    (folder / "financements.csv").write_text(
        "beneficiaire;region;action;financement;date_debut;date_fin\n"
        "99900001100018;99;Soins non programmés;FIR;2024-01-01;\n99900001100018;99;Soins non programmés;ACI;2024-06-01;\n"
    )
    (folder / "HAPI_ARS_2024.txt").write_text(
        "\n".join([HEAD, line("X1"), line(notified=""), line(notified="-5", order="A3"), ""])
    )
    return folder


def test_fir_and_contracts_come_in_by_their_headings_and_are_told_to_their_region(hub: Hub, tmp_path: Path) -> None:
    reports = take(hub, forms(tmp_path))
    assert {name: report.status for name, report in reports.items()} == dict.fromkeys(
        ("contrats.csv", "missions.csv", "financements.csv", "HAPI_ARS_2024.txt"), "accepted"
    )
    fir = rows(hub, "out_ars__fir_commitment", CONTRACTS)
    assert fir["notified_cents"].to_list() == [100050, None, -500]
    parts = rows(hub, "out_ars__cpts_part", CONTRACTS)
    assert set(parts["contract_id"]) == {"C1"}, "ITAOS is a type of contract without figures"
    assert not parts["firm"].any()
    told = set(rows(hub, "out_ars__cpts_finding", CONTRACTS).filter(pl.col("state") != "Non vérifiable")["rule"])
    assert {"cds.CDS66", "cds.CDS70", "cds.CDS71"} <= told


def test_commitments_of_several_files_add_up_and_the_last_file_counts_for_the_same_key(hub: Hub, tmp_path: Path) -> None:
    def put_fir(folder: str, name: str, *lines: str) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("\n".join([HEAD, *lines, ""]))
        return tmp_path / folder / name

    def standing() -> list[tuple[Any, ...]]:
        found = rows(hub, "out_ars__fir_commitment", CONTRACTS)
        return found.select("file", "order_number", "notified_cents").sort("order_number", "notified_cents").rows()

    first, second = put_fir("a", "HAPI_1.txt", line(), line(order="A2")), put_fir("a", "HAPI_2.txt", line(order="A3"))
    take(hub, first, second)
    both = [("HAPI_1.txt", "A1", 100050), ("HAPI_1.txt", "A2", 100050), ("HAPI_2.txt", "A3", 100050)]
    assert standing() == both, "two parts of one export: neither takes the place of the other"
    take(hub, put_fir("a", "autre.txt", line(notified="7"), line(order="A2")))
    assert standing() == [("autre.txt", "A1", 700), ("autre.txt", "A2", 100050), both[2]]
    told = rows(hub, "out_ars__cpts_finding", CONTRACTS).filter(rule="cds.CDS60")
    counted = pl.col("reason").str.contains("Les deux sont comptés")
    twice = told.filter(pl.col("reason").str.contains("Double probable"))
    assert twice["item"].to_list() == ["A2", "A3"], "A1 has another amount since"
    assert told.filter(counted & pl.col("reason").str.contains("Peut-être"))["item"].to_list() == ["A1", "A3"]
    assert "(HAPI_2.txt, ligne 2)" in twice["reason"][0]
    found = rows(hub, "out_ars__fir_commitment", CONTRACTS).sort("order_number")
    assert found["likely_double"].to_list() == ["A3", "A3", "A1, A2"]
    assert found["notified_cents"].sum() == 700 + 2 * 100050, "both are counted"
    told = told.filter(~counted)
    assert told["item"].to_list() == ["A1"], "the same amounts again are nothing to tell"
    assert "autre.txt (7,00 €) prennent la place de celles de HAPI_1.txt (1\u202f000,50 €)" in told["reason"].item()
    take(hub, put_fir("b", "HAPI_1.txt", line(order="A4")), put_fir("b", "autre.txt", line(order="A2", notified="3")))
    assert standing() == [("autre.txt", "A2", 300), both[2], ("HAPI_1.txt", "A4", 100050)], "its name again: the whole file"


def test_itaos_is_listed_and_not_computed_and_what_is_entered_on_a_contract_is_shown(hub: Hub, tmp_path: Path) -> None:
    folder = forms(tmp_path)
    (folder / "saisie.csv").write_text(
        "contrat_id;finess_ej;siret;mission;part;annee_contrat;indicateur_libelle;valeur_texte;valeur_num;unite;date_piece;"
        "horodatage_saisie\n"
        "C1;;1;ACCES;VARIABLE;2;Patients reçus;;7;patients;2021-06-30;2021-07-01T10:00:00\n"
        "C1;;1;ACCES;VARIABLE;2;Patients reçus;;9;patients;2021-06-30;2021-07-02T10:00:00\n"
        "C1;;1;FONCTIONNEMENT;FIXE;2;Rapport d'activité;reçu;;;2021-07-15;2021-07-16T10:00:00\n"
        "AILLEURS;;1;ACCES;FIXE;1;Autre;;1;;;2021-07-16T10:00:00\n"
    )
    take(hub, folder)
    listed = rows(hub, "out_ars__cpts_contract", CONTRACTS).select("contract_id", "kind", "computed", "tier", "expected_tier")
    assert listed.rows() == [("C1", "ACI_CPTS", True, "1", "2"), ("I1", "ITAOS", False, None, None)]
    entered = rows(hub, "out_ars__cpts_indicator", CONTRACTS).select("indicator", "value", "part")
    assert entered.rows() == [("Patients reçus", "9,00", "VARIABLE"), ("Rapport d'activité", "reçu", "FIXE")]
    [first, _] = rows(hub, "out_ars__cpts_indicator", CONTRACTS).to_dicts()
    assert lines_of(hub, "indicator", first) == {"cpts/saisie/saisie": 1}
    reports = rows(hub, "out_ars__cpts_part", CONTRACTS).select("contract_year", "report_on").unique().sort("contract_year")
    assert reports.rows()[:3] == [(1, None), (2, date(2021, 7, 15)), (3, None)], "its absence is shown and blocks nothing"


def test_a_fmis_subsidy_is_followed_in_a_region_that_has_no_contract(hub: Hub, tmp_path: Path) -> None:
    centres = in_caisse("311")
    finess = numbers(centres)[0]
    take(hub, put(tmp_path / "ecds", centres))
    for name, text in {
        "subventions.csv": "subvention_id;finess_ej;fonds;mode_versement;date_notification;montant_cents;avenant_id;"
        f"date_envoi_pieces\nS1;{finess};FMIS;;2024-10-03;100000;AV1;\n",
        "demandes.csv": "subvention_id;date_demande;montant_cents;canal\nS1;2025-01-05;40000;PLATEFORME_CDC\n",
        "versements.csv": "subvention_id;date_versement;montant_cents;payeur\nS1;2025-02-05;10000;CDC\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert [one.status for one in take(hub, tmp_path / name).values()] == ["accepted"]
    [row] = rows(hub, "out_ars__fmis_subsidy", CONTRACTS).to_dicts()
    assert (row["state"], row["last_day"], row["left_to_request_cents"], row["left_to_pay_cents"]) == (
        "En cours", date(2028, 12, 31), 60000, 30000,
    )  # fmt: skip
    [pair] = rows(hub, "out_ars__cpts_overlap", CONTRACTS).to_dicts()
    assert (pair["beneficiary"], pair["verdict"]) == (finess, "Non vérifiable : une action n'est pas dite")
    assert "Accord national" in pair["other_funding"]
    assert lines_of(hub, "subsidy", row) == {"ecars/suivi/subventions": 1, "ecars/suivi/demandes_remboursement": 1,
                                             "ecars/suivi/versements": 1}  # fmt: skip
    assert lines_of(hub, "overlap", pair) == {"ecars/suivi/subventions": 1, "ecds/commun/2025/2026-03-02/identification": 1}

    def made() -> set[str]:
        told, at = list[str](), computed.moment(hub, CONTRACTS)
        assert at
        computed.tables(hub, CONTRACTS, at, told.append)
        return {share.removeprefix("calcul ") for share in told}

    assert made() == set()
    with (tmp_path / "subventions.csv").open("a") as more:
        more.write(f"S2;{fictional_finess('2A99')};FMIS;;2024-10-03;100000;AV2;\n")
    take(hub, tmp_path / "subventions.csv")
    assert made() == {"ars-94"}, "what the other region is made of has not changed"
    (tmp_path / "versements.csv").write_text((tmp_path / "versements.csv").read_text().replace("10000", "20000"))
    take(hub, tmp_path / "versements.csv")
    assert made() == {"ars-99"}


def test_an_amount_attested_by_the_claimed_source_holds_the_publication(hub: Hub, tmp_path: Path) -> None:
    take(hub, forms(tmp_path))
    [claimed] = law_table.stated(
        "cpts.operating_grant", "9500000", date(2020, 1, 1), None, ["tier=1"], "003_f23b308d1cf6b0ce.txt"
    )
    decided = law.attest(hub, [claimed], "ars-99", "direction de l'offre de soins")
    held = rows(hub, "out_ars__cpts_finding", CONTRACTS).filter(effect_fr="publication retenue")
    assert held["rule"].to_list() == ["cds.CDS68"]
    [finding] = [one for one in products()["ars", "cpts"].tables if one.name == "finding"]
    assert [one.sql for one in finding.checks] == ["effect_fr <> 'publication retenue'"], "the table gate refuses"
    law.withdraw_attestation(hub, decided["position"], "ars-99", "source contestée")
    assert rows(hub, "out_ars__cpts_finding", CONTRACTS).filter(effect_fr="publication retenue").is_empty()


# --- published


def test_a_campaign_is_published_to_its_caisse_and_its_region_and_made_again_as_it_was_closed(tmp_path: Path, hub: Hub) -> None:
    home = hub.settings.home
    init_hub(home, test=True, recipients=["cpam-311"])

    hub = open_hub(home)
    take(hub, put(tmp_path / "in"), forms(tmp_path / "fir"))
    take(hub, put(tmp_path / "cpam-312", in_caisse("312")))
    closed = closings.close(hub, 2025, "rfs")
    reports = {f"{one.recipient}/{one.product}": one for one in publication.publish(hub)}
    assert {name: (one.status, one.breaches) for name, one in reports.items()} == dict.fromkeys(
        ("cpam-311/centres-de-sante", "ars-99/centres-de-sante", "ars-99/cpts"), ("published", [])
    )
    folder = Path(reports["cpam-311/centres-de-sante"].folder)
    assert {path.name for path in folder.iterdir()} >= {"centre.parquet", "centre.csv", "centre.xlsx"}
    assert pl.read_parquet(folder / "centre.parquet")["caisse"].unique().to_list() == ["311"]
    with zipfile.ZipFile(folder / "centre.xlsx") as workbook:
        said = "".join(workbook.read(name).decode() for name in workbook.namelist() if name.endswith(".xml"))
    assert ("ecds/commun/2025" in said, "ecds/cpam-312/2025" in said) == (True, False), "where its own figures come from"
    number = synthetic_ecds.rpps(201)[:9].encode()
    assert not any(number in path.read_bytes() for path in folder.iterdir() if path.is_file())
    law.attest(hub, everything(), "cpam-311", "service des centres")
    later = in_caisse("311")
    identity(raison_sociale="Nom d'après")(later[0])
    take(hub, put(tmp_path / "cpam-311", later, date(2026, 3, 20)))
    assert "Nom d'après" in rows(hub, CENTRES)["legal_name"].to_list()
    [again] = publication.recreate(hub, closed["position"], tmp_path / "alors", "cpam-311")
    assert again.known_as == 1
    bytes_of = [{path.name: path.read_bytes() for path in one.iterdir()} for one in (folder, Path(again.folder))]
    assert bytes_of[0] == bytes_of[1], "the state at the deadline, to the byte, whatever came since"
    shutil.rmtree(tmp_path / "alors")
    explained(hub)
    [attested] = [event.position for event in hub.log.read(types={"DecisionTaken"}) if event.data["kind"] == "attestation"]
    publication.publish(hub, "cpam-311")
    keys = {"finess": SOUND, "year": "2025", "scheme": "rfs"}
    told = causes.causes(hub, "cpam-311/centres-de-sante", keys=keys, table="centre")["figures"]
    firm = {one["figure"]: one for one in told if one["figure"].endswith("_cents")}
    assert firm["payable_cents"]["change"] == -firm["under_reserve_cents"]["change"] > 0
    assert [[cause["position"] for cause in part["causes"]] for part in firm["payable_cents"]["parts"]] == [[attested]]


def test_the_state_at_a_deadline_is_made_again_to_the_byte_from_a_log_in_postgresql(
    postgresql_url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_DATABASE_URL", postgresql_url)
    init_hub(home, test=True, recipients=["cpam-311"])
    hub = at(open_hub(home), "2026-03-31T12:00")
    centres = in_caisse("311")
    take(hub, put(tmp_path / "a", centres, date(2026, 3, 2)))
    closed = closings.close(hub, 2025, "rfs")["position"]

    def remade(name: str) -> dict[str, bytes]:
        [report] = publication.recreate(hub, closed, tmp_path / name, "cpam-311")
        return {path.name: path.read_bytes() for path in Path(report.folder).iterdir()}

    then = remade("alors")
    law.attest(hub, everything(), "cpam-311", "service des centres")
    identity(raison_sociale="Nom d'après")(centres[0])
    take(hub, put(tmp_path / "b", centres, date(2026, 3, 20)))
    assert rows(hub, CENTRES)["payable_cents"].to_list() != rows(hub, CENTRES, until=closed)["payable_cents"].to_list()
    assert remade("ensuite") == then
    assert "centre.xlsx" in then


SOUND = "990000069"
"""Of the demonstration, the centre to whom nothing happened."""


def explained(hub: Hub) -> None:
    """From what was published to the lines sent: a centre for its caisse and its ARS, a part of a contract, a commitment."""
    keys = {"finess": SOUND, "year": "2025", "scheme": "rfs"}
    for name in ("cpam-311/centres-de-sante", "ars-99/centres-de-sante"):
        said = explanation.explain(hub, name, "centre", keys)
        steps = {one["node"]: one for one in said["basis"] if one["kind"] == "step"}
        assert int(steps["rfs.amount"]["value"]) == said["row"]["computed_cents"]
        assert "cds.rfs.point_value" in steps["rfs.amount"]["parameters"]
        measures = {one["scope"].rpartition("/")[2]: one["measures"] for one in said["deliveries"]}
        assert set(measures) == {"identification", "horaires", "professionnels", "rfs"}
        [entry] = measures["rfs"]["CDS15-A2-COORD"]["ranges"]
        line = synthetic_ecds.demo()["ECDS_rfs_2025_2026_03_02.csv"].decode().splitlines()[entry[0] - 1]
        assert f"{SOUND};" in line
        assert "CDS15-A2-COORD" in line
    part = {"contract_id": "C1", "contract_year": "1", "mission": "ACCES", "part": "FIXE"}
    shown = explanation.explain(hub, "ars-99/cpts", "part", part)
    assert [one["kind"] for one in shown["basis"]] == ["step"]
    assert {next(iter(one["measures"])) for one in shown["deliveries"]} == {"contrat", "mission"}
    given = explanation.explain(hub, "ars-99/cpts", "commitment", {"number": "1"})
    [sent] = given["deliveries"]
    assert sent["measures"]["engagement"]["ranges"] == [[given["row"]["line"]] * 2]
