"""What a campaign is judged on: the five sections, and what other sources say. None: it was never delivered.

Must never be filled with guesses: where a frame or a cell is absent the rules that need it answer NOT_EVALUABLE. Days are
Europe/Paris, instants UTC, identifiers text; ``line`` is that of the file that a row came from.
"""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from contracts_schema.ecds import indicators

TEXT, DAY, WHOLE, FLAG = pl.String(), pl.Date(), pl.Int64(), pl.Boolean()

REGISTER = pl.Schema({"finess": TEXT, "kind": TEXT, "category": TEXT, "finess_ej": TEXT, "closed_on": DAY})
"""FINESS on 31 December of the year: ``kind`` ET, EJ, or INCONNU when the register cannot tell."""
SITES = pl.Schema({"finess_et": TEXT, "main_site": TEXT})
"""Antennes on that day, each with the ET that it is attached to."""
MAPPING = pl.Schema({"code_source": TEXT, "section": TEXT, "code": TEXT, "valid_from": DAY, "valid_to": DAY})
"""Codes of e-CDS to ours, half-open on the reference date. ``identity_mapping`` until a real one is written."""
PATIENTS = pl.Schema({"finess_et": TEXT, "patient_list": WHOLE, "active_patients": WHOLE})
ADVANCES = pl.Schema({"finess_et": TEXT, "advance_cents": WHOLE})
"""What was paid of the forfait of the year before it was known."""
KNOWN_HOURS = pl.Schema({"finess_et": TEXT, "weekday": TEXT, "opens": WHOLE, "closes": WHOLE})
CRISES = pl.Schema({"ars_region": TEXT, "starts_on": DAY, "ends_on": DAY, "text": TEXT})
RELEASES = pl.Schema({"software_name": TEXT, "released_on": DAY})
COUNTS = pl.Schema({"section": TEXT, "lines": WHOLE, "centres": WHOLE})


@dataclass(frozen=True)
class Campaign:
    """The facts on one reference year.

    Sections as ``connectors.ecds`` reads them. ``extracted_on``: day of the extraction. ``as_of``: entries at or after that
    instant are not known yet (None: all are). ``register``, ``sites``, ``computed_patients``, ``known_hours`` (of the ARS),
    ``crises``, ``releases`` (first release of a software), ``advances``: the schemas above. ``before``: the campaign of the
    year before; ``counts_before``: lines and centres of each section of the previous extraction of this one. ``caisse``:
    that which sent the extraction, of the centres whose identification says none.
    """

    year: int
    extracted_on: date
    identification: pl.DataFrame | None = None
    professionnels: pl.DataFrame | None = None
    horaires: pl.DataFrame | None = None
    rfs: pl.DataFrame | None = None
    rosp: pl.DataFrame | None = None
    as_of: datetime | None = None
    register: pl.DataFrame | None = None
    sites: pl.DataFrame | None = None
    mapping: pl.DataFrame | None = None
    computed_patients: pl.DataFrame | None = None
    known_hours: pl.DataFrame | None = None
    crises: pl.DataFrame | None = None
    releases: pl.DataFrame | None = None
    advances: pl.DataFrame | None = None
    before: "Campaign | None" = None
    counts_before: pl.DataFrame | None = None
    caisse: str | None = None

    @property
    def first_day(self) -> date:
        return date(self.year, 1, 1)

    @property
    def last_day(self) -> date:
        """The reference date of every parameter."""
        return date(self.year, 12, 31)

    def sections(self) -> dict[str, pl.DataFrame | None]:
        return {name: getattr(self, name) for name in ("identification", "professionnels", "horaires", "rfs", "rosp")}


def counts(campaign: Campaign) -> pl.DataFrame:
    """``COUNTS`` of a campaign, for comparison with the next extraction."""
    frames = {name: frame for name, frame in campaign.sections().items() if frame is not None}
    own = {name: frame.filter(~pl.col("gone")) if "gone" in frame.columns else frame for name, frame in frames.items()}
    rows = [(name, frame.height, frame["finess_et"].n_unique()) for name, frame in own.items()]
    return pl.DataFrame(rows, schema=COUNTS, orient="row")


def identity_mapping() -> pl.DataFrame:
    """Our codes to themselves: what synthetic files use while those of e-CDS are not known."""
    rows = [(code, one.scheme, code, date(2015, 1, 1), None) for code, one in indicators().items()]
    return pl.DataFrame(rows, schema=MAPPING, orient="row")
