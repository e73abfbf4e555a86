"""Amounts of the centres de santé: the golden cases to the cent, what is firm, what is blocked, nothing lost or invented."""

import random
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cds_facts import CODES, attested, entry, everything, identity, numbers, read, sound, spoiled, surroundings

from checks.cds import achievement, registered_doctor
from checks.cds.bill import Bill, verify
from checks.cds.examine import examine
from checks.cds.facts import ADVANCES
from checks.cds.figures import Figures
from checks.cds.forfait import NODES
from checks.cds.remuneration import CENTRES, ITEMS, Remuneration, remunerate
from connectors import synthetic_ecds
from connectors.synthetic_ecds import Centre
from contracts_schema.parameters import Attestation
from flows import law_table


def golden(patients: int, people: int, protocols: str = "8", **cells: str) -> Centre:
    """A centre of the golden cases: every socle met, crisis actions counted, six meetings."""
    one = sound()
    identity(patientele_mt=str(patients), file_active=str(patients))(one)
    entry(one, "SI").update(nb_professionnels_si=str(people))
    entry(one, "CRISE").update(actions_crise="OUI")
    entry(one, "PROTO").update(valeur_num=protocols)
    entry(one, "CONC").update(valeur_num="6")
    return one


def worth(one: Centre, own: list[Attestation] | None = None, **more: Any) -> Remuneration:
    own = own or []
    return remunerate(examine(read([one]), own), own, **more)


def amounts(found: Remuneration, scheme: str = "rfs") -> dict[str, Any]:
    return found.centres.filter(scheme=scheme).row(0, named=True)


def node(found: Remuneration, name: str) -> Fraction:
    row = found.nodes.filter(node=name).row(0, named=True)
    return Fraction(row["numerator"], row["denominator"])


# --- A. the forfait, by the values of the MSP


GOLDEN = {
    (4000, 10): {"HOR": 800, "CRISE": 450, "COORD": 2700, "PROTO": 800, "CONC": 1000, "SI": 2500, "points": 8250,
                 "cents": 5775000, "advance": 3465000},
    (2500, 6): {"HOR": 800, "CRISE": 318.75, "COORD": 2062.5, "PROTO": 800, "CONC": 625, "SI": 1700, "points": 6306.25,
                "cents": 4414375, "advance": 2648625},
    (10000, 20): {"HOR": 800, "CRISE": 975, "COORD": 4950, "PROTO": 800, "CONC": 2500, "SI": 4300, "points": 14325,
                  "cents": 10027500, "advance": 6016500},
}  # fmt: skip


@pytest.mark.parametrize("case", GOLDEN)
def test_the_forfait_of_the_golden_cases_is_recomputed_to_the_cent(case: tuple[int, int]) -> None:
    found, expected = worth(golden(*case)), GOLDEN[case]
    for name in ("HOR", "CRISE", "COORD", "PROTO", "CONC", "SI"):
        assert node(found, f"rfs.{CODES[name]}") == Fraction(expected[name]), name
    assert node(found, "rfs.points") == Fraction(expected["points"])
    assert node(found, "rfs.amount") == expected["cents"]
    row = amounts(found)
    assert (row["computed_cents"], row["advance_cents"]) == (expected["cents"], expected["advance"])
    assert (row["payable_cents"], row["under_reserve_cents"], row["firm"]) == (0, expected["cents"], False)
    assert row["reason_fr"].startswith("simulation, sous réserve")


def test_the_cap_on_patients_is_a_switch_that_is_off_by_default() -> None:
    found = worth(golden(10000, 20), [attested("cds.rfs.patients_cap", 1)])
    assert node(found, "rfs.points") == 12300
    assert amounts(found)["computed_cents"] == 8610000


@pytest.mark.parametrize(("people", "points"), [(16, 3700), (17, 3850)])
def test_the_professionals_count_less_from_the_seventeenth_on(people: int, points: int) -> None:
    assert node(worth(golden(4000, people)), f"rfs.{CODES['SI']}") == points


