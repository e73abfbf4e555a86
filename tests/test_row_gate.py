"""The reader and the row gate against the oracle: the same verdict on every line, the same value in every cell."""

import io
import random
from collections.abc import Iterator, Sequence

import polars as pl
import pytest
from oracle_rsa import Verdict, judge

from checks.rows import Gate
from connectors import pmsi
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_damage import DEFECTS, damage
from connectors.synthetic_rsa import records
from contracts_schema.families import FAMILIES, Family
from contracts_schema.rules import catalogue

FINESS = fictional_finess()
VERSIONS = ["224", "225", "226", "227", "228", "229"]
YEAR, PERIOD = 2025, 6
RSA = FAMILIES["rsa"]


def file_of(version: str, stays: int, seed: int = 1) -> list[bytes]:
    recipe = Recipe(finess=FINESS, year=YEAR, months=PERIOD, stays_per_month=stays, seed=seed, version=version)
    return b"".join(records(recipe)).split(b"\r\n")[:-1]


def gate_of(data: bytes, chunk: int = 1 << 14, family: Family = RSA) -> tuple[pl.DataFrame, pl.DataFrame, Gate]:
    """All accepted rows, all quarantined rows, and the gate, reading in chunks so small that many lines straddle them."""
    gate, stream = Gate(family, YEAR, PERIOD), io.BytesIO(data)
    blocks = pmsi.read(iter(lambda: stream.read(chunk), b""), family, FINESS)
    parts = [gate.judge(block.cut, block.refused, block.ignored) for block in blocks]
    if not parts:
        return pl.DataFrame(), pl.DataFrame(), gate
    return pl.concat(p[0] for p in parts), pl.concat(p[1] for p in parts), gate


def assert_agrees(data: bytes, chunk: int = 1 << 14) -> tuple[pl.DataFrame, pl.DataFrame, Gate]:
    """Every physical line has the oracle's verdict, and every accepted cell the oracle's value; gives what was compared."""
    verdicts = list(judge(data, FINESS))
    accepted, quarantined, gate = gate_of(data, chunk)
    by = {outcome: [v for v in verdicts if v.outcome == outcome] for outcome in ("accepted", "quarantined", "ignored")}
    assert gate.tally.ignored == len(by["ignored"])
    assert gate.tally.lines == len(verdicts)
    seen = list(accepted.iter_rows(named=True))
    assert [row["line_number"] for row in seen] == [v.line for v in by["accepted"]]
    for row, verdict in zip(seen, by["accepted"], strict=True):
        expected = {**verdict.values, **{f"{name}_zone": text for name, text in verdict.zones.items()}}
        found = {name: row[name] for name in expected}
        assert found == expected, f"line {verdict.line}"
        assert row["padded"] == verdict.padded
        assert all(row[name] is None for name in set(row) - set(expected) - {"line_number", "padded"})
    refused = list(quarantined.iter_rows(named=True))
    assert [(r["line_number"], r["rule"], r["byte_offset"]) for r in refused] == [
        (v.line, v.rule, v.offset) for v in by["quarantined"]
    ]
    for row, verdict in zip(refused, by["quarantined"], strict=True):
        assert_same_fields(row["fields"], verdict)
    return accepted, quarantined, gate


