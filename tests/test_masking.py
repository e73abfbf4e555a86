"""Masking proven by attack: all published tables of an establishment, and those published before, solved as equations.

The attack is written apart from the algorithm: it reads no contract. Its unknowns are numbers of stays of every kind that can
be (month and sites, GHM, what indicators ask); what is published gives equations; linear programming gives the least and the
most that each hidden number can be. The same attack must find small numbers where only small numbers are hidden.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from oracle_rsa import Verdict
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack
from test_indicators import ELSEWHERE, HERE, line_of, of_one, warehouse

from connectors.synthetic import fictional_finess
from contracts_schema.products import AddsUp, Column, Mask, Product, Table, products
from warehouse.masking import masked

THRESHOLD = 11
ON = date(2026, 3, 31)
PRODUCT = products()["ars", "pmsi-activity"]
SITES = (HERE, ELSEWHERE, fictional_finess(number=52))
MEDICAL = ("01M221", "04M053", "05M092", "06M03T", "10M021")
SURGICAL = ("05C021", "08C241", "08C24J", "12C041")
BIRTH = ("14Z14A", "14C08A", "15M05A", "15M05B", "15C021")
NARROW = (
    "gt75_v1", "gt75_v2", "gt75_v3", "v2_overnight", "any_rum_with_medical_social", "any_rum_without_medical_social", "any_rum",
    "last_rum",
)  # fmt: skip
SESSIONS = ("28Z04Z", "28Z07Z", "28Z18Z")
Tables = Mapping[str, pl.DataFrame]


# --- establishments


class Kind(NamedTuple):
    """All that published tables tell of a stay beside its month, sites and GHM."""

    age: int  # 0 under 75, 1 of 75, 2 over
    schedule: str  # of the elderly: blank, 1, 2, X
    entry: str
    exit: str
    raac: str  # of surgical stays: blank, 0, 1
    overnight: bool
    rum: int  # on the labelled site: 0 never, 1 not last, 2 last


AGES = (60, 75, 80)
ENTRIES: dict[str, dict[str, Any]] = {
    "birth": {"entry_mode": "N"}, "home": {"entry_mode": "8"}, "medical_social": {"entry_mode": "8", "entry_provenance": "7"},
    "emergency": {"entry_mode": "8", "ed_passage": "5"}, "transfer": {"entry_mode": "7", "entry_provenance": "1"},
    "blank": {"entry_mode": None}, "blank_emergency": {"entry_mode": None, "ed_passage": "5"},
}  # fmt: skip
EXITS: dict[str, dict[str, Any]] = {
    "dead": {"exit_mode": "9"}, "had": {"exit_mode": "6", "exit_destination": "6"}, "home": {"exit_mode": "8"},
    "blank": {"exit_mode": None},
}  # fmt: skip


def kinds(ghm: str, *, labelled: bool) -> list[Kind]:
    """Every kind that a stay of a GHM can be; what no published table tells of it is left at its first value."""
    ages = (0,) if is_birth(ghm) else (0, 1, 2)
    of_surgery = list(itertools.product(("", "0", "1"), (False, True))) if is_surgical(ghm) else [("", False)]
    rums = (0, 1, 2) if labelled else (0,)
    every = itertools.product(ages, ("", "1", "2", "X"), ENTRIES, EXITS, of_surgery, rums)
    return [
        Kind(age, schedule, entry, leaving, raac, overnight, rum)
        for age, schedule, entry, leaving, (raac, overnight), rum in every
        if (age or not schedule) and not (age and entry == "birth")
    ]


def is_surgical(ghm: str) -> bool:
    return ghm[2] == "C"


def is_birth(ghm: str) -> bool:
    return ghm[:2] in ("14", "15")


def establishment(dice: random.Random, number: int, *, labelled: bool) -> list[Verdict]:
    """Some groups of stays, most of them small, of few GHM, months and sites."""
    ghms = dice.sample(MEDICAL, dice.randint(1, 4)) + dice.sample(SURGICAL, dice.choice([0, 0, 1, 2, 3]))
    ghms += dice.sample(BIRTH, dice.choice([0, 0, 0, 1, 2, 3]))
    months, places = dice.sample(range(1, 13), dice.randint(1, 5)), dice.sample(SITES, dice.choice([1, 1, 2, 3]))
    sizes = dice.choice([(1, 2, 3, 5), (1, 3, 8, 12, 25), (2, 12, 30, 60)])
    plain = dice.random()
    stays = []
    for ghm in ghms:
        for _ in range(dice.randint(1, 5)):
            every = kinds(ghm, labelled=False)
            usual = Kind(0, "", "home", "home", "0" if is_surgical(ghm) else "", is_surgical(ghm), 0)
            kind = usual if dice.random() < plain else dice.choice(every)
            if dice.random() < plain:
                kind = kind._replace(age=0, schedule="")
            on = dice.sample(places, min(len(places), dice.choice([1, 1, 1, 2])))
            stays += [(ghm, dice.choice(months), on, kind)] * dice.choice(sizes)
    for ghm in dice.sample(SESSIONS, dice.choice([0, 0, 1, 2, 3])):
        for month in months:
            stays += [(ghm, month, places[:1], Kind(0, "", "home", "home", "", False, 0))] * dice.choice([0, 1, 4, 12, 20])
    return of_one([verdict(line, *stay) for line, stay in enumerate(stays, start=1)], number)


def verdict(line: int, ghm: str, month: int, on: list[str], kind: Kind) -> Verdict:
    coded = dict(zip(("ghm_cmd", "ghm_type", "ghm_number", "ghm_severity"), (ghm[:2], ghm[2], ghm[3:5], ghm[5]), strict=True))
    return line_of(
        line, units=[{"rum_finess_geo": place} for place in on], exit_month=month, age_years=AGES[kind.age], **coded,
        unscheduled=kind.schedule or None, raac=kind.raac or None, los_nights=2 if kind.overnight else 0,
        **({"entry_provenance": None, "ed_passage": None} | ENTRIES[kind.entry]), **EXITS[kind.exit],
    )  # fmt: skip


def region(folder: Path, seed: int, size: int) -> dict[str, pl.DataFrame]:
    """The views of some establishments, every third with a labelled site."""
    dice = random.Random(seed)
    places = {fictional_finess(number=number): number for number in range(100, 100 + size)}
    listed = [(finess, HERE, "2020-01-01", None, "attested", "") for finess, number in places.items() if number % 3 == 0]
    stays = {finess: establishment(dice, number, labelled=number % 3 == 0) for finess, number in places.items()}
    with warehouse(folder, stays, labelled=listed) as read:
        return {published.view: read(f"from {published.view}") for published in PRODUCT.tables}


# --- the attack

Known = Callable[[Any], bool]
DIRECT, EMERGENCY, BLANK = ("home", "medical_social"), ("emergency", "blank_emergency"), ("blank", "blank_emergency")


class Asked(NamedTuple):
    """What an indicator's row tells, of a GHM and a kind: population, numerator, denominator, field stated, coding conflict."""

    population: Callable[[str, Kind], bool]
    numerator: Callable[[str, Kind], bool]
    denominator: Callable[[str, Kind], bool]
    stated: Callable[[str, Kind], bool]
    conflicts: Callable[[str, Kind], bool] = lambda ghm, kind: False