@pytest.mark.parametrize(
    ("patients", "points", "cents"), [(8000, Fraction(4400), 3080000), (8001, Fraction("4400.275"), 3080193)]
)
def test_the_second_slope_of_the_coordination_is_rounded_once_a_half_going_up(
    patients: int, points: Fraction, cents: int
) -> None:
    one = golden(patients, 10)
    one["rfs"] = [row for row in one["rfs"] if row["code_indicateur"] == CODES["COORD"]]
    found = worth(one)
    assert node(found, f"rfs.{CODES['COORD']}") == Fraction(points)
    assert amounts(found)["computed_cents"] == cents


def test_ten_protocols_are_worth_eight_and_told() -> None:
    one = golden(4000, 10, protocols="10")
    found = examine(read([one]))
    assert node(remunerate(found), f"rfs.{CODES['PROTO']}") == 800
    assert found.findings.filter(rule="cds.CDS38", status="fired")["severity"].to_list() == ["warn"]


@pytest.mark.parametrize("name", ["CONC", "FORM", "PROTO"])
def test_a_count_left_empty_is_no_zero_and_keeps_the_amount_incomplete(name: str) -> None:
    one = golden(4000, 10)
    entry(one, name).update(valeur_num="")
    found = worth(one, everything())
    assert found.nodes.filter(node=f"rfs.{CODES[name]}")["numerator"].to_list() == [None]
    assert amounts(found)["complete"] is False
    entry(one, name).update(valeur_num="0")
    told = worth(one, everything())
    assert node(told, f"rfs.{CODES[name]}") == {"CONC": 0, "FORM": 450, "PROTO": 0}[name]
    assert amounts(told)["complete"] is True, "none is an answer"


def test_an_entry_whose_code_waits_for_its_mapping_leaves_no_firm_zero() -> None:
    one = golden(4000, 10)
    for row in one["rosp"]:
        row["code_indicateur"] = f"X-{row['code_indicateur']}"
    entry(one, "HOR").update(code_indicateur="X-HOR")
    found = worth(one, everything())
    rosp, rfs = amounts(found, "rosp"), amounts(found)
    assert (rosp["complete"], rosp["firm"]) == (False, False)
    assert "code sans correspondance (cds.CDS54)" in rosp["reason_fr"]
    assert (rfs["payable_cents"], rfs["rules"]) == (0, ""), "held until it can be read, by no rule against the centre"
    assert "CODE_SANS_CORRESPONDANCE" in rfs["reason_fr"]
    assert rfs["blocked_cents"] == rfs["computed_cents"] > 0


def test_an_advance_has_a_minimum() -> None:
    one = sound()
    one["rfs"] = [row for row in one["rfs"] if row["code_indicateur"] == CODES["HOR"]]
    assert amounts(worth(one))["advance_cents"] == 1200000, "60 % of 560000 is less"


@pytest.mark.parametrize(
    ("paid", "balance", "recovery"), [(3465000, 0, 465000), (3000000, 0, 0), (2999999, 1, 0), (None, None, None)]
)
def test_an_advance_above_the_final_amount_is_to_be_recovered_and_never_a_negative_payment(
    paid: int | None, balance: int | None, recovery: int | None
) -> None:
    def made(one: Attestation) -> Attestation:
        if one.parameter != "cds.rfs.points":
            return one
        dimensions = dict(one.cell)
        full = (dimensions["indicator"], dimensions["part"]) == (CODES["HOR"], "fixed")
        return replace(one, value=4000 if full else 0)

    own = [replace(one, value=750) if one.parameter == "cds.rfs.point_value" else made(one) for one in everything()]
    centre = golden(4000, 10)
    advances = pl.DataFrame([(numbers([centre])[0], paid)], schema=ADVANCES, orient="row") if paid else None
    row = amounts(worth(centre, own, advances=advances))
    assert row["payable_cents"] == 3000000
    assert (row["balance_cents"], row["recovery_cents"]) == (balance, recovery)


