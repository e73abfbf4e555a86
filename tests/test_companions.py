"""ANO, FICHCOMP, IUM and TRA against their oracle: the same verdict on every line, the same value in every cell kept."""

import itertools
import random
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import the
from oracle_companions import FORMS, ONCE, is_date, is_number, judge, names_of, rows_of, storable
from oracle_rsa import Verdict
from test_row_gate import FINESS, PERIOD, YEAR, gate_of, mutants

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_families import TRA, transmission, write_archive
from contracts_schema.families import FAMILIES
from contracts_schema.layouts import DELIMITED, FIXED
from flows import deliveries
from flows.hub import Hub

RECIPE = Recipe(FINESS, YEAR, PERIOD, 25, seed=5, changed=0.0, vanished=0.0, late=0.0)
STAMP = "20250720101500"
FORMATS = [form for forms in FORMS.values() for form in forms]
FAMILY = {form: family for family, forms in FORMS.items() for form in forms}
MOST_SECONDS = 5.0
"""Of the processor, for one small file: a reader that takes longer hangs."""


def content(form: str, recipe: Recipe = RECIPE) -> bytes:
    """The file of a format in a synthetic transmission."""
    return transmission(recipe, DELIMITED if form == TRA[DELIMITED] else FIXED)[FAMILY[form]]


def lines_of(data: bytes) -> list[bytes]:
    return data.split(b"\r\n")[:-1]


def assert_rows(found: list[dict[str, Any]], verdicts: list[Verdict], family: str) -> None:
    """Every cell of the accepted rows is the oracle's; what the form of a line lacks is empty."""
    assert [row["line_number"] for row in found] == [verdict.line for verdict in verdicts]
    for row, verdict in zip(found, verdicts, strict=True):
        expected = dict.fromkeys(names_of(family)) | verdict.values
        assert row == expected | {"line_number": verdict.line, "padded": verdict.padded}, f"{family}, line {verdict.line}"


def assert_set_aside(found: list[dict[str, Any]], verdicts: list[Verdict], family: str) -> None:
    """Every line set aside is there as received, under the oracle's rule, with the fields that it names."""
    assert [(row["line_number"], row["rule"], row["byte_offset"]) for row in found] == [
        (verdict.line, verdict.rule, verdict.offset) for verdict in verdicts
    ]
    for row, verdict in zip(found, verdicts, strict=True):
        if verdict.rule == "pmsi.duplicate_record":
            assert row["fields"] == [f"{ONCE[family]}:{'identical' if verdict.identical else 'different'}"]
        else:
            assert row["fields"] == sorted(verdict.fields), f"{family}, line {verdict.line}"


def sorted_out(data: bytes, family: str) -> tuple[list[Verdict], list[Verdict], list[Verdict]]:
    """What the oracle accepts, sets aside, and passes over."""
    verdicts = judge(data, family, FINESS)
    accepted, refused, ignored = (
        [verdict for verdict in verdicts if verdict.outcome == outcome] for outcome in ("accepted", "quarantined", "ignored")
    )
    return accepted, refused, ignored


# --- through ingestion, down to the segments


def assert_kept_as_the_oracle_says(hub: Hub, folder: Path, files: Mapping[str, bytes]) -> dict[str, int]:
    """Ingest an archive of these files and compare every cell of every segment; gives the lines set aside by rule."""
    report = deliveries.ingest(hub, the(write_archive(folder, RECIPE, STAMP, files=files)))
    event = deliveries.decision(hub, str(report.scope), str(report.delivery_id))
    assert event
    data = event.data
    rules: dict[str, int] = {}
    for family in FORMS:
        aside = data["restricted_quarantine" if family in ("ano", "tra") else "quarantine"]
        accepted, refused, ignored = sorted_out(files[family], family)
        assert_rows(rows_of_segments(hub, data["tables"], family), accepted, family)
        mine = segment(hub, aside).filter(family=family) if aside else pl.DataFrame(schema={"family": pl.String})
        assert_set_aside(mine.to_dicts(), refused, family)
        received = files[family].removeprefix(b"\xef\xbb\xbf").split(b"\n")
        assert [row["raw"].encode("latin-1") for row in mine.to_dicts()] == [
            storable(received[verdict.line - 1].removesuffix(b"\r"), family) for verdict in refused
        ]
        tally = data["families"][family]
        assert (tally["rows_accepted"], tally["rows_quarantined"], tally["lines_ignored"]) == (
            len(accepted), len(refused), len(ignored),
        )  # fmt: skip
        assert tally["warnings"].get("pmsi.masked_value", {}) == masked(accepted + refused)
        for verdict in refused:
            rules[str(verdict.rule)] = rules.get(str(verdict.rule), 0) + 1
    return rules


