"""What the rules read, prepared once: centres that are not stopped, their staff in the year, the journals at the cut-offs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from checks.cds.facts import Campaign
from checks.cds.figures import value_of
from checks.cds.journal import LATE, UNVERIFIABLE, Deadlines, Journal, deadlines, journal
from contracts_schema.ecds import PREREQUISITES, indicators
from contracts_schema.parameters import Attestation, NoValue

DOCTORS = ("medecin_generaliste", "medecin_specialiste", "medecin_ophtalmologiste")
NURSES = ("infirmier", "infirmier_ipa")
SATISFIED, UNSATISFIED, INCOMPLETE, TOO_LATE = "SATISFAIT", "NON_SATISFAIT", "INCOMPLET", "HORS_DELAI"
TO_VERIFY, NOT_RECEIVED, UNKNOWN_DELAY = "A_VERIFIER", "NON_RECU", "DELAI_NON_VERIFIABLE"
UNMAPPED = "CODE_SANS_CORRESPONDANCE"
"""No answer is known, but the centre has entries whose code has no mapping yet: the answer may be one of them."""


@dataclass(frozen=True)
class Scene:
    """A campaign with the law of whoever reads it. Every frame leaves out the centres that CDS01 or CDS03 stopped."""

    campaign: Campaign
    deadlines: Deadlines
    attested: tuple[Attestation, ...]
    rfs: Journal | None
    rosp: Journal | None

    @property
    def first_day(self) -> date:
        return self.campaign.first_day

    @property
    def last_day(self) -> date:
        return self.campaign.last_day

    @cached_property
    def before(self) -> "Scene | None":
        """The campaign of the year before, as its own cut-offs have it."""
        return None if self.campaign.before is None else scene(self.campaign.before, self.attested)

    def journal(self, section: str) -> Journal | None:
        return self.rfs if section == "rfs" else self.rosp

    @cached_property
    def centres(self) -> pl.DataFrame:
        """One row a centre of any section, with its identification where it came (nulls elsewhere)."""
        named = [frame.select("finess_et") for frame in self.campaign.sections().values() if frame is not None]
        keys = pl.concat([pl.DataFrame(schema={"finess_et": pl.String}), *named]).unique(maintain_order=True).sort("finess_et")
        identity = self.campaign.identification
        if identity is None:
            return keys.with_columns(**{name: pl.lit(None, kind) for name, kind in IDENTITY.items()})
        return keys.join(identity, on="finess_et", how="left", maintain_order="left")

    @cached_property
    def register(self) -> pl.DataFrame | None:
        """The centres with what FINESS says of them."""
        if self.campaign.register is None:
            return None
        register = self.campaign.register.rename(
            {"finess": "finess_et", "finess_ej": "registered_ej", "closed_on": "register_closed_on"}
        )
        return self.centres.join(register, on="finess_et", how="left", maintain_order="left")

    @cached_property
    def staff(self) -> pl.DataFrame | None:
        """The professionals present at least one day of the year."""
        people = self.campaign.professionnels
        if people is None:
            return None
        began = pl.col("started_on").is_null() | (pl.col("started_on") <= self.last_day)
        return people.filter(began, pl.col("ended_on").is_null() | (pl.col("ended_on") >= self.first_day))

    @cached_property
    def headcounts(self) -> pl.DataFrame | None:
        """Of each centre: doctors, gps, dentists, nurses, permit_staff, salaried, coordinators (persons or lines), and the
        hundredths of full-time equivalents of nurses (nurse_fte) and general practitioners (gp_fte)."""
        if self.staff is None:
            return None
        kind = pl.col("profession")
        salaried = pl.col("employment") == "salarie"
        return self.staff.group_by("finess_et").agg(
            doctors=kind.is_in(DOCTORS).sum(),
            dentists=(kind == "chirurgien_dentiste").sum(),
            nurses=kind.is_in(NURSES).sum(),
            salaried=pl.col("rpps").filter(salaried & (kind != "administratif")).n_unique(),
            coordinators=pl.col("coordinator").fill_null(value=False).sum(),
            nurse_fte=pl.col("fte_centi").filter(kind.is_in(NURSES)).sum(),
            gp_fte=pl.col("fte_centi").filter(kind == "medecin_generaliste").sum(),
        )

    def answers(self, *codes: str) -> pl.DataFrame | None:
        """The entries of ``rfs`` in force for these codes, with what identification says of the centre."""
        if self.rfs is None:
            return None
        kept = self.rfs.in_force.filter(pl.col("code").is_in(codes))
        about = self.centres.select("finess_et", "centre_type", "opened_on", "ars_region")
        return kept.join(about, on="finess_et", how="left", maintain_order="left")

    @cached_property
    def prerequisites(self) -> pl.DataFrame:
        """The outcome of each prerequisite of each centre as of the cut-off: finess_et, code, outcome, line.

        Before any rule on the evidence (``outcomes`` of ``examine`` holds those that CDS28 makes A_VERIFIER).
        """
        asked = self.centres.select("finess_et").join(pl.DataFrame({"code": list(PREREQUISITES)}), how="cross")
        if self.rfs is None:
            return asked.with_columns(outcome=pl.lit(NOT_RECEIVED), line=pl.lit(None, pl.Int64))
        blind = pl.col("deadline") == UNVERIFIABLE
        given = self.rfs.in_force.select("finess_et", "code", "answer", "line", blind=blind, given=pl.lit(value=True))
        answered = pl.col("answer").is_in(["oui", "non"])
        late = self.rfs.entries.filter(pl.col("deadline") == LATE, answered).select("finess_et", "code").unique()
        told = asked.join(given, on=["finess_et", "code"], how="left", maintain_order="left").join(
            late.with_columns(late=pl.lit(value=True)), on=["finess_et", "code"], how="left", maintain_order="left"
        )
        waiting = pl.col("finess_et").is_in(self.rfs.unmapped["finess_et"].unique().implode())
        outcome = (
            pl.when(answered & pl.col("blind"))
            .then(pl.lit(UNKNOWN_DELAY))
            .when(pl.col("answer") == "oui")
            .then(pl.lit(SATISFIED))
            .when(pl.col("answer") == "non")
            .then(pl.lit(UNSATISFIED))
            .when(pl.col("given").is_null() & waiting)
            .then(pl.lit(UNMAPPED))
            .when(pl.col("late"))
            .then(pl.lit(TOO_LATE))
            .otherwise(pl.lit(INCOMPLETE))
        )
        return told.select("finess_et", "code", outcome=outcome, line="line")

    def figure(self, parameter: str, **dimensions: str) -> int | None:
        """A figure on the reference date, None when no text gives it."""
        try:
            found: int = value_of(parameter, self.last_day, self.attested, dimensions).value
        except NoValue:
            return None
        return found


IDENTITY = {
    "year": pl.Int64, "finess_ej": pl.String, "legal_name": pl.String, "centre_type": pl.String, "siren": pl.String,
    "siret": pl.String, "finess_category": pl.String, "opened_on": pl.Date, "closed_on": pl.Date, "agreement_from": pl.Date,
    "ars_region": pl.String, "cpam": pl.String, "patient_list": pl.Int64, "active_patients": pl.Int64,
    "precarity_e4": pl.Int64, "account_region": pl.String, "permit": pl.Boolean, "permit_on": pl.Date, "line": pl.Int64,
}  # fmt: skip
"""Columns that the rules read of identification when it did not come."""


def scene(campaign: Campaign, attested: Iterable[Attestation] = ()) -> Scene:
    """The scene of a campaign as the organisation that attests these values sees it."""
    own = tuple(attested)
    days = deadlines(campaign.year, own)
    return Scene(campaign, days, own, journal(campaign, "rfs", days), journal(campaign, "rosp", days))


def label(code: pl.Expr) -> pl.Expr:
    """A code with the words of its indicator."""
    words = {one.code: f"{one.label_fr} ({one.code})" for one in indicators().values()}
    return code.replace_strict(words, default=code, return_dtype=pl.String)