def test_nothing_is_to_be_recovered_on_an_amount_that_is_incomplete_held_or_still_open() -> None:
    held = [identity(patientele_mt=""), identity(file_active="1")]
    held.append(lambda one: entry(one, "SI").update(date_acquisition_logiciel="2026-01-01"))
    held.append(lambda one: entry(one, "DIV").update(code_indicateur="X-1"))
    centres = spoiled([lambda one: None, *held])
    paid = pl.DataFrame([(number, 9_000_000) for number in numbers(centres)], schema=ADVANCES, orient="row")
    for extracted, settled in ((date(2026, 2, 27), 0), (date(2026, 2, 28), 1)):
        found = remunerate(examine(read(centres, extracted), everything()), everything(), advances=paid)
        rows = found.centres.filter(scheme="rfs")
        assert rows["advance_paid_cents"].to_list() == [9_000_000] * 5
        told = rows.filter(pl.col("recovery_cents").is_not_null() | pl.col("balance_cents").is_not_null())
        assert told["finess_et"].to_list() == numbers(centres)[:settled]


def test_a_prerequisite_that_is_not_met_makes_the_whole_advance_to_be_recovered() -> None:
    one = golden(4000, 10)
    entry(one, "HOR").update(reponse="NON")
    paid = pl.DataFrame([(numbers([one])[0], 9_000_000)], schema=ADVANCES, orient="row")
    found = worth(one, everything(), advances=paid)
    assert (amounts(found)["balance_cents"], amounts(found)["recovery_cents"]) == (0, 9_000_000)
    assert node(found, "rfs.settlement") == -9_000_000


def test_a_part_of_which_nothing_is_due_says_why_and_is_no_firmer_than_the_bound_it_leans_on() -> None:
    rows = {one["node"]: one for one in worth(golden(4000, 10)).nodes.iter_rows(named=True)}
    above = rows["rfs.CDS15-A2-COORD.variable_above"]
    assert (above["value"], above["status"], above["firm"]) == ("0", "analogue", False)
    assert "pas au-delà de 8000 : part non due" in above["text_fr"]
    assert "[par analogie]" in above["parameters"]


def test_the_advance_is_a_node_with_its_figures_and_its_status_and_is_not_known_when_a_socle_is_not() -> None:
    found = worth(golden(4000, 10))
    row = found.nodes.filter(node="rfs.advance").row(0, named=True)
    assert (row["numerator"], row["status"], row["firm"]) == (3465000, "recalled", False)
    assert "cds.rfs.advance_percent = 60 [par analogie]" in row["parameters"]
    assert row["inputs"].startswith("rfs.CDS15-")
    blind = golden(4000, 10)
    identity(patientele_mt="")(blind)
    assert amounts(worth(blind))["advance_cents"] is None


def test_a_count_that_no_centre_has_makes_no_amount_and_says_so() -> None:
    centres = []
    for place, patients in enumerate((-4000, 40_000_000_000, 9_999_999_999_999)):
        one = golden(patients, (-3, 10)[place % 2], protocols="-1")
        for rows in one.values():
            for row in rows:
                row["finess_et"] = synthetic_ecds.finess(5 * place + 5)
        for row in one["rosp"]:
            row |= {"denominateur": "900000000000", "numerateur": "900000000000"}
        centres.append(one)
    own = [*everything(), *of_rosp("AD-PREV-TABAC")]
    found = remunerate(examine(read(centres), own), own)
    assert found.items["computed_cents"].drop_nulls().is_between(0, 5_775_000).all()
    assert found.centres.filter(scheme="rfs")["complete"].to_list() == [False] * 3
    told = found.nodes.filter(node=f"rfs.{CODES['PROTO']}.per_unit")["text_fr"]
    assert told.str.contains("unités : -1 (invraisemblable)", literal=True).all()


def test_whoever_attests_that_a_missing_prerequisite_does_not_stop_the_rest_is_followed() -> None:
    one = golden(4000, 10)
    entry(one, "HOR").update(reponse="NON")
    own = [one for one in everything() if one.parameter != "cds.rfs.prerequisites_condition"]
    assert amounts(worth(one, own))["payable_cents"] == 0
    freed = worth(one, [*own, attested("cds.rfs.prerequisites_condition", 0)])
    assert (amounts(freed)["payable_cents"], amounts(freed)["blocked_cents"]) == (5775000 - 560000, 560000)
    assert "cds.rfs.prerequisites_condition = 0 [attesté]" in freed.nodes.filter(node="rfs.payable")["parameters"].item()


