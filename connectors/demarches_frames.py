"""Snapshots of démarches, read through their mappings: the frames of declarations that the reconciliation judges by.

Columnar from one end to the other. Must never guess: an answer that means nothing known gives no row and a note, which says the
dossier, the champ and why, never the answer.
"""

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from connectors.bordereau_values import clean, mapped, normalised, rpps
from connectors.demarches_merge import read_header
from connectors.demarches_records import Record
from contracts_schema.bordereau_profiles import labels
from contracts_schema.demarches_mappings import Champ, FormMapping, TeamMapping, form_words, protocol_titles

TEXT, DAY, FLAG, INSTANT = pl.String(), pl.Date(), pl.Boolean(), pl.Datetime("us", "UTC")
COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "dossier": {
        "number": TEXT, "demarche": TEXT, "form": TEXT, "siret": TEXT, "finess": TEXT, "structure_name": TEXT,
        "structure_kind": TEXT, "deposited_at": INSTANT, "deposited_on": DAY, "named_families": pl.List(TEXT),
        "document_unique": FLAG, "state": TEXT,
    },
    "dossier_protocol": {"number": TEXT, "family": TEXT, "effective_on": DAY, "until_on": DAY},
    "dossier_event": {"number": TEXT, "kind": TEXT, "at": INSTANT, "on": DAY, "reason": TEXT, "subject": TEXT},
    "member": {
        "number": TEXT, "rpps": TEXT, "profession": TEXT, "role": TEXT, "piece_missing": FLAG, "piece_pending": FLAG,
    },
    "synchronisation": {"demarche": TEXT, "completed_on": DAY},
}  # fmt: skip
"""As ``checks.snp.facts`` has them: a test holds both together."""
NOTES: dict[str, pl.DataType] = {"demarche": TEXT, "number": TEXT, "kind": TEXT, "champ": TEXT}
NOTES_FR = {
    "no_mapping": "aucune correspondance ne dit comment lire cette démarche : ses dossiers ne sont pas lus",
    "unknown_protocol": "un protocole choisi n'est aucun de ceux qui sont connus : il n'est pas retenu",
    "unknown_role": "le rôle d'un membre n'est ni délégué ni délégant : ce membre n'est pas retenu",
    "unknown_kind": "le type de la structure n'est ni MSP, ni CDS, ni CPTS",
    "unknown_type": "un champ est d'un genre que le service n'avait pas : il est lu comme un texte",
    "earlier_unknown": "redéposé avant d'avoir été lu : ce qu'il déclarait d'abord n'est pas connu",
    "invisible": "le service ne montre plus ce dossier et aucune liste ne dit pourquoi : ce n'est pas un retrait",
    "failed": "le service ne parvient pas à donner ce dossier : la synchronisation est partielle",
}
"""What each kind of note says."""

_FILE = pl.Struct({"name": TEXT, "families": pl.List(TEXT), "scan": TEXT, "md5": TEXT, "size": pl.Int64()})
_LEAF = {"id": TEXT, "text": TEXT, "list": pl.List(TEXT), "files": pl.List(_FILE), "unknown": TEXT}
_ROW = pl.Struct({"id": TEXT, "champs": pl.List(pl.Struct(_LEAF))})
_CHAMPS = pl.List(pl.Struct({**_LEAF, "rows": pl.List(_ROW)}))
_RECORD = {
    "number": pl.Int64(),
    "state": TEXT,
    "deposited_at": TEXT,
    "since": TEXT,
    "applicant_siret": TEXT,
    "absent_on": TEXT,
    "champs": _CHAMPS,
    "earlier": pl.List(pl.Struct({"since": TEXT, "champs": _CHAMPS})),
    "treatments": pl.List(pl.Struct({"at": TEXT, "event": TEXT})),
    "corrections": pl.List(pl.Struct({"id": TEXT, "asked_at": TEXT, "reason": TEXT, "resolved_at": TEXT, "discarded": FLAG})),
    "deletion": pl.Struct({"list": TEXT, "at": TEXT, "reason": TEXT, "state": TEXT}),
}
ENDS = {"accepte": "accepte", "refuse": "refuse", "classe_sans_suite": "sans_suite"}
RETENTION = ("expired", "user_expired", "procedure_removed", "manager_request")
"""Reasons of a purge that takes nothing back: ``purged``; any other is ``withdrawn``."""
_FLAG_OF = "true"