@cache
def asked() -> dict[str, Asked]:
    """The indicators, read again from indicators.yaml, for stays of the last format."""
    found: dict[str, Asked] = {}
    doors: dict[str, Known] = {
        "v1": lambda kind: kind.schedule == "1" or kind.entry in EMERGENCY,
        "v2": lambda kind: kind.schedule in ("1", "2"),
        "v3": lambda kind: True,
    }
    for (age, least), (door, opens) in itertools.product({"ge75": 1, "gt75": 2}.items(), doors.items()):
        found[f"{age}_{door}"] = Asked(
            lambda ghm, kind, least=least: not is_birth(ghm) and kind.age >= least,
            lambda ghm, kind: kind.schedule == "1" and kind.entry in DIRECT,
            lambda ghm, kind, opens=opens: opens(kind),
            lambda ghm, kind: kind.schedule != "",
            lambda ghm, kind: kind.schedule == "1" and kind.entry not in DIRECT,
        )
    for variant, nights in {"v1": False, "v2_overnight": True}.items():
        found[variant] = Asked(
            lambda ghm, kind, nights=nights: is_surgical(ghm) and kind.overnight >= nights,
            lambda ghm, kind: kind.raac == "1",
            lambda ghm, kind: True,
            lambda ghm, kind: kind.raac != "",
        )
    for place, least in {"whole": 0, "any_rum": 1, "last_rum": 2}.items():
        found[place] = Asked(
            lambda ghm, kind, least=least: kind.exit != "dead" and kind.rum >= least,
            lambda ghm, kind: kind.exit == "had",
            lambda ghm, kind: True,
            lambda ghm, kind: kind.exit != "blank",
        )
        for home, entries in {"with_medical_social": DIRECT, "without_medical_social": ("home",)}.items():
            found[f"{place}_{home}"] = Asked(
                lambda ghm, kind, least=least: kind.entry != "birth" and ghm[:2] != "15" and kind.rum >= least,
                lambda ghm, kind, entries=entries: kind.entry in entries,
                lambda ghm, kind: True,
                lambda ghm, kind: kind.entry not in BLANK,
            )
    return found


