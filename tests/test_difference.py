"""The difference: rows as multisets by content against a slow oracle, figures against the views as they stood at each event."""

import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from oracle_rsa import formats, judge_line
from typer.testing import CliRunner

from checks import rows
from checks.rows import Gate
from connectors import pmsi
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import records
from contracts_schema import families
from contracts_schema.families import FAMILIES, Family, columns, schema, zones
from contracts_schema.layouts import Layout
from contracts_schema.products import VIEWS, products
from flows import building, decisions, deliveries
from flows.cli import app
from flows.difference import PartsDoNotSum, _changed, difference, last_change
from flows.hub import Hub, WrongUsage, init_hub, open_hub
from warehouse.differences import RowChanges, rows_changed, run_dependent

RSA = FAMILIES["rsa"]
FINESS = fictional_finess()
NUMBERED_ANEW = {"record_number", "rum_unit_number", "format_version", "rss_format_version"}
"""What the oracle leaves out, said here a second time."""


def lines_of(months: int = 2, stays: int = 60, version: str = "229", seed: int = 1) -> list[bytes]:
    recipe = Recipe(FINESS, 2025, months, stays, seed, version, changed=0.1, vanished=0.05, late=0.05)
    return b"".join(records(recipe)).split(b"\r\n")[:-1]


def segment(folder: Path, lines: list[bytes]) -> Path:
    """The lines as the gate lets them in, every one of them."""
    gate = Gate(RSA, 2025, 12)
    blocks = pmsi.read([b"\r\n".join(lines)], RSA, FINESS)
    rows = pl.concat([pl.DataFrame(schema=schema(RSA)), *(gate.judge(b.cut, b.refused, b.ignored)[0] for b in blocks)])
    assert rows.height == len(lines)
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    rows.write_parquet(path)
    return path


def compare(folder: Path, left: list[bytes], right: list[bytes]) -> RowChanges:
    return rows_changed("pmsi_rsa", segment(folder, left), segment(folder, right))


def counts(changes: RowChanges) -> tuple[int, int, int]:
    return changes.removed.size, changes.unchanged, changes.added.size


def numbered(lines: list[bytes], start: int = 1) -> list[bytes]:
    return [line[:12] + f"{number:010d}".encode() + line[22:] for number, line in enumerate(lines, start)]


def place(version: str, field: str) -> tuple[int, int]:
    """Offset of a field in its zone, or in the fixed part, and its length."""
    row = next(row for row in formats()[version] if row["field"] == field)
    return int(row["start"]) - 1, int(row["length"])


def over(line: bytes, field: str, text: bytes) -> bytes:
    offset, length = place(line[9:12].decode(), field)
    return line[:offset] + text.ljust(length) + line[offset + length :]


def in_units(line: bytes, field: str, text: bytes) -> bytes:
    """The line with that field of each of its units overwritten."""
    rum = judge_line(1, 0, line, FINESS).zones["rum"].encode("latin-1")
    version = line[9:12].decode()
    (offset, length), width = (
        place(version, field),
        max(sum(place(version, r["field"])) for r in formats()[version] if r["zone"] == "rum"),
    )
    items = (rum[start : start + width] for start in range(0, len(rum), width))
    changed = b"".join(item[:offset] + text.ljust(length) + item[offset + length :] for item in items)
    fixed = max(sum(place(version, r["field"])) for r in formats()[version] if r["zone"] == "fixed")
    at = line.index(rum, fixed)
    return line[:at] + changed + line[at + len(rum) :]


def content(line: bytes, common: set[str]) -> tuple[object, ...]:
    """The cells of a line that are compared, those of zones with their rank."""
    verdict = judge_line(1, 0, line, FINESS)
    cells: list[tuple[str, int, object]] = [(name, 0, value) for name, value in verdict.values.items()]
    for name, text in verdict.zones.items():
        rows = [row for row in formats()[str(verdict.format)] if row["zone"] == name]
        width = max(int(row["start"]) - 1 + int(row["length"]) for row in rows)
        for rank, base in enumerate(range(0, len(text), width)):
            cells += [(row["field"], rank, text[base + int(row["start"]) - 1 :][: int(row["length"])]) for row in rows]
    return tuple(sorted((cell for cell in cells if cell[0] in common - NUMBERED_ANEW), key=repr))