@pytest.mark.parametrize("section", ["rfs", "rosp"])
def test_a_section_that_did_not_come_is_not_a_firm_zero(section: str) -> None:
    one = golden(4000, 10)
    found = remunerate(examine(replace(read([one]), **{section: None}), everything()), everything())
    row = amounts(found, section)
    assert (row["computed_cents"], row["payable_cents"], row["firm"], row["complete"]) == (None, None, False, False)
    assert row["reason_fr"] == f"section {section} non reçue (NON_RECU)"


# --- B. what is firm, and by which rules


def test_without_simulation_nothing_missing_is_tried_out() -> None:
    found = worth(golden(4000, 10), simulation=False)
    row = amounts(found)
    assert (row["computed_cents"], row["payable_cents"], row["complete"]) == (0, 0, False)
    assert found.nodes.filter(node="rfs.payable")["value"].to_list() == [None], "nothing computed is not nothing to pay"


def test_a_table_attested_whole_makes_the_same_amount_firm() -> None:
    own = everything()
    found = worth(golden(4000, 10), own)
    row = amounts(found)
    assert (row["computed_cents"], row["payable_cents"], row["under_reserve_cents"]) == (5775000, 5775000, 0)
    assert (row["status"], row["firm"], row["reason_fr"]) == ("attested", True, "ferme")
    assert found.nodes.filter(pl.col("node").str.starts_with("rfs."))["firm"].all()


def test_one_figure_that_is_not_attested_keeps_what_it_feeds_under_reserve() -> None:
    kept = [one for one in everything() if ("indicator", CODES["SI"]) not in one.cell]
    row = amounts(worth(golden(4000, 10), kept))
    assert (row["payable_cents"], row["under_reserve_cents"], row["firm"]) == (5775000 - 1750000, 1750000, False)
    for missing in ("cds.rfs.formula", "cds.rfs.point_value", "cds.regime"):
        row = amounts(worth(golden(4000, 10), [one for one in everything() if one.parameter != missing]))
        assert (row["payable_cents"], row["firm"]) == (0, False), missing


@pytest.mark.parametrize(
    ("answer", "rules", "computed"), [("NON", "cds.CDS22", 5775000), ("VIDE", "cds.CDS22, cds.CDS23", 5775000 - 560000)]
)
def test_a_missing_prerequisite_leaves_the_amount_computed_and_nothing_payable(answer: str, rules: str, computed: int) -> None:
    one = golden(4000, 10)
    entry(one, "HOR").update(reponse=answer)
    row = amounts(worth(one, everything()))
    assert (row["computed_cents"], row["payable_cents"], row["blocked_cents"], row["rules"]) == (computed, 0, computed, rules)
    assert ("INCOMPLET" if answer == "VIDE" else "NON_SATISFAIT") in row["reason_fr"]


def test_a_prerequisite_whose_evidence_is_blocked_is_to_be_verified_and_holds_the_amount() -> None:
    one = golden(4000, 10)
    entry(one, "SI").update(date_acquisition_logiciel="2026-01-01", date_contrat_maintenance="2026-01-02")
    found = examine(read([one]), everything())
    assert found.prerequisites.filter(code=CODES["SI"])["outcome"].item() == "A_VERIFIER"
    row = amounts(remunerate(found, everything()))
    assert (row["payable_cents"], row["blocked_cents"], row["rules"]) == (0, 5775000, "cds.CDS28")


def test_a_late_no_takes_nothing_away_and_a_late_yes_gives_nothing() -> None:
    one = golden(4000, 10)
    one["rfs"].append(entry(one, "COORD") | {"reponse": "NON", "horodatage_saisie": "2026-03-01T10:00:00+01:00"})
    assert amounts(worth(one, everything()))["payable_cents"] == 5775000
    other = golden(4000, 10)
    entry(other, "COORD").update(horodatage_saisie="2026-02-28T00:00:00+01:00")
    assert amounts(worth(other, everything()))["payable_cents"] == 0