def assert_same_fields(fields: list[str], verdict: Verdict) -> None:
    if verdict.rule in ("pmsi.invalid_value", "pmsi.invalid_count"):
        assert set(fields) == set(verdict.fields)
    if verdict.rule == "pmsi.duplicate_record":
        assert fields == [f"record_number:{'identical' if verdict.identical else 'different'}"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_cell_of_a_clean_file_is_the_oracles(version: str) -> None:
    data = b"\r\n".join(file_of(version, stays=20)) + b"\r\n"
    assert assert_agrees(data)[1].is_empty()


def test_formats_mixed_in_one_file_keep_their_own_layout() -> None:
    lines = [line for version in VERSIONS for line in file_of(version, stays=2, seed=int(version))]
    renumbered = [line[:12] + f"{number:010d}".encode() + line[22:] for number, line in enumerate(lines)]
    random.Random(3).shuffle(renumbered)
    assert set(assert_agrees(b"\n".join(renumbered))[2].tally.formats) == set(VERSIONS)


@pytest.mark.parametrize("defect", sorted(DEFECTS))
@pytest.mark.parametrize("version", ["224", "229"])
def test_one_bad_line_never_costs_the_others(defect: str, version: str) -> None:
    lines = file_of(version, stays=6)
    whole = len(lines)
    data = b"\r\n".join(damage(lines, {20: defect})) + b"\r\n"
    accepted, quarantined, _ = assert_agrees(data, chunk=1 << 13)
    assert accepted.height >= whole - 1
    assert quarantined.height <= 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_blank_lines_and_the_last_line_without_end_change_nothing(end: bytes) -> None:
    lines = file_of("229", stays=5)
    plain = gate_of(end.join(lines))[0]
    spaced = gate_of(end.join([*lines, b"", b"   ", b"\t", b"\x1a"]) + end)
    assert spaced[0].equals(plain)
    assert spaced[2].tally.ignored == 4
    assert gate_of(b"\xef\xbb\xbf" + end.join(lines) + end)[0].equals(plain)
    assert gate_of(end.join(lines) + b"\x1a")[0].equals(plain)
    for closing in (b"\x1a", b"\r\x1a\r\n", b"\x1a\r\r\n", b"\x1a\n\n", b"\n\x1a\n\r\n", b"\r\r\x1a", b"\x1a\x1a"):
        assert_agrees(end.join(lines) + closing)


def test_blocks_of_any_size_give_the_same_rows() -> None:
    lines = damage(file_of("229", stays=4), {3: "month_13", 12: "control_byte", 20: "same_record_number"})
    first = gate_of(b"\r\n".join(lines), chunk=1 << 24)
    assert first[1].height == 3
    for chunk in (61, 509, 4096):
        again = gate_of(b"\r\n".join(lines), chunk)
        assert again[0].equals(first[0])
        assert again[1].equals(first[1])
        assert again[2].tally == first[2].tally


def mutants(bases: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Files with random damage at random places: bytes changed, cut, doubled, swapped, lines broken and joined."""
    dice = random.Random(seed)
    alphabet = [*b" 0159+-AXZ;\"'\x00\x09\x0b\x1a\r\n\xe9\xc3\xa9\xff"]
    for _ in range(count):
        data = bytearray(dice.choice(bases))
        for _ in range(dice.randint(1, 12)):
            at, span = dice.randrange(len(data)), dice.choice([1, 1, 1, 2, 5, 24, 61, 300])
            match dice.randrange(6):
                case 0 | 1:
                    data[at] = dice.choice(alphabet)
                case 2:
                    del data[at : at + span]
                case 3:
                    data[at:at] = bytes(dice.choice(alphabet) for _ in range(min(span, 30)))
                case 4:
                    data[at:at] = data[at : at + span]
                case 5:
                    other = dice.randrange(len(data))
                    data[at : at + span], data[other : other + span] = data[other : other + span], data[at : at + span]
        yield bytes(data)


@pytest.mark.parametrize("count", [120, pytest.param(4_000, marks=pytest.mark.soak)])
def test_the_oracle_agrees_on_mutated_files(count: int) -> None:
    """The other families have theirs: 300 in all in the suite, 10,000 in the soak."""
    bases = [b"\r\n".join(file_of(version, stays=3)) + b"\r\n" for version in VERSIONS]
    for data in mutants(bases, count, seed=count):
        assert_agrees(data)


def test_every_refusing_line_rule_of_the_catalogue_is_given_by_the_gate_and_no_other() -> None:
    lines = file_of("229", stays=4)
    named = {rule for defect in DEFECTS for rule in gate_of(b"\n".join(damage(lines, {20: defect})))[2].tally.quarantined}
    of_pmsi = [rule for rule in catalogue().values() if rule.id.startswith("pmsi.")]
    assert named == {rule.id for rule in of_pmsi if (rule.level, rule.outcome) == ("line", "refuse")}