@dataclass(frozen=True)
class Declared:
    """``frames``: one a kind, as ``COLUMNS``. ``notes``: demarche, number, kind (see ``NOTES_FR``), champ."""

    frames: Mapping[str, pl.DataFrame]
    notes: pl.DataFrame


def declared(snapshots: Iterable[Path], known: Mapping[int, FormMapping], doubtful: Collection[str] = ()) -> Declared:
    """The frames of several snapshots, each through the mapping of its démarche.

    ``doubtful``: MD5 of attached files whose content is not what was announced; they count as pending.
    """
    frames: dict[str, list[pl.DataFrame]] = {name: [pl.DataFrame(schema=schema)] for name, schema in COLUMNS.items()}
    notes = [pl.DataFrame(schema=NOTES)]
    for path in snapshots:
        header, found = _read(path)
        demarche = str(header["number"])
        frames["synchronisation"].append(_synchronisation(header))
        notes.append(_note(pl.DataFrame({"number": header["failed"]}, schema={"number": pl.Int64}), demarche, "failed"))
        mapping = known.get(header["number"])
        if mapping is None:
            notes.append(pl.DataFrame([{"demarche": demarche, "kind": "no_mapping"}], schema=NOTES))
            continue
        made, said = _through(mapping, found, demarche, list(doubtful))
        notes += said
        for name, frame in made.items():
            frames[name].append(frame.select(*COLUMNS[name]).cast(pl.Schema(COLUMNS[name])))
    whole = {name: pl.concat(parts) for name, parts in frames.items()}
    ordered = {name: frame.sort(frame.columns[0], *_ORDER.get(name, ())) for name, frame in whole.items()}
    return Declared(ordered, pl.concat(notes).unique().sort("demarche", "number", "kind", "champ"))


_ORDER = {
    "dossier_protocol": ("family", "effective_on"),
    "dossier_event": ("at", "kind", "subject"),
    "member": ("role", "rpps", "profession"),
}


def _read(path: Path) -> tuple[Record, pl.DataFrame]:
    """The header of a snapshot, and its dossiers that were seen at least once."""
    data = path.read_bytes()
    first, _, rest = data.partition(b"\n")
    header = read_header(first)
    schema = pl.Schema(_RECORD)
    found = pl.read_ndjson(io.BytesIO(rest), schema=schema) if rest else pl.DataFrame(schema=schema)
    return header, found.filter(pl.col("deposited_at").is_not_null()).with_columns(
        at=_instant("deposited_at"), changed_at=_instant("since")
    )