def oracle(left: list[bytes], right: list[bytes]) -> tuple[int, int, int]:
    """Removed, unchanged, added: by counting contents, one line at a time."""
    versions = {line[9:12].decode() for line in left + right}
    common = set.intersection(*({row["field"] for row in formats()[version]} for version in versions))
    before, after = (Counter(content(line, common) for line in lines) for lines in (left, right))
    return (before - after).total(), (before & after).total(), (after - before).total()


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_same_stays_in_another_order_under_other_numbers_have_not_changed(tmp_path: Path) -> None:
    stays = lines_of()
    again = [in_units(line, "rum_unit_number", b"%04d" % number) for number, line in enumerate(stays)]
    random.Random(1).shuffle(again)
    changes = compare(tmp_path, stays, numbered(again, 500))
    assert counts(changes) == (0, len(stays), 0)
    assert (changes.by_month, changes.not_compared) == ({}, ())


def test_equal_lines_are_counted_and_the_last_ones_are_told(tmp_path: Path) -> None:
    stay, other = lines_of()[:2]
    changes = compare(tmp_path, numbered([stay, other, stay, stay]), numbered([stay, other, other, other]))
    assert counts(changes) == (2, 2, 2)
    assert changes.removed.tolist() == [3, 4]
    assert changes.added.tolist() == [3, 4]


def test_another_group_is_one_row_removed_and_one_added(tmp_path: Path) -> None:
    stays = lines_of()
    changed = [*stays]
    changed[7] = over(stays[7], "ghm_severity", b"4" if stays[7][place("229", "ghm_severity")[0]] != ord("4") else b"3")
    changes = compare(tmp_path, stays, changed)
    assert counts(changes) == (1, len(stays) - 1, 1)
    assert changes.removed.tolist() == changes.added.tolist() == [8]
    assert changes.by_month == {1: (1, 1)}


def test_a_side_without_the_table_has_no_rows(tmp_path: Path) -> None:
    path = segment(tmp_path, lines_of())
    rows = pl.read_parquet(path).height
    assert counts(rows_changed("pmsi_rsa", None, path)) == (0, 0, rows)
    assert counts(rows_changed("pmsi_rsa", path, None)) == (rows, 0, 0)
    assert counts(rows_changed("pmsi_rsa", segment(tmp_path, []), path)) == (0, 0, rows)


@pytest.mark.parametrize("version", sorted(formats()))
def test_every_cell_of_a_row_counts_but_those_that_a_run_numbers_anew(tmp_path: Path, version: str) -> None:
    path = segment(tmp_path, lines_of(3, version=version))
    rows = pl.read_parquet(path)
    own = [row for row in formats()[version] if row["zone"] in ("fixed", "rum") and not row["field"].startswith("filler")]
    several_units = [line for line, count in enumerate(rows["rum_count"]) if count > 1]
    changed, expected = rows.to_dicts(), {}
    for row in own:  # each on a line of its own, in the second unit for fields of units
        line = several_units.pop() if row["zone"] == "rum" else next(i for i in range(rows.height) if i not in expected)
        cells = changed[line]
        if row["zone"] == "fixed":
            cells[row["field"]] = 77 if row["type"] == "int" else "~"
        else:
            text = cells["rum_zone"]
            at = len(text) // cells["rum_count"] + int(row["start"]) - 1
            cells["rum_zone"] = text[:at] + "~" + text[at + 1 :]
        expected[line] = row["field"]
    assert len(expected) == len(own)
    other = tmp_path / "changed.parquet"
    pl.DataFrame(changed, schema=rows.schema).write_parquet(other)
    found = rows_changed("pmsi_rsa", path, other)
    seen = {expected[line - 1] for line in found.added.tolist()}
    assert found.added.tolist() == found.removed.tolist()
    assert seen == {row["field"] for row in own} - NUMBERED_ANEW