def segment(hub: Hub, sha256: str) -> pl.DataFrame:
    return pl.read_parquet(hub.blobs.segment_path(sha256))


def rows_of_segments(hub: Hub, tables: Mapping[str, str], family: str) -> list[dict[str, Any]]:
    """The rows of a family, the columns kept apart beside the others; the same line and key stand in both segments."""
    of = FAMILIES[family]
    rows = segment(hub, tables[of.table])
    if of.restricted_table:
        apart = segment(hub, tables[of.restricted_table])
        joining = ["line_number", str(of.key)]
        assert apart.select(joining).equals(rows.select(joining))
        rows = rows.hstack(apart.drop(joining))
    return rows.to_dicts()


def masked(verdicts: list[Verdict]) -> dict[str, int]:
    names = [name for verdict in verdicts for name in verdict.masked]
    return {name: names.count(name) for name in names}


@pytest.mark.parametrize("form", [FIXED, DELIMITED])
def test_every_cell_of_a_clean_transmission_is_kept_as_the_oracle_reads_it(form: str, hub: Hub, tmp_path: Path) -> None:
    files = transmission(RECIPE, form)
    assert all(files[family].count(b"\n") > 5 for family in FORMS)
    assert assert_kept_as_the_oracle_says(hub, tmp_path, files) == {}


@pytest.mark.parametrize("form", [FIXED, DELIMITED])
def test_every_damaged_line_is_set_aside_under_the_oracles_rule_and_the_others_live(
    form: str, hub: Hub, tmp_path: Path
) -> None:
    """One kind of damage a line, as many as the layouts allow; a sound line after each, and all of them at the end."""
    files = dict(transmission(RECIPE, form))
    for family, forms in FORMS.items():
        sound = lines_of(files[family])
        spare = itertools.cycle(sound)
        spoilt = damages(forms[form == DELIMITED and family == "tra"], sound[0])
        whole = [piece for damaged in spoilt for piece in (damaged, next(spare))]
        files[family] = b"\xef\xbb\xbf" + b"\r\n".join([*whole, b"", b" \t ", *sound]) + b"\n\x1a"
    rules = assert_kept_as_the_oracle_says(hub, tmp_path, files)
    assert set(rules) == {
        f"pmsi.{rule}" for rule in ("control_character", "unknown_format", "line_too_short", "finess_mismatch", "line_length",
                                    "invalid_value", "duplicate_record")
    }  # fmt: skip


def damages(form: str, sound: bytes) -> Iterator[bytes]:
    """What may be wrong with a line, from its layout: each field in turn holds what it should not, then the line is cut.

    Each has a key of its own, so that what is accepted is compared too.
    """
    rows = rows_of(form)
    keys = (b"%010d" % number for number in itertools.count(9_000_000_000))
    once, line = [row for row in rows if row["field"] == ONCE.get(FAMILY[form])], sound

    def fresh() -> bytes:
        return put(form, sound, once[0], next(keys)) if once else sound

    for row in rows:
        if not row["field"].startswith("filler"):
            yield from (put(form, fresh(), row, value) for value in hard_values(row))
    for length in (3, 30, len(line) // 2, len(line) - 30, len(line) - 2, len(line) - 1):
        yield from (fresh()[:length], fresh()[:length].rstrip(b" "))
    yield from (fresh() + more for more in (b"  ", b"x", b";", b"\xc3\xa9", b" \xc3\xa9"))
    yield from (b"\x0b" + line[1:], line[:-1] + b"\x00", b"\xa0" * len(line), *(b";" * count for count in range(1, 9)))
    for accent in (b"\xc3\xa9", b"\xe9"):
        yield from (fresh()[:40] + accent + line[40 + gone :] for gone in (0, 1, 2))
    again = fresh()
    yield from (again, again)


def put(form: str, line: bytes, row: dict[str, str], value: bytes) -> bytes:
    """The line with this value over a field."""
    if not row["length"]:
        cells = line.split(b";")
        cells[int(row["start"]) - 1] = value
        return b";".join(cells)
    start, length = int(row["start"]) - 1, int(row["length"])
    return line[:start] + value[:length].ljust(length) + line[start + length :]


def hard_values(row: dict[str, str]) -> list[bytes]:
    """What a field may not hold, or holds rarely, as bytes as long as the field or shorter."""
    length = int(row["length"] or 8)
    values = [b" " * length, b"X" * length, b"0" * length, b"9" * length]
    if is_number(row):
        values += [b"+" + b"1" * (length - 1), b"1" + b" " * (length - 1), b" " * (length - 1) + b"1", b"-1", b"1.5", b"1,5"]
        values += [b"A" * length, b"X", b"\xb2" * length, b"1 1", b"1e3", b"\xa01", b"x" * length]
    elif is_date(row):
        values += [f"{day:%d%m%Y}".encode() for day in (date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31))]
        values += [b"29022025", b"31042025", b"00012025", b"01002025", b"01130000", b"01010000", b"1012025", b" 1012025"]
        values += [b"2025-1-1", b"01/01/25", b"+1012025", b"0101202A", b"X" * (length - 1), b"\xb9" * 8]
    else:
        values += [b" a", b"\xa0", b"\x85" * length, b"NA", b"\xe9" * length, b"00", b'"', b"null", b"\x7f"]
    return values


