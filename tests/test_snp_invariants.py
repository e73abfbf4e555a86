"""What holds of every reconciliation: cents, order of rows, evidence, facts that are refused, speed."""

import json
import re
import time
from dataclasses import fields, replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snp_judged import facts, judged
from snp_random import DEFECTS, random_facts

from checks.snp.evidence import FINDINGS
from checks.snp.facts import Facts, FactsRefused
from checks.snp.likeness import edits
from checks.snp.outcome import BORDEREAUX, LINES
from checks.snp.reconcile import Reconciliation

# --- invariants


def conserved(found: Reconciliation) -> bool:
    parts = pl.sum_horizontal("payable_cents", "rejected_cents", "pending_cents", "reduction_cents")
    lines = found.lines.select((pl.col("claimed_cents") == parts).all()).item()
    sums = found.bordereaux.select((pl.col("claimed_cents") == parts).all()).item()
    firm = pl.col("payable_firm_cents") + pl.col("payable_reserved_cents")
    return bool(lines and sums and found.bordereaux.select((pl.col("payable_cents") == firm).all()).item())


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), defects=st.sampled_from([0.0, 0.3, 1.0]), patients=st.booleans())
def test_every_cent_claimed_is_paid_rejected_pending_or_reduced_whatever_the_order_of_rows(
    seed: int, defects: float, patients: bool
) -> None:
    found = random_facts(300, seed, defects=defects, months=0.1, patients=patients, per_bordereau=40)
    first = judged(found)
    assert conserved(first)
    assert first.lines.height == found.line.height
    assert first.lines.select((pl.col("payable_cents") <= pl.col("claimed_cents").clip(lower_bound=0)).all()).item()
    assert dict(first.lines.schema) == dict(LINES)
    assert dict(first.findings.schema) == dict(FINDINGS)
    assert dict(first.bordereaux.schema) == dict(BORDEREAUX)
    shuffled = Facts(**{part.name: _shuffled(getattr(found, part.name), seed) for part in fields(found)})
    again = judged(shuffled)
    assert again.lines.equals(first.lines)
    assert again.findings.equals(first.findings)
    assert again.bordereaux.equals(first.bordereaux)


def _shuffled(rows: pl.DataFrame | None, seed: int) -> pl.DataFrame | None:
    return rows if rows is None else rows.sample(fraction=1, shuffle=True, seed=seed)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_more_never_raises_what_is_payable(defect: str) -> None:
    from snp_random import damaged

    clean = random_facts(60, 5, defects=0, months=0.1, per_bordereau=20)
    before = judged(clean).lines
    after = judged(replace(clean, line=damaged(clean.line, defect, every=5))).lines
    pairs = before.join(after, on=["bordereau_id", "line_number"], suffix="_after")
    worse = pl.col("payable_cents_after") <= pl.col("payable_cents")
    assert pairs.select(worse.all()).item()
    if defect not in ("high_amount", "same_ref"):  # paid at the tariff; another act under the same reference
        assert after["payable_cents"].sum() < before["payable_cents"].sum()


def test_the_sum_of_the_findings_of_each_line_says_its_outcome() -> None:
    found = judged(random_facts(400, 3, defects=0.5, months=0.1, per_bordereau=40))
    strict = ["PAY", "ADJUST", "HOLD", "ASK", "REJECT", "REDIRECT"]
    spoken = found.findings.filter(~pl.col("note"), pl.col("rule") != "snp.A03")
    ranks = spoken.with_columns(
        rank=pl.when("blocking")
        .then(3)
        .otherwise(pl.col("outcome").replace_strict({n: i for i, n in enumerate(strict)}, default=0))
    )
    by_line = ranks.drop_nulls("line_number").group_by("bordereau_id", "line_number").agg(pl.col("rank").max())
    told = found.lines.join(by_line, on=["bordereau_id", "line_number"], how="left").with_columns(pl.col("rank").fill_null(0))
    assert [strict[rank] for rank in told["rank"]] == told["outcome"].to_list()


def test_no_patient_value_leaves_in_a_finding() -> None:
    found = random_facts(200, 9, defects=0.5, patients=True)
    text = judged(found).findings.select(pl.concat_str("evidence", "change_fr", ignore_nulls=True).str.join(" ")).item()
    assert not [key for key in found.frame("patient")["patient_key"] if key in text]


def test_evidence_names_the_cell_the_rule_the_dossier_and_what_would_change_the_answer() -> None:
    result = judged(facts("S04"))
    [row] = result.findings.filter(rule="snp.D02").iter_rows(named=True)
    told = json.loads(row["evidence"])
    assert (told["fichier"], told["feuille"], told["ligne"]) == ("B1.xlsx", "Bordereau", 8)
    assert told["cellules"] == [{"colonne": "date", "cellule": "B8", "texte": "2022-07-19"}]
    assert told["dossier"]["chronologie"] == "déposé le 20/07/2022 10:00 (+02:00)"
    assert told["motif"] == "L'acte du 19/07/2022 précède le premier jour où une déclaration couvre CYSTITE : le 20/07/2022."
    assert row["change_fr"] == "Une déclaration couvrant CYSTITE déposée au plus tard le 19/07/2022."


# --- facts and likeness


def test_a_frame_with_other_columns_a_key_twice_or_a_line_of_no_bordereau_is_refused() -> None:
    found = facts("S01")
    for wrong, message in (
        (replace(found, line=found.line.drop("ref")), "frame line: columns or types differ from the schema: ['ref']"),
        (replace(found, line=pl.concat([found.line, found.line])), "frame line: bordereau_id, line_number must be unique"),
        (replace(found, bordereau=found.bordereau.head(0)), "frame line: some lines belong to no bordereau"),
    ):
        with pytest.raises(FactsRefused, match=re.escape(message)):
            judged(wrong)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("abé1", max_size=6), st.text("abé1", max_size=6)), max_size=20))
def test_distances_are_those_of_the_textbook(pairs: list[tuple[str, str]]) -> None:
    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    left, right = (pl.Series([pair[side] for pair in pairs], dtype=pl.String) for side in (0, 1))
    assert edits(left, right).to_list() == [slow(a, b) for a, b in pairs]


# --- speed


def test_ten_times_more_lines_take_about_ten_times_the_time() -> None:
    spent = []
    for lines in (5_000, 50_000):
        found = random_facts(lines)
        judged(found)
        began = time.process_time()
        judged(found)
        spent.append(time.process_time() - began)
    assert spent[1] < 20 * spent[0]