def test_the_reference_year_chooses_the_rules_and_never_the_day_of_entry() -> None:
    assert worth(golden(4000, 10)).regime == 2015, "entered in 2026 about 2025"
    one = sound(year=2026)
    found = remunerate(examine(read([one], date(2027, 3, 2), 2026)))
    assert found.regime == 2025
    row = amounts(found)
    assert (row["computed_cents"], row["payable_cents"], row["status"]) == (None, None, "missing")
    assert row["reason_fr"] == "montants de l'accord de 2025 non trouvés"
    assert found.items.filter(scheme="rfs").is_empty()


def test_an_agreement_in_the_year_is_paid_from_its_first_day_and_is_firm_once_the_proration_is_attested() -> None:
    one, share = golden(4000, 10), round(Fraction(5775000 * 183, 365))
    identity(date_conventionnement="2025-07-02")(one)
    own = [one for one in everything() if one.parameter != "cds.rfs.prorata"]
    row = amounts(worth(one, own))
    assert (row["computed_cents"], row["payable_cents"], row["firm"]) == (share, 0, False), "derived: no text was read"
    row = amounts(worth(one, everything()))
    assert (row["payable_cents"], row["firm"]) == (share, True)
    found = worth(one, [*own, attested("cds.rfs.prorata", 0)])
    assert (amounts(found)["payable_cents"], amounts(found)["firm"]) == (5775000, True)
    assert "cds.rfs.prorata = 0 [attesté]" in found.nodes.filter(node="rfs.amount")["parameters"].item()
    proof = verify(
        Bill(examine(read([one])), found, Figures(date(2025, 12, 31), (*own, attested("cds.rfs.prorata", 0))), "1", (1,))
    )
    assert proof.filter(status="fired").is_empty()


def test_an_item_that_a_rule_sets_aside_is_worth_nothing_and_the_others_stay() -> None:
    one = golden(4000, 10)
    entry(one, "FORM").update(valeur_num="6")
    found = worth(one)
    assert CODES["FORM"] not in found.items["indicator"].to_list()
    assert amounts(found)["computed_cents"] == 5775000


def test_an_indicator_whose_points_no_text_gives_is_told_and_does_not_become_zero() -> None:
    one = golden(4000, 10)
    entry(one, "VULN").update(date_piece="2024-01-01", date_fin_piece="2027-01-01")
    found = worth(one)
    row = found.items.filter(indicator=CODES["VULN"]).row(0, named=True)
    assert (row["computed_cents"], row["status"]) == (None, "missing")
    assert row["reason_fr"].startswith("non calculable")
    assert amounts(found)["complete"] is False


# --- C. the ROSP


LAW = {"code": "AD-CHR-HBA1C", "initial": 60, "intermediate": 71, "target": 89, "points": 30, "least": 5, "base": 800}
OBSERVED = {(60, 100): 0, (131, 200): 7875, (71, 100): 15750, (80, 100): 23625, (89, 100): 31500, (95, 100): 31500}


def rated(above: int, below: int, **more: Any) -> dict[str, Any]:
    row = {"finess_et": "990000010", "numerator": above, "denominator": below, "patient_list": 1200, "deadline": "in_time",
           "point_value": 700, "down": False, "rank": 0, "initial_rank": 0, "least_rank": 0, "told": ""}  # fmt: skip
    return achievement.shared_cents(achievement.rated(pl.DataFrame([LAW | row | more]))).row(0, named=True)


@pytest.mark.parametrize("seen", OBSERVED)
def test_the_achievement_of_the_golden_cases_is_recomputed_to_the_cent(seen: tuple[int, int]) -> None:
    assert rated(*seen)["cents"] == OBSERVED[seen]


@pytest.mark.parametrize("seen", OBSERVED)
def test_where_less_is_better_every_comparison_is_mirrored(seen: tuple[int, int]) -> None:
    above, below = seen
    mirrored = rated(below - above, below, down=True, initial=40, intermediate=29, target=11)
    assert mirrored["cents"] == OBSERVED[seen]


def test_under_the_minimum_an_indicator_is_neutralised_neither_paid_nor_zero() -> None:
    row = rated(4, 4)
    assert (row["neutralised"], row["cents"]) == (True, None)
    assert rated(5, 5)["cents"] == 31500


def test_an_objective_that_is_not_known_is_no_zero() -> None:
    assert rated(80, 100, target=None)["cents"] is None
    assert rated(65, 100, initial=None)["cents"] is None
    assert rated(80, 100, initial=None)["cents"] == 23625, "the initial level does not matter above the intermediate objective"