@pytest.mark.parametrize("seed", range(8))
def test_the_oracle_counts_the_same_changes_in_cumulative_files(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    left, right = (lines_of(draw.randint(1, 4), 30, draw.choice(["228", "229"]), seed % 3) for _ in range(2))
    right += draw.choices(right, k=draw.randint(0, 9))
    left += draw.choices(left, k=draw.randint(0, 9))
    draw.shuffle(right)
    left, right = numbered(left), numbered(right)
    changes = compare(tmp_path, left, right)
    assert counts(changes) == oracle(left, right)
    assert len(left) - changes.removed.size == changes.unchanged == len(right) - changes.added.size
    kept = [[line for n, line in enumerate(lines, 1) if n not in set(gone.tolist())]
            for lines, gone in ((left, changes.removed), (right, changes.added))]  # fmt: skip
    assert oracle(*kept) == (0, changes.unchanged, 0)
    by_month = [sum(of[side] for of in changes.by_month.values()) for side in (0, 1)]
    assert by_month == [changes.removed.size, changes.added.size]


@pytest.mark.parametrize(
    ("older", "newer", "only_in_one"),
    [
        ("228", "229", {"suppl_usip"}),
        ("226", "227", {"unscheduled"}),
        ("225", "226", {"postal_code", "rum_filler_3", "gradation_flag"}),
        ("224", "225", {"raac", "full_conversion"}),
    ],
)
def test_a_stay_sent_again_in_another_format_has_not_changed(
    tmp_path: Path, older: str, newer: str, only_in_one: set[str]
) -> None:
    before, after = lines_of(version=older), lines_of(version=newer)
    changes = compare(tmp_path, before, after)
    assert counts(changes) == oracle(before, after) == (0, len(before), 0)
    assert only_in_one <= set(changes.not_compared)
    assert not NUMBERED_ANEW & set(changes.not_compared)
    after[3] = in_units(after[3], "rum_dp", b"R69")
    assert counts(compare(tmp_path, before, after)) == oracle(before, after) == (1, len(before) - 1, 1)


def test_formats_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    before, after = lines_of(version="225"), lines_of(version="226")
    mixed = numbered([pair[rank % 2] for rank, pair in enumerate(zip(before, after, strict=True))])
    assert counts(compare(tmp_path, before, mixed)) == oracle(before, mixed) == (0, len(before), 0)


@pytest.mark.parametrize(
    ("name", "anew"),
    [
        ("ano", {"stay_number"}),
        ("med", {"stay_number", "period_year", "period_month"}),
        ("dmip", {"stay_number", "period_year", "period_month"}),
        ("ium", {"unit_number", "period_year", "period_month"}),
    ],
)
def test_other_families_are_compared_without_their_numbers_and_the_month_of_the_transmission(
    tmp_path: Path, name: str, anew: set[str]
) -> None:
    family = FAMILIES[name]
    blank: dict[str, Any] = {column: "1" if dtype == pl.String else None for column, dtype in schema(family).items()}

    def written(number: int, changed: dict[str, Any]) -> Path:
        rows = [blank | {"line_number": 1, "padded": False}, blank | {"line_number": 2, "padded": True} | changed]
        path = tmp_path / f"{number}.parquet"
        pl.DataFrame(rows, schema=schema(family)).write_parquet(path)
        return path

    first, changed = written(0, {}), written(1, {"finess": "2"})
    renumbered = written(2, {column: "2" if schema(family)[column] == pl.String else 2 for column in anew})
    assert counts(rows_changed(family.table, first, renumbered)) == (0, 2, 0)
    assert counts(rows_changed(family.table, first, changed)) == (1, 1, 1)


def test_what_is_left_out_is_named_as_the_layouts_name_it() -> None:
    for family in FAMILIES.values():
        declared = run_dependent(family.table)
        assert declared.fields <= {"line_number", "padded", *columns(family)}, family.name
        assert set(declared.zones) <= set(zones(family))
        assert family.closed or len(declared.fields) > 2, f"{family.name}: say what its runs number anew"


# --- figures ----------------------------------------------------------------------------------------------------------


def ingest(
    hub: Hub, folder: Path, number: int, month: int, version: str = "229", stays: int = 25, status: str = "accepted"
) -> str:
    finess = fictional_finess(number=number)
    path = folder / f"{finess}.2025.{month}.rsa"
    recipe = Recipe(finess, 2025, month, stays, number, version, changed=0.1, vanished=0.02, late=0.02)
    path.write_bytes(b"".join(records(recipe)))
    found, refused = deliveries.find([path])
    report = deliveries.ingest(hub, found[0])
    assert (report.status, refused) == (status, [])
    return str(report.delivery_id)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    init_hub(tmp_path / "hub", test=True, recipients=["ars-99"])
    return open_hub(tmp_path / "hub")


def judged_again(hub: Hub, delivery: str, version: str) -> None:
    """Judge a delivery again as if its format were not known: it is held, and stands no more."""

    def known(family: Family) -> dict[str, Layout]:
        return {number: of for number, of in families.formats(family).items() if number != version}

    with pytest.MonkeyPatch.context() as other:
        for module in (pmsi, rows):
            other.setattr(module, "formats", known)
        for module in (deliveries, decisions):
            other.setattr(module, "fingerprint", lambda: "other")
        assert [report.status for report in decisions.redecide(hub, delivery)] == ["held"]


def lived(folder: Path, seed: int) -> Hub:
    """A hub that received three months of three establishments in some order, took some back and one of these in again, let a
    held one in, and judged one again, which no longer stands.
    """
    draw = random.Random(seed)
    init_hub(folder / "hub", test=True, recipients=["ars-99"])
    hub = open_hub(folder / "hub")
    sent = list(itertools.product((1, 2, 3), (1, 2, 3)))
    draw.shuffle(sent)
    for number, month in sent:
        delivery = ingest(hub, folder, number, month, draw.choice(["228", "229"]))
        if draw.random() < 0.3:
            decisions.withdraw(hub, delivery, "essai")
    one, *_, other = deliveries.heads(hub).values()
    number = next(number for number in (1, 2, 3) if fictional_finess(number=number) == one.data["finess"])
    shrunken = ingest(hub, folder, number, 4, stays=3, status="held")
    decisions.waive(hub, shrunken, "essai", hub.today())
    decisions.withdraw(hub, shrunken, "essai")
    decisions.restore(hub, shrunken, "essai")
    [version] = other.data["families"]["rsa"]["formats"]
    judged_again(hub, other.delivery_id, version)
    return hub


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    return lived(tmp_path_factory.mktemp("history"), 0)


def figures_at(hub: Hub, position: int) -> dict[tuple[Any, ...], Any]:
    """Every number of every product table as it stood."""
    if not deliveries.heads(hub, position):
        return {}
    tables = [table for product in products().values() if product.made_by == VIEWS for table in product.tables]
    found: dict[tuple[Any, ...], Any] = {}
    with building.reading(hub, {table.view for table in tables}, position) as engine:
        for table in tables:
            numbers = [c.name for c in table.columns if c.type in ("integer", "number") and c.name not in table.keys]
            counted = [name for name in numbers if name not in ("transmission_period", "definition_version")]
            for row in engine.sql(f"from {table.view}").pl().iter_rows(named=True):
                found |= {(table.name, *(row[key] for key in table.keys), name): row[name] for name in counted}
    return {figure: value for figure, value in found.items() if value is not None}


def figures_through(hub: Hub) -> list[dict[tuple[Any, ...], Any]]:
    """The figures at each position, from 0: those of the position before where a reception only was recorded."""
    known = [figures_at(hub, 0)]
    for event in hub.log.read():
        known.append(known[-1] if event.type == "DeliveryReceived" else figures_at(hub, event.position))
    return known


def named(figure: dict[str, Any]) -> tuple[Any, ...]:
    return (figure["table"], *figure["keys"].values(), figure["figure"])


def assert_parts_are_steps(hub: Hub, spans: int, draw: random.Random) -> None:
    known = figures_through(hub)
    now = len(known) - 1
    for before, after in [(0, now), *(sorted(draw.sample(range(now + 1), 2)) for _ in range(spans))]:
        found = {named(figure): figure for figure in difference(hub, before, after)["figures"]}
        assert set(found) == {
            name for name in {*known[before], *known[after]} if known[before].get(name) != known[after].get(name)
        }
        for name, figure in found.items():
            assert (figure["before"], figure["after"]) == (known[before].get(name), known[after].get(name))
            steps = {at: known[at].get(name, 0) - known[at - 1].get(name, 0) for at in range(before + 1, after + 1)}
            told = {part["position"]: part["contribution"] for part in figure["parts"]}
            assert {at: step for at, step in steps.items() if step} == {at: share for at, share in told.items() if share}
            assert sum(told.values()) == figure["change"] == known[after].get(name, 0) - known[before].get(name, 0)


def test_parts_are_the_figures_after_each_event_minus_before_it_and_sum_to_the_change(history: Hub) -> None:
    assert_parts_are_steps(history, 1, random.Random(0))
    found = difference(history, 0, history.log.head()[0])
    assert any(len(figure["parts"]) > 2 for figure in found["figures"])
    assert {move["outcome"] for move in found["moves"]} == {"accepted", "withdrawn", "waived", "restored", "held"}


def views_of(hub: Hub) -> dict[str, bytes]:
    folder = hub.views_folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_views_built_as_events_came_have_the_bytes_of_those_built_at_once(history: Hub) -> None:
    now = history.log.head()[0]
    for position in (now // 3, 2 * now // 3, now):
        building.build(history, position)
    step_by_step = views_of(history)
    shutil.rmtree(history.views_folder)
    building.build(history)
    at_once = views_of(history)
    assert len(step_by_step) > len(at_once) > 10
    assert at_once.items() <= step_by_step.items()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 7))
