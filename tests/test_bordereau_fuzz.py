"""Mutated bordereaux: each is read or refused in French, without a crash, a hang, or a patient's value in what is said."""

import random
import resource
import time

import pytest
from bordereaux import RECEIVED, lines, nir

from connectors.bordereau import read_bordereau
from connectors.sheet_reading import read as read_here
from connectors.sheets import DIALECT, Unreadable, read_sheets
from connectors.synthetic_bordereaux import Plan, rows_of, write_csv, write_ods, write_xlsx

ROWS = rows_of(lines({}, {"amount": "1 234,50"}, {"comment": "Zelda " + nir()}))
SEEDS = [write_csv(ROWS), write_csv(ROWS, encoding="utf-16"), write_xlsx([Plan(ROWS)]), write_ods([Plan(ROWS)])]
SIGNS = [
    b'"',
    b"\0",
    b"\r",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\x81",
    b";",
    b"\n",
    b"<!DOCTYPE a>",
    b"<c r='ZZZZ9'>",
    b"1e999",
    b"-0",
    b"\xff\xfe",
]


def mutated(draw: random.Random) -> bytes:
    """One seed cut, flipped, doubled or pierced with an ugly sign, one to four times."""
    content = bytearray(draw.choice(SEEDS))
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(content) + 1)
        how = draw.randrange(4)
        if how == 0:
            del content[place:]
        elif how == 1 and place < len(content):
            content[place] ^= 1 << draw.randrange(8)
        elif how == 2:
            content[place:place] = draw.choice(SIGNS)
        else:
            content[place:place] = content[place : place + draw.randrange(200)]
    return bytes(content)


def outcome(content: bytes) -> str:
    """``read`` or the rule of the refusal; nothing that is said may hold what was planted."""
    rule, shown = "read", ""
    try:
        read = read_bordereau(content, "envoi", RECEIVED)
        shown = f"{read.header}{read.findings}{read.lines.write_json()}{read.quarantined.write_json()}"
    except Unreadable as refusal:
        rule, shown = refusal.rule, str(refusal)
    assert nir() not in shown
    assert rule == "read" or "Zelda" not in shown
    return rule


def run(count: int, seed: int) -> set[str]:
    draw = random.Random(seed)
    outcomes, before = set(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of all children of this process
    for _ in range(count):
        started = time.monotonic()
        outcomes.add(outcome(mutated(draw)))
        assert time.monotonic() - started < 180
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 512 << 10)
    return outcomes


def test_mutated_files_are_read_or_refused_by_the_reader_itself_and_nothing_else() -> None:
    draw = random.Random(1)
    refused = []
    for _ in range(150):
        try:
            read_here(mutated(draw), DIALECT)
        except Unreadable as refusal:
            refused.append(str(refusal))
    assert len(refused) > 20
    assert not any("Zelda" in message or nir()[:13] in message for message in refused)


def test_a_few_mutated_files_go_through_the_whole_reading() -> None:
    assert run(12, seed=2) <= {"read", *(f"bordereau.FL{number}" for number in range(1, 12))}


@pytest.mark.soak
def test_thousands_of_mutated_files_go_through_the_whole_reading() -> None:
    run(5_000, seed=3)


@pytest.mark.soak
def test_half_a_million_lines_are_read_in_time_that_grows_with_them() -> None:
    from connectors.synthetic_bordereaux import bordereau, sample_lines

    spent = []
    for count in (50_000, 500_000):
        content = bordereau(sample_lines(count), "csv")
        started = time.monotonic()
        assert read_sheets(content).sheets[0].cells.height > count
        spent.append(time.monotonic() - started)
    assert spent[1] < 20 * spent[0]