def of_rosp(code: str, minimum: int = 5) -> list[Attestation]:
    """One declared indicator of the ROSP with every figure attested."""
    own = [attested("cds.rosp.objective", value, indicator=code, level=level) for level, value in
           (("initial", 60), ("intermediate", 71), ("target", 89))]  # fmt: skip
    own += [attested("cds.rosp.points", 30, indicator=code), attested("cds.rosp.minimum_patients", minimum, indicator=code)]
    own += [attested("cds.rosp.formula", 1), attested("cds.rosp.reference_patients", 800, population="adult")]
    return [*own, attested("cds.rosp.point_value", 700), attested("cds.regime", 2015)]


def test_a_declared_indicator_with_attested_figures_is_firm_and_a_late_one_is_not_counted() -> None:
    one = sound()
    identity(patientele_mt="1200")(one)
    entry(one, "AD-PREV-TABAC", "rosp").update(numerateur="80", denominateur="100")
    one["rosp"].append(
        entry(one, "AD-PREV-TABAC", "rosp") | {"numerateur": "0", "horodatage_saisie": "2026-02-01T00:00:00+01:00"}
    )
    found = worth(one, of_rosp("AD-PREV-TABAC"))
    row = found.items.filter(indicator="AD-PREV-TABAC").row(0, named=True)
    assert (row["payable_cents"], row["firm"], row["reason_fr"]) == (23625, True, "ferme")
    assert amounts(found, "rosp")["payable_cents"] == 23625
    assert amounts(found, "rosp")["complete"] is False, "the six others have no figures"


def test_the_golden_achievement_comes_out_of_the_whole_computation() -> None:
    centres = [sound(5 * place) for place in range(1, len(OBSERVED) + 1)]
    for one, (above, below) in zip(centres, OBSERVED, strict=True):
        identity(patientele_mt="1200")(one)
        entry(one, "AD-PREV-TABAC", "rosp").update(numerateur=str(above), denominateur=str(below))
    own = of_rosp("AD-PREV-TABAC")
    rows = remunerate(examine(read(centres), own), own).items.filter(indicator="AD-PREV-TABAC")
    paid = dict(rows.select("finess_et", "payable_cents").iter_rows())
    assert [paid[number] for number in numbers(centres)] == list(OBSERVED.values())


def test_a_neutralised_indicator_has_no_amount_and_leaves_the_rest_complete() -> None:
    one = sound()
    for above, below in (("3", "4"), ("0", "0")):
        one["rosp"] = [entry(one, "AD-PREV-TABAC", "rosp") | {"numerateur": above, "denominateur": below}]
        found = worth(one, of_rosp("AD-PREV-TABAC"))
        row = found.items.filter(scheme="rosp").row(0, named=True)
        assert (row["neutralised"], row["computed_cents"]) == (True, None), below
        assert amounts(found, "rosp")["complete"] is True


def test_the_cents_of_the_indicators_sum_to_the_exact_total_rounded_once() -> None:
    draw = random.Random(4)
    rows = [LAW | {"finess_et": f"{place // 7}", "numerator": draw.randrange(60, 90), "denominator": 97, "patient_list": 1201,
                   "deadline": "in_time", "point_value": 700, "down": False, "rank": 0, "initial_rank": 0, "least_rank": 0,
                   "told": ""} for place in range(70)]  # fmt: skip
    found = achievement.shared_cents(achievement.rated(pl.DataFrame(rows)))
    for _, part in found.group_by("finess_et"):
        exact = sum((Fraction(a, b) for a, b in part.select("worth_num", "worth_den").rows()), Fraction(0))
        assert part["cents"].sum() == int(exact + Fraction(1, 2))


# --- conservation, proof


@pytest.fixture(scope="module")
def many() -> tuple[Any, Remuneration, list[Attestation]]:
    draw = random.Random(9)
    names = list(synthetic_ecds.DEFECTS)
    centres = synthetic_ecds.centres(40, 9, defects=[draw.choice(names) for _ in range(40)])
    own = [one for one in everything() if draw.random() < 0.9]
    found = examine(read(centres), own)
    return found, remunerate(found, own), own