def _instant(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us", time_zone="UTC")


def _day(at: str | pl.Expr) -> pl.Expr:
    instant = pl.col(at) if isinstance(at, str) else at
    return instant.dt.convert_time_zone("Europe/Paris").dt.date()


def _synchronisation(header: Record) -> pl.DataFrame:
    row = {"demarche": str(header["number"]), "completed_on": header["completed_on"]}
    found = pl.DataFrame([row], schema={"demarche": pl.String, "completed_on": pl.String})
    return found.with_columns(pl.col("completed_on").str.to_date()).drop_nulls()


def _note(rows: pl.DataFrame, demarche: str, kind: str, champ: str | None = None) -> pl.DataFrame:
    return rows.select(
        demarche=pl.lit(demarche),
        number=pl.col("number").cast(pl.String),
        kind=pl.lit(kind),
        champ=pl.lit(champ, pl.String),
    )


def _through(
    mapping: FormMapping, found: pl.DataFrame, demarche: str, doubtful: list[str]
) -> tuple[dict[str, pl.DataFrame], list[pl.DataFrame]]:
    """The frames of one démarche, but its synchronisation; and notes."""
    versions = _versions(found)
    champs = versions.explode("champs", keep_nulls=False, empty_as_null=False).unnest("champs")
    now = champs.filter(pl.col("is_last"))
    dossier, kinds = _dossiers(mapping, found, now, demarche)
    protocol, protocols = _protocols(mapping, versions, champs, demarche)
    member, roles = _members(mapping, now, demarche, doubtful)
    redeposited = (
        pl.col("treatments").list.eval(pl.element().struct.field("event").str.starts_with("depose_correction")).list.any()
    )
    untold = found.filter(redeposited, pl.col("changed_at").is_null())
    odd = now.filter(pl.col("unknown").is_not_null())
    notes = [
        kinds,
        protocols,
        roles,
        _note(untold, demarche, "earlier_unknown"),
        _note(odd, demarche, "unknown_type"),
        _note(found.filter(pl.col("absent_on").is_not_null()), demarche, "invisible"),
    ]
    made = {"dossier": dossier, "dossier_protocol": protocol, "dossier_event": _events(found), "member": member}
    named = pl.col("number").cast(pl.String)
    return {name: frame.with_columns(named) for name, frame in made.items()}, notes


def _versions(found: pl.DataFrame) -> pl.DataFrame:
    """What each dossier declared, state after state: number, rank, since (instant), is_last, champs."""
    past = (
        found.select("number", "at", "earlier")
        .explode("earlier", keep_nulls=False, empty_as_null=False)
        .unnest("earlier")
        .select("number", since=pl.coalesce(_instant("since"), "at"), champs="champs", is_last=pl.lit(value=False))
    )
    present = found.select("number", since=pl.coalesce("changed_at", "at"), champs="champs", is_last=pl.lit(value=True))
    ranked = pl.concat([past, present]).sort("number", "is_last", "since", maintain_order=True)
    return ranked.with_columns(rank=pl.int_range(pl.len()).over("number"))


def _dossiers(mapping: FormMapping, found: pl.DataFrame, now: pl.DataFrame, demarche: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = found.select("number", "state", "applicant_siret", deposited_at="at")
    single = {"siret": mapping.siret, "finess": mapping.finess, "name": mapping.name, "kind": mapping.kind}
    for name, champ in single.items():
        rows = _joined(rows, now, champ, clean(pl.col("text")).alias(f"champ_{name}"))
    rows = _joined(rows, now, mapping.document_unique, (pl.col("files").list.len() > 0).alias("document_unique"), FLAG)
    rows = rows.join(_families_named(mapping, now), on="number", how="left", maintain_order="left")
    siret = pl.col("champ_siret").str.replace_all(r"[\s.\-]", "")
    if mapping.applicant_siret:
        siret = pl.col("applicant_siret")
    kind = pl.lit(mapping.kind_is, pl.String) if mapping.kind_is else mapped(pl.col("champ_kind"), labels()["structure_kinds"])
    made = rows.with_columns(
        siret=siret,
        finess=pl.col("champ_finess").str.replace_all(r"[\s.]", "").str.to_uppercase(),
        structure_name=pl.col("champ_name"),
        structure_kind=kind,
        demarche=pl.lit(demarche),
        form=pl.lit(mapping.form),
        deposited_on=_day("deposited_at"),
        named_families=pl.col("named_families").fill_null([]),
    )
    unread = made.filter(pl.col("structure_kind").is_null(), pl.col("champ_kind").is_not_null())
    return made, _note(unread, demarche, "unknown_kind", mapping.kind.id if mapping.kind else None)


def _joined(
    rows: pl.DataFrame, now: pl.DataFrame, champ: Champ | None, value: pl.Expr, kind: pl.DataType = TEXT
) -> pl.DataFrame:
    """The rows with the value of a champ; null where the mapping has none, or the dossier does not show it."""
    keys = [name for name in ("number", "row") if name in rows.columns]
    if champ is None:
        return rows.with_columns(pl.lit(None, kind).alias(value.meta.output_name()))
    values = now.filter(pl.col("id") == champ.id).select(*keys, value).unique(subset=keys, keep="last", maintain_order=True)
    return rows.join(values, on=keys, how="left", maintain_order="left")


def _families_named(mapping: FormMapping, now: pl.DataFrame) -> pl.DataFrame:
    """Families whose title stands in a champ, or in the name of a file, that may name one by mistake.

    Names of files are in old snapshots only; the others have the families that they name.
    """
    asked = now.filter(pl.col("id").is_in([champ.id for champ in mapping.named]))
    of_files = (
        asked.select("number", file="files").explode("file").select("number", family=pl.col("file").struct.field("families"))
    )
    texts = asked.select(
        "number",
        said=pl.concat_list(
            pl.col("text"),
            pl.col("list").fill_null([]).list.join(" "),
            pl.col("files").fill_null([]).list.eval(pl.element().struct.field("name")).list.join(" ", ignore_nulls=True),
        ),
    )
    said = (
        texts.explode("said")
        .drop_nulls("said")
        .with_columns(said=pl.concat_str(pl.lit(" "), normalised(pl.col("said")), pl.lit(" ")))
    )
    titled = [
        pl.when(pl.col("said").str.contains(f" {title} ", literal=True)).then(pl.lit(family))
        for title, family in protocol_titles().items()
    ]
    of_texts = said.select("number", family=pl.concat_list(titled))
    families = pl.concat([of_texts, of_files]).explode("family").drop_nulls("family")
    return families.group_by("number").agg(named_families=pl.col("family").unique().sort())


def _protocols(
    mapping: FormMapping, versions: pl.DataFrame, champs: pl.DataFrame, demarche: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """From when to when each family was declared: an act is judged by what was declared on its day."""
    boxes = {champ.id: family for family, champ in mapping.boxes.items()}
    parts = [
        champs.filter(pl.col("id").is_in(list(boxes)), pl.col("text") == _FLAG_OF).select(
            "number", "rank", family=pl.col("id").replace_strict(boxes, default=None, return_dtype=TEXT)
        )
    ]
    notes = pl.DataFrame(schema=NOTES)
    if mapping.choices:
        chosen = (
            champs.filter(pl.col("id") == mapping.choices.id)
            .select("number", "rank", said=pl.coalesce("list", pl.concat_list("text")))
            .explode("said", keep_nulls=False, empty_as_null=False)
            .drop_nulls("said")
            .with_columns(family=mapped(pl.col("said"), labels()["families"]))
        )
        notes = _note(chosen.filter(pl.col("family").is_null()), demarche, "unknown_protocol", mapping.choices.id)
        parts.append(chosen.select("number", "rank", "family"))
    held = pl.concat(parts).drop_nulls("family").unique().sort("number", "family", "rank")
    runs = held.with_columns(run=pl.col("rank") - pl.int_range(pl.len()).over("number", "family")).group_by(
        "number", "family", "run", maintain_order=True
    )
    dated = versions.select("number", "rank", on=_day("since"))
    spans = (
        runs.agg(first=pl.col("rank").min(), after=pl.col("rank").max() + 1)
        .join(dated.rename({"on": "effective_on", "rank": "first"}), on=["number", "first"], how="left")
        .join(dated.rename({"on": "until_on", "rank": "after"}), on=["number", "after"], how="left")
    )
    return spans.filter(pl.col("until_on").is_null() | (pl.col("until_on") > pl.col("effective_on"))), notes


def _members(mapping: FormMapping, now: pl.DataFrame, demarche: str, doubtful: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    parts = [_team(team, now, doubtful) for team in mapping.teams]
    rows = pl.concat([part for part, _ in parts]) if parts else pl.DataFrame(schema={"number": pl.Int64, **_MEMBER})
    said = [_note(part.filter(pl.col("role").is_null()), demarche, "unknown_role", champ) for part, champ in parts]
    number = rpps(rows.select("rpps", kind=pl.lit("s")).unique(), "rpps", "kind").select("rpps", "rpps_of")
    made = rows.join(number, on="rpps", how="left", maintain_order="left", nulls_equal=True).with_columns(rpps="rpps_of")
    return made.drop_nulls("role"), pl.concat([pl.DataFrame(schema=NOTES), *said])


_MEMBER = {"rpps": TEXT, "profession": TEXT, "role": TEXT, "piece_missing": FLAG, "piece_pending": FLAG}


def _team(team: TeamMapping, now: pl.DataFrame, doubtful: list[str]) -> tuple[pl.DataFrame, str | None]:
    """The members that one table tells, or the champs beside it: number and ``_MEMBER``; and the champ of the role."""
    if team.table:
        lined = (
            now.filter(pl.col("id") == team.table.id)
            .select("number", "rows")
            .explode("rows", keep_nulls=False, empty_as_null=False)
            .with_columns(row=pl.int_range(pl.len()).over("number"))
            .unnest("rows")
        )
        inner = (
            lined.select("number", "row", "champs").explode("champs", keep_nulls=False, empty_as_null=False).unnest("champs")
        )
    else:
        inner = now.with_columns(row=pl.lit(0, pl.Int64))
        lined = inner.filter(pl.col("id") == team.rpps.id)
    rows = lined.select("number", "row").unique().sort("number", "row")
    waits = (pl.element().struct.field("scan") == "pending") | pl.element().struct.field("md5").is_in(doubtful)
    read: dict[str, Champ | None] = {"rpps": team.rpps, "profession": team.profession, "role": team.role}
    for name, champ in read.items():
        rows = _joined(rows, inner, champ, clean(pl.col("text")).alias(name))
    files = (
        inner.filter(pl.col("id").is_in([champ.id for champ in team.pieces]))
        .group_by("number", "row")
        .agg(
            piece_missing=(pl.col("files").list.len() == 0).any(),
            piece_pending=pl.col("files").list.eval(waits).list.any().any(),
        )
    )
    rows = rows.join(files, on=["number", "row"], how="left", maintain_order="left")
    told = pl.col("rpps").is_not_null() | pl.col("profession").is_not_null() | pl.col("role").is_not_null()
    stated = pl.coalesce(mapped(pl.col("profession"), labels()["professions"]), "profession")
    role = mapped(pl.col("role"), form_words()["roles"])
    made = rows.filter(told).with_columns(
        profession=pl.lit(team.profession_is, TEXT) if team.profession_is else stated,
        role=pl.lit(team.role_is, TEXT) if team.role_is else role,
    )
    return made.select("number", *_MEMBER), team.role.id if team.role else None


def _events(found: pl.DataFrame) -> pl.DataFrame:
    """What befell each dossier. A decision taken back is none: only those after the last re-opening count."""
    treated = (
        found.select("number", "treatments").explode("treatments", keep_nulls=False, empty_as_null=False).unnest("treatments")
    )
    treated = treated.with_columns(
        at=_instant("at"),
        event=pl.col("event").str.strip_suffix("_automatiquement"),
        place=pl.int_range(pl.len()).over("number"),
    )
    reopened = pl.col("place").filter(pl.col("event").str.starts_with("repasse_")).max().over("number")
    ended = treated.filter(pl.col("event").is_in(list(ENDS)), reopened.is_null() | (pl.col("place") > reopened))
    # decided after it was last read, then deleted: the day of the deletion is the latest that the decision can have
    untold = (
        found.select("number", "deletion")
        .unnest("deletion")
        .filter(pl.col("state").is_in(list(ENDS.values())))
        .join(ended, on="number", how="anti")
    )
    again = treated.filter(pl.col("event").str.starts_with("depose_correction"))
    asked = found.select("number", "corrections").explode("corrections", keep_nulls=False, empty_as_null=False)
    asked = asked.unnest("corrections").filter(~pl.col("discarded"))
    gone = found.select("number", "deletion").unnest("deletion").drop_nulls("at")
    kept = pl.col("reason").is_in(RETENTION)
    parts = [
        ended.select("number", kind=pl.col("event").replace_strict(ENDS, return_dtype=TEXT), at="at"),
        untold.select("number", kind="state", at=_instant("at")),
        again.select("number", kind=pl.lit("redeposit"), at="at"),
        asked.select("number", kind=pl.lit("correction_asked"), at=_instant("asked_at"), reason="reason", subject="id"),
        asked.drop_nulls("resolved_at").select(
            "number", kind=pl.lit("correction_resolved"), at=_instant("resolved_at"), reason="reason", subject="id"
        ),
        gone.select(
            "number",
            kind=pl.when(kept).then(pl.lit("purged")).otherwise(pl.lit("withdrawn")),
            at=_instant("at"),
            reason="reason",
        ),
    ]
    rows = pl.concat(parts, how="diagonal")
    return rows.with_columns(on=_day("at"))
