"""The rules of the centres de santé: catalogue and code one to one, each case alone on a sound centre, cut-offs, what lacks."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from cds_facts import CODES, Spoil, answer, attested, entry, identity, numbers, read, sound, spoiled, surroundings

from checks.cds import bill
from checks.cds import examine as examined
from checks.cds.examine import STOPPING, examine
from checks.cds.facts import COUNTS, CRISES, SITES, counts, identity_mapping
from checks.cds.journal import combined, deadlines, journal
from checks.cds.register import nearest, registered
from checks.cds.ruling import CHECKS, FINDINGS, filled
from connectors import ecds, ecds_table, section_rows
from connectors.synthetic_ecds import Centre
from contracts_schema import ecds as facts
from contracts_schema.rules import catalogue

RULES = [rule for rule in catalogue().values() if rule.id.startswith("cds.")]
BY_READER = {ecds.CDS20, ecds_table.CDS57, section_rows.CDS58, section_rows.CDS59, section_rows.CDS60}
BY_LOG = {"cds.CDS61"}
"""Told by the event log at reception."""
BY_CPTS = {f"cds.CDS{number}" for number in range(66, 72)}


def fired(findings: pl.DataFrame, finess: str | None = None) -> set[str]:
    """The rules that fired about a centre: ``22`` for the default case, ``29 missing_date`` for a variant."""
    rows = findings.filter(
        pl.col("status") == "fired", pl.col("finess_et").eq_missing(finess) if finess else pl.lit(value=True)
    )
    return {
        rule.removeprefix("cds.CDS") + ("" if case == "default" else f" {case}")
        for rule, case in rows.select("rule", "case").rows()
    }


# --- catalogue and code


def test_each_rule_has_one_implementation_in_the_checks_the_reader_or_the_log() -> None:
    own = {rule for rule in CHECKS if rule not in BY_CPTS}
    assert not own & BY_READER
    assert own | BY_READER | BY_LOG | BY_CPTS == {rule.id for rule in RULES}
    assert len(RULES) == 71
    assert [one.judge.__name__ for one in CHECKS.values()] == [rule.removeprefix("cds.").lower() for rule in CHECKS]


def test_rules_say_their_severity_their_effect_their_sentence_and_their_source() -> None:
    effects = {
        "reject_file",
        "reject_centre",
        "reject_row",
        "ignore_item",
        "payment_hold",
        "publish_hold",
        "neutralise",
        "alert",
    }
    effects |= {"annotate", "ignore_file", "quarantine_row"}
    for rule in RULES:
        assert {rule.outcome, *(variant.outcome for variant in rule.variants)} <= effects, rule.id
        assert {rule.severity, *(variant.severity for variant in rule.variants)} <= {"block", "warn", "info"}, rule.id
        assert all([rule.reason_fr, rule.when, rule.label_fr, rule.status]), rule.id
        assert all(variant.reason_fr and variant.when for variant in rule.variants), rule.id
        assert rule.missing_fr or not rule.needs, rule.id


def test_a_sentence_that_names_what_is_not_known_is_an_error_and_not_a_hole() -> None:
    with pytest.raises(KeyError):
        filled("Le {centre}", {})


# --- each case alone


def people(change: dict[str, str], place: int = 0) -> Spoil:
    return lambda found: found["professionnels"][place].update(change)


def every(section: str, **cells: str) -> Spoil:
    def spoil(found: Centre) -> None:
        for row in found[section]:
            row.update(cells)

    return spoil


def only(profession: str, kind: str) -> Spoil:
    """A centre of a kind with staff of one profession."""

    def spoil(found: Centre) -> None:
        for row in found["professionnels"]:
            row |= {} if row["profession"] == "administratif" else {"profession": profession}
        identity(type_centre=kind)(found)

    return spoil


def again(section: str, place: int = 0, **cells: str) -> Spoil:
    return lambda found: found[section].append(found[section][place] | cells)


def rosp(code: str, **cells: str) -> Spoil:
    return lambda found: entry(found, code, "rosp").update(cells)


def both(*spoils: Spoil) -> Spoil:
    def spoil(found: Centre) -> None:
        for one in spoils:
            one(found)

    return spoil


def without(name: str) -> Spoil:
    def spoil(found: Centre) -> None:
        found["rfs"] = [row for row in found["rfs"] if row["code_indicateur"] != CODES[name]]

    return spoil


def bought(day: str, name: str = "Autre") -> Spoil:
    return answer("SI", date_acquisition_logiciel=day, date_contrat_maintenance="2026-01-02", logiciel_nom=name)


OLD = identity(date_ouverture="2010-01-01")
LATE, EVE = "2026-02-28T00:00:00+01:00", "2026-02-27T23:59:59+01:00"
CASES: dict[str, tuple[Spoil, set[str]]] = {
    "nothing": (lambda found: None, set()),
    "wrong key": (lambda found: every_section(found, "990000999"), {"02", "08"}),
    "closed category": (identity(categorie_finess="439"), {"04 closed_category"}),
    "another category": (identity(categorie_finess="603"), {"04"}),
    "636": (identity(categorie_finess="636"), {"04", "05"}),
    "type against professions": (identity(type_centre="dentaire"), {"06"}),
    "closed": (identity(date_fermeture="2025-12-30"), {"07"}),
    "closed on the last day": (identity(date_fermeture="2025-12-31"), set()),
    "another EJ": (identity(finess_ej="990009999"), {"08"}),
    "siret": (identity(siret="99000005000012"), {"10"}),
    "siren of another": (identity(gestionnaire_siren="990000019"), {"10"}),
    "rpps of ten digits": (people({"rpps": "9990000101"}), {"11"}),
    "rpps empty": (people({"rpps": ""}), {"11 empty"}),
    "rpps key": (people({"rpps": "99900001002"}), {"11 key"}),
    "rpps twice": (again("professionnels", date_debut="2025-02-01"), {"11 overlap", "46 sum"}),
    "account of another region": (identity(compte_region="76"), {"12"}),
    "no agreement": (identity(date_conventionnement=""), {"13 missing_date"}),
    "agreement too late": (identity(date_conventionnement="2026-01-01"), {"13"}),
    "agreement in the year": (identity(date_conventionnement="2025-12-31"), {"14"}),
    "agreement on the first day": (identity(date_conventionnement="2025-01-01"), set()),
    "no permit": (identity(agrement_ars="NON"), {"15"}),
    "permit too late": (identity(date_agrement="2026-01-01"), {"15"}),
    "rosp late": (again("rosp", numerateur="41", horodatage_saisie="2026-02-01T00:00:00+01:00"), {"16", "19"}),
    "rosp late without an earlier one": (rosp("AD-CHR-PIEDS", horodatage_saisie="2026-02-01T00:00:00+01:00"), {"16"}),
    "optional late": (answer("DIV", horodatage_saisie=LATE), {"17"}),
    "in time": (answer("DIV", horodatage_saisie=EVE), set()),
    "before the opening": (answer("DIV", horodatage_saisie="2026-01-04T23:30:00+01:00"), {"18"}),
    "a no": (answer("COORD", reponse="NON"), {"22"}),
    "an empty answer": (answer("COORD", reponse=""), {"22", "23"}),
    "shown and not answered": (answer("COORD", reponse="VIDE"), {"22", "23"}),
    "no line": (without("CRISE"), {"22", "23"}),
    "answered too late": (answer("COORD", horodatage_saisie=LATE), {"17", "22", "23 late"}),
    "typed over too late": (again("rfs", 2, reponse="NON", horodatage_saisie=LATE), {"17"}),
    "optional with a no": (both(answer("COORD", reponse="NON"), answer("DIV")), {"22", "24"}),
    "no acquisition date": (answer("SI", date_acquisition_logiciel=""), {"25"}),
    "maintenance": (answer("SI", date_contrat_maintenance="2018-05-14"), {"26"}),
    "bought after maintenance": (answer("SI", date_contrat_maintenance="2018-05-13"), {"26 later"}),
    "another date than last year": (answer("SI", date_acquisition_logiciel="2018-05-15"), {"27"}),
    "bought after the year": (bought("2026-01-01"), {"28"}),
    "bought on the last day": (bought("2025-12-31"), set()),
    "bought before the centre": (bought("2016-03-31"), {"29"}),
    "bought before its release": (both(OLD, bought("2016-12-31", "Logiciel fictif")), {"27", "29"}),
    "another headcount": (answer("SI", nb_professionnels_si="12"), {"30"}),
    "closes before it opens": (lambda f: f["horaires"][0].update(fermeture="07:00"), {"31", "32"}),
    "hours overlap": (lambda f: f["horaires"][3].update(ouverture="12:00"), {"31 overlap", "32"}),
    "saturday": (both(answer("HOR", niveau="SAMEDI"), lambda f: f["horaires"].pop()), {"31 saturday", "32"}),
    "weeks": (every("horaires", conges_semaines="4"), {"33"}),
    "no coordination time": (answer("COORD", valeur_num=""), {"34"}),
    "no coordinator": (every("professionnels", coordinateur="NON"), {"34 no_coordinator"}),
    "plan too late": (answer("CRISE", date_piece="2026-01-01"), {"35"}),
    "no crisis": (answer("CRISE", actions_crise="OUI"), {"35 no_crisis"}),
    "no convention": (answer("VULN", date_fin_piece="2027-01-01"), {"36"}),
    "convention too late": (answer("VULN", date_piece="2026-01-01", date_fin_piece="2027-01-01"), {"36 too_late"}),
    "convention ended": (answer("VULN", date_piece="2020-01-01", date_fin_piece="2024-12-31"), {"36 ended"}),
    "three missions": (answer("SP", valeur_num="3", themes="a|b|c"), {"37"}),
    "missions of one theme": (answer("SP", valeur_num="2", themes="Diabète| diabète"), {"37 duplicate"}),
    "ten protocols": (answer("PROTO", valeur_num="10"), {"38"}),
    "half a protocol": (answer("PROTO", valeur_num="2.5"), {"38"}),
    "protocols of one title": (answer("PROTO", themes="a|a"), {"38 duplicate"}),
    "protocols without date": (answer("PROTO", date_piece=""), {"38 undated"}),
    "five meetings": (answer("CONC", valeur_num="5"), {"39"}),
    "six stages": (answer("FORM", valeur_num="6"), {"40"}),
    "five stages": (answer("FORM", valeur_num="5"), set()),
    "sas": (answer("SAS"), {"41"}),
    "nurse supplement": (both(answer("INF"), every("professionnels", etp="1.00")), {"42"}),
    "not for this type": (answer("MSP"), {"43"}),
    "no time at all": (people({"etp": "0"}, 5), {"46"}),
    "too much time": (people({"etp": "1.21"}, 5), {"46", "46 sum"}),
    "dentists only": (only("chirurgien_dentiste", "dentaire"), set()),
    "no dentist": (only("infirmier", "dentaire"), {"06", "47"}),
    "no doctor": (only("infirmier", "polyvalent"), {"47"}),
    "liberal": (people({"statut": "liberal"}), {"30", "48"}),
    "patients apart": (identity(patientele_mt="4201"), {"49"}),
    "patients at five percent": (identity(patientele_mt="4200"), set()),
    "more listed than active": (identity(file_active="3999"), {"50"}),
    "precarity as percent": (identity(taux_precarite="52"), {"51"}),
    "precarity of one": (identity(taux_precarite="1"), set()),
    "above the denominator": (rosp("AD-CHR-PIEDS", numerateur="101"), {"52"}),
    "half a patient": (rosp("AD-CHR-PIEDS", numerateur="40.5"), {"52"}),
    "few patients": (rosp("AD-PREV-TABAC", numerateur="2", denominateur="4"), {"53"}),
    "computed indicator": (rosp("AD-CHR-HBA1C"), {"54"}),
    "unknown code": (rosp("X-1"), {"54 unmapped"}),
    "all at the top": (every("rosp", numerateur="100"), {"55", "56"}),
    "all the same": (every("rosp", numerateur="45"), {"55 same_counts"}),
    "far from last year": (rosp("AD-CHR-PIEDS", numerateur="71"), {"56"}),
    "thirty points from last year": (rosp("AD-CHR-PIEDS", numerateur="70"), set()),
}  # fmt: skip


def every_section(found: Centre, finess: str) -> None:
    for rows in found.values():
        for row in rows:
            row["finess_et"] = finess


MINIMUM = [attested("cds.rosp.minimum_patients", 5, indicator="AD-PREV-TABAC")]


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """What the rules say of each case, all examined at once."""
    centres = spoiled([spoil for spoil, _ in CASES.values()])
    known = surroundings(centres)
    register = known["register"].with_columns(category=pl.lit(None, pl.String))
    found = examine(read(centres, **(known | {"register": register})), MINIMUM).findings
    return {name: fired(found, number) for name, number in zip(CASES, numbers(centres), strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_a_sound_centre_with_one_fault_is_told_that_fault_and_no_other(name: str, told: dict[str, set[str]]) -> None:
    assert told[name] == CASES[name][1]


def test_every_case_of_every_rule_about_a_centre_is_met_by_a_test() -> None:
    elsewhere = {
        "01",
        "01 padded",
        "03",
        "03 legal_entity",
        "09",
        "09 same_siret",
        "21",
        "40 year_2023",
        "54 unmapped_section",
        "62",
        "08",
        "32",
    }
    met = elsewhere.union(*(expected for _, expected in CASES.values()))
    known = {
        rule.removeprefix("cds.CDS") + suffix
        for rule, one in CHECKS.items()
        if one.judge.__module__ != "checks.cds.bill" and rule not in BY_CPTS
        for suffix in ("", *(f" {variant.id}" for variant in one.rule.variants))
    }
    assert known - met == set()


# --- who a centre is


def test_a_number_left_empty_is_no_right_number() -> None:
    centres = spoiled([identity(siret=""), identity(gestionnaire_siren=""), identity(siret="", gestionnaire_siren="990000019")])
    told = examine(read(centres)).findings.filter(rule="cds.CDS10")
    assert told["status"].to_list() == ["not_evaluable", "not_evaluable", "fired"]


def test_a_finess_that_is_none_stops_every_other_rule_for_it_and_proposes_the_lost_zero() -> None:
    centres = spoiled(
        [lambda f: every_section(f, "10000015"), lambda f: every_section(f, "99000O010"), identity(taux_precarite="52")]
    )
    found = examine(read(centres))
    assert fired(found.findings, "10000015") == {"01 padded"}
    assert "010000015" in found.findings.filter(finess_et="10000015")["reason_fr"].item()
    assert fired(found.findings, "99000O010") == {"01"}
    assert fired(found.findings, numbers(centres)[2]) == {"51"}
    assert set(found.stopped["finess_et"]) == {"10000015", "99000O010"}


def test_a_finess_that_the_register_does_not_have_or_has_as_ej_stops_every_other_rule_for_it() -> None:
    centres = spoiled([identity(taux_precarite="52")] * 3)
    known = surroundings(centres)
    own = numbers(centres)
    register = known["register"].filter(pl.col("finess") != own[0])
    register = register.with_columns(kind=pl.when(pl.col("finess") == own[1]).then(pl.lit("EJ")).otherwise("kind"))
    found = examine(read(centres, **(known | {"register": register}))).findings
    assert [fired(found, number) for number in own] == [{"03"}, {"03 legal_entity"}, {"51"}]


ON, DECLARED = date(2025, 12, 31), date(2026, 3, 2)
LIVES = {
    "held": ("2016-04-01", ""),
    "absent": ("2016-04-01", ""),
    "closed after the year": ("2016-04-01", "2026-01-20"),
    "opened in the year": ("2025-10-01", ""),
}


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([date(2026, 2, 1)], {"closed after the year": "INCONNU"}),
        ([date(2025, 9, 1)], {"opened in the year": "INCONNU"}),
        ([date(2025, 9, 1), date(2026, 2, 1)], {}),
        ([date(2025, 12, 1)], {}),
        ([date(2026, 6, 1)], dict.fromkeys(LIVES, "INCONNU")),
    ],
)
def test_a_stock_of_finess_proves_an_absence_only_where_the_centre_says_that_it_was_open(
    days: list[date], told: dict[str, str]
) -> None:
    number = {name: f"99000{place}" for place, name in enumerate(LIVES)}
    lives = [(number[name], *(date.fromisoformat(day) if day else None for day in LIVES[name])) for name in LIVES]
    schema = {"finess_et": pl.String, "opened_on": pl.Date, "closed_on": pl.Date}
    centres = pl.DataFrame([*lives, ("75001", None, None), ("99EJ", None, None)], schema=schema, orient="row")
    rows = pl.DataFrame([(number["held"], "99EJ", "124")], schema=["finess", "finess_ej", "category"], orient="row")
    near = [(day, rows) for day in nearest(days, ON)]
    found = dict(registered(near, centres, ON, DECLARED).select("finess", "kind").iter_rows())
    expected = {number[name]: kind for name, kind in told.items()} | {number["held"]: "ET", "99EJ": "EJ", "75001": "INCONNU"}
    assert found == expected, "no row: absent"


def test_of_several_stocks_the_one_before_and_the_one_after_are_read_the_nearer_first() -> None:
    days = [date(2025, 1, 1), date(2025, 11, 1), date(2026, 1, 5), date(2026, 6, 1)]
    assert nearest(days, ON) == [date(2026, 1, 5), date(2025, 11, 1)]
    assert nearest(days[:1], ON) == days[:1]
    assert nearest([], ON) == []


def test_an_antenne_that_claims_with_its_main_site_is_told() -> None:
    centres = spoiled([lambda f: None] * 2)
    known = surroundings(centres)
    site, main = numbers(centres)
    sites = pl.DataFrame([(site, main)], schema=SITES, orient="row")
    found = examine(read(centres, **(known | {"sites": sites}))).findings
    assert [fired(found, number) for number in (site, main)] == [{"09"}, set()]
    blind = examine(read(centres, **(known | {"sites": None}))).findings.filter(rule="cds.CDS09")
    assert blind["status"].to_list() == ["not_evaluable"], "no link at all was given: that is no answer"


def test_one_siret_under_two_finess_that_both_claim_is_told_of_both() -> None:
    siret = sound(5)["identification"][0]["siret"]
    twin = {"siret": siret, "gestionnaire_siren": siret[:9]}
    centres = spoiled([identity(**twin), identity(**twin), identity()])
    found = examine(read(centres, **surroundings(centres))).findings
    assert [fired(found, number) for number in numbers(centres)] == [{"09 same_siret"}, {"09 same_siret"}, set()]
    centres[1]["rfs"] = [row | {"reponse": "NON"} for row in centres[1]["rfs"]]
    lone = examine(read(centres, **surroundings(centres))).findings.filter(rule="cds.CDS09")
    assert lone.filter(status="fired").is_empty(), "one claims alone: nothing is paid twice"


# --- cut-offs


INSTANTS = {
    "2026-01-04T23:30:00+01:00": ("in_time", "in_time", True),
    "2026-01-05T00:00:00+01:00": ("in_time", "in_time", False),
    "2026-01-31T23:59:59+01:00": ("in_time", "in_time", False),
    "2026-01-31T22:59:59Z": ("in_time", "in_time", False),
    "2026-01-31T23:00:00Z": ("late", "in_time", False),
    "2026-01-31T23:30:00Z": ("late", "in_time", False),
    "2026-02-27T22:59:59Z": ("late", "in_time", False),
    "2026-02-27T23:00:00Z": ("late", "late", False),
    "2026-01-31T23:30:00": ("in_time", "in_time", False),
    "2026-01-31T23:59:59.999+01:00": ("in_time", "in_time", False),
    "2026-02-01T00:00:00+01:00": ("late", "in_time", False),
    "2026-02-27T23:59:59.999999": ("late", "in_time", False),
    "2026-02-28T00:00:00": ("late", "late", False),
}
"""Golden cases E: an entry instant; what it is for the ROSP and for the forfait; whether it is before the opening."""


@pytest.mark.parametrize("instant", INSTANTS)
def test_an_entry_is_in_time_up_to_the_midnight_of_paris_after_the_last_day_of_its_section(instant: str) -> None:
    one = sound()
    for section in ("rosp", "rfs"):
        one[section] = [one[section][0] | {"horodatage_saisie": instant}]
    campaign, days = read([one]), deadlines(2025)
    found = [journal(campaign, section, days) for section in ("rosp", "rfs")]
    assert [part.entries["deadline"].item() for part in found if part] == list(INSTANTS[instant][:2])
    assert [part.entries["early"].item() for part in found if part] == [INSTANTS[instant][2]] * 2


def test_the_value_in_force_is_the_last_one_in_time_beside_the_later_one() -> None:
    one = sound()
    first = one["rosp"][0]
    typed = [("10", "2026-01-20T09:00:00+01:00"), ("30", "2026-02-10T09:00:00+01:00"), ("20", "2026-01-31T23:59:59+01:00")]
    one["rosp"] = [first | {"numerateur": value, "horodatage_saisie": at} for value, at in typed]
    found = journal(read([one]), "rosp", deadlines(2025))
    assert found is not None
    assert (found.in_force["numerator"].to_list(), found.latest["numerator"].to_list()) == ([20], [30])
    assert found.entries.height == 3


def test_an_answer_changed_back_counts_as_it_was_last_typed_in_time_and_as_late_as_it_was() -> None:
    one = sound()
    first = entry(one, "COORD")
    typed = {"OUI": "2026-01-10T09:00:00+01:00", "NON": "2026-02-27T23:59:58+01:00"}
    one["rfs"] = [first | {"reponse": answer, "horodatage_saisie": at} for answer, at in typed.items()]
    back = first | {"reponse": "OUI", "horodatage_saisie": "2026-02-27T23:59:59+01:00"}
    for at, outcome in ((back["horodatage_saisie"], "SATISFAIT"), ("2026-02-28T00:00:00+01:00", "NON_SATISFAIT")):
        found = examine(read([one | {"rfs": [*one["rfs"], back | {"horodatage_saisie": at}]}]))
        assert found.prerequisites.filter(code=CODES["COORD"])["outcome"].item() == outcome, at
        assert found.findings.filter(rule="cds.CDS17", status="fired").height == (outcome == "NON_SATISFAIT")


def test_two_entries_of_one_second_are_two_and_the_last_one_counts() -> None:
    one = sound()
    first = one["rosp"][0]
    typed = [
        ("20", "2026-01-31T23:59:59.999+01:00"),
        ("10", "2026-01-31T23:59:59.100+01:00"),
        ("30", "2026-02-01T00:00:00+01:00"),
    ]
    one["rosp"] = [first | {"numerateur": value, "horodatage_saisie": at} for value, at in typed]
    found = journal(read([one]), "rosp", deadlines(2025))
    assert found is not None
    assert (found.in_force["numerator"].to_list(), found.latest["numerator"].to_list()) == ([20], [30])


def test_what_is_not_known_yet_at_an_instant_changes_nothing_before_it() -> None:
    one = sound()
    entry(one, "COORD").update(reponse="NON", horodatage_saisie="2026-02-12T10:00:00+01:00")
    one["rfs"].append(entry(one, "COORD") | {"reponse": "OUI", "horodatage_saisie": "2026-02-10T10:00:00+01:00"})
    whole = read([one])
    at = {"INCOMPLET": (10, 8), "SATISFAIT": (12, 8), "NON_SATISFAIT": (12, 10)}
    instants = [(datetime(2026, 2, day, hour, tzinfo=UTC), expected) for expected, (day, hour) in at.items()]
    for as_of, expected in [*instants, (None, "NON_SATISFAIT")]:
        found = examine(replace(whole, as_of=as_of)).prerequisites.filter(code=CODES["COORD"])
        assert found["outcome"].item() == expected, as_of


@pytest.mark.parametrize(("days", "alerts"), [(15, 1), (14, 0), (7, 1), (1, 1), (0, 0)])
def test_an_unanswered_prerequisite_is_told_fifteen_seven_and_one_day_before_the_last(days: int, alerts: int) -> None:
    one = sound()
    without("CRISE")(one)
    noon = datetime(2026, 2, 27, 12, tzinfo=UTC) - timedelta(days=days)
    found = examine(read([one], as_of=noon)).findings.filter(rule="cds.CDS21", status="fired")
    assert found.height == alerts
    assert (found["effect"].to_list(), found["item"].to_list()) == (["alert"] * alerts, [CODES["CRISE"]] * alerts)


def test_without_instants_a_file_extracted_by_the_last_day_is_in_time_and_a_later_one_cannot_be_verified() -> None:
    for extracted, outcome in ((date(2026, 2, 27), "SATISFAIT"), (date(2026, 2, 28), "DELAI_NON_VERIFIABLE")):
        one = sound()
        every("rfs", horodatage_saisie="")(one)
        found = examine(read([one], extracted))
        assert set(found.prerequisites["outcome"]) == {outcome}
        late = found.findings.filter(pl.col("rule") == "cds.CDS17")
        assert set(late["status"]) == ({"not_evaluable"} if outcome != "SATISFAIT" else set())


def test_a_year_whose_deadlines_no_text_gives_has_no_entry_in_time() -> None:
    one = sound(year=2024)
    found = examine(read([one], date(2025, 3, 1), 2024))
    assert set(found.prerequisites["outcome"]) == {"DELAI_NON_VERIFIABLE"}
    for rule in ("cds.CDS16", "cds.CDS17", "cds.CDS18", "cds.CDS19", "cds.CDS53"):
        assert found.findings.filter(rule=rule)["status"].to_list() == ["not_evaluable"], "told once, not for each entry"
    days = [
        attested("cds.campaign.day", day, deadline=name)
        for name, day in (("rfs", date(2025, 2, 28)), ("rosp", date(2025, 1, 31)))
    ]
    assert set(examine(read([one], date(2025, 3, 1), 2024), days).prerequisites["outcome"]) == {"SATISFAIT"}


# --- what lacks is said, and never fires


def test_a_section_that_did_not_come_is_told_once_a_rule_and_condemns_nobody() -> None:
    whole = read([sound(5), sound(10)])
    for section in ("identification", "professionnels", "horaires", "rfs", "rosp"):
        found = examine(replace(whole, **{section: None}))
        assert fired(found.findings) == set(), section
        assert not found.findings.filter(pl.col("reason_fr") == "").height, section
    nothing = examine(replace(whole, rfs=None))
    assert set(nothing.prerequisites["outcome"]) == {"NON_RECU"}
    lacking = nothing.findings.filter(pl.col("rule") == "cds.CDS22")
    assert lacking.select("status", "finess_et").rows() == [("not_evaluable", None)]


def test_empty_optional_cells_make_a_rule_not_evaluable_and_never_fire() -> None:
    one = sound()
    entry(one, "SI").update(logiciel_nom="", nb_professionnels_si="", date_contrat_maintenance="")
    entry(one, "CRISE").update(actions_crise="")
    entry(one, "PROTO").update(themes="")
    one["identification"][0].update(compte_region="", agrement_ars="", date_agrement="", patientele_mt="", taux_precarite="")
    found = examine(read([one], **surroundings([one]))).findings
    assert fired(found) == set()
    lacking = {
        rule.removeprefix("cds.CDS") for rule in found.filter(status="not_evaluable", finess_et=numbers([one])[0])["rule"]
    }
    assert lacking >= {"12", "15", "26", "27", "30", "35", "38", "49", "50", "51"}
    assert found.filter(status="not_evaluable")["reason_fr"].null_count() == 0


def test_a_crisis_of_the_region_in_the_year_answers_for_the_actions() -> None:
    one = sound()
    entry(one, "CRISE").update(actions_crise="OUI")
    known: list[tuple[str, date, date | None, set[str]]] = [
        ("99", date(2025, 12, 31), None, set()),
        ("99", date(2024, 1, 1), date(2024, 12, 31), {"35 no_crisis"}),
        ("76", date(2025, 1, 1), None, {"35 no_crisis"}),
    ]
    for region, start, end, expected in known:
        crises = pl.DataFrame([(region, start, end, "Inondations")], schema=CRISES, orient="row")
        assert fired(examine(read([one], crises=crises)).findings) == expected
    assert fired(examine(read([one])).findings) == set(), "no table of crises: nothing can be said"


# --- codes, years, volumes


def test_codes_without_mapping_lose_nothing_and_are_read_as_soon_as_the_mapping_is_written() -> None:
    one = sound()
    plain = examine(read([sound()]))
    renamed = {f"ECDS-{place}": row["code_indicateur"] for place, row in enumerate(one["rfs"])}
    for place, row in enumerate(one["rfs"]):
        row["code_indicateur"] = f"ECDS-{place}"
    blind = examine(read([one]))
    told = blind.findings.filter(pl.col("rule") == "cds.CDS54", pl.col("status") == "fired")
    assert told.select("case", "effect", "severity", "finess_et").rows() == [
        ("unmapped_section", "quarantine_row", "warn", None)
    ]
    assert blind.apart.height == len(one["rfs"])
    assert set(blind.prerequisites["outcome"]) == {"CODE_SANS_CORRESPONDANCE"}, "an answer nobody can read is no silence"
    assert not blind.findings.filter(status="fired")["rule"].is_in(["cds.CDS22", "cds.CDS23", "cds.CDS24"]).any()
    rows = [(old, "rfs", new, date(2015, 1, 1), None) for old, new in renamed.items()]
    mapping = pl.concat([identity_mapping(), pl.DataFrame(rows, schema=identity_mapping().schema, orient="row")])
    replayed = examine(read([one], mapping=mapping))
    assert replayed.prerequisites.equals(plain.prerequisites)
    assert replayed.apart.is_empty()


def test_a_mapping_holds_on_the_reference_date_only() -> None:
    mapping = identity_mapping().with_columns(valid_to=pl.lit(date(2025, 12, 31)))
    assert examine(read([sound()], mapping=mapping)).apart.height == 13


@pytest.mark.parametrize(("year", "stages", "expected"), [
    (2022, "5", {"40"}), (2022, "4", set()), (2023, "5", {"40 year_2023"}), (2023, "6", {"40"}), (2024, "5", set()),
    (2025, "6", {"40"}),
])  # fmt: skip
def test_the_number_of_stages_is_judged_by_the_reference_year(year: int, stages: str, expected: set[str]) -> None:
    one = sound(year=year)
    entry(one, "FORM").update(valeur_num=stages, annee_exercice=str(year), horodatage_saisie=f"{year + 1}-01-15T10:00:00+01:00")
    campaign = read([one], date(year + 1, 2, 1), year)
    found = examine(campaign).findings.filter(pl.col("rule") == "cds.CDS40")
    assert fired(found) == expected


def test_sas_effection_could_be_declared_for_2022() -> None:
    one = sound(year=2022)
    entry(one, "SAS").update(annee_exercice="2022", horodatage_saisie="2023-01-15T10:00:00+01:00")
    assert "41" not in fired(examine(read([one], date(2023, 2, 1), 2022)).findings)


@pytest.mark.parametrize(
    ("nurses", "doctors", "due"), [("4", "8", True), ("4", "8.01", False), ("3.99", "2", False), ("5", "0", True)]
)
def test_the_nurse_supplement_asks_for_four_nurses_and_half_of_the_doctors(nurses: str, doctors: str, due: bool) -> None:
    one = sound()
    first = one["professionnels"][0]
    staff = [("infirmier", nurses), ("medecin_generaliste", doctors)]
    one["professionnels"] = [first | {"profession": kind, "etp": time} for kind, time in staff if time != "0"]
    answer("INF")(one)
    told = fired(examine(read([one])).findings)
    assert ("42" in told, "47" in told) == (not due, doctors == "0"), "no doctor at all is flagged"
    assert ("47" in fired(examine(read([one])).findings)) == (doctors == "0"), "a polyvalent centre without any doctor"


@pytest.mark.parametrize(("lines", "centres", "expected"), [(10, 2, set()), (7, 2, {"62"}), (10, 1, {"62"}), (8, 2, set())])
def test_a_drop_of_more_than_a_fifth_is_told(lines: int, centres: int, expected: set[str]) -> None:
    campaign = read([sound(5), sound(10)])
    before = pl.DataFrame([("rosp", 14 * 10 // lines, 2 * 2 // centres)], schema=COUNTS, orient="row")
    assert fired(examine(replace(campaign, counts_before=before)).findings) == expected


# --- findings


def test_findings_have_their_columns_their_evidence_in_french_and_no_number_of_a_person() -> None:
    centres = spoiled([spoil for spoil, _ in CASES.values()])
    found = examine(read(centres, **surroundings(centres)), MINIMUM).findings
    assert found.schema == FINDINGS
    assert found.select("reason_fr", "evidence", "severity", "effect").null_count().sum_horizontal().item() == 0
    people_known = {row["rpps"] for one in centres for row in one["professionnels"] if row["rpps"]}
    written = " ".join(found["evidence"]) + " ".join(found["reason_fr"])
    assert not [number for number in re.findall(r"\d{10,11}", written) if number in people_known]
    decoded = found["evidence"].str.json_decode(pl.Struct({"regle": pl.String, "motif": pl.String}))
    assert decoded.struct.field("regle").equals(found["rule"], check_names=False)
    assert not found["reason_fr"].str.contains(r"[{}]").any()


def test_the_order_of_the_rows_changes_nothing() -> None:
    centres = spoiled([spoil for spoil, _ in CASES.values()])
    campaign = read(centres)
    turned = {
        name: frame.sample(fraction=1, shuffle=True, seed=3) for name, frame in campaign.sections().items() if frame is not None
    }
    keys = ["rule", "case", "finess_et", "section", "item", "line", "reason_fr"]
    one, other = (examine(part).findings.select(keys).sort(keys) for part in (campaign, replace(campaign, **turned)))
    assert one.equals(other)


def test_stopping_rules_and_families_are_rules_of_the_catalogue() -> None:
    assert set(STOPPING) <= set(CHECKS)
    assert {one.judge.__module__ for one in CHECKS.values()} >= {family.__name__ for family in examined.FAMILIES} | {
        bill.__name__
    }


# --- several extractions


def extraction(day: date, **answers: str) -> tuple[date, pl.DataFrame]:
    """The rfs section of one centre as extracted on a day: prerequisite by prerequisite, without instants."""
    one = sound()
    one["rfs"] = [row for row in one["rfs"] if row["code_indicateur"] in facts.PREREQUISITES]
    every("rfs", horodatage_saisie="")(one)
    for name, told in answers.items():
        entry(one, name)["reponse"] = told
    frame = read([one], day).rfs
    assert frame is not None
    return day, frame


def outcomes(*extractions: tuple[date, pl.DataFrame]) -> dict[str, str]:
    campaign = replace(read([sound()], extractions[-1][0]), rfs=combined(extractions))
    return dict(examine(campaign).prerequisites.select("code", "outcome").iter_rows())


def test_an_extraction_taken_in_time_proves_what_it_holds_without_any_instant() -> None:
    found = outcomes(extraction(date(2026, 2, 10)), extraction(date(2026, 3, 2)))
    assert set(found.values()) == {"SATISFAIT"}


def test_a_value_that_only_a_later_extraction_has_cannot_be_verified() -> None:
    found = outcomes(extraction(date(2026, 2, 10), COORD="NON"), extraction(date(2026, 3, 2)))
    assert found[CODES["COORD"]] == "DELAI_NON_VERIFIABLE"
    assert found[CODES["HOR"]] == "SATISFAIT"


def test_what_an_extraction_held_stays_held_when_a_later_one_no_longer_has_it() -> None:
    day, whole = extraction(date(2026, 2, 10))
    found = combined([(date(2026, 3, 2), whole.filter(pl.col("code") != CODES["HOR"])), (day, whole)])
    assert found.height == whole.height
    assert set(found["seen_on"]) == {day}


def typed_over(*entries: tuple[str, str]) -> pl.DataFrame:
    """The rosp section with these entries (value, instant) of one indicator only."""
    one = sound()
    first = one["rosp"][0]
    one["rosp"] = [first | {"numerateur": value, "horodatage_saisie": at} for value, at in entries]
    frame = read([one]).rosp
    assert frame is not None
    return frame


def test_a_value_typed_over_too_late_is_found_again_in_the_extraction_that_had_it() -> None:
    early, late = ("40", "2026-01-20T10:00:00+01:00"), ("99", "2026-02-10T10:00:00+01:00")
    both = combined([(date(2026, 2, 1), typed_over(early)), (date(2026, 3, 2), typed_over(late))])
    campaign = replace(read([sound()]), rosp=both)
    found = journal(campaign, "rosp", deadlines(2025))
    assert found is not None
    assert (found.in_force["numerator"].to_list(), found.latest["numerator"].to_list()) == ([40], [99])
    assert {"16", "19"} <= fired(examine(campaign).findings)
    assert counts(campaign).filter(section="rosp")["lines"].to_list() == [1], "as the last extraction holds them"


def test_an_entry_that_the_last_extraction_no_longer_has_does_not_come_back_by_itself() -> None:
    other, kept = ("40", "2026-01-20T10:00:00+01:00"), ("50", "2026-01-10T10:00:00+01:00")
    both = combined([(date(2026, 2, 1), typed_over(other)), (date(2026, 3, 2), typed_over(kept))])
    found = journal(replace(read([sound()]), rosp=both), "rosp", deadlines(2025))
    assert found is not None
    assert found.in_force["numerator"].to_list() == [50]
