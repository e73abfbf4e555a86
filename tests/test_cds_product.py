"""The tables of the products about centres de santé and CPTS: as their contracts say, conserved, each row where it belongs."""

import re
import sqlite3
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from cds_facts import entry, everything, identity, numbers, read, sound, spoiled, surroundings
from test_cpts import contracts, fir, line, missions

from checks.cds.examine import examine
from checks.cds.facts import Campaign
from checks.cds.product import tables, unplaced
from checks.cds.remuneration import remunerate
from checks.cpom.law import default_law
from checks.cpts import product as of_cpts
from checks.cpts.agreement import amounts
from checks.cpts.financings import identified, of_commitments, of_subsidies
from checks.cpts.rules import Network, examine_network
from checks.cpts.subsidies import follow
from connectors import cpts as cpts_files
from connectors import ecds, synthetic_ecds
from contracts_schema.cpom_frames import schema
from contracts_schema.products import CAMPAIGN, CONTRACTS, Table, products

MADE = {table.view: table for one in products().values() if one.made_by in (CAMPAIGN, CONTRACTS) for table in one.tables}


def made(campaign: Campaign, own: Any = ()) -> dict[str, pl.DataFrame]:
    found = examine(campaign, own)
    return tables(campaign, found, remunerate(found, own))


def cpts() -> dict[str, pl.DataFrame]:
    parts = amounts(contracts(), missions(("ACCES", date(2020, 4, 1), None, 50, None)), 1)
    commitments = fir(line(), line("X1"), line(notified="", order="A2")).rows
    head = "contrat_id;finess_ej;siret;mission;part;annee_contrat;indicateur_libelle;valeur_texte;valeur_num;unite;date_piece;"
    entries = f"{head}horodatage_saisie\nC1;;1;ACCES;VARIABLE;1;Adhérents;;4;;;2021-07-01T10:00:00\n"
    subsidy = {"subsidy_id": "S", "finess_ej": "990000010", "fund": "FMIS", "notified_on": date(2024, 1, 1), "amount_cents": 5}
    frames = [pl.DataFrame(rows, schema=schema(name)) for name, rows in
              (("subsidy", [subsidy]), ("payment", []), ("refund_request", []))]  # fmt: skip
    followed = follow(*frames, default_law(), date(2026, 1, 1))
    financed = identified([of_commitments(commitments), of_subsidies(followed)])
    region = of_cpts.Region(
        "99", date(2026, 1, 1), contracts(), parts, examine_network(Network(commitments=commitments)), commitments,
        cpts_files.read_form(entries.encode(), "saisie.csv").rows, followed, financed,
    )  # fmt: skip
    return of_cpts.tables(region)


@pytest.fixture(scope="module")
def demo() -> dict[str, pl.DataFrame]:
    found, before = ecds.read_extraction(synthetic_ecds.demo()), read(synthetic_ecds.centres(12, 2, year=2024), year=2024)
    return made(Campaign(found.year, found.extracted_on, **found.frames(), before=before)) | cpts()


def broken(table: Table, found: dict[str, pl.DataFrame]) -> list[str]:
    """The checks of a table's contract that a row of it breaks, asked to SQLite as the gate does."""
    with sqlite3.connect(":memory:") as base:
        for view, frame in found.items():
            base.execute(f"create table {view} ({', '.join(frame.columns)})")
            base.executemany(f"insert into {view} values ({', '.join('?' * frame.width)})", frame.cast(TEXT_DAYS).rows())
        near = {one.name: view for view, one in MADE.items() if view.rsplit("__", 1)[0] == table.view.rsplit("__", 1)[0]}
        asked = ((check.id, check.sql.format(**near)) for check in table.checks)
        wrong = "select 1 from {} where not coalesce(({}), 0)"
        return [name for name, sql in asked if base.execute(wrong.format(table.view, sql)).fetchone()]


TEXT_DAYS = {pl.Date: pl.String, pl.Boolean: pl.Int64}


@pytest.mark.parametrize("view", MADE)
def test_a_table_has_the_columns_keys_and_values_of_its_contract(view: str, demo: dict[str, pl.DataFrame]) -> None:
    table, rows = MADE[view], demo[view]
    assert rows.columns == [column.name for column in table.columns]
    assert rows.height > 0
    assert rows.select(table.keys).is_unique().all()
    assert rows.equals(rows.sort(table.keys))
    for column in table.columns:
        values = rows[column.name]
        constraints = column.constraints
        assert not constraints.get("required") or values.null_count() == 0, column.name
        assert "enum" not in constraints or set(values.drop_nulls()) <= set(constraints["enum"]), column.name
        assert "minimum" not in constraints or (values.drop_nulls() >= constraints["minimum"]).all(), column.name
        assert "pattern" not in constraints or all(re.match(constraints["pattern"], text) for text in values.drop_nulls())


@pytest.mark.parametrize("view", MADE)
def test_a_table_keeps_the_checks_of_its_contract(view: str, demo: dict[str, pl.DataFrame]) -> None:
    assert broken(MADE[view], demo) == []


def test_a_cent_too_many_is_told_by_the_checks_of_the_contract(demo: dict[str, pl.DataFrame]) -> None:
    view = "out_cpam__cds_centre"
    wrong = demo | {view: demo[view].with_columns(pl.col("computed_cents") + 1)}
    assert broken(MADE[view], wrong) == ["cents_add_up", "is_the_sum_of_its_indicators"]


def test_an_amount_without_its_proof_holds_the_publication_of_that_recipient(demo: dict[str, pl.DataFrame]) -> None:
    for view in ("out_cpam__cds_finding", "out_ars__cds_finding", "out_ars__cpts_finding"):
        held = demo | {view: demo[view].head(1).with_columns(effect_fr=pl.lit("publication retenue"))}
        assert broken(MADE[view], held) == ["nothing_holds_the_publication"]


