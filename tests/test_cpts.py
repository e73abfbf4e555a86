"""CPTS and FIR: the export read without loss, tiers and parts in simulation, sources side by side, financings that overlap."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from cds_facts import attested
from test_cds_rules import BY_CPTS, fired

from checks.cds.ruling import CHECKS
from checks.cpom.law import default_law
from checks.cpts import doubles
from checks.cpts.agreement import CONTRACTS, MISSIONS, amounts, side_by_side, tier_of, tiers, year_of
from checks.cpts.financings import FINANCINGS, WITH_KEYS, identified, of_centres, of_commitments, overlaps
from checks.cpts.rules import Network, examine_network
from checks.cpts.subsidies import follow
from connectors import cpts
from connectors.ecds_table import EcdsRefused
from contracts_schema import cpts_facts
from contracts_schema.cpom_frames import schema

HEAD = (
    "NOM_ARS|CODE_ARS|CAMPAGNE|ID_BENEFICIAIRE|CODE_SIBC|RAISON_SOCIALE|SIRET|SIREN|ENVELOPPE|MESURE_NIV3|PAYEUR|NUM_ARRETE_DA|"
    "DATE_DOCUMENT|MONTANT_SAISI|MONTANT_VALIDATION_INTER|MONTANT_VALIDATION_FINALE|MONTANT_NOTIFIE|DATE_EFFET|CODE_PEP"
)
FILE = "HAPI_ARS_2024.csv"


def line(beneficiary: str = "990000010", notified: str = "1000.5", campaign: int = 2024, order: str = "A1") -> str:
    return (
        f"ARS fictive|R99|{campaign}|{beneficiary}|S1|Centre fictif|99000001000019|990000019|FIR|Coordonnateur|CPAM|{order}|"
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


def test_a_line_that_no_ars_can_be_told_of_is_aside_and_spoils_no_other() -> None:
    found = fir(line(), line().replace("R99", "R00"), line(campaign=1999), line().replace("R99", ""))
    assert found.rows["line"].to_list() == [2]
    assert found.apart.select("line", "column").rows() == [(3, "code_ars"), (4, "campagne"), (5, "code_ars")]
    assert [one.reason_fr for one in found.findings if one.rule == "cds.CDS57"] == [
        f"{FILE} : code d'aucune région connue, ligne(s) 3, 5, colonne code_ars ; ces lignes sont mises à l'écart.",
        f"{FILE} : campagne absente ou d'aucune année du FIR, ligne(s) 4, colonne campagne ; ces lignes sont mises à l'écart.",
    ]


def test_capitals_are_the_headings_of_the_flow_and_unknown_ones_are_told_once() -> None:
    body = f"{HEAD}|AUTRE_1|AUTRE_2\n{line()}|x|y\n"
    told = [one.reason_fr for one in cpts.read_fir(body.encode(), FILE).findings]
    assert told == [f"{FILE} : colonne inconnue « CODE_SIBC, AUTRE_1, AUTRE_2 », gardée à part."]


def test_a_siren_is_no_finess() -> None:
    found = fir(line(), line().replace("|990000019|FIR", "|990000010|FIR"), line().replace("|990000019|FIR", "||FIR")).rows
    assert found["beneficiary_kind"].to_list() == ["finess", None, "finess"]


@pytest.mark.parametrize(
    ("section", "head", "row", "column"),
    [
        ("contrats", "contrat_id;type_contrat;siret;population;palier;date_signature;region", "C;ACI;1;2;1;2024-01-01;99",
         "type_contrat"),
        ("contrats", "contrat_id;type_contrat;siret;population;palier;date_signature;region", "C;ITAOS;1;2;1;2024-01-01;zz",
         "region"),
        ("missions", "contrat_id;mission;date_demarrage;date_deploiement;taux_atteinte;premier_versement", "C;SOINS;;;;",
         "mission"),
        ("missions", "contrat_id;mission;date_demarrage;date_deploiement;taux_atteinte;premier_versement", "C;ACCES;;;150;",
         "taux_atteinte"),
        ("contrats", "contrat_id;type_contrat;siret;population;palier;date_signature;region", "C;ITAOS;1;2;II;2024-01-01;99",
         "palier"),
        ("financements", "beneficiaire;region;action;financement;date_debut;date_fin", "1;99;a;DON;2024-01-01;",
         "financement"),
    ],
)  # fmt: skip
def test_a_code_that_is_none_of_the_forms_is_told_with_its_line_and_column(
    section: str, head: str, row: str, column: str
) -> None:
    found = cpts.read_form(f"{head}\n{row}\n".encode(), "f.csv", section)
    assert (found.rows.height, found.apart.select("line", "column").rows()) == (0, [(2, column)])


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
    assert found.filter(point="operating_grant")["default"].item().startswith("refusé comme valeur du droit (cds.CDS68)")
    assert found.filter(point="parties")["elsewhere_source"].item() == cpts_facts.titles()["PAPS_HDF"]


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
        (("B1", "COORDINATEUR (mi-temps)", "FMIS", date(2024, 6, 30), None), {"71"}),
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
    assert found["reason_fr"].str.len_chars().min() > 0, "each says what is missing"


# --- who is financed twice, across sources


def test_financings_of_one_beneficiary_are_found_by_any_number_they_share() -> None:
    keys = [["990000010"], ["99000001000019", "990000010"], ["99000001000019"], ["990000028"], []]
    rows = [(own, "a", "FIR", date(2024, 1, 1), None) for own in keys]
    made = identified([pl.DataFrame(rows, schema=WITH_KEYS, orient="row")])
    assert made["beneficiary"].to_list() == ["990000010"] * 3 + ["990000028", None]
    rows = fir(
        line("X1"), line("X2").replace("99000001000019", "00000000000000"), line("X3").replace("99000001000019", "0")
    ).rows
    assert identified([of_commitments(rows)])["beneficiary"].to_list() == ["99000001000019", "X2", "X3"]


def test_a_notified_commitment_runs_to_the_end_of_its_campaign_and_one_not_notified_finances_nothing() -> None:
    rows = fir(line(), line(notified=""), line(notified="-5"), line(notified="7").replace("01/03/2024 00:00:00", "")).rows
    made = of_commitments(rows)
    assert made.select("starts_on", "ends_on").rows() == [
        (date(2024, 3, 1), date(2024, 12, 31)), (date(2024, 1, 1), date(2024, 12, 31)),
    ]  # fmt: skip


def test_other_words_for_the_action_are_shown_and_told_by_no_rule_and_an_action_not_said_is_not_verifiable() -> None:
    rows = financed(
        ("B1", "Coordination", "FIR", date(2024, 1, 1), date(2024, 12, 31)),
        ("B1", "Diversité", "ACCORD", date(2024, 1, 1), date(2024, 12, 31)),
        ("B1", "Accueil", "ACCORD", date(2024, 6, 1), date(2024, 12, 31)),
        ("B1", None, "FMIS", date(2024, 12, 31), None),
        ("B1", "Coordination", "FIR", date(2025, 1, 1), date(2025, 12, 31)),
    )
    found = {(row["funding"], row["other_funding"]): row for row in overlaps(rows).iter_rows(named=True)}
    assert set(found) == {("FIR", "ACCORD"), ("FIR", "FMIS"), ("FMIS", "ACCORD")}
    assert found["FIR", "ACCORD"]["verdict"] == "other"
    assert found["FIR", "ACCORD"]["other_action"] == "Accueil ; Diversité"
    assert (found["FIR", "FMIS"]["verdict"], found["FIR", "FMIS"]["starts_on"]) == ("unknown", date(2024, 12, 31))
    judged = examine_network(Network(financings=rows)).filter(rule="cds.CDS71")
    assert (fired(judged), judged["status"].unique().to_list()) == (set(), ["not_evaluable"])


@pytest.mark.parametrize(
    ("action", "funding", "other", "theme"),
    [
        ("Poste de coordonnateur", "ACCORD", "Fonction de coordination", "coordination"),
        ("SNP : régulation", "ACI", "Accès aux soins (médecin traitant et soins non programmés)", "accès aux soins"),
        ("Plan de crise", "ACI", "Réponse aux crises sanitaires", "crises sanitaires"),
        ("Ingénierie de projet", "ACI", "Accès aux soins (médecin traitant et soins non programmés)", None),
        ("Surcoordination", "ACCORD", "Fonction de coordination", None),
    ],
)
def test_other_words_of_one_theme_are_told_as_likely_with_the_theme(
    action: str, funding: str, other: str, theme: str | None
) -> None:
    whole = (date(2024, 1, 1), date(2024, 12, 31))
    rows = financed(("B1", action, "FIR", *whole), ("B1", other, funding, *whole))
    assert told(financings=rows) == ({"71 theme"} if theme else set())
    assert overlaps(rows).select("verdict", "theme").rows() == [("theme" if theme else "other", theme)]


def doubled(*lines: str) -> pl.DataFrame:
    """Which orders may be others, of commitments that each come in a file of their own."""
    rows = [fir(one, file=f"F{place}.txt").rows.with_columns(region=pl.lit("99")) for place, one in enumerate(lines)]
    return doubles.doubles(pl.concat(rows))


@pytest.mark.parametrize(
    ("second", "case"),
    [
        (line(order="A2"), "same_amount"),
        (line(order="A2").replace("01/03/2024 00:00:00", ""), "same_amount"),
        (line(order="A2").replace("Coordonnateur", "COORDONNATEUR "), "same_amount"),
        (line(order="A2", notified="7"), "same_day"),
        (line(order="A2", notified="7").replace("01/03/2024", "01/04/2024"), None),
        (line(order="A2").replace("01/03/2024", "01/04/2024"), None),
        (line(order="A2", notified=""), None),
        (line(order="A2", notified="-1000.5"), None),
        (line(order="A2", campaign=2023), None),
        (line("990000028", order="A2"), None),
        (line(order="A2").replace("Coordonnateur", "Ingénierie"), None),
    ],
)
def test_a_commitment_under_two_orders_is_told_on_both_lines_and_keeps_its_money(second: str, case: str | None) -> None:
    found = doubled(line(), second)
    assert set(found["case"]) == ({case} if case else set())
    assert sorted(found["order_number"]) == (["A1", "A2"] if case else [])
    said = doubles.told(found)
    assert said["rule"].to_list() == ["cds.CDS60"] * (2 if case else 0)
    assert all("Les deux sont comptés" in reason for reason in said["reason_fr"])


def test_an_order_that_its_own_correction_cancels_is_no_double() -> None:
    assert doubled(line(), line(notified="-1000.5"), line(order="A2")).is_empty()
    half = line(order="A2", notified="500.25")
    assert sorted(doubled(line(), half, half)["order_number"]) == ["A1", "A2"], "two lines of one order are one amount"


def test_a_centre_is_financed_by_the_accord_for_what_it_answered_last() -> None:
    identity = pl.DataFrame({"finess_et": ["990000010"], "siret": ["99000001000019"]})
    entered = [datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC)]
    rfs = pl.DataFrame({
        "finess_et": ["990000010"] * 3, "year": [2025] * 3, "code": ["CDS15-A2-COORD"] * 2 + ["CDS15-A1-HOR"],
        "answer": ["non", "oui", "vide"], "entered_at": entered, "line": [2, 3, 4],
    })  # fmt: skip
    made = of_centres(identity, rfs)
    assert made.select("action", "starts_on", "ends_on").rows() == [
        ("Fonction de coordination", date(2025, 1, 1), date(2025, 12, 31))
    ]
    assert made["keys"].to_list() == [["990000010", "99000001000019"]]


# --- FMIS


@pytest.mark.parametrize(
    ("changes", "on", "state", "reason"),
    [
        ({}, date(2028, 12, 31), "En cours", None),
        ({}, date(2029, 1, 1), "Déchéance proche", None),
        ({}, date(2029, 12, 31), "Déchéance proche", None),
        ({}, date(2030, 1, 1), "Déchue", None),
        ({"documents_sent_on": date(2029, 12, 31)}, date(2030, 1, 1), "Pièces envoyées", None),
        ({"documents_sent_on": date(2030, 1, 1)}, date(2030, 1, 2), "Déchue", "pièces envoyées après le dernier jour utile"),
        ({"amendment_id": None}, date(2026, 1, 1), "En cours", "aucun avenant connu"),
    ],
)
def test_a_fmis_subsidy_lapses_four_years_after_the_first_of_january_that_follows(
    changes: dict[str, Any], on: date, state: str, reason: str | None
) -> None:
    row = followed(on, **changes)
    assert (row["last_day"], row["lapses_on"]) == (date(2029, 12, 31), date(2030, 1, 1)), "example of the guide"
    assert (row["state"], row["reason"]) == (state, reason)


def test_refunds_go_through_the_caisse_des_depots_and_what_is_left_is_counted() -> None:
    asked = [("S", date(2026, 5, 1), 600_00, "PLATEFORME_CDC"), ("S", date(2030, 5, 1), 500_00, "AUTRE")]
    paid = [("S", date(2026, 6, 1), 200_00, "Caisse des dépôts"), ("S", date(2026, 7, 1), 100_00, "ARS")]
    row = followed(date(2026, 12, 1), asked, paid, amendment_id=None)
    assert (row["requests"], row["requested_cents"], row["paid_cents"]) == (2, 1100_00, 300_00)
    assert (row["left_to_request_cents"], row["left_to_pay_cents"]) == (0, 700_00)
    for told in ("cpom.R45", "après le dernier jour utile", "plus que la subvention", "versé par ARS, et non par la Caisse"):
        assert told in row["reason"]


def followed(
    on: date, asked: Sequence[Sequence[Any]] = (), paid: Sequence[Sequence[Any]] = (), **changes: Any
) -> dict[str, Any]:
    row = {"subsidy_id": "S", "finess_ej": "990000010", "fund": "FMIS", "payment_mode": None, "notified_on": date(2025, 10, 3),
           "amount_cents": 1000_00, "amendment_id": "A1", "documents_sent_on": None} | changes  # fmt: skip
    frames = [pl.DataFrame(rows, schema=schema(name), orient="row") for name, rows in
              (("subsidy", [row]), ("payment", paid), ("refund_request", asked))]  # fmt: skip
    other = pl.concat([frames[0], frames[0].with_columns(fund=pl.lit("FIR"))])
    return follow(other, *frames[1:], default_law(), on).row(0, named=True)