def test_every_cent_is_payable_under_reserve_or_blocked_and_nothing_else(many: Any) -> None:
    _, found, _ = many
    parts = pl.col("payable_cents") + pl.col("under_reserve_cents") + pl.col("blocked_cents")
    for frame in (found.items, found.centres):
        assert frame.filter(pl.col("computed_cents") != parts).is_empty()
    sums = found.items.group_by("finess_et", "scheme").agg(pl.col("computed_cents", "payable_cents", "blocked_cents").sum())
    both = found.centres.join(sums, on=["finess_et", "scheme"], suffix="_of_items")
    for name in ("computed_cents", "payable_cents", "blocked_cents"):
        assert both.filter(pl.col(name) != pl.col(f"{name}_of_items")).is_empty()


def test_every_centre_has_a_row_for_each_scheme_and_every_row_its_reason(many: Any) -> None:
    examination, found, _ = many
    assert found.centres.height == 2 * examination.scene.centres.height
    assert found.centres["reason_fr"].null_count() == 0
    assert found.items["reason_fr"].null_count() == 0
    assert (found.nodes.schema, found.items.schema, found.centres.schema) == (NODES, ITEMS, CENTRES)


def test_every_node_says_its_status_and_whether_it_is_firm(many: Any) -> None:
    _, found, _ = many
    assert found.nodes.select("status", "firm", "unit", "text_fr", "parameters").null_count().sum_horizontal().item() == 0
    assert set(found.nodes.filter("firm")["status"]) <= {"official", "attested"}
    leaves = found.nodes.filter(pl.col("node").str.contains(r"^rfs\..+\..+$"))
    assert leaves["parameters"].str.contains("cds.rfs.points").all()


def test_every_input_of_a_node_is_a_node_or_an_entry(many: Any) -> None:
    _, found, _ = many
    inputs = (
        found.nodes.select("finess_et", node=pl.col("inputs").str.split(" + ")).explode("node").filter(pl.col("node") != "")
    )
    lost = inputs.filter(~pl.col("node").str.starts_with("entrée")).join(found.nodes, on=["finess_et", "node"], how="anti")
    assert lost.is_empty()


def bill_of(many: Any, **changed: Any) -> set[str]:
    examination, found, own = many
    made = Bill(examination, found, Figures(examination.scene.last_day, tuple(own)), "1", (4, 7))
    return set(verify(replace(made, **changed)).filter(status="fired")["rule"])


def test_a_true_bill_passes_its_own_proof(many: Any) -> None:
    assert bill_of(many) == set()


def test_a_false_bill_is_told_by_the_rule_that_it_breaks(many: Any) -> None:
    _, found, _ = many
    assert bill_of(many, rules_version="") == {"cds.CDS65"}
    assert bill_of(many, positions=()) == {"cds.CDS65"}
    wrong = replace(found, centres=found.centres.with_columns(pl.col("computed_cents") + 1))
    assert bill_of(many, remuneration=wrong) == {"cds.CDS63"}
    regime = replace(found, centres=found.centres.with_columns(regime=pl.lit(2025, pl.Int64)))
    assert bill_of(many, remuneration=regime) == {"cds.CDS44"}
    loose = replace(found, items=found.items.with_columns(payable_cents=pl.col("computed_cents")))
    assert bill_of(many, remuneration=loose) == {"cds.CDS45"}


def test_an_advance_too_large_is_told_with_what_is_to_be_recovered(many: Any) -> None:
    examination, _, own = many
    paid = examination.scene.centres.select("finess_et", advance_cents=pl.lit(10**9, pl.Int64))
    found = verify(
        Bill(examination, remunerate(examination, own, advances=paid), Figures(date(2025, 12, 31), tuple(own)), "1", (1,))
    )
    told = found.filter(rule="cds.CDS64", status="fired")
    open_ones = found.filter(rule="cds.CDS64", status="not_evaluable")
    assert (told.height, open_ones.height) == (30, 10), "a payment that is held leaves nothing settled to recover"
    assert told["reason_fr"].str.contains("à récupérer, jamais un paiement négatif").all()


