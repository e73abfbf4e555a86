"""Facts of the reconciliation at random, made column by column: for properties, and for speed up to 500,000 lines."""

from datetime import date

import numpy as np
import polars as pl

from checks.snp.facts import SCHEMAS, Facts

FAMILIES = ("CYSTITE", "ODYNO", "RHINO", "VARICELLE", "CHEVILLE", "LOMBALGIE")
DEFECTS = (
    "stranger",
    "wrong_digit",
    "no_delegate",
    "unknown_label",
    "unreadable_date",
    "before_declaration",
    "after_reception",
    "high_amount",
    "low_amount",
    "negative",
    "no_count",
    "same_ref",
    "wrong_profession",
)
START = date(2024, 1, 1)


def with_key(numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]", length: int) -> pl.Series:
    """Numbers of that length, their last digit a right Luhn key."""
    total = np.zeros(len(numbers), dtype=np.int64)
    rest = numbers.copy()
    for place in range(length - 1):
        digit = rest % 10
        twice = digit * 2
        total += np.where(twice > 9, twice - 9, twice) if place % 2 == 0 else digit
        rest //= 10
    return pl.Series(numbers * 10 + (10 - total % 10) % 10).cast(pl.String).str.zfill(length)


def random_facts(
    lines: int, seed: int = 1, *, defects: float = 0.1, months: float = 0.02, patients: bool = False, per_bordereau: int = 100
) -> Facts:
    """Facts about that many lines: a structure for two bordereaux, a declaration and a team of four for each structure.

    ``defects``: the share of lines with one defect of ``DEFECTS``; ``months``: the share of monthly lines.
    """
    dice = np.random.default_rng(seed)
    count = max(1, lines // per_bordereau)
    places = max(1, count // 2)
    sirets = with_key(9_990_000_000_000 + np.arange(places) * 7, 14)
    kinds = np.array(["MSP", "CDS", "CPTS"])[np.arange(places) % 3]
    rpps = with_key(9_990_000_000 + np.arange(places * 5) * 3, 11)
    of = np.arange(count) % places
    received = np.datetime64("2024-07-02") + dice.integers(0, 20, count)
    bordereau = pl.DataFrame(
        {
            "bordereau_id": [f"b{n:07d}" for n in range(count)],
            "scope": [f"s{n:07d}" for n in range(count)],
            "received_on": received.astype("datetime64[D]"),
            "siret": sirets.gather(of),
            "structure_name": [f"Structure {n}" for n in of],
            "structure_kind": kinds[of],
            "caisse": "C01",
            "period_from": START,
            "period_to": date(2024, 6, 30),
            "certified": True,
            "sender": "structure",
            "iban_state": "same",
            "grain": "act",
            "profile": "p",
            "profile_version": 1,
            "profile_is_older": False,
            "file": [f"b{n:07d}.xlsx" for n in range(count)],
        }
    )
    line = _lines(lines, dice, bordereau, of, rpps, kinds, defects, months)
    number = np.arange(places)
    deposited = np.datetime64("2023-09-01") + dice.integers(0, 60, places)
    role = np.array(["delegate"] * 4 + ["delegating"])
    profession = np.array(["PHARMACIEN", "IDE", "MK", "MK", "MEDECIN"])
    numbers = pl.Series([f"d{n:06d}" for n in number])
    frames = {
        "bordereau": bordereau,
        "line": line,
        "dossier": pl.DataFrame(
            {
                "number": numbers,
                "demarche": "1",
                "form": "snp",
                "siret": sirets,
                "structure_name": [f"Structure {n}" for n in number],
                "structure_kind": kinds,
                "deposited_at": deposited.astype("datetime64[us]"),
                "deposited_on": deposited.astype("datetime64[D]"),
                "document_unique": True,
                "state": "accepte",
            }
        ).with_columns(pl.col("deposited_at").dt.replace_time_zone("UTC")),
        "dossier_protocol": pl.DataFrame(
            {
                "number": numbers.gather(np.repeat(number, 6)),
                "family": np.tile(FAMILIES, places),
                "effective_on": np.repeat(deposited, 6).astype("datetime64[D]"),
            }
        ),
        "dossier_event": pl.DataFrame(),
        "member": pl.DataFrame(
            {
                "number": numbers.gather(np.repeat(number, 5)),
                "rpps": rpps,
                "profession": np.tile(profession, places),
                "role": np.tile(role, places),
                "piece_missing": False,
                "piece_pending": False,
            }
        ),
        "synchronisation": pl.DataFrame({"demarche": ["1"], "completed_on": [date(2024, 8, 1)]}),
        "structure": pl.DataFrame({"siret": sirets, "siren": sirets.str.slice(0, 9), "kind": kinds}),
        "adhesion": pl.DataFrame({"siret": sirets, "basis": "aci", "valid_from": date(2019, 1, 1)}),
        "attachment": pl.DataFrame({"siret": sirets, "caisse": "C01"}),
        "professional": pl.DataFrame({"rpps": rpps, "profession": np.tile(profession, places), "status_known": True}),
        "payment": pl.DataFrame(),
    }
    if patients:
        frames["patient"] = line.select(
            "bordereau_id",
            "line_number",
            patient_key=pl.concat_str(pl.lit("p"), "bordereau_id", "line_number"),
            sex=pl.lit("F"),
        )
    return Facts(**{name: _shaped(name, found) for name, found in frames.items()})


def _shaped(name: str, found: pl.DataFrame) -> pl.DataFrame:
    """The frame with the columns of its kind, null where nothing is told."""
    schema = SCHEMAS[name]
    missing = [pl.lit(None).cast(kind).alias(column) for column, kind in schema.items() if column not in found.columns]
    return found.with_columns(missing).select(schema.names()).cast(dict(schema)) if found.width else pl.DataFrame(schema=schema)


def _lines(lines, dice, bordereau, of, rpps, kinds, defects, months):  # type: ignore[no-untyped-def]
    owner = np.sort(np.arange(lines) % bordereau.height)
    first = np.searchsorted(owner, owner)
    number = np.arange(lines) - first + 1
    family = dice.integers(0, 6, lines)
    family = np.where((kinds[of[owner]] == "CPTS") & (family >= 2), family % 2, family)
    physio = family >= 4
    seat = np.where(physio, 2 + dice.integers(0, 2, lines), dice.integers(0, 2, lines))
    delegate = rpps.gather(of[owner] * 5 + seat).to_list()
    day = np.datetime64(START) + dice.integers(0, 180, lines)
    defect = np.where(dice.random(lines) < defects, dice.integers(0, len(DEFECTS), lines), -1)
    named = np.array([*DEFECTS, ""])[defect]
    month = (dice.random(lines) < months) & (named == "")
    frame = pl.DataFrame(
        {
            "bordereau_id": bordereau["bordereau_id"].gather(owner),
            "line_number": number,
            "sheet": "Bordereau",
            "row": number + 7,
            "family": np.array(FAMILIES)[family],
            "act": np.where(physio, "CONSULT_1", "INCLUSION"),
            "day": day.astype("datetime64[D]"),
            "rpps": delegate,
            "count": 1,
            "amount_cents": 2500,
            "ref": [f"r{n}" for n in number],
            "defect": named,
            "is_month": month,
            "stranger": with_key(9_980_000_000 + np.arange(lines), 11),
            "other": rpps.gather(of[owner] * 5 + np.where(physio, 0, 2)),
        }
    )
    frame = _with_defects(frame).with_columns(
        month=pl.when("is_month").then(pl.col("day").dt.month_start()),
        day=pl.when(~pl.col("is_month")).then("day"),
    )
    raw = {name: pl.col(column).cast(pl.String).fill_null("") for name, column in (("date", "day"), ("rpps", "rpps"))}
    return _shaped(
        "line",
        frame.with_columns(
            label=pl.col("family").fill_null("?"),
            date_raw=raw["date"],
            rpps_repaired=pl.lit(value=False),
            emergency=pl.lit(value=False),
            amount_raw=pl.col("amount_cents").cast(pl.String),
            count_raw=pl.col("count").cast(pl.String),
            line_id=pl.struct("bordereau_id", "line_number").hash().cast(pl.String),
            family_candidates=pl.when(pl.col("family").is_null()).then(pl.lit([], pl.List(pl.String))),
            cells=pl.concat_str(
                pl.lit('{"date": {"cell": "B'),
                "row",
                pl.lit('", "raw": "'),
                raw["date"],
                pl.lit('"}, "rpps": {"cell": "C'),
                "row",
                pl.lit('", "raw": "'),
                raw["rpps"],
                pl.lit('"}, "amount": {"cell": "E'),
                "row",
                pl.lit('", "raw": "'),
                pl.col("amount_cents"),
                pl.lit('"}}'),
            ),
        ).drop("defect", "is_month", "stranger", "other"),
    )


def damaged(line: pl.DataFrame, defect: str, every: int) -> pl.DataFrame:
    """The lines with one more defect on one in so many of those that have a day."""
    chosen = (pl.col("line_number") % every == 0) & pl.col("day").is_not_null()
    marked = line.with_columns(
        defect=pl.when(chosen).then(pl.lit(defect)).otherwise(pl.lit("")),
        stranger=pl.lit(with_key(np.array([9_980_000_000]), 11)[0]),
        other=pl.when(pl.col("act") == "INCLUSION")
        .then(pl.col("rpps").filter(pl.col("act") != "INCLUSION").first().over("bordereau_id"))
        .otherwise(pl.col("rpps").filter(pl.col("act") == "INCLUSION").first().over("bordereau_id")),
        date_problem=pl.col("date_problem"),
    )
    return _with_defects(marked).select(line.columns).cast(line.schema)


def _with_defects(frame: pl.DataFrame) -> pl.DataFrame:
    """Each line with the defect that its column ``defect`` names; ``stranger`` and ``other`` are numbers to take."""
    has = {name: pl.col("defect") == name for name in DEFECTS}
    digit = (pl.col("rpps").str.slice(10, 1).cast(pl.Int32) + 1) % 10
    return frame.with_columns(
        rpps=pl.when(has["stranger"])
        .then("stranger")
        .when(has["wrong_profession"])
        .then("other")
        .when(has["wrong_digit"])
        .then(pl.concat_str(pl.col("rpps").str.slice(0, 10), digit))
        .when(~has["no_delegate"])
        .then("rpps"),
        family=pl.when(~has["unknown_label"]).then("family"),
        date_problem=pl.when(has["unreadable_date"]).then(pl.lit("unreadable")),
        day=pl.when(has["before_declaration"])
        .then(date(2023, 8, 1))
        .when(has["after_reception"])
        .then(date(2024, 9, 1))
        .when(~has["unreadable_date"])
        .then("day"),
        amount_cents=pl.when(has["negative"]).then(-2500).when(has["low_amount"]).then(1500).otherwise("amount_cents"),
        count=pl.when(has["no_count"]).then(0).otherwise("count"),
        ref=pl.when(has["same_ref"]).then(pl.lit("r1")).otherwise("ref"),
    ).with_columns(amount_cents=pl.when(has["high_amount"]).then(4000).otherwise("amount_cents"))