# --- through the reader and the gate


def assert_agrees(data: bytes, family: str, sound: frozenset[bytes] = frozenset()) -> None:
    """Rows are conserved, every verdict and cell is the oracle's, and no sound line is lost but to one of the same key."""
    started = time.process_time()
    rows, aside, gate = gate_of(data, family=FAMILIES[family])
    assert time.process_time() - started < MOST_SECONDS
    accepted, refused, ignored = sorted_out(data, family)
    counts = (rows.height, aside.height, gate.tally.ignored)
    assert counts == (len(accepted), len(refused), len(ignored))
    assert sum(counts) == gate.tally.lines
    assert_rows(rows.to_dicts(), accepted, family)
    assert_set_aside(aside.to_dicts(), refused, family)
    assert gate.tally.warnings.get("pmsi.masked_value", {}) == masked(accepted + refused)
    lost = {row["rule"] for row in aside.to_dicts() if row["raw"].encode("latin-1") in sound}
    assert lost <= {"pmsi.duplicate_record"}


def field_mutants(form: str, base: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Files with hard values over fields at random, lines doubled and removed: what random bytes rarely hit."""
    dice, rows = random.Random(seed), [row for row in rows_of(form) if not row["field"].startswith("filler")]
    for _ in range(count):
        lines = lines_of(base)
        for _ in range(dice.randint(1, 8)):
            at, row = dice.randrange(len(lines)), dice.choice(rows)
            if not row["length"] and lines[at].count(b";") != len(rows_of(form)) - 1:
                continue
            match dice.randrange(8):
                case 0:
                    lines.insert(dice.randrange(len(lines)), lines[at])
                case 1 if len(lines) > 1:
                    del lines[at]
                case 2:
                    lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
                case _:
                    lines[at] = put(form, lines[at], row, dice.choice(hard_values(row)))
        yield b"\r\n".join(lines) + b"\r\n"


@pytest.mark.parametrize("count", [15, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.parametrize("form", FORMATS)
def test_the_oracle_agrees_on_mutated_files_of_every_family(form: str, count: int) -> None:
    """Twice this count for each form: with those of the RSA, 300 in the suite and 10,000 in the soak."""
    few = Recipe(FINESS, YEAR, PERIOD, 3, seed=6, changed=0.0, vanished=0.0, late=0.0)
    base = content(form, few)
    sound = frozenset(lines_of(base))
    for data in (*mutants([base], count, seed=count), *field_mutants(form, base, count, seed=count)):
        assert_agrees(data, FAMILY[form], sound)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_another_establishment_or_another_family_is_read_as_the_oracle_reads_it(form: str) -> None:
    foreign = Recipe(fictional_finess(number=2), YEAR, PERIOD, 3, seed=6)
    assert_agrees(content(form, foreign), FAMILY[form])
    for other in FORMATS:
        assert_agrees(content(other), FAMILY[form])


def test_both_forms_of_the_tra_may_stand_in_one_file() -> None:
    lines = [line for pair in zip(*(lines_of(content(form)) for form in FORMS["tra"]), strict=True) for line in pair]
    assert_agrees(b"\n".join(lines), "tra")
    assert_agrees(b"\n".join(lines[::-2] + lines[::2]), "tra")
