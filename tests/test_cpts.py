"""CPTS and FIR: the export read without loss, tiers and parts in simulation, sources side by side, financings that overlap."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest
from cds_facts import attested
from test_cds_rules import BY_CPTS, fired

from checks.cds.ruling import CHECKS
from checks.cpts.agreement import CONTRACTS, MISSIONS, amounts, side_by_side, tier_of, tiers, year_of
from checks.cpts.rules import FINANCINGS, Network, examine_network
from connectors import cpts
from connectors.ecds_table import EcdsRefused
from contracts_schema import cpts_facts

HEAD = (
    "NOM_ARS|CODE_ARS|CAMPAGNE|ID_BENEFICIAIRE|CODE_SIBC|RAISON_SOCIALE|SIRET|SIREN|ENVELOPPE|MESURE_NIV3|PAYEUR|NUM_ARRETE_DA|"
    "DATE_DOCUMENT|MONTANT_SAISI|MONTANT_VALIDATION_INTER|MONTANT_VALIDATION_FINALE|MONTANT_NOTIFIE|DATE_EFFET|CODE_PEP"
)
FILE = "HAPI_ARS_2024.csv"


def line(beneficiary: str = "990000010", notified: str = "1000.5", campaign: int = 2024, order: str = "A1") -> str:
    return (
        f"ARS fictive|R99|{campaign}|{beneficiary}|S1|Centre fictif|99000001000019|990000010|FIR|Coordonnateur|CPAM|{order}|"
        f"03/02/2024 10:00:00|1000.50|1000.50|1000.50|{notified}|01/03/2024 00:00:00|P1"
    )


def fir(*lines: str, file: str = FILE) -> cpts.Commitments:
    return cpts.read_fir("\n".join([HEAD, *lines, ""]).encode(), file)


# --- the export of an ARS


def test_a_commitment_is_read_in_cents_with_its_days_and_what_its_beneficiary_is() -> None:
    row = fir(line()).rows.row(0, named=True)
    assert (row["notified_cents"], row["typed_cents"], row["notified"]) == (100050, 100050, True)
    assert (row["effective_on"], row["document_on"], row["beneficiary_kind"]) == (date(2024, 3, 1), date(2024, 2, 3), "finess")
    assert row["others"] == '{"code_sibc":"S1"}'


def test_an_empty_notified_amount_is_not_notified_and_no_zero_and_a_correction_is_negative() -> None:
    found = fir(line(notified=""), line(notified="0"), line(notified="-250.25")).rows
    assert found["notified_cents"].to_list() == [None, 0, -25025]
    assert found["notified"].to_list() == [False, True, True]


def test_a_beneficiary_is_kept_as_text_whatever_it_is() -> None:
    found = fir(line("99000001000019"), line("AB123456789012345"), line("2a9900015")).rows
    assert found["beneficiary"].to_list() == ["99000001000019", "AB123456789012345", "2A9900015"]
    assert found["beneficiary_kind"].to_list() == ["siret", None, "finess"]


def test_lines_of_the_same_proposed_key_are_numbered_and_never_merged() -> None:
    found = fir(line(), line(), line(order="A2"))
    assert found.rows["occurrence"].to_list() == [1, 2, 1]
    assert (found.rows.height, found.collisions, found.repeated) == (3, 2, 0)


def test_the_campaign_wins_over_the_year_of_the_name_and_the_difference_is_told() -> None:
    found = fir(line(), line(campaign=2023), file="HAPI_ARS_2023.csv")
    (told,) = [one for one in found.findings if one.rule == "cds.CDS20"]
    assert (told.case, told.severity, told.effect) == ("hapi", "info", "annotate")
    assert "la campagne l'emporte" in told.reason_fr
    assert found.rows["campaign"].to_list() == [2024, 2023]


def test_bad_lines_are_aside_with_their_number_and_the_rest_is_read() -> None:
    found = fir(line(), line(notified="1000,50"), line() + "|", line(notified="mille"))
    assert found.received == found.rows.height + found.apart.height == 4
    assert sorted(found.apart["line"]) == [3, 4, 5]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEAD.replace("|", ";").encode(), r"séparateur « \| » attendu"),
        (HEAD.replace("MONTANT_NOTIFIE", "MONTANT").encode(), "colonnes absentes : montant_notifie"),
        (b"\xe9|" + HEAD.encode(), "octet 0"),
    ],
)
def test_a_file_that_is_no_export_of_commitments_is_refused_in_french(content: bytes, told: str) -> None:
    with pytest.raises(EcdsRefused, match=told) as refused:
        cpts.read_fir(content, FILE)
    assert str(refused.value).startswith(FILE)


def test_the_manual_form_is_read_like_the_other_journals() -> None:
    head = "contrat_id;finess_ej;siret;mission;part;annee_contrat;indicateur_libelle;"
    head += "valeur_texte;valeur_num;unite;date_piece;horodatage_saisie"
    rows = "C1;;99000001000019;ACCES;FIXE;2;Nombre d'adhérents;;42;adhérents;2024-05-01;2024-06-01T10:00:00"
    found = cpts.read_form(f"{head}\n{rows}\n".encode(), "saisie.csv")
    row = found.rows.row(0, named=True)
    assert (row["mission"], row["part"], row["value_centi"], row["finess_ej"]) == ("ACCES", "fixe", 4200, None)


# --- contracts


def contracts(**changes: Any) -> pl.DataFrame:
    row = {"contract_id": "C1", "kind": "ACI_CPTS", "siret": "99000001000019", "finess_ej": None, "population": 30_000,
           "tier": "1", "signed_on": date(2019, 10, 1), "territory": "Val Sablier", "region": "99"} | changes  # fmt: skip
    return pl.DataFrame([row], schema=CONTRACTS)


def missions(*rows: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame([("C1", *row) for row in rows], schema=MISSIONS, orient="row")


@pytest.mark.parametrize(
    ("population", "tier"),
    [(0, "1"), (39_999, "1"), (40_000, "2"), (79_999, "2"), (80_000, "3"), (174_999, "3"), (175_000, "4"), (None, None)],
)
def test_a_population_has_its_tier_lower_bound_included(population: int | None, tier: str | None) -> None:
    starts, policy = tiers(date(2024, 1, 1))
    frame = pl.DataFrame({"p": [population]}, schema={"p": pl.Int64})
    assert frame.select(tier_of(pl.col("p"), starts, policy.value == 1)).item() == tier


def test_whether_a_bound_is_included_is_a_figure_that_can_be_attested() -> None:
    starts, policy = tiers(date(2024, 1, 1), [attested("cpts.tier.lower_bound_included", 0)])
    frame = pl.DataFrame({"p": [40_000, 40_001]})
    assert frame.select(tier_of(pl.col("p"), starts, policy.value == 1)).to_series().to_list() == ["1", "2"]


def test_years_of_a_contract_run_from_anniversary_to_anniversary() -> None:
    assert (year_of(date(2019, 10, 1), 2).start, year_of(date(2019, 10, 1), 2).end) == (date(2020, 10, 1), date(2021, 10, 1))
    assert [year_of(date(2020, 2, 29), number).days for number in (1, 2, 4)] == [366, 365, 365]


def test_the_first_year_of_the_first_tier_is_worth_its_parts_prorated_from_the_start_of_the_mission() -> None:
    found = amounts(contracts(), missions(("ACCES", date(2020, 4, 1), None, 50, None)), 1)
    rows = {(row["mission"], row["part"]): row for row in found.iter_rows(named=True)}
    fixed = rows["ACCES", "FIXE"]
    assert (fixed["full_cents"], fixed["due_days"], fixed["year_days"]) == (1500000, 183, 366)
    assert (fixed["amount_cents"], fixed["first_payment_cents"], fixed["balance_cents"]) == (750000, 562500, 187500)
    assert rows["ACCES", "VARIABLE"]["amount_cents"] == 375000
    assert rows["ACCES", "SNP"]["amount_cents"] == 1750000
    assert rows["FONCTIONNEMENT", "FIXE"]["amount_cents"] == 5000000
    assert not found["firm"].any()
    assert set(found["reason_fr"]) == {"simulation, sous réserve"}


def test_the_operating_grant_of_the_first_cpts_is_boosted_from_the_second_amendment_on() -> None:
    first, later = date(2019, 10, 1), date(2022, 1, 1)
    for signed, number, expected in ((first, 3, 5000000), (first, 4, 8750000), (later, 1, 5000000)):
        found = amounts(contracts(signed_on=signed), missions(), number)
        assert found["amount_cents"].to_list() == [expected]


def test_amounts_after_the_second_amendment_are_not_known_and_not_made_up() -> None:
    found = amounts(contracts(signed_on=date(2023, 1, 1)), missions(("PARCOURS", date(2023, 6, 1), None, 100, None)), 1)
    parts = found.filter(pl.col("mission") == "PARCOURS")
    assert parts["amount_cents"].to_list() == [None, None]
    assert parts["status"].to_list() == ["missing", "missing"]


def test_a_variable_part_whose_result_is_not_known_is_not_known() -> None:
    found = amounts(contracts(), missions(("PARCOURS", date(2019, 10, 1), None, None, None)), 1)
    assert found.filter(mission="PARCOURS", part="VARIABLE")["amount_cents"].to_list() == [None]
    assert found.filter(mission="PARCOURS", part="FIXE")["amount_cents"].to_list() == [2500000]


def test_an_attested_mission_is_firm() -> None:
    own = [
        attested("cpts.mission_amount", 2000000, tier="1", mission="ACCES", part="FIXE"),
        attested("cpts.fixed_part.advance_percent", 75),
    ]
    row = amounts(contracts(), missions(("ACCES", date(2019, 10, 1), None, None, None)), 1, own).filter(
        mission="ACCES", part="FIXE"
    )
    assert row.select("amount_cents", "status", "firm", "reason_fr").row(0) == (2000000, "attested", True, "ferme")


def test_an_itaos_contract_is_a_type_without_parameters_and_is_not_computed() -> None:
    (itaos,) = [one for one in cpts_facts.agreement()["contracts"] if one["code"] == "ITAOS"]
    assert itaos["computed"] is False
    assert amounts(contracts(kind="ITAOS"), missions(("ACCES", date(2020, 1, 1), None, None, None)), 1).is_empty()


def test_what_the_claimed_source_says_stands_beside_the_others_and_is_never_usable() -> None:
    found = side_by_side()
    assert found.height == 9
    assert not found["usable"].any()
    assert found.filter(point="operating_grant")["default"].item() == "refused as a parameter (cds.CDS68)"


# --- rules


def told(**facts: Any) -> set[str]:
    return fired(examine_network(Network(**facts)))


def test_each_rule_about_cpts_and_fir_has_one_implementation() -> None:
    assert {rule for rule, one in CHECKS.items() if one.judge.__module__ == "checks.cpts.rules"} == BY_CPTS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, set()), ({"tier": "2"}, {"66"}), ({"population": 40_000, "tier": "2"}, {"66 bound"}), ({"population": None}, set())],
)
def test_a_tier_against_the_population_is_told_and_a_bound_is_flagged(changes: dict[str, Any], expected: set[str]) -> None:
    assert told(contracts=contracts(**changes)) == expected


@pytest.mark.parametrize(("paid", "expected"), [(562500, set()), (562501, {"67"}), (None, set())])
def test_a_first_payment_that_is_not_three_quarters_of_the_prorated_fixed_part_is_told(
    paid: int | None, expected: set[str]
) -> None:
    assert told(contracts=contracts(), missions=missions(("ACCES", date(2020, 4, 1), None, None, paid))) == expected


@pytest.mark.parametrize(
    ("start", "deployed", "expected"),
    [
        (date(2020, 4, 1), date(2021, 4, 1), set()),
        (date(2020, 4, 2), None, {"69"}),
        (date(2020, 1, 1), date(2021, 4, 2), {"69 deployment"}),
    ],
)
def test_missions_that_start_or_deploy_late_are_told(start: date, deployed: date | None, expected: set[str]) -> None:
    assert told(contracts=contracts(), missions=missions(("ACCES", start, deployed, None, None))) == expected


def test_delays_of_optional_missions_are_not_known_and_not_told() -> None:
    found = examine_network(Network(contracts(), missions(("QUALITE_PERTINENCE", date(2024, 1, 1), None, None, None))))
    assert fired(found) == set()
    assert found.filter(rule="cds.CDS69")["status"].to_list() == ["not_evaluable"]


def test_an_operating_grant_that_rests_on_the_claimed_source_is_told() -> None:
    from dataclasses import replace

    good = attested("cpts.operating_grant", 9500000, tier="1")
    assert told(attested=(good,)) == set(), "the payer may attest any figure with its own reference"
    assert told(attested=(replace(good, reference="003_f23b308d1cf6b0ce.txt"),)) == {"68"}


def test_beneficiaries_without_finess_are_told_and_kept() -> None:
    found = fir(line(), line("99000001000019"), line("AB1"))
    assert told(commitments=found.rows) == {"70", "70 siret"}


def financed(*rows: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FINANCINGS, orient="row")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("B1", "coordinateur ", "ACI", date(2024, 6, 30), None), {"71"}),
        (("B1", "Coordinateur", "ACI", date(2024, 7, 1), None), set()),
        (("B1", "Coordinateur", "FIR", date(2024, 3, 1), None), set()),
        (("B2", "Coordinateur", "ACI", date(2024, 3, 1), None), set()),
        (("B1", None, "ACI", date(2024, 3, 1), None), set()),
    ],
)
def test_one_action_financed_twice_over_the_same_days_is_told(other: Sequence[Any], expected: set[str]) -> None:
    first = ("B1", "Coordinateur", "FIR", date(2024, 1, 1), date(2024, 6, 30))
    assert told(financings=financed(first, other)) == expected
    assert told(financings=financed(other, first)) == expected


def test_nothing_delivered_is_not_evaluable_and_never_fires() -> None:
    found = examine_network(Network())
    assert fired(found) == set()
    assert set(found["rule"].str.strip_prefix("cds.CDS")) == {"66", "67", "69", "70", "71"}
