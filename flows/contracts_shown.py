"""What is said of the contracts of the CPOM, for the terminal and for programs: states, one contract, what falls due.

Plain functions that read the tables of ``flows.cpom``; figures are those before masks: for whoever runs the hub.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flows import cpom, cpom_decisions
from flows.hub import Hub, WrongUsage

if TYPE_CHECKING:
    import polars as pl

HORIZONS = (30, 7, 1)
CAMPAIGN_RULE = "cpom.R52"


def contracts(hub: Hub, until: int | None = None) -> list[dict[str, Any]]:
    """Every contract with its state, in the order of FINESS numbers, and how its values compare."""
    import polars as pl

    compared = cpom.rows(hub, cpom.COMPARED, until)
    names = ("concordant", "ecart_tolere", "ecart", "non_verifiable")
    counts = compared.group_by("finess_ej").agg(*(((pl.col("status") == name).sum()).alias(name) for name in names))
    told = cpom.rows(hub, "out_ars__cpom_contract", until).join(counts, on="finess_ej", how="left", maintain_order="left")
    found: list[dict[str, Any]] = told.with_columns(pl.col(names).fill_null(0)).sort("finess_ej").to_dicts()
    return found


def campaign(hub: Hub, until: int | None = None) -> dict[str, Any]:
    """What is said of no contract in particular: findings of the whole région, who lacks once the campaign is closed, and the
    rules that nothing lets be judged."""
    import polars as pl

    nobody = pl.col("finess_ej").is_null()
    found = cpom.rows(hub, "out_ars__cpom_finding", until).filter(nobody | (pl.col("rule") == CAMPAIGN_RULE))
    lacking = cpom.rows(hub, "out_ars__cpom_not_evaluable", until).filter(nobody)
    return {"findings": found.to_dicts(), "not_evaluable": lacking.to_dicts()}


def contract(hub: Hub, finess_ej: str, until: int | None = None, indicator: str | None = None) -> dict[str, Any]:
    """A contract: its state, each declared value beside what is recomputed, findings, what it owes.

    ``indicator``: this one alone, with its targets, every variant computed of it, what is said of it and of the whole contract.
    WrongUsage when there is no such contract or indicator.
    """
    import polars as pl

    mine = pl.col("finess_ej") == finess_ej
    head = cpom.rows(hub, "out_ars__cpom_contract", until).filter(mine).to_dicts()
    if not head:
        raise WrongUsage(f"aucun contrat pour le FINESS EJ {finess_ej} (voir ecluse cpom)")
    values = cpom.rows(hub, cpom.COMPARED, until).filter(mine)
    variants: list[dict[str, Any]] = []
    targets: list[dict[str, Any]] = []
    findings = cpom.rows(hub, "out_ars__cpom_finding", until).filter(mine)
    whole = pl.col("finess_ej").is_null()  # of the région, hence of this contract too
    lacking = cpom.rows(hub, "out_ars__cpom_not_evaluable", until).filter(mine | whole)
    trajectory = cpom.rows(hub, cpom.TRAJECTORY, until).filter(mine & pl.col("variant").is_not_null())
    if indicator:
        trajectory = trajectory.filter((pl.col("id") == indicator) & (pl.col("role") == "CIBLE"))
        values = values.filter(pl.col("id") == indicator)
        declared = cpom.rows(hub, "out_ars__cpom_target", until).filter(mine & (pl.col("indicator_id") == indicator))
        targets = declared.filter(pl.col("role") == "Cible").to_dicts()
        findings = findings.filter(pl.col("indicator_id").is_null() | (pl.col("indicator_id") == indicator))
        lacking = lacking.clear()
        if values.is_empty() and not targets:
            raise WrongUsage(f"{indicator} : aucune valeur déclarée à comparer dans ce contrat (voir ecluse cpom {finess_ej})")
        variants = cpom.rows(hub, cpom.CONTEXT, until).filter(mine & (pl.col("id") == indicator)).to_dicts()
    return {
        **head[0],
        "values": values.to_dicts(),
        "variants": variants,
        "targets": targets,
        "findings": findings.to_dicts(),
        "reached": cpom.rows(hub, cpom.REACHED, until).filter(mine).to_dicts(),
        "trajectory": trajectory.to_dicts(),
        "not_evaluable": lacking.filter(pl.col("region") == head[0]["region"]).to_dicts(),
    }


def falling_due(hub: Hub, horizons: Iterable[int] = HORIZONS, until: int | None = None) -> list[dict[str, Any]]:
    """Open obligations whose last day comes within the largest horizon, the nearest first; those of a whole campaign once."""
    from checks.cpom import obligations

    try:
        rows = cpom.rows(hub, cpom.OBLIGATION, until)
    except WrongUsage:
        return []  # no contract, nothing owed
    return _once(obligations.falling_due(rows, horizons)).to_dicts()


def obligations_of(hub: Hub, finess_ej: str | None = None, until: int | None = None) -> list[dict[str, Any]]:
    """Every dated obligation, or those of one contract, in the order of their days."""
    import polars as pl

    rows = _once(cpom.rows(hub, cpom.OBLIGATION, until))
    mine = rows if finess_ej is None else rows.filter(pl.col("finess_ej") == finess_ej)
    return mine.sort("due_on", "deadline_id", "finess_ej", nulls_last=True).to_dicts()


def _once(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Obligations as they are shown: those of the whole campaign once, whatever the régions."""
    import polars as pl

    own = pl.when(pl.col("finess_ej").is_not_null()).then("region")
    return rows.drop("passed_at").with_columns(region=own).unique(maintain_order=True)


def decided(hub: Hub, ars: str, until: int | None = None) -> list[dict[str, Any]]:
    """The decisions of an ARS that stand: kind, subject, value, reason, position."""
    return [
        {"kind": kind, "subject": subject, "value": one.data["value"], "reason": one.data["reason"], "position": one.position}
        for (kind, subject), one in sorted(cpom_decisions.standing(hub, ars, until).items())
    ]