def test_stopped_centres_make_no_amount() -> None:
    centres = spoiled([lambda f: None] * 2)
    register = surroundings(centres)["register"].head(1)
    found = remunerate(examine(read(centres, register=register)))
    assert set(found.centres["finess_et"]) == {numbers(centres)[0]}


# --- the whole table in one file


TABLE = """
- {{parametre: cds.regime, debut: 2015-09-30, fin: 2026-01-01, valeur: 2015}}
- {{parametre: cds.rfs.formula, debut: 2015-09-30, fin: 2026-01-01, valeur: 1}}
- {{parametre: cds.rfs.point_value, debut: 2015-09-30, fin: 2026-01-01, valeur: 700}}
- {{parametre: cds.rfs.patients_cap, debut: 2015-09-30, fin: 2026-01-01, valeur: 0}}
{rows}
"""


def written_table() -> str:
    """A table as the caisse that holds the annexes would write it, the four types of centre in one row."""
    kinds = "[polyvalent, medical, dentaire, infirmier]"
    days = "debut: 2015-09-30, fin: 2026-01-01"
    bounds = {"patients_base": 4000, "patients_above": 8000, "professionals_above": 16, "protocols_max": 8, "meetings_min": 6}
    rows = [
        f"- {{parametre: cds.rfs.bound, dimensions: {{figure: {name}}}, {days}, valeur: {v}}}" for name, v in bounds.items()
    ]
    points = {("HOR", "fixed"): 800, ("HOR", "variable"): 0, ("CRISE", "fixed"): 100, ("CRISE", "variable"): 350,
              ("COORD", "fixed"): 1000, ("COORD", "variable"): 1700, ("COORD", "variable_above"): 1100,
              ("PROTO", "per_unit"): 100, ("CONC", "fixed"): 0, ("CONC", "variable"): 1000,
              ("SI", "fixed"): 500, ("SI", "per_professional"): 200, ("SI", "per_professional_above"): 150}  # fmt: skip
    for (name, part), value in points.items():
        cell = f"centre_type: {kinds}, indicator: {CODES[name]}, part: {part}"
        rows.append(f"- {{parametre: cds.rfs.points, dimensions: {{{cell}}}, {days}, valeur: {value}}}")
    return TABLE.format(rows="\n".join(rows))


def test_the_table_of_the_annexes_is_attested_from_one_file_and_the_same_amount_becomes_firm(tmp_path: Path) -> None:
    path = tmp_path / "annexes.yaml"
    path.write_text(written_table(), encoding="utf-8")
    own = law_table.read_table(path, "Annexes 1 et 1bis, version de la caisse")
    row = amounts(worth(golden(10000, 20), own))
    assert (row["payable_cents"], row["under_reserve_cents"], row["firm"], row["status"]) == (10027500, 0, True, "attested")
    without = [one for one in own if one.parameter != "cds.rfs.formula"]
    assert amounts(worth(golden(10000, 20), without))["payable_cents"] == 0


# --- F. what replaces the ROSP from 2026 on


@pytest.mark.parametrize(
    ("age", "ill", "covered", "seen", "cents"),
    [
        (82, True, False, True, 10000),
        (76, False, True, True, 2500),
        (40, False, False, False, 500),
        (79, True, False, True, 5500),
        (80, False, False, True, 5500),
        (75, False, False, True, 1500),
        (74, False, False, True, 500),
        (7, False, False, True, 500),
        (6, False, False, True, 1500),
    ],
)
def test_the_successor_of_the_rosp_is_a_simulation_by_group(age: int, ill: bool, covered: bool, seen: bool, cents: int) -> None:
    groups = pl.DataFrame([("990000010", age, ill, covered, seen, 3, 10)], schema=registered_doctor.GROUPS, orient="row")
    row = registered_doctor.worth(groups, Figures(date(2026, 12, 31))).row(0, named=True)
    assert (row["patient_cents"], row["cents"]) == (cents, 10 * cents + 1500)
    assert (row["status"], row["firm"]) == ("analogue", False)
    blind = registered_doctor.worth(groups, Figures(date(2026, 12, 31), simulation=False)).row(0, named=True)
    assert (blind["cents"], blind["status"]) == (None, "missing")