def test_parts_sum_to_the_change_whatever_the_order(tmp_path: Path, seed: int) -> None:
    assert_parts_are_steps(lived(tmp_path, seed), 6, random.Random(seed))


def test_with_a_scope_the_others_stay_as_they_were(history: Hub) -> None:
    now = history.log.head()[0]
    whole = difference(history, 0, now)
    scopes = {move["scope"] for move in whole["moves"]}
    assert len(scopes) == 3
    for scope in scopes:
        alone = difference(history, 0, now, scope)
        assert alone["moves"] == [move for move in whole["moves"] if move["scope"] == scope]
        assert alone["scopes"] == [entry for entry in whole["scopes"] if entry["scope"] == scope]
        finess = scope.split("/")[2]
        assert alone["figures"] == [figure for figure in whole["figures"] if figure["keys"]["finess"] == finess]


def test_a_month_sent_late_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    ingest(hub, tmp_path, 1, 2)
    before = hub.log.head()[0]
    ingest(hub, tmp_path, 1, 1)
    answer = difference(hub, before, hub.log.head()[0])
    assert (answer["moves"], answer["scopes"], answer["figures"]) == ([], [], [])


def test_a_delivery_accepted_then_withdrawn_moved_heads_and_changed_nothing(hub: Hub, tmp_path: Path) -> None:
    ingest(hub, tmp_path, 1, 1)
    before = hub.log.head()[0]
    decisions.withdraw(hub, ingest(hub, tmp_path, 1, 2), "essai")
    answer = difference(hub, before, hub.log.head()[0])
    assert [move["type"] for move in answer["moves"]] == ["DeliveryAccepted", "DeliveryWithdrawn"]
    assert (answer["scopes"], answer["figures"]) == ([], [])


