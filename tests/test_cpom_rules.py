"""The rules of the CPOM: catalogue and code one to one, each rule fires on its fault and on no other, what lacks is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from cpom_world import (
    AT,
    COUNTS,
    EJ,
    ET,
    ON,
    OTHER,
    RATES,
    SOUND,
    exported,
    frame,
    judged,
    notice,
    references,
    with_series,
    without,
    world,
)

from checks.cpom import scene
from checks.cpom.days import cutoff, notices, with_lapse
from checks.cpom.facts import Facts, FactsRefused, facts_of
from checks.cpom.findings import FINDINGS
from checks.cpom.judge import Judgement, judge
from checks.cpom.law import default_law
from checks.cpom.reading import plain_name
from checks.cpom.ruling import CHECKS
from connectors.ecars import NAMES, read_ecars
from connectors.sheet_batch import sheet_reader
from connectors.synthetic_bordereaux import Cell
from connectors.synthetic_ecars import Contract, sample_contract, workbook
from contracts_schema.cpom_catalogue import WrongChoice, indicators, policies
from contracts_schema.rules import catalogue

RULES = [rule for rule in catalogue().values() if rule.id.startswith("cpom.")]


@dataclass(frozen=True)
class Fault:
    """A change of the sound world: another contract, other frames (None: never delivered), another day, other policies."""

    contract: Contract = SOUND
    frames: Mapping[str, pl.DataFrame | None] = field(default_factory=dict)
    on: date = ON
    closed: bool = False
    policies: Mapping[str, Any] = field(default_factory=dict)

    def judged(self) -> Judgement:
        return judged(world(self.contract, **self.frames), self.on, closed=self.closed, **self.policies)


def changed(name: str, **columns: Any) -> pl.DataFrame:
    """A reference table of the sound world with other values in some columns."""
    told = references()[name]
    return told.with_columns(pl.lit(value).cast(told.schema[column]).alias(column) for column, value in columns.items())


def sheets(of: Contract = SOUND, /, **columns: Any) -> dict[str, pl.DataFrame]:
    """The sheets of the sound world with other values in some columns."""
    told = exported(of)["sheet"]
    return {
        "sheet": told.with_columns(pl.lit(value).cast(told.schema[column]).alias(column) for column, value in columns.items())
    }


def rows(at: str, /, **columns: Any) -> dict[str, pl.DataFrame]:
    """The rows of the sound world with other values for one indicator."""
    told = exported(SOUND)["row"]
    here = pl.col("code") == at
    return {
        "row": told.with_columns(
            pl.when(here).then(pl.lit(value).cast(told.schema[column])).otherwise(pl.col(column)).alias(column)
            for column, value in columns.items()
        )
    }


def twice(text: str | None = None) -> dict[str, pl.DataFrame]:
    """The values of the sound world, the first target of OS_03 given again (with another text)."""
    told = exported(SOUND)["value"]
    again = told.filter((pl.col("code") == "OS_03_1_1") & (pl.col("year") == 2025)).with_columns(cell=pl.lit("E99"))
    if text:
        again = again.with_columns(text=pl.lit(text), number=pl.lit(text).cast(told.schema["number"]))
    return {"value": pl.concat([told, again])}


def lines(*told: tuple[str, str | None, int | None, bool], error: bool = False) -> dict[str, pl.DataFrame]:
    """A financial sheet of the sound contract: envelope, code, cents, is_total."""
    export = exported(SOUND)
    of_export = export["sheet"]["sheet_id"][0][:16] + "-9"
    sheet = export["sheet"].head(1).with_columns(annex=pl.lit("FINANCE"), sheet_id=pl.lit(of_export))
    rows = [
        {"sheet_id": of_export, "envelope": envelope, "code": code, "amount_cents": cents, "is_total": total,
         "cell": f"B{place}", "amount_raw": "x", "error": error and cents is None}
        for place, (envelope, code, cents, total) in enumerate(told, 1)
    ]  # fmt: skip
    return {"sheet": pl.concat([export["sheet"], sheet]), "financial_line": frame("financial_line", *rows)}


def recognition(**columns: Any) -> dict[str, pl.DataFrame]:
    export = exported(SOUND)
    told = {"sheet_id": export["sheet"]["sheet_id"][0], "finess_ej": EJ, "row": 3, "label": "Surveillance continue - Adulte",
            "capacity": 8, "without_capacity": False, "effective_on": date(2025, 9, 1), "cell": "B3"}  # fmt: skip
    return {"recognition": frame("recognition", told | columns)}


def more_os(count: int) -> Contract:
    """The sound contract with more OS indicators."""
    extra = ("OS_10_1_1", "OS_20_1_1", "OS_21_1_1", "OS_22_1_1", "OS_06_1_1")[:count]
    return replace(SOUND, chosen={**SOUND.chosen, **dict.fromkeys(extra, COUNTS)})


HPR_MORE = replace(SOUND, hpr={**(SOUND.hpr or {}), "4_4": RATES[:4]})
LATE = pl.lit(datetime(2025, 7, 25, 22, 0, tzinfo=UTC))
BAD_KEY = EJ[:8] + str((int(EJ[8]) + 1) % 10)

FAULTS: dict[str, list[Fault]] = {
    "R01": [
        Fault(frames=sheets(finess_ej="99A000", finess_raw="99A000")),
        Fault(frames=sheets(finess_ej=BAD_KEY, finess_raw=BAD_KEY)),
        Fault(frames=sheets(finess_ej=None, finess_raw=None)),
    ],
    "R02": [Fault(frames={"legal_entity": changed("legal_entity", finess_ej=OTHER)})],
    "R03": [
        Fault(
            frames={
                "legal_entity": changed("legal_entity", finess_ej=OTHER),
                "establishment": changed("establishment", finess_et=EJ, finess_ej=OTHER),
            }
        )
    ],
    "R04": [Fault(frames={"legal_entity": changed("legal_entity", legal_name="Clinique des Dunes")})],
    "R05": [Fault(frames=rows("OS_02_1_1", code="OS_99_1_1")), Fault(frames=rows("OS_02_1_1", code=None, label_raw="Taux"))],
    "R06": [Fault(frames=twice("13"))],
    "R07": [Fault(frames=twice())],
    "R08": [Fault(frames=rows("OS_03_1_1", label="Nombre d'interventions"))],
    "R09": [Fault(frames=rows("OS_02_1_1", objective_code="OS_03_1")), Fault(frames=rows("OS_02_1_1", line_code="CT_02"))],
    "R10": [Fault(without("CT_04_1_1"))],
    "R11": [Fault(without("OS_09_1_1"))],
    "R12": [Fault(without("CT_04_1_1", "OS_09_1_1"))],
    "R13": [Fault(more_os(3)), Fault(policies={"hpr_counts_in_max": True})],
    "R14": [Fault(more_os(2)), Fault(more_os(1), policies={"os_six_is_a_floor": False})],
    "R15": [Fault(without("5_1"))],
    "R16": [Fault(HPR_MORE)],
    "R17": [Fault(without("4_6"))],
    "R18": [Fault(frames={"hpr_label": changed("hpr_label", valid_to=date(2025, 7, 24))}), Fault(frames={"hpr_label": None})],
    "R19": [
        Fault(with_series("CT_08_1_1", *COUNTS), {"hospital_group": changed("hospital_group", finess_ej=OTHER)}),
        Fault(with_series("CT_08_1_1", *COUNTS), {"hospital_group": None}),
    ],
    "R20": [
        Fault(
            with_series("OS_14_1_1", *COUNTS),
            {"authorisation": references()["authorisation"].filter(pl.col("activity") != "HAD")},
        )
    ],
    "R21": [
        Fault(frames={"authorisation": references()["authorisation"].filter(pl.col("activity") != "CHIRURGIE")}),
        Fault(with_series("OS_12_1_1", *COUNTS), {"activity": changed("activity", present=False)}),
    ],
    "R22": [Fault(with_series("OS_03_1_1", None, *COUNTS[1:])), Fault(with_series("OS_03_1_1", "NC", *COUNTS[1:]))],
    "R23": [Fault(with_series("OS_03_1_1", *COUNTS[:5], None)), Fault(with_series("4_5", *COUNTS[:3], "-"))],
    "R24": [
        Fault(
            frames={
                "value": exported(SOUND)["value"].with_columns(
                    year=pl.when((pl.col("code") == "4_6") & (pl.col("year") == 2027)).then(2028).otherwise("year")
                )
            }
        )
    ],
    "R25": [
        Fault(with_series("OS_03_1_1", "douze", *COUNTS[1:])),
        Fault(with_series("OS_03_1_1", "12,5", *COUNTS[1:])),
        Fault(with_series("OS_03_1_1", "-2", *COUNTS[1:])),
        Fault(with_series("OS_04_1_1", "peut-être", *["OUI"] * 5)),
        Fault(with_series("OS_01_1_1", "beaucoup", *RATES[1:])),
        Fault(with_series("2_1", "parfois", "OUI", "OUI", "OUI", contract=without("4_6"))),
    ],
    "R26": [Fault(with_series("OS_01_1_1", "-1 %", *RATES[1:])), Fault(with_series("OS_01_1_1", *RATES[:5], "120 %"))],
    "R27": [
        Fault(with_series("OS_01_1_1", *[f"0,{place}" for place in range(1, 7)])),
        Fault(with_series("OS_01_1_1", "20,5", *RATES[1:])),
    ],
    "R28": [Fault(with_series("OS_03_1_1", "30", "31", "32", "33", "34", "29"))],
    "R29": [Fault(with_series("OS_03_1_1", "20", "20", "20", "20", "20", "20")), Fault(with_series("OS_04_1_1", *["OUI"] * 6))],
    "R30": [Fault(with_series("OS_03_1_1", *["20"] * 6))],
    "R31": [Fault(with_series("OS_03_1_1", "10", "12", "11", "13", "14", "15"))],
    "R32": [Fault(with_series("OS_03_1_1", "4", "15", "16", "17", "18", "19"))],
    "R33": [
        Fault(with_series("OS_18_1_1", *COUNTS)),
        Fault(with_series("OS_18_1_1", *COUNTS), frames=sheets(with_series("OS_18_1_1", *COUNTS), has_comments=False)),
    ],
    "R34": [Fault(with_series("CT_03_1_1", "en projet", *["engagé"] * 5))],
    "R35": [Fault(with_series("1_1", "10", "12 / cardiologie", "14 / cardiologie", "16 / cardiologie"))],
    "R36": [Fault(frames={"entry": references()["entry"].with_columns(entered_at=LATE.cast(pl.Datetime("us", "UTC")))})],
    "R37": [Fault(frames={"validated_choice": references()["validated_choice"].filter(pl.col("code") != "OS_03_1_1")})],
    "R38": [Fault(replace(SOUND, synthesis="Du xxxx 2025"))],
    "R39": [
        Fault(with_series("OS_03_1_1", "#N/A", *COUNTS[1:])),
        Fault(frames=lines(("AC SSR", None, None, True), error=True)),
    ],
    "R40": [Fault(frames=lines(("AC", "H11", 5, False)))],
    "R41": [Fault(frames=lines(("MIG", "H11", 500, False), ("MIG", None, 502, True)))],
    "R42": [Fault(frames={"smr_base": changed("smr_base", amount_cents=750_001_01)})],
    "R43": [
        Fault(
            frames={"emergency_region": references()["emergency_region"].with_columns(amount_cents=pl.Series([71_00, 29_00]))}
        )
    ],
    "R44": [Fault(on=date(2029, 1, 1)), Fault(on=date(2030, 1, 1))],
    "R45": [Fault(frames={"subsidy": changed("subsidy", amendment_id=None)})],
    "R46": [Fault(on=date(2026, 3, 1)), Fault(on=date(2026, 4, 1))],
    "R47": [Fault(frames=recognition(capacity=None)), Fault(frames=recognition(effective_on=None))],
    "R48": [
        Fault(frames={"annex": references()["annex"].filter(pl.col("annex") != "RECONNAISSANCES")}),
        Fault(policies={"pds_due_from": date(2025, 7, 1)}),
    ],
    "R49": [Fault(frames={"signatory": references()["signatory"].filter(pl.col("role") != "CONSEIL_DEPARTEMENTAL")})],
    "R50": [Fault(frames={"insurance_income": changed("insurance_income", income_cents=100_000_00)})],
    "R51": [
        Fault(frames={"notice_event": changed("notice_event", received_on=date(2025, 3, 5))}),
        Fault(
            frames={
                "notice_event": pl.concat(
                    [
                        references()["notice_event"],
                        frame("notice_event", *(notice("RENOUVELLEMENT", date(2025, 3, day)) for day in (20, 25))),
                    ]
                )
            }
        ),
    ],
    "R52": [Fault(closed=True)],
}
"""For each rule, changes that it must tell; the other rules that tell of the same change stand in ``BESIDE``."""

BESIDE = {
    "R05": {"R21"}, "R10": {"R12", "R37"}, "R11": {"R12", "R37"}, "R12": {"R10", "R11", "R37"}, "R13": {"R37", "R14"},
    "R14": {"R37"}, "R15": {"R17", "R37"}, "R16": {"R37"}, "R17": {"R37"}, "R19": {"R13", "R14", "R37"},
    "R20": {"R14", "R37"}, "R21": {"R14", "R37"}, "R24": {"R23"}, "R25": {"R14", "R37", "R17", "R35"}, "R28": {"R29", "R31"},
    "R29": {"R30", "R14", "R37"}, "R30": {"R29"}, "R33": {"R14", "R37"}, "R34": {"R14", "R37"}, "R52": {"R46"},
    "R03": {"R02"}, "R46": set(), "R51": set(), "R44": {"R46"}, "R50": set(), "R09": set(), "R31": set(),
}  # fmt: skip


def fired(found: Judgement) -> set[str]:
    return {rule.removeprefix("cpom.") for rule in found.findings["rule"]}


def of_rule(found: Judgement, rule: str) -> pl.DataFrame:
    return found.findings.filter(pl.col("rule") == f"cpom.{rule}")


# --- catalogue and code


def test_each_rule_of_the_catalogue_is_implemented_once_and_each_check_stands_in_it() -> None:
    assert sorted(rule.id for rule in RULES) == [f"cpom.R{number:02d}" for number in range(1, 53)]
    assert sorted(CHECKS) == sorted([*(rule.id for rule in RULES), "ecars.A1"])
    assert set(FAULTS) == {rule.id.removeprefix("cpom.") for rule in RULES}


def test_rules_have_a_known_severity_effect_and_status_and_a_sentence_for_each_variant() -> None:
    effects = {
        "quarantine_sheet", "reject_row", "reject_cell", "dedupe", "contract_non_compliant", "mark_late", "publish_hold",
        "payment_hold", "alert", "annotate",
    }  # fmt: skip
    for rule in RULES:
        assert rule.outcome in ("block", "warn", "info")
        assert rule.effect_on_lines in effects
        assert rule.status in ("official", "secondary", "derived", "proposal")
        assert rule.source or rule.status == "proposal", rule.id
        assert rule.policy is None or rule.policy in policies(), rule.id
        assert bool(rule.missing_fr) == (rule.if_missing == "NOTE"), rule.id
        for told in (rule, *rule.variants):
            assert told.reason_fr
            assert told.change_fr
            assert told.effect_on_lines in effects
        assert all(one.policy_of is None or one.policy_of in policies() for one in rule.variants)


def test_the_sound_contract_breaks_no_rule_and_only_the_close_of_the_campaign_is_not_evaluable() -> None:
    found = judged(world())
    assert found.findings["rule"].to_list() == []
    assert found.not_evaluable.rows() == [("cpom.R52", None, "La campagne n'est pas close.")]
    contract = found.contract.row(0, named=True)
    assert (contract["status"], contract["deadline_status"]) == ("CONFORME", "DANS_LES_DELAIS")
    assert (contract["chosen_ct"], contract["chosen_os"], contract["chosen_hpr"]) == (2, 6, 6)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [pytest.param(rule, fault, id=f"{rule}-{place}") for rule, faults in FAULTS.items() for place, fault in enumerate(faults)],
)
def test_each_rule_tells_its_fault_and_nothing_else_but_what_goes_with_it(rule: str, fault: Fault) -> None:
    found = fault.judged()
    assert rule in fired(found), found.not_evaluable.rows()
    assert fired(found) - {rule} <= BESIDE.get(rule, set())
    for told in of_rule(found, rule).iter_rows(named=True):
        assert "{" not in told["message_fr"] + told["change_fr"]
        assert "non connu" not in told["message_fr"].replace("cellule non connue", ""), told["message_fr"]
        assert told["rules_version"]
        assert told["evaluated_at"] == AT


def test_without_any_reference_rules_say_not_evaluable_and_never_pass_nor_fire() -> None:
    found = judged(facts_of(exported(SOUND)))
    lacking = {rule.removeprefix("cpom.") for rule in found.not_evaluable["rule"]}
    assert lacking == {
        "R02", "R03", "R04", "R21", "R36", "R37", "R42", "R43", "R44", "R45", "R46", "R48", "R49", "R50", "R51", "R52",
    }  # fmt: skip
    assert fired(found) == {"R18"}, "told by its variant without reference"
    assert of_rule(found, "R18")["severity"].to_list() == ["warn"]
    assert not fired(found) & lacking
    assert all(reason for reason in found.not_evaluable["reason_fr"])


def test_an_authorisation_is_not_denied_to_an_entity_whose_establishments_nobody_names() -> None:
    frames: dict[str, Any] = {"establishment": changed("establishment", finess_ej=OTHER)}
    found = Fault(with_series("OS_14_1_1", *COUNTS), frames).judged()
    assert of_rule(found, "R20").select("severity", "effect").rows() == [("warn", "annotate")]
    assert "R21" not in fired(found)
    assert ("cpom.R21", EJ) in found.not_evaluable.select("rule", "finess_ej").rows()


def test_a_payment_whose_amendment_no_table_lists_is_not_said_to_have_none() -> None:
    found = Fault(frames={"subsidy": changed("subsidy", amendment_id="AV9")}).judged()
    assert "R45" not in fired(found)
    assert ("cpom.R45", EJ) in found.not_evaluable.select("rule", "finess_ej").rows()


def test_a_wrong_key_is_refused_only_when_neither_of_the_two_registers_has_the_number() -> None:
    frames: dict[str, Any] = sheets(finess_ej=BAD_KEY, finess_raw=BAD_KEY)
    for missing in ("legal_entity", "establishment"):
        found = Fault(frames=frames | {missing: None}).judged()
        assert of_rule(found, "R01")["severity"].unique().to_list() == ["warn"], missing


def test_a_change_of_choice_is_covered_by_an_amendment_of_its_own_annex_only() -> None:
    fewer: dict[str, Any] = {"validated_choice": references()["validated_choice"].filter(pl.col("code") != "OS_03_1_1")}
    for annex, fires in ((None, False), ("STRATEGIQUE", False), ("FINANCIERE", True), ("HPR", True)):
        signed = changed("amendment", annex=annex, signed_on=date(2025, 7, 29))
        assert ("R37" in fired(Fault(frames=fewer | {"amendment": signed}).judged())) == fires, annex
    emptied = of_rule(Fault(replace(SOUND, hpr={})).judged(), "R37")
    assert emptied["annex"].to_list() == ["HPR"]
    assert "retirés : 1_1, 3_2" in emptied["message_fr"].item()


def test_a_choice_that_lacks_something_is_incomplete_and_not_late() -> None:
    late = references()["entry"].with_columns(entered_at=LATE.cast(pl.Datetime("us", "UTC")))
    found = Fault(without("OS_09_1_1"), {"entry": late}).judged()
    assert "R36" not in fired(found)
    assert found.contract["deadline_status"].to_list() == ["CHOIX_INCOMPLET"]


def test_a_jump_is_told_though_another_year_has_no_target() -> None:
    assert fired(Fault(with_series("OS_03_1_1", "4", "15", "16", "17", None, "19")).judged()) == {"R23", "R32"}


def test_what_is_said_of_a_line_of_a_follow_up_table_names_the_table() -> None:
    for rule, table in (("R45", "versements"), ("R44", "subventions"), ("R50", "mises_en_demeure"), ("R43", "su_region")):
        assert of_rule(FAULTS[rule][0].judged(), rule)["file"].to_list() == [f"table {table}"]
    assert of_rule(FAULTS["R52"][0].judged(), "R52")["file"].to_list() == [None]


def test_what_is_said_of_the_annex_hpr_names_its_sheet() -> None:
    found = FAULTS["R16"][0].judged()
    [sheet] = exported(HPR_MORE)["sheet"].filter(pl.col("annex") == "HPR")["sheet_id"]
    assert of_rule(found, "R16")["sheet_id"].to_list() == [sheet]


# --- what a rule says, and what it leads to


def test_a_wrong_key_of_a_known_number_warns_and_of_an_unknown_one_quarantines() -> None:
    frames: dict[str, pl.DataFrame] = sheets(finess_ej=BAD_KEY, finess_raw=BAD_KEY)
    unknown = Fault(frames=frames).judged()
    assert of_rule(unknown, "R01").select("severity", "effect").rows() == [("block", "quarantine_sheet")] * 2
    assert unknown.contract["status"].to_list() == ["EN_QUARANTAINE"]
    assert unknown.target.is_empty()
    assert fired(unknown) == {"R01"}, "nothing else is judged on a quarantined sheet"
    register = changed("legal_entity", finess_ej=BAD_KEY)
    known = Fault(frames=frames | {"legal_entity": register}).judged()
    assert of_rule(known, "R01")["severity"].unique().to_list() == ["warn"]
    assert f"attendu {EJ[8]}" in of_rule(known, "R01")["message_fr"][0]
    assert known.contract["status"].to_list() != ["EN_QUARANTAINE"]
    bare = judged(facts_of(exported(SOUND) | frames))
    assert of_rule(bare, "R01")["severity"].unique().to_list() == ["warn"], "no register: the key alone refuses nobody"


def test_an_et_given_for_an_ej_is_told_with_its_ej_and_never_rewritten() -> None:
    found = FAULTS["R03"][0].judged()
    told = of_rule(found, "R03")
    assert OTHER in told["message_fr"][0]
    assert told["finess_ej"].unique().to_list() == [EJ]
    both = Fault(frames={"establishment": changed("establishment", finess_et=EJ)}).judged()
    assert "R03" not in fired(both), "a number of both registers is an EJ"


def test_a_rejected_cell_is_told_once_and_stays_with_the_rule_that_rejected_it() -> None:
    found = FAULTS["R25"][0].judged()
    assert fired(found) == {"R25"}, "no R22 for the same cell"
    kept = found.value.filter(pl.col("rejected_by").is_not_null())
    assert kept.select("code", "year", "text", "rejected_by").rows() == [("OS_03_1_1", 2024, "douze", "cpom.R25")]
    assert found.target.filter((pl.col("code") == "OS_03_1_1") & (pl.col("year") == 2024)).is_empty()
    assert found.value.height == found.target.height + 1


def test_a_value_by_reading_is_kept_with_an_information() -> None:
    found = FAULTS["R25"][-1].judged()
    assert of_rule(found, "R25").select("severity", "effect").rows() == [("info", "annotate")]
    assert found.target.filter((pl.col("code") == "2_1") & (pl.col("year") == 2024))["text"].to_list() == ["parfois"]


def test_two_values_for_one_year_set_both_cells_aside_and_name_them() -> None:
    found = FAULTS["R06"][0].judged()
    told = of_rule(found, "R06")
    assert told.height == 2
    assert "E99" in told["message_fr"][0]
    other = with_series("OS_03_1_1", *[Decimal(7)] * 6)
    with sheet_reader() as read:
        export = read_ecars(workbook(SOUND, other), "ch.xlsx", ON, read)
    twice = of_rule(judged(facts_of({part: getattr(export, part) for part in NAMES} | references())), "R06")
    assert (
        twice["message_fr"][0]
        == "OS_03_1_1, 2024 : des valeurs différentes en « Synthèse 1 » D19, « Synthèse 2 » D19 (10 ; 7)."
    )
    assert found.target.filter((pl.col("code") == "OS_03_1_1") & (pl.col("year") == 2025)).is_empty()
    same = FAULTS["R07"][0].judged()
    assert of_rule(same, "R07").height == 1
    assert same.target.filter((pl.col("code") == "OS_03_1_1") & (pl.col("year") == 2025)).height == 1


def test_missing_values_are_no_wrong_values_and_zero_is_one() -> None:
    missing = FAULTS["R22"][1].judged()
    assert fired(missing) == {"R22"}
    assert "« NC »" in of_rule(missing, "R22")["message_fr"].item()
    zero = Fault(with_series("OS_03_1_1", "0", *COUNTS[1:])).judged()
    assert fired(zero) == set()


def test_a_rate_in_percent_format_is_read_in_points_and_a_bare_fraction_is_not() -> None:
    with sheet_reader() as read:
        told = {}
        for name, cells in {
            "format": [Cell("p", f"0.{place}") for place in range(1, 7)],
            "bare": [Decimal(f"0.{place}") for place in range(1, 7)],
        }.items():
            export = read_ecars(workbook(with_series("OS_01_1_1", *cells)), "ch.xlsx", ON, read)
            facts = facts_of({part: getattr(export, part) for part in NAMES} | references())
            told[name] = judged(facts)
    numbers = {name: found.target.filter(pl.col("code") == "OS_01_1_1")["number"].to_list() for name, found in told.items()}
    assert numbers == {"format": [10, 20, 30, 40, 50, 60], "bare": [Decimal(f"0.{place}") for place in range(1, 7)]}
    assert (fired(told["format"]), fired(told["bare"])) == (set(), {"R27"})
    texts = {name: found.target.filter(pl.col("code") == "OS_01_1_1")["text"][0] for name, found in told.items()}
    assert texts == {"format": "10 %", "bare": "0.1"}, "what was seen in the cell"
    assert told["format"].value.filter(pl.col("code") == "OS_01_1_1")["text"][0] == "0.1", "what the file holds stays"


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        ("0.345", "0.0%", "34,5 %"), ("0.34", "0%", "34 %"), ("0.345", "0%", "35 % (cellule : 34,5 %)"),
        ("0.5", "0.00 %", "50,00 %"), ("0.345", None, "34,5 %"), ("1", "", "100 %"), ("0.1234", "0.00%;[Red]-0.00%", "12,34 %"),
    ],
)  # fmt: skip
def test_a_rate_is_shown_as_its_format_showed_it_with_what_the_format_hides(number: str, code: str | None, text: str) -> None:
    assert scene.seen(Decimal(number), code) == text


def test_findings_of_a_workbook_name_file_sheet_cell_text_and_rule() -> None:
    with sheet_reader() as read:
        export = read_ecars(workbook(with_series("OS_03_1_1", "douze", *COUNTS[1:])), "ch-sable.xlsx", ON, read)
    found = judged(facts_of({part: getattr(export, part) for part in NAMES} | references()))
    told = of_rule(found, "R25").row(0, named=True)
    assert (told["file"], told["sheet"], told["raw"]) == ("ch-sable.xlsx", "Synthèse", "douze")
    assert told["cell"].startswith("D")
    assert len(told["sha256"]) == 64
    assert f"feuille « Synthèse », cellule {told['cell']}" in told["message_fr"]
    assert "« douze » n'est pas un nombre entier" in told["message_fr"]


def test_already_reached_and_worse_are_told_together_and_an_unworded_type_by_neither() -> None:
    worse = FAULTS["R28"][0].judged()
    assert {"R28", "R29"} <= fired(worse)
    unworded = Fault(with_series("OS_07_1_1", *["OUI"] * 6)).judged()
    assert fired(unworded) == {"R14", "R37"}
    named = Fault(with_series("OS_07_1_1", *["OUI"] * 6), policies={"unworded_type": "yes_no"}).judged()
    assert "R29" not in fired(named), "the label does not word it"


def test_a_falling_indicator_is_better_when_it_falls() -> None:
    assert {one.direction for one in indicators().values()} == {"up", "unknown"}, "no falling one in this campaign"


@pytest.mark.parametrize(
    ("series", "jump"),
    [
        (("4", "12"), False),
        (("4", "13"), False),
        (("4", "14"), True),
        (("5", "15"), False),
        (("5", "16"), True),
        (("0", "50"), False),
        (("3", "12"), False),
    ],
)
def test_a_jump_needs_more_than_three_times_and_ten_more(series: tuple[str, str], *, jump: bool) -> None:
    start, then = series
    found = Fault(with_series("OS_03_1_1", start, *[then] * 4, str(int(then) + 1))).judged()
    assert ("R32" in fired(found)) == jump


# --- how many, when


@pytest.mark.parametrize(
    ("policies", "contract", "rule", "fires"),
    [
        ({"hpr_exactly_six": False}, without("4_6"), "R17", False),
        ({"hpr_each_starred_objective": False}, without("5_1"), "R15", False),
        ({"hpr_each_starred_objective": False}, replace(SOUND, hpr={}), "R15", True),
        ({"comment_without_column": "silent"}, with_series("OS_18_1_1", *COUNTS), "R33", True),
        ({"expected_ej": 1}, SOUND, "R52", False),
        ({"min_similarity": 100}, SOUND, "R04", False),
    ],
)
def test_a_policy_changes_what_its_rule_says(policies: dict[str, Any], contract: Contract, rule: str, *, fires: bool) -> None:
    assert (rule in fired(Fault(contract, policies=policies, closed=rule == "R52").judged())) == fires


def test_policies_that_do_not_exist_or_do_not_take_a_value_are_refused() -> None:
    for wrong in ({"no_such": True}, {"hpr_exactly_six": 1}, {"expected_ej": -1}, {"unworded_type": "integer"}):
        with pytest.raises(WrongChoice):
            default_law(wrong)
    assert default_law({"pds_due_from": date(2026, 1, 1)}).digest() != default_law().digest()


def test_the_choice_is_late_from_the_midnight_in_paris_that_ends_the_last_day() -> None:
    last, first = datetime(2025, 7, 25, 21, 59, 59, tzinfo=UTC), datetime(2025, 7, 25, 22, 0, tzinfo=UTC)
    for instant, status in ((last, "DANS_LES_DELAIS"), (first, "HORS_DELAI")):
        entry = references()["entry"].with_columns(entered_at=pl.lit(instant).cast(pl.Datetime("us", "UTC")))
        found = Fault(replace(SOUND, synthesis="Du 3 août 2025"), {"entry": entry}).judged()
        assert found.contract["deadline_status"].to_list() == [status]
    assert of_rule(found, "R36")["message_fr"].item().startswith("Le choix n'était complet que le 26/07/2025 à 00:00")


def test_what_proves_the_choice_in_time() -> None:
    without_journal: dict[str, Any] = {"entry": None}
    in_time = Fault(frames=without_journal).judged()
    assert in_time.contract["deadline_status"].to_list() == ["DANS_LES_DELAIS"], "printed in time, complete"
    later = replace(SOUND, synthesis="Du 3 août 2025")
    assert Fault(later, without_journal).judged().contract["deadline_status"].to_list() == ["DELAI_NON_VERIFIABLE"]
    proof = pl.DataFrame({"finess_ej": [EJ], "synthesis_on": [date(2025, 7, 25)]})
    assert Fault(later, without_journal | {"earlier_proof": proof}).judged().contract["deadline_status"].to_list() == [
        "DANS_LES_DELAIS"
    ]
    part = Fault(without("OS_09_1_1"), without_journal).judged()
    assert part.contract["deadline_status"].to_list() == ["CHOIX_INCOMPLET"]


def test_a_choice_taken_back_is_counted_from_when_it_is_whole_again() -> None:
    entry = references()["entry"]
    again = entry.filter(pl.col("code") == "OS_03_1_1")
    back = again.with_columns(
        chosen=pl.lit(value=False), entered_at=pl.lit(datetime(2025, 7, 9, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    )
    late = again.with_columns(entered_at=pl.lit(datetime(2025, 7, 30, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")))
    journal = pl.concat([entry.filter(pl.col("code") != "OS_03_1_1"), back, late])
    assert "R36" in fired(Fault(frames={"entry": journal}).judged())


def test_at_the_close_the_table_of_expected_contracts_tells_who_lacks_and_who_is_there_besides() -> None:
    """Nothing else says who is expected: without it the count alone is told, and what would tell more."""
    bare = of_rule(judged(world(), closed=True), "R52")
    assert bare.select("message_fr", "change_fr").rows() == [
        ("1 établissement(s) reçu(s), 280 attendu(s) selon la politique expected_ej.",
         "La table contrats_attendus, sans laquelle rien ne dit quels établissements manquent ou sont en trop."),
    ]  # fmt: skip
    expected = frame("expected_contract", {"finess_ej": OTHER, "legal_name": "CH ABSENT", "source": "liste du 3 mars"})
    found = of_rule(judged(world(expected_contract=expected), closed=True, expected_ej=1), "R52")
    assert found.select("finess_ej", "severity", "message_fr").sort("finess_ej").rows() == [
        (EJ, "warn", f"CH FICTIF DU SABLE ({EJ}) : contrat reçu (« canonique.csv »), absent de la liste des contrats "
         "attendus."),
        (OTHER, "warn", f"CH ABSENT ({OTHER}) est attendu (table contrats_attendus : liste du 3 mars) : aucune synthèse n'en a "
         "été reçue."),
    ]  # fmt: skip
    own = expected.with_columns(finess_ej=pl.lit(EJ))
    site = changed("establishment", finess_et=EJ)
    quarantined = world(expected_contract=own, legal_entity=changed("legal_entity", finess_ej=OTHER), establishment=site)
    told = of_rule(judged(quarantined, closed=True), "R52")["message_fr"].to_list()
    assert told[1] == (
        "0 établissement(s) reçu(s), 280 attendu(s) selon la politique expected_ej ; la table contrats_attendus en nomme 1."
    )
    assert told[0].endswith("son export, « canonique.csv », est en quarantaine.")
    assert of_rule(judged(world(expected_contract=own)), "R52").is_empty(), "not before the close"


def test_references_are_taken_as_of_the_day_of_the_synthesis() -> None:
    for last, fires in ((date(2025, 7, 24), True), (date(2025, 7, 25), False)):
        assert ("R18" in fired(Fault(frames={"hpr_label": changed("hpr_label", valid_to=last)}).judged())) == fires


# --- money and deadlines


@pytest.mark.parametrize(
    ("fund", "mode", "notified", "last"),
    [
        ("FMIS", None, date(2025, 10, 3), date(2029, 12, 31)),
        ("FMIS", None, date(2025, 1, 1), date(2029, 12, 31)),
        ("FIR", "Sur pièces justificatives", date(2025, 10, 3), date(2028, 10, 3)),
        ("FIR", "sur pièces justificatives", date(2024, 2, 29), date(2027, 2, 28)),
        ("FIR", "mensualité", date(2025, 10, 3), None),
    ],
)
def test_a_subsidy_lapses_the_day_after_its_last_useful_day(
    fund: str, mode: str | None, notified: date, last: date | None
) -> None:
    told = with_lapse(
        frame("subsidy", {"subsidy_id": "S", "fund": fund, "payment_mode": mode, "notified_on": notified}), default_law()
    )
    assert told["last_day"].to_list() == ([last] if last else [])
    if last:
        assert (told["lapses_on"][0] - last).days == 1


def test_documents_sent_on_the_last_day_save_a_subsidy_and_the_day_after_do_not() -> None:
    for sent, fires in ((date(2029, 12, 31), False), (date(2030, 1, 1), True)):
        found = Fault(frames={"subsidy": changed("subsidy", documents_sent_on=sent)}, on=date(2030, 2, 1)).judged()
        assert ("R44" in fired(found)) == fires
    assert of_rule(found, "R44").select("severity", "effect").rows() == [("block", "payment_hold")]


def test_the_month_of_a_notice_includes_its_last_day_and_saturates_short_months() -> None:
    events = frame("notice_event", notice("NOTIFICATION", date(2025, 1, 30), received_on=date(2025, 1, 31)))
    told = notices(events, default_law()).row(0, named=True)
    assert (told["first_end"], told["state"]) == (date(2025, 2, 28), "PERIODE_1")
    renewed = pl.concat([events, frame("notice_event", notice("RENOUVELLEMENT", date(2025, 2, 20)))])
    assert notices(renewed, default_law())["ends_on"].to_list() == [date(2025, 3, 28)], "it begins when the first one ends"
    for day, fires in ((date(2025, 4, 4), True), (date(2025, 4, 5), False)):
        table = pl.concat(
            [references()["notice_event"].head(1), frame("notice_event", notice("PENALITE", day, amount_cents=1))]
        )
        assert ("R51" in fired(Fault(frames={"notice_event": table}).judged())) == fires


def test_a_notice_without_reception_cannot_be_judged() -> None:
    found = Fault(frames={"notice_event": changed("notice_event", received_on=None)}).judged()
    assert "R51" not in fired(found)
    assert ("cpom.R51", EJ) in found.not_evaluable.select("rule", "finess_ej").rows()


def test_cutoffs_follow_the_clock_of_paris() -> None:
    days = pl.DataFrame({"day": [date(2025, 7, 25), date(2025, 12, 31), date(2026, 3, 28)]})
    told = [instant.isoformat() for instant in days.select(cutoff(pl.col("day"))).to_series()]
    assert told == ["2025-07-25T22:00:00+00:00", "2025-12-31T23:00:00+00:00", "2026-03-28T23:00:00+00:00"]


def test_the_transition_rate_has_no_value_after_2027_and_no_base_none() -> None:
    later = Fault(frames={"smr_base": changed("smr_base", year=2028)}).judged()
    assert ("cpom.R42", EJ) in later.not_evaluable.select("rule", "finess_ej").rows()
    assert "R42" not in fired(later)


def test_a_total_may_differ_by_a_cent_and_no_more() -> None:
    for total, fires in ((501, False), (502, True), (498, True), (499, False)):
        assert ("R41" in fired(Fault(frames=lines(("MIG", "H11", 500, False), ("MIG", None, total, True))).judged())) == fires


def test_what_is_due_on_a_day_is_not_late_that_day() -> None:
    today = of_rule(Fault(on=date(2026, 3, 31)).judged(), "R46")
    assert today["severity"].to_list() == ["warn"]
    assert of_rule(Fault(on=date(2026, 4, 1)).judged(), "R46")["severity"].to_list() == ["block"]
    none = {"annex": references()["annex"].filter(pl.col("annex") != "STRATEGIQUE")}
    assert "R48" not in fired(Fault(frames=none, on=date(2025, 7, 25)).judged())
    assert "R48" in fired(Fault(frames=none, on=date(2025, 7, 26)).judged())


# --- invariants


def test_names_are_compared_without_their_usual_abbreviations() -> None:
    assert plain_name("C.H.U. Saint-Élie") == plain_name("CENTRE HOSPITALIER UNIVERSITAIRE ST ELIE")


def test_the_judgement_is_the_same_whatever_the_order_of_the_rows() -> None:
    contracts = [sample_contract(number, hpr=number % 2 == 0) for number in range(1, 13)]
    frames = exported(*contracts)
    told = judged(facts_of(frames))
    mixed = judged(facts_of({name: found.sample(fraction=1, shuffle=True, seed=3) for name, found in frames.items()}))
    columns = [name for name in FINDINGS if name != "sheet_id"]
    assert told.findings.select(columns).sort(columns).equals(mixed.findings.select(columns).sort(columns))
    keys = ["finess_ej", "annex", "code", "year", "role"]
    assert told.target.sort(keys).equals(mixed.target.sort(keys))
    assert told.contract.equals(mixed.contract)


def test_every_value_is_either_accepted_or_rejected_by_a_rule_or_a_copy() -> None:
    for fault in (FAULTS["R25"][0], FAULTS["R06"][0], FAULTS["R39"][0], FAULTS["R05"][0], FAULTS["R24"][0]):
        found = fault.judged()
        rejected = found.value.filter(pl.col("rejected_by").is_not_null()).height
        assert found.value.height == rejected + found.target.height


def test_facts_of_another_shape_are_refused() -> None:
    with pytest.raises(FactsRefused, match="hpr_label"):
        facts_of(exported(SOUND) | {"hpr_label": pl.DataFrame({"finess_ej": [EJ]})})
    assert isinstance(world(), Facts)
    assert ET in references()["establishment"]["finess_et"].to_list()


def test_an_empty_campaign_is_judged_without_findings() -> None:
    found = judge(facts_of({}), default_law(), ON, AT)
    assert found.findings.is_empty()
    assert found.contract.is_empty()