class Attack:
    """The equations of one establishment and year, from all its published tables.

    Months with sites, GHM, and kinds are unknowns of their own: linked by the number of stays of each class of GHM, and on the
    labelled site, they can be joined into whole stays whenever these numbers agree, so nothing is lost.
    """

    def __init__(self, tables: Tables, *, labelled: bool) -> None:
        self.rows: list[np.ndarray] = []
        self.least: list[float] = []
        self.found: dict[bytes, tuple[float, float]] = {}
        self.most: list[float] = []
        months = tables["activity"]["exit_month"].to_list()
        ghms = tables["activity_by_ghm"]["ghm"].to_list()
        sites = tables["unit_activity"].select("finess_geo", "exit_month").rows()
        of_stays, of_sessions = [g for g in ghms if g[:2] != "28"], [g for g in ghms if g[:2] == "28"]
        self.unknowns: list[tuple[Any, ...]] = []
        for month in months:
            there = [site for site, at in sites if at == month]
            for size in range(1, len(there) + 1):
                self.unknowns += [("month", month, frozenset(on)) for on in itertools.combinations(there, size)]
        self.unknowns += [("ghm", ghm) for ghm in of_stays]
        self.unknowns += [("sessions_month", month) for month in months] + [("sessions_ghm", ghm) for ghm in of_sessions]
        self.asked = asked() if labelled else {name: ask for name, ask in asked().items() if "rum" not in name}
        self.unknowns += [("kind", ghm, kind) for ghm, kind in self._kinds(of_stays, labelled=labelled)]
        self.months, self.sites, self.of_stays, self.of_sessions = months, sites, of_stays, of_sessions
        self._links(labelled=labelled)

    def _kinds(self, ghms: Iterable[str], *, labelled: bool) -> Iterator[tuple[str, Kind]]:
        """One GHM for each class, and one kind for all that no row of an indicator tells apart."""
        told = set()
        for ghm in {self.class_of(ghm): ghm for ghm in ghms}.values():
            for kind in kinds(ghm, labelled=labelled):
                answers = tuple(
                    population(ghm, kind) and tuple(condition(ghm, kind) for condition in conditions)
                    for population, *conditions in self.asked.values()
                )
                if (self.class_of(ghm), kind.rum, answers) not in told:
                    told.add((self.class_of(ghm), kind.rum, answers))
                    yield ghm, kind

    @staticmethod
    def class_of(ghm: str) -> tuple[bool, str]:
        return is_surgical(ghm), ghm[:2] if is_birth(ghm) else ""

    def sum(self, what: str, where: Callable[..., bool] = lambda *of: True) -> np.ndarray:
        return np.array([float(kind == what and where(*of)) for kind, *of in self.unknowns])

    def count(self, variant: str, *measures: str) -> np.ndarray:
        ask = self.asked[variant]
        conditions = [ask.population, *(getattr(ask, measure) for measure in measures)]
        return self.sum("kind", lambda ghm, kind: all(condition(ghm, kind) for condition in conditions))

    def learn(self, row: np.ndarray, least: float, most: float) -> None:
        self.rows.append(row)
        self.least.append(least)
        self.most.append(most)

    def _links(self, *, labelled: bool) -> None:
        self.learn(self.sum("month") - self.sum("ghm"), 0, 0)
        self.learn(self.sum("sessions_month") - self.sum("sessions_ghm"), 0, 0)
        for each in sorted({self.class_of(ghm) for ghm in self.of_stays}):
            of_class = self.sum("ghm", lambda ghm, each=each: self.class_of(ghm) == each)
            self.learn(of_class - self.sum("kind", lambda ghm, kind, each=each: self.class_of(ghm) == each), 0, 0)
        if labelled:
            self.learn(self.sum("month", lambda at, on: HERE in on) - self.sum("kind", lambda ghm, kind: kind.rum > 0), 0, 0)
        self.there = [self.cell("activity_by_ghm", (ghm,), "stays") for ghm in self.of_stays]
        self.there += [self.cell("activity_by_ghm", (ghm,), "sessions") for ghm in self.of_sessions]
        self.there += [self.cell("unit_activity", site, "stays") for site in self.sites]
        self.there += [sum(self.cell("activity", (month,), of) for of in ("stays", "sessions")) for month in self.months]

    def cell(self, name: str, key: tuple[Any, ...], measure: str) -> np.ndarray:
        """The sum of unknowns that a published cell gives."""
        if name == "activity":
            what = "month" if measure == "stays" else "sessions_month"
            return self.sum(what, lambda at, *on: at == key[0])
        if name == "activity_by_ghm":
            return self.sum("ghm" if measure == "stays" else "sessions_ghm", lambda ghm: ghm == key[0])
        if name == "unit_activity":
            return self.sum("month", lambda at, on: at == key[1] and key[0] in on)
        return self.count(key[0], measure) if measure != "numerator" else self.count(key[0], "numerator", "denominator")

    def none_at_all(self, name: str, key: tuple[Any, ...], measure: str) -> bool:
        """Whether rows that are not there say that there is nothing to count."""
        if measure == "sessions":
            return not self.of_sessions
        if "rum" in str(key[0]) and HERE not in {site for site, _ in self.sites}:
            return True
        return not self.of_stays or (name == "activity" and key[0] not in {month for _, month in self.sites})

    def small_differences(
        self, truth: Tables, *, conflicts: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int, tuple[str, str]]]:
        """All pairs of figures of which one holds the other, whatever the stays, that differ by few.

        ``conflicts``: whether they are published, and so tell of what differs from them.
        """
        total = sum(value for name, _, measure, value in cells(truth) if (name, measure) == ("activity", "stays") and value)
        figures = [("stays", self.sum("kind"), total)]
        for surgical, birth in itertools.product((True, False), (("14", "15"), ("15",))):

            def among(ghm: str, *_: Any, surgical: bool = surgical, birth: tuple[str, ...] = birth) -> bool:
                return is_surgical(ghm) if surgical else ghm[:2] not in birth

            of_ghms = {
                key[0]: value for name, key, measure, value in cells(truth) if (name, measure) == ("activity_by_ghm", "stays")
            }
            figures.append(
                (
                    f"surgical={surgical} but={birth}",
                    self.sum("kind", among),
                    sum(value for ghm, value in of_ghms.items() if among(ghm)),
                )
            )
        for name, key, measure, value in cells(truth):
            once = measure != "conflicts" or (conflicts and key[0] in ("ge75_v3", "gt75_v3"))
            if name == "indicator" and value is not None and once:
                figures.append((f"{key[0]}.{measure}", self.cell(name, key, measure), value))
        known = {name: (of, value) for name, of, value in figures}
        for age in ("ge75_v3", "gt75_v3"):  # the unscheduled, whose number conflicts tell: direct, or else in conflict
            if f"{age}.conflicts" in known:
                both = [known[f"{age}.{measure}"] for measure in ("numerator", "conflicts")]
                figures.append((f"{age}.unscheduled", sum(of for of, _ in both), sum(value for _, value in both)))
        for (inner, one, less), (outer, other, more) in itertools.permutations(figures, 2):
            if 0 < more - less < THRESHOLD and (one <= other).all():
                yield one, other, more - less, (inner, outer)

    def read(self, tables: Tables) -> None:
        """Takes every published figure as known."""
        for name, key, measure, value in cells(tables):
            if value is not None:
                self.learn(self.cell(name, key, measure), value, value)
        told = tables["indicator"].select("variant", "completeness_percent").rows() if "indicator" in tables else []
        for variant, percent in told:
            if percent is not None:
                stated, population = self.count(variant, "stated"), self.count(variant)
                for bound, sign in ((-0.005001, 1), (0.005001, -1)):
                    self.learn(sign * (stated - (float(percent) + bound) / 100 * population), 0, np.inf)

    def bounds(self, of: np.ndarray) -> tuple[float, float]:
        """The least and the most that a sum of unknowns can be. A row that is there counts one at least: that alone is known to
        all, and held for the most only."""
        if of.tobytes() not in self.found:
            self.found[of.tobytes()] = self._bound(of, 0, 1), self._bound(of, 1, -1)
        return self.found[of.tobytes()]

    @cached_property
    def matrices(self) -> tuple[csr_array, csr_array, np.ndarray, np.ndarray]:
        """Equations, what is at least so much (last, the rows that are there), and their sides."""
        rows, least = np.array(self.rows), np.array(self.least)
        equal = least == self.most
        below = np.isfinite(self.most) & ~equal
        sides = np.concatenate([np.array(self.most)[below], -least[~equal]])
        above = vstack([csr_array(rows[below]), -csr_array(rows[~equal]), -csr_array(np.array(self.there))])
        return csr_array(rows[equal]), above, least[equal], sides

    def _bound(self, of: np.ndarray, there: int, sign: int) -> float:
        equal, above, sides, limits = self.matrices
        limits = np.concatenate([limits, np.full(len(self.there), -there)])
        answer = linprog(sign * of, A_ub=above, b_ub=limits, A_eq=equal, b_eq=sides, bounds=(0, None))
        assert answer.status in (0, 3), f"the truth itself does not solve the equations: {answer.message}"
        return -sign * np.inf if answer.status else sign * answer.fun