def test_figures_of_an_establishment_that_leaves_go_to_nothing(hub: Hub, tmp_path: Path) -> None:
    delivery = ingest(hub, tmp_path, 1, 1)
    before = hub.log.head()[0]
    decisions.withdraw(hub, delivery, "essai")
    answer = difference(hub, before, hub.log.head()[0])
    rows = answer["scopes"][0]["tables"][0]
    assert (rows["removed"], rows["unchanged"], rows["added"]) == (rows["before"], 0, 0)
    assert rows["removed_lines"] == [[1, rows["before"]]]
    stays = next(figure for figure in answer["figures"] if figure["figure"] == "stays")
    assert stays["after"] is None
    assert stays["change"] == -stays["before"] == stays["parts"][0]["contribution"]


def test_parts_that_do_not_sum_are_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(hub, tmp_path, 1, 1)
    ingest(hub, tmp_path, 1, 2)
    whole, calls = _changed, itertools.count()
    monkeypatch.setattr("flows.difference._changed", lambda *sides: whole(*sides) if next(calls) else [])
    with pytest.raises(PartsDoNotSum, match=r"activity\.stays"):
        difference(hub, 0, 4)


def test_the_last_change_of_a_scope_is_from_the_delivery_before(hub: Hub, tmp_path: Path) -> None:
    scope = f"pmsi/mco/{FINESS}/2025"
    with pytest.raises(WrongUsage, match="aucune transmission"):
        last_change(hub, scope)
    first = ingest(hub, tmp_path, 1, 1)
    with pytest.raises(WrongUsage, match="une seule"):
        last_change(hub, scope)
    second = ingest(hub, tmp_path, 1, 2)
    ingest(hub, tmp_path, 2, 1)
    ends = difference(hub, *last_change(hub, scope), scope)["scopes"]
    assert [(end["before"]["delivery_id"], end["after"]["delivery_id"]) for end in ends] == [(first, second)]
    decisions.withdraw(hub, second, "essai")
    ends = difference(hub, *last_change(hub, scope), scope)["scopes"]
    assert [(end["before"]["delivery_id"], end["after"]["delivery_id"]) for end in ends] == [(second, first)]
    assert last_change(hub, scope, 6) == (3, 6), "as it was known then"