def test_the_result_of_a_centre_is_said_with_its_reason() -> None:
    def refuse(found: Any) -> None:
        entry(found, "COORD")["reponse"] = "NON"

    centres = spoiled([lambda found: None, refuse, identity(patientele_mt="")])
    rows = made(read(centres), everything())["out_cpam__cds_centre"].filter(scheme="rfs")
    assert rows["result"].to_list() == ["Payable", "Bloqué", "Payable en partie"]
    assert rows["reason"][0] == "ferme"
    assert "NON_SATISFAIT" in rows["reason"][1]
    assert rows["complete"].to_list() == [True, True, False]


def test_an_amount_says_that_lines_of_its_section_are_aside_and_the_type_of_a_centre_is_in_french() -> None:
    one = sound(7)
    campaign = read([one, sound(5)])
    examination = examine(campaign, everything())
    kept = dict.fromkeys(examination.findings.columns) | {
        "rule": "cds.CDS60", "case": "of_centre", "severity": "block", "effect": "reject_row", "status": "fired",
        "finess_et": numbers([one])[0], "section": "rfs", "reason_fr": "ligne 4",
    }  # fmt: skip
    aside = pl.concat([examination.findings, pl.DataFrame([kept], schema=examination.findings.schema)])
    found = tables(campaign, replace(examination, findings=aside), remunerate(examination, everything()))
    rows = found["out_cpam__cds_centre"].filter(scheme="rfs").sort("finess")
    assert rows["reason"].str.contains("à l'écart (cds.CDS60) : le montant peut changer", literal=True).to_list() == [
        False,
        True,
    ]
    assert rows["centre_type"].to_list() == ["Polyvalent", "Médical"]


def test_what_cannot_be_computed_has_no_amount_rather_than_zero(demo: dict[str, pl.DataFrame]) -> None:
    rows = demo["out_cpam__cds_centre"].filter(result="Non calculable")
    assert rows.height
    assert rows.select(pl.col("^.*(computed|payable|reserve|blocked)_cents$")).null_count().row(0) == (rows.height,) * 4


def test_a_value_typed_too_late_stands_beside_the_one_that_counts() -> None:
    one = sound()
    first = entry(one, "AD-CHR-PIEDS", "rosp")
    one["rosp"].append(first | {"numerateur": "99", "horodatage_saisie": "2026-02-10T09:00:00+01:00"})
    row = made(read([one]))["out_cpam__cds_indicator"].filter(indicator="AD-CHR-PIEDS").row(0, named=True)
    assert (row["answer"], row["later_answer"]) == ("40 / 100", "99 / 100")
    assert row["later_entered"] == "10/02/2026 09:00:00"


def test_what_is_declared_stands_beside_the_other_sources_as_people_write_it() -> None:
    centres = spoiled([identity(patientele_mt="4201")])
    rows = made(read(centres, **surroundings(centres)))["out_cpam__cds_comparison"]
    told = {(row["subject"], row["source"]): row for row in rows.iter_rows(named=True)}
    shown = ("declared", "other", "unit", "verdict")
    assert [told["patient_list", "Assurance Maladie"][name] for name in shown] == ["4201", "4000", "patients", "Écart"]
    assert [told["opening", "ARS"][name] for name in shown] == ["63 h 00", "63 h 00", "par semaine", "Concordant"]
    assert [told["AD-CHR-PIEDS", "campagne précédente"][name] for name in shown] == ["40,0", "40,0", "%", "Concordant"]
    assert told["fte", "campagne précédente"]["unit"] == "ETP"
    assert "," in told["fte", "campagne précédente"]["declared"]


def test_a_finding_about_the_whole_extraction_is_told_to_every_caisse() -> None:
    centres = spoiled([identity(cpam_code="311"), identity(cpam_code="312")])
    rows = made(read(centres))["out_cpam__cds_finding"].filter(rule="cds.CDS03")
    assert rows.select("caisse", "state").rows() == [("311", "Non vérifiable"), ("312", "Non vérifiable")]
    regions = made(read(centres))["out_ars__cds_finding"].filter(rule="cds.CDS03")
    assert regions.select("region").rows() == [("99",)]


def test_a_stopped_centre_keeps_its_finding_where_it_belongs_and_has_no_amount() -> None:
    def cut(found: Any) -> None:
        for rows in found.values():
            for row in rows:
                row["finess_et"] = "10000015"

    found = made(read(spoiled([cut])))
    assert found["out_cpam__cds_centre"].is_empty()
    assert found["out_cpam__cds_finding"].filter(rule="cds.CDS01").height == 1


def test_centres_without_caisse_are_named_and_in_no_table() -> None:
    centres = spoiled([identity(cpam_code=""), lambda found: None])
    campaign = read(centres)
    assert unplaced(campaign)["finess_et"].to_list() == numbers(centres)[:1]
    assert set(made(campaign)["out_cpam__cds_centre"]["finess"]) == {numbers(centres)[1]}
    assert set(made(campaign)["out_ars__cds_centre"]["finess"]) == set(numbers(centres))


def test_no_number_of_a_person_is_in_any_table(demo: dict[str, pl.DataFrame]) -> None:
    centres = synthetic_ecds.centres(12, defects=tuple(synthetic_ecds.DEFECTS))
    people = {row["rpps"] for one in centres for row in one["professionnels"]}
    for view, rows in demo.items():
        written = " ".join(str(value) for row in rows.rows() for value in row)
        assert not [number for number in re.findall(r"\b\d{11}\b", written) if number in people], view