MEASURES = {
    "activity": ("stays", "sessions"), "activity_by_ghm": ("stays", "sessions"), "unit_activity": ("stays",),
    "indicator": ("numerator", "denominator", "conflicts"),
}  # fmt: skip
KEYS = {
    "activity": ("exit_month",), "activity_by_ghm": ("ghm",), "unit_activity": ("finess_geo", "exit_month"),
    "indicator": ("variant",),
}  # fmt: skip


def cells(tables: Tables) -> Iterator[tuple[str, tuple[Any, ...], str, int | None]]:
    """Every cell that counts stays or sessions, of one establishment; not those that a GHM cannot have."""
    for name, measures in MEASURES.items():
        for row in tables[name].iter_rows(named=True) if name in tables else ():
            key = tuple(row[column] for column in KEYS[name])
            for measure in measures:
                if name != "activity_by_ghm" or (measure == "sessions") == (key[0][:2] == "28"):
                    yield name, key, measure, row[measure]


def of_establishment(tables: Tables, finess: str) -> dict[str, pl.DataFrame]:
    return {name: rows.filter(pl.col("finess") == finess) for name, rows in tables.items()}


def broken(frames: Tables, finess: str, *publications: Tables, told: bool = False) -> tuple[list[str], int]:
    """What the attack finds of one establishment: hidden numbers known closer than the threshold; and how many it tried.

    ``told``: the attacker is told of every hidden cell of the activity whether it is under the threshold. Of a table that one
    of the publications did not have, everything is hidden to protect the others: its large numbers may be known by them.
    """
    late = {name for name in KEYS if not all(name in tables for tables in publications)}
    truth = of_establishment({table.name: frames[table.view] for table in PRODUCT.tables}, finess)
    labelled = truth["indicator"]["variant"].str.contains("rum").any()
    attack = Attack(truth, labelled=labelled)
    for tables in publications:
        attack.read(of_establishment(tables, finess))
    shown = {cell[:3] for tables in publications for cell in cells(of_establishment(tables, finess)) if cell[3] is not None}
    hidden = [cell for cell in cells(truth) if cell[:3] not in shown and cell[3] and cell[0] != "indicator"]
    for name, key, measure, value in hidden if told else ():
        least, most = (0, THRESHOLD - 1) if value < THRESHOLD else (THRESHOLD, np.inf)
        attack.learn(attack.cell(name, key, measure), least, most)
    found, tried = [], 0
    for name, key, measure, value in cells(truth):
        if (name, key, measure) not in shown and value is not None and not attack.none_at_all(name, key, measure):
            tried += 1
            least, most = attack.bounds(attack.cell(name, key, measure))
            small = least <= 0.001 and most >= THRESHOLD - 1.001
            # a figure of the labelled site, or conflicts of the oldest, may be known by the wider: hidden to protect others
            free = "rum" in str(key[0]) or name in late or (measure == "conflicts" and key[0] in NARROW)
            if not (small if value < THRESHOLD else most - least >= THRESHOLD - 1.001 or free):
                found.append(f"{finess} {name} {key} {measure}: {value} in [{least:.1f}, {most:.1f}]")
    conflicts = any(measure == "conflicts" for _, _, measure in shown)
    for one, other, count, names in attack.small_differences(truth, conflicts=conflicts):
        tried += 1
        least, most = attack.bounds(other - one)
        if not (least <= 0.001 and most >= THRESHOLD - 1.001):
            found.append(f"{finess} a difference of {count} in [{least:.1f}, {most:.1f}] {names}")
    return found, tried