# --- the command ------------------------------------------------------------------------------------------------------


def told(hub: Hub, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["--home", str(hub.settings.home), "diff", *arguments], env={"COLUMNS": "80"})
    if result.exception:
        raise result.exception
    return result.stdout


def strings(answer: object) -> Iterator[str]:
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list):
        for entry in answer:
            yield from strings(entry)
    elif isinstance(answer, str):
        yield answer


def test_the_command_says_in_french_what_changed_and_fits_a_terminal(hub: Hub, tmp_path: Path) -> None:
    for month in (1, 2, 3):
        ingest(hub, tmp_path, 1, month, "228" if month < 3 else "229")
    shown = told(hub, "2", "6")
    assert "De la position 2 à la position 6 du journal." in shown
    assert f"{FINESS}.2025.1.rsa (mois 1) → {FINESS}.2025.3.rsa (mois 3)" in shown
    assert "suppl_usip" in shown
    assert f"pmsi-activity activity finess={FINESS} exit_year=2025 exit_month=3" in shown
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert all("→" in line or "exit_year=" in line for line in wide)
    assert told(hub, "5", "6") == told(hub, "--scope", f"pmsi/mco/{FINESS}/2025")
    assert told(hub, "2", "--as-of", "6") == shown
    assert "Aucune transmission en place n'a changé." in told(hub, "6")


def test_the_command_gives_programs_numbers_and_no_cell_of_a_row(hub: Hub, tmp_path: Path) -> None:
    ingest(hub, tmp_path, 1, 1)
    ingest(hub, tmp_path, 1, 2)
    answer = json.loads(told(hub, "2", "4", "--json"))
    rows = answer["scopes"][0]["tables"][0]
    assert rows["before"] - rows["removed"] == rows["unchanged"] == rows["after"] - rows["added"]
    assert sum(last - first + 1 for first, last in rows["added_lines"]) == rows["added"]
    stays = [figure for figure in answer["figures"] if named(figure)[0] == "activity" and figure["figure"] == "stays"]
    assert all(sum(part["contribution"] for part in figure["parts"]) == figure["change"] for figure in stays)
    lines = (tmp_path / f"{FINESS}.2025.2.rsa").read_bytes().decode().splitlines()
    postal_codes = {line[slice(*(place("229", "postal_code")[0] + shift for shift in (0, 5)))] for line in lines}
    assert not postal_codes & set(strings(answer))


@pytest.mark.parametrize(
    "arguments", [(), ("4", "2"), ("9999",), ("2", "4", "--as-of", "4"), ("--scope", "pmsi/mco/990000010/1999")]
)
def test_what_cannot_be_compared_is_said(hub: Hub, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ingest(hub, tmp_path, 1, 1)
    ingest(hub, tmp_path, 1, 2)
    with pytest.raises(WrongUsage):
        told(hub, *arguments)
