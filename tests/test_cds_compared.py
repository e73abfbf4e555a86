"""Comparisons: what is declared beside what others say and the year before, and the plain answer that nothing is known."""

from dataclasses import replace
from typing import Any

import polars as pl
from cds_facts import Spoil, identity, numbers, read, sound, spoiled, surroundings

from checks.cds.compared import COMPARED, compared
from checks.cds.facts import PATIENTS
from checks.cds.scene import scene


def told(spoil: Spoil = lambda found: None, **changes: Any) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Declared, other and verdict of each subject and source of one centre."""
    centres = spoiled([spoil])
    campaign = replace(read(centres, **surroundings(centres)), **changes)
    rows = compared(scene(campaign)).iter_rows(named=True)
    return {(row["subject"], row["source_fr"]): (row["declared"], row["other"], row["verdict"]) for row in rows}


BEFORE = "campagne précédente"


def test_a_centre_that_did_not_change_agrees_with_itself_and_with_the_others() -> None:
    found = told()
    assert {verdict for _, _, verdict in found.values()} == {"concordant"}
    assert found["opening", "ARS"][0] == 4 * 720 + 270 + 390 + 240
    assert found["AD-CHR-PIEDS", BEFORE][:2] == (400, 400)


def test_an_agreement_a_small_gap_and_a_large_one_have_their_verdict() -> None:
    for patients, verdict in (("4000", "concordant"), ("4200", "ecart_tolere"), ("3800", "ecart_tolere"), ("4201", "ecart")):
        found = told(identity(patientele_mt=patients))
        assert found["patient_list", "Assurance Maladie"][2] == verdict
        assert found["patient_list", BEFORE][2] == verdict


def test_staff_time_and_hours_are_compared_with_the_year_before() -> None:
    def fewer(found: Any) -> None:
        found["professionnels"] = found["professionnels"][:4]
        found["horaires"].pop()

    found = told(fewer)
    assert found["persons", BEFORE] == (4, 9, "ecart")
    assert found["fte", BEFORE][2] == "ecart"
    assert found["opening", BEFORE][2] == "ecart"


def test_a_rate_may_move_by_thirty_points() -> None:
    for above, verdict in (("40", "concordant"), ("70", "ecart_tolere"), ("71", "ecart"), ("9", "ecart")):
        found = told(lambda one, above=above: one["rosp"][0].update(numerateur=above))  # type: ignore[misc]
        assert found["AD-CHR-PIEDS", BEFORE][2] == verdict


def test_what_was_never_delivered_is_compared_with_nothing_and_agrees_with_nothing() -> None:
    assert told(before=None, known_hours=None, computed_patients=None) == {}
    silent = told(before=None, known_hours=None, computed_patients=pl.DataFrame(schema=PATIENTS))
    assert silent == {
        ("patient_list", "Assurance Maladie"): (4000, None, "non_verifiable"),
        ("active_patients", "Assurance Maladie"): (5000, None, "non_verifiable"),
    }
    blind = told(identity(patientele_mt=""))
    assert blind["patient_list", "Assurance Maladie"] == (None, 4000, "non_verifiable")


def test_sections_that_did_not_come_leave_comparisons_open() -> None:
    found = told(professionnels=None, horaires=None)
    assert found["persons", BEFORE] == (None, 9, "non_verifiable")
    assert found["opening", BEFORE][2] == "non_verifiable"


def test_every_centre_has_the_same_questions_in_the_columns_that_are_told() -> None:
    centres = [sound(5), sound(10)]
    found = compared(scene(read(centres, **surroundings(centres))))
    assert found.schema == COMPARED
    counts = found.group_by("finess_et").len()
    assert set(counts["finess_et"]) == set(numbers(centres))
    assert counts["len"].to_list() == [17, 17]
    assert found.select(pl.exclude("declared", "other")).null_count().sum_horizontal().item() == 0