def small_alone(frames: Tables) -> dict[str, pl.DataFrame]:
    """The control: small counts are hidden, and nothing beside them."""
    return {
        table.name: frames[table.view].with_columns(
            pl.when(pl.col(measure) >= THRESHOLD).then(pl.col(measure)).alias(measure) for measure in MEASURES[table.name]
        )
        for table in PRODUCT.tables
    }


def published(frames: Tables, *earlier: Tables, product: Product = PRODUCT) -> dict[str, pl.DataFrame]:
    return masked(product, frames, "99", ON, earlier)


def establishments(frames: Tables) -> list[str]:
    return frames["out_ars__pmsi_activity"]["finess"].unique().sort().to_list()


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The views of seven small establishments."""
    return region(tmp_path_factory.mktemp("some"), 3, 7)


def test_no_hidden_number_can_be_worked_out_closer_than_the_threshold(some: Tables) -> None:
    tables, tried = published(some), 0
    for finess in establishments(some):
        found, count = broken(some, finess, tables)
        assert found == []
        tried += count
    assert tried > 150


def test_the_same_attack_finds_numbers_where_small_ones_alone_are_hidden(some: Tables) -> None:
    tables = small_alone(some)
    found = [broken(some, finess, tables)[0] for finess in establishments(some)[:4]]
    assert sum(map(len, found)) > 10, found
    assert any(re.search(r"\b([1-9]|10) in \[(.+), \2\]", line) for line in itertools.chain(*found)), "to the unit"


def test_who_is_told_which_hidden_numbers_are_small_knows_them_no_closer(some: Tables) -> None:
    tables = published(some)
    for finess in establishments(some):
        assert told_closer(some, finess, tables) == []


def test_a_publication_beside_an_earlier_one_of_the_same_data_tells_no_more(some: Tables) -> None:
    for earlier_product in (without("indicator"), without("unit_activity")):
        before = published(some, product=earlier_product)
        tables = published(some, before)
        for finess in establishments(some)[:3]:
            assert broken(some, finess, before, tables)[0] == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_no_hidden_number_of_many_establishments_can_be_worked_out(tmp_path: Path, seed: int) -> None:
    frames = region(tmp_path, seed, 20)
    tables = published(frames)
    before = published(frames, product=without("indicator"))
    after = published(frames, before)
    for finess in establishments(frames):
        assert broken(frames, finess, tables)[0] == []
        assert told_closer(frames, finess, tables) == []
        assert broken(frames, finess, before, after)[0] == []


# --- coding conflicts


def elderly(dice: random.Random, number: int) -> list[Verdict]:
    """Stays of the elderly whose differences are often small: unscheduled ones direct or in conflict, and others."""
    entries = [(schedule, entry) for schedule in ("1", "2", "", "X") for entry in ("home", "emergency", "transfer")]
    sizes = dice.choice([(0, 3, 12, 15, 40), (0, 11, 25, 60), (0, 0, 2, 11, 14, 30), (11, 12, 14, 40)])
    stays = [("05M092", dice.choice([11, 40]), Kind(0, "", "home", "home", "", False, 0)),
             ("05M092", dice.choice([0, 11, 40]), Kind(0, "", "transfer", "home", "", False, 0))]  # fmt: skip
    for age, (schedule, entry) in itertools.product((1, 2), entries):
        few = schedule != "1" and dice.random() > 0.35
        size = dice.choice((0, 0, 0, 2, 4, 12) if few else sizes)
        stays.append(("04M053", size, Kind(age, schedule, entry, "home", "", False, 0)))
    spread = itertools.chain.from_iterable(itertools.repeat((ghm, kind), count) for ghm, count, kind in stays)
    return of_one([verdict(line, ghm, 5, [HERE], kind) for line, (ghm, kind) in enumerate(spread, start=1)], number)


def of_the_elderly(folder: Path, seed: int, size: int) -> dict[str, pl.DataFrame]:
    dice = random.Random(seed)
    stays = {fictional_finess(number=number): elderly(dice, number) for number in range(100, 100 + size)}
    with warehouse(folder, stays) as read:
        return {one.view: read(f"from {one.view}") for one in PRODUCT.tables}


def conflicts_in(tables: Tables) -> list[int | None]:
    return tables["indicator"].filter(pl.col("variant") == "ge75_v3")["conflicts"].to_list()


def small_conflicts_alone() -> Product:
    """The control: small numbers of conflicts are hidden, and nothing beside them."""
    tables = [
        replace(table, mask=tuple(replace(mask, only_with=(), counts=mask.counts[:1]) if mask.only_with else mask
                                  for mask in table.mask))
        for table in PRODUCT.tables
    ]  # fmt: skip
    return replace(PRODUCT, tables=tuple(tables))


def test_coding_conflicts_are_published_and_tell_no_small_number(tmp_path: Path) -> None:
    frames = of_the_elderly(tmp_path, 5, 6)
    tables = published(frames)
    assert sum(count is not None for count in conflicts_in(tables)) >= 3
    for finess in establishments(frames):
        assert broken(frames, finess, tables)[0] == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200, 210))
def test_coding_conflicts_of_many_establishments_tell_no_small_number(tmp_path: Path, seed: int) -> None:
    frames = of_the_elderly(tmp_path, seed, 30)
    tables = published(frames)
    for finess in establishments(frames):
        assert broken(frames, finess, tables)[0] == []


def test_coding_conflicts_are_shown_for_the_widest_variant_where_all_beside_is(tmp_path: Path) -> None:
    def kind(schedule: str, entry: str) -> tuple[str, int, list[str], Kind]:
        return "04M053", 5, [HERE], Kind(2, schedule, entry, "home", "", False, 0)

    others = [("05M092", 5, [HERE], Kind(0, "", entry, "home", "", False, 0)) for entry in ("home", *["transfer"] * 4)] * 20
    beside = [(40, "1", "home"), (30, "2", "home"), (20, "2", "emergency"), (20, "", "home")]
    cases = {  # how many in conflict, and what is beside them → what is published
        "none": ([(0, "1", "emergency")], 0), "few": ([(10, "1", "emergency")], None), "many": ([(11, "1", "emergency")], 11),
        "transferred": ([(11, "1", "transfer")], 11),
        "few others by emergency": ([(11, "1", "emergency"), (-20, "2", "emergency"), (5, "2", "emergency")], None),
        "few direct": ([(11, "1", "emergency"), (-40, "1", "home"), (5, "1", "home")], None),
    }  # fmt: skip
    stays = {}
    for number, (groups, _) in enumerate(cases.values(), start=1):
        counted = [group for group in [*beside, *groups] if group[0] > 0 and (-group[0], *group[1:]) not in groups]
        lines = itertools.chain.from_iterable([kind(*told)] * count for count, *told in counted)
        found = [verdict(line, *stay) for line, stay in enumerate(itertools.chain(others, lines), start=1)]
        stays[fictional_finess(number=number)] = of_one(found, number)
    with warehouse(tmp_path, stays) as read:
        frames = {one.view: read(f"from {one.view}") for one in PRODUCT.tables}
    tables = published(frames)
    assert dict(zip(cases, conflicts_in(tables), strict=True)) == {case: expected for case, (_, expected) in cases.items()}
    shown = tables["indicator"].filter(pl.col("conflicts").is_not_null())
    assert set(shown["variant"]) == {"ge75_v1", "ge75_v2", "ge75_v3"}
    few_others = fictional_finess(number=1 + list(cases).index("few others by emergency"))
    found = broken(frames, few_others, published(frames, product=small_conflicts_alone()))[0]
    assert any("a difference of 5 in [5.0, 5.0]" in line for line in found), "the attack finds what the guard is for"
    older = {name: rows.drop("conflicts", strict=False) for name, rows in tables.items()}
    late = published(frames, older)
    assert set(conflicts_in(late)) == {None}, "an earlier publication of the same data did not have them"
    assert set(conflicts_in(published(frames, older, late))) == {None}, "nor do they come once one has the column"


def told_closer(frames: Tables, finess: str, tables: Tables) -> list[str]:
    """What an attacker knows closer of the small cells of the activity once told which hidden ones are small: among cells that
    add up, where some hidden one is not small, and another was left to hide."""
    seen = {found[:3]: found[3] for found in cells(of_establishment(tables, finess))}
    truth = of_establishment({table.name: frames[table.view] for table in PRODUCT.tables}, finess)
    groups: dict[Any, list[tuple[str, int, bool]]] = {}
    for name, key, measure, value in cells(truth):
        if name in ("activity", "activity_by_ghm") and value:
            of_class = Attack.class_of(key[0]) if name == "activity_by_ghm" else None
            told = f"{finess} {name} {key} {measure}: ", value, seen[name, key, measure] is None
            groups.setdefault((name, measure, of_class), []).append(told)
    small = []
    for group in groups.values():
        if any(hidden and value >= THRESHOLD for _, value, hidden in group) and not all(hidden for _, _, hidden in group):
            small += [line for line, value, hidden in group if hidden and value < THRESHOLD]
    return [line for line in broken(frames, finess, tables, told=True)[0] if line.startswith(tuple(small))] if small else []


def without(*names: str) -> Product:
    """The product as it may have been before some of its tables were added."""
    kept = tuple(table for table in PRODUCT.tables if table.name not in names)
    there = {table.name for table in kept}
    totals = tuple(total for total in PRODUCT.totals if total.table in there)
    lost = {total.name for total in PRODUCT.totals} - {total.name for total in totals}
    return replace(PRODUCT, totals=totals, tables=tuple(_without(table, there, lost) for table in kept))


def _without(table: Table, there: set[str], lost: set[str]) -> Table:
    masks = tuple(
        replace(
            mask,
            gaps=tuple(gap for gap in mask.gaps if not lost & names_in(gap)),
            adds_up=mask.adds_up
            and replace(mask.adds_up, parts=tuple(part for part in mask.adds_up.parts if part.table in there)),
        )
        for mask in table.mask
    )
    follows = table.follows if table.follows and table.follows.table in there else None
    return replace(table, mask=masks, follows=follows)


# --- what is shown


def test_what_is_shown_is_the_truth_and_a_row_says_whether_something_is_hidden(some: Tables) -> None:
    for contract in PRODUCT.tables:
        rows, truth = published(some)[contract.name], some[contract.view].sort(contract.keys)
        assert rows.select(contract.keys).rows() == truth.select(contract.keys).rows()
        left_out = pl.Series([False] * rows.height)
        for column in [column.name for column in contract.columns if column.name != "masked"]:
            shown = rows[column].is_not_null()
            if column == "not_comparable_reason":
                shown &= rows[column] != "MASQUE"
            assert rows[column].filter(shown).to_list() == truth[column].filter(shown).to_list()
            of_wide = column in ("completeness_percent", "conflicts")
            narrow = rows["variant"].is_in(NARROW) if of_wide else pl.Series([False] * rows.height)
            assert not shown.filter(narrow).any()
            if column != "not_comparable_reason":
                left_out |= ~shown & truth[column].is_not_null() & ~narrow
        assert (rows["masked"] == left_out).all()
        assert left_out.any()


def test_a_remark_does_not_tell_what_the_figures_hide(some: Tables) -> None:
    rows = published(some)["indicator"]
    hidden = rows.filter(pl.col("denominator").is_null() | pl.col("completeness_percent").is_null())
    assert hidden.height > 0
    wide = hidden.filter(~pl.col("variant").is_in(NARROW))
    assert set(wide["not_comparable_reason"]) == {"MASQUE"}
    narrow = rows.filter(pl.col("variant").is_in(NARROW) & pl.col("denominator").is_not_null())
    assert set(narrow["completeness_percent"]) == {None}


def test_the_same_publication_follows_itself(some: Tables) -> None:
    first = published(some)
    again = published(some, first)
    assert all(again[name].equals(first[name]) for name in first)


def alone(name: str, rows: Mapping[str, list[Any]]) -> pl.DataFrame:
    """Some rows of a view as they are published with nothing beside, each of an establishment of its own; what is not given
    is null."""
    product = without(*(table.name for table in PRODUCT.tables if table.name != name))
    [contract] = product.tables
    read = {column for mask in contract.mask for count in mask.counts + mask.gaps for column in names_in(count)}
    size = len(next(iter(rows.values())))
    null = {column: [None] * size for column in read | {column.name for column in contract.columns} - {"masked"}}
    finess = {"finess": [fictional_finess(number=place) for place in range(1, size + 1)], "transmission_id": ["a"] * size}
    integers = dict.fromkeys(read & null.keys() - {"variant", "definition_id"}, pl.Int64)
    frame = pl.DataFrame(null | finess | rows, schema_overrides=integers)
    return masked(product, {contract.view: frame}, "99", ON)[name]


def names_in(sql: str) -> set[str]:
    return set(pl.sql_expr(sql).meta.root_names())


def test_counts_under_11_are_null_and_their_row_says_so() -> None:
    stays, sessions = [0, 1, 10, 11, 500, 500], [40, 40, 40, 40, 10, 11]
    rows = alone("activity", {"stays": stays, "nights": [5] * 6, "days": [9] * 6, "sessions": sessions})
    hidden = [False, True, True, False, False, False]
    for column in ("stays", "nights", "days"):
        assert [value is None for value in rows[column]] == hidden
    assert rows["stays"].to_list() == [0, None, None, 11, 500, 500], "no stay at all is nobody's"
    assert rows["sessions"].to_list() == [40, 40, 40, 40, None, 11]
    assert rows["masked"].to_list() == [False, True, True, False, True, False]


def test_a_numerator_its_complement_and_its_denominator_are_masked_together_with_the_rate() -> None:
    numerator, denominator = [0, 10, 11, 89, 90, 100, 5, 11, 0], [100, 100, 100, 100, 100, 100, 9, 22, 0]
    rows = alone(
        "indicator",
        {"variant": ["whole"] * 9, "rate_percent": [12.5] * 9, "completeness_percent": [100.0] * 9}
        | dict.fromkeys(("numerator", "numerator_wider"), numerator)
        | dict.fromkeys(("denominator", "askable", "population", "stated", "answered"), denominator),
    )  # fmt: skip
    open_to_all = [False, False, True, True, False, False, False, True, False]
    assert [value is not None for value in rows["numerator"]] == open_to_all
    assert [value is not None for value in rows["rate_percent"]] == open_to_all
    assert rows["denominator"].to_list() == [100] * 6 + [None, 22, None]
    assert [value is not None for value in rows["completeness_percent"]] == [True] * 4 + [False] + [True, False, True, False]
    assert rows["masked"].to_list() == [not visible for visible in open_to_all]


# --- a product of its own, declared in few words


def visits(*, pairs: Mapping[int, int], data: str = "a", finess: str = fictional_finess()) -> dict[str, pl.DataFrame]:
    """A view of visits by month of one place."""
    rows = [(finess, month, count, data) for month, count in pairs.items()]
    return {"visits": pl.DataFrame(rows, schema=["finess", "month", "visits", "data"], orient="row")}


def declared(**more: Any) -> Product:
    """A product of one table."""
    types = {"finess": "string", "month": "integer", "visits": "integer", "data": "string", "masked": "boolean"}
    columns = tuple(Column(name, kind, "public", name) for name, kind in types.items())
    mask = Mask(hides=("visits",), counts=("visits",), **more)
    table = Table("visits", "visits", "Visites", ("finess", "month"), columns, (mask,), (), "visits", {})
    return Product("visits", "ars", "Visites", "", "finess", (table,), "data")


YEARLY = declared(adds_up=AddsUp(("finess",)))


def shown(product: Product, frames: Tables, *earlier: Tables) -> list[int | None]:
    return masked(product, frames, "99", ON, earlier)["visits"]["visits"].to_list()


def test_a_table_with_nothing_small_is_published_whole() -> None:
    assert shown(YEARLY, visits(pairs={1: 11, 2: 40, 3: 12})) == [11, 40, 12]


def test_a_small_count_is_hidden_with_the_least_that_leaves_it_open() -> None:
    assert shown(declared(), visits(pairs={1: 5, 2: 40, 3: 12})) == [None, 40, 12], "nothing adds up"
    assert shown(YEARLY, visits(pairs={1: 5, 2: 40, 3: 12})) == [None, None, 12], "5 could not be 10 beside a 12"
    assert shown(YEARLY, visits(pairs={1: 5, 2: 40, 3: 17})) == [None, 40, None]
    assert shown(YEARLY, visits(pairs={1: 10, 2: 9, 3: 17})) == [None] * 3, "of two small ones, each would be 9 at least"
    assert shown(YEARLY, visits(pairs={1: 5, 2: 6, 3: 3, 4: 30})) == [None, None, None, 30], "each could be 1 or 10"
    assert shown(YEARLY, visits(pairs={1: 5, 2: 13, 3: 14, 4: 16})) == [None, 13, None, None]


def test_what_was_hidden_before_is_hidden_again_rather_than_another() -> None:
    before = masked(YEARLY, visits(pairs={1: 5, 2: 30, 3: 40}), "99", ON)
    later = visits(pairs={1: 6, 2: 50, 3: 40, 4: 35}, data="b")
    assert shown(YEARLY, later) == [None, 50, 40, None]
    assert shown(YEARLY, later, before) == [None, None, 40, 35]


def test_what_was_shown_of_the_same_data_hides_nothing_and_what_was_hidden_stays_so() -> None:
    frames = visits(pairs={1: 5, 2: 30, 3: 40})
    before = {"visits": masked(declared(), frames, "99", ON)["visits"].filter(pl.col("month") < 3)}
    assert shown(YEARLY, frames, before) == [None, 30, None], "30 is known already: it can protect nothing"
    both_hidden = masked(YEARLY, frames, "99", ON)
    assert shown(declared(), frames, both_hidden) == [None, None, 40]
