"""Reading of references, payments and declarations: which dataset a file is, its rows as text, and what is never kept."""

import io
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from bordereaux import lines

from connectors import synthetic_references as synthetic
from connectors.dataset_lines import MAX_SPAN, Cut, cut_blocks
from connectors.datasets import DatasetRefused, Found, kept, read, recognise, scope_of
from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Plan, write_csv, write_ods, write_xlsx
from connectors.synthetic_bordereaux import rows_of as rows_of_bordereau
from contracts_schema.datasets import InvalidContract, datasets, load

ON = date(2026, 1, 5)
HEADER = "SIRET;Nom;Type\n"
ROW = "99900001100018;CPTS du Val Sablier;CPTS\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose name says nothing."""
    return tmp_path / "recu.dat"


def put(file: Path, content: bytes | str) -> Path:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def rows_of(file: Path, dataset: str | Found) -> pl.DataFrame:
    return pl.concat(read(file, dataset))


def refusal(file: Path, content: bytes | str, wanted: str | None = None) -> tuple[str, str]:
    with pytest.raises(DatasetRefused) as refused:
        recognise(put(file, content), wanted)
    return refused.value.rule, str(refused.value)


# --- which dataset


SAMPLES = {
    "structures": synthetic.structures(),
    "adhesions": synthetic.adhesions(),
    "attachments": synthetic.attachments(),
    "professionals": b"".join(synthetic.professionals()),
    "finess_et": b"".join(synthetic.finess_et(30, ON)),
    "finess_ej": synthetic.finess_ej(10, ON),
    "declarations": synthetic.declarations(synthetic.dossier("101", "2022-07-20T10:00+02:00", synthetic.siret(1), ["PH1"])),
    "payments": "N° de paiement;Caisse;SIRET;Ligne;Montant payé;Payé le\nP1;C01;99900001100018;;25,00;03/10/2022\n".encode(),
    "common_law": "Caisse;Clé patient;RPPS;Jour;Nature\nC01;p1;99900000011;2024-04-03;ordinaire\n".encode(),
    "centre_patients": "Caisse;FINESS;Année;Patientèle;File active\n311;990000051;2025;4000;5000\n".encode(),
    "centre_advances": "N° de paiement;Caisse;FINESS;Année;Avance;Payé le\nA1;311;990000051;2025;12,00;30/06/2025\n".encode(),
    "centre_hours": "Région;FINESS;Jour;Ouverture;Fermeture\n99;990000051;LUN;08:00;20:00\n".encode(),
    "centre_sites": "Région;Antenne;Site principal\n99;990000051;990000101\n".encode(),
    "crises": b"ars_region;date_debut;date_fin;texte\n99;2025-08-01;2025-08-31;canicule\n",
    "ecds_codes": b"code_source;section;code_hub;date_debut;date_fin;source\nACC1;rfs;CDS15-A1-HOR;2015-01-01;;guide\n",
    "software_releases": "Logiciel;Première version\nLogiciel fictif;2017-01-01\n".encode(),
    "expected_transmissions": "Région;FINESS;Champ\n99;990000010;MCO\n".encode(),
    "indicators": "SIRET;Année;Patients pris en charge\n99900001100018;2023;12\n".encode(),
}


@pytest.mark.parametrize("dataset", SAMPLES)
def test_each_dataset_is_recognised_by_its_content_alone(dataset: str, file: Path) -> None:
    found = recognise(put(file, SAMPLES[dataset]))
    assert found.dataset == dataset
    assert rows_of(file, found)["fault"].null_count() == rows_of(file, found).height > 0
    assert recognise(file, dataset) == found


def test_every_dataset_has_a_sample_a_status_and_a_source() -> None:
    assert set(SAMPLES) == set(datasets())
    assert {dataset.status for dataset in datasets().values()} <= {"official", "secondary", "proposal"}
    assert all(dataset.source.strip() for dataset in datasets().values())


def test_the_headers_that_the_page_on_centres_gives_to_copy_are_those_of_their_dataset(file: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "centres-de-sante.md").read_text(encoding="utf-8")
    block = page.split("En-têtes à\nrecopier :", 1)[1].split("```")[1]
    told = dict(reversed(line.rsplit(None, 1)) for line in block.splitlines()[1:])
    assert set(told) == {name for name in datasets() if name.startswith("centre_")} | {
        "crises",
        "ecds_codes",
        "software_releases",
    }
    for dataset, header in told.items():
        assert recognise(put(file, f"{header.strip()}\n{';' * header.count(';')}\n")).dataset == dataset


def test_columns_may_move_and_headings_be_written_otherwise(file: Path) -> None:
    told = "Ouverture ;Commentaire;  TYPE DE STRUCTURE;nom de la  structure;N° SIRET\n01/02/2020;x;CPTS;Val;99900001100018\n"
    found = recognise(put(file, told))
    assert (found.dataset, found.unknown) == ("structures", ("commentaire",))
    [row] = rows_of(file, found).iter_rows(named=True)
    assert (row["siret"], row["name"], row["kind"], row["opened_on"]) == ("99900001100018", "Val", "CPTS", "01/02/2020")


def test_a_column_that_the_contract_does_not_know_is_refused_since_it_could_change_a_right(file: Path) -> None:
    rule, message = refusal(file, "SIRET;Fondement;Début;Fin\n99900001100018;ACI;2020-01-01;2021-01-01\n")
    assert rule == "dataset.unknown_column"
    assert message.startswith("colonnes inconnues de adhesions : « fin » ; les renommer ou les retirer ; connues : SIRET, ")


@pytest.mark.parametrize("sign", [",", "\t", ";"])
def test_the_separator_is_found_among_those_declared(sign: str, file: Path) -> None:
    assert recognise(put(file, (HEADER + ROW).replace(";", sign))).delimiter == sign


def test_lines_above_the_header_are_passed_over(file: Path) -> None:
    found = recognise(put(file, "Liste des structures\n\n" + HEADER + ROW))
    assert rows_of(file, found)["line_number"].to_list() == [4]


@pytest.mark.parametrize("write", [write_xlsx, write_ods])
def test_a_workbook_is_read_as_its_csv(write: object, file: Path) -> None:
    cells = [line.split(";") for line in (HEADER + ROW).splitlines()]
    put(file, write([Plan([["Titre"], *cells])]))  # type: ignore[operator]
    found = recognise(file)
    [row] = rows_of(file, found).iter_rows(named=True)
    assert (row["line_number"], row["siret"], row["name"], row["kind"]) == (3, *cells[1])


def test_a_siret_that_a_spreadsheet_holds_as_a_number_is_its_digits(file: Path) -> None:
    put(file, write_xlsx([Plan([["SIRET", "Nom", "Type"], [99900001100018, "Val", "CPTS"]])]))
    assert rows_of(file, "structures")["siret"].to_list() == ["99900001100018"]


def test_two_sheets_with_the_same_header_are_refused(file: Path) -> None:
    cells = [line.split(";") for line in (HEADER + ROW).splitlines()]
    rule, message = refusal(file, write_xlsx([Plan(cells, "A"), Plan(cells, "B")]))
    assert (rule, "2 feuilles visibles" in message) == ("dataset.ambiguous_layout", True)


def test_a_bordereau_is_no_dataset_though_it_has_columns_of_one(file: Path) -> None:
    for fmt in ("csv", "xlsx"):
        rows = rows_of_bordereau(lines({}))
        content = write_csv(rows) if fmt == "csv" else write_xlsx([Plan(rows)])
        rule, message = refusal(file, content)
        assert (rule, "« RPPS »" in message) == ("dataset.unknown_layout", True)


# --- FINESS


@pytest.mark.parametrize("geolocated", [False, True])
def test_finess_is_told_by_its_first_lines_and_its_day_is_kept(geolocated: bool, file: Path) -> None:
    found = recognise(put(file, b"".join(synthetic.finess_et(30, ON, geolocated=geolocated))))
    assert found.layout == ("etalab-cs1100507" if geolocated else "etalab-cs1100502")
    assert (found.encoding, found.extracted_on) == ("latin-1", ON)
    rows = rows_of(file, found)
    assert rows.height == 30
    assert rows["finess"].to_list()[:2] == [fictional_finess("2A99", 0), fictional_finess("2A99", 1)]
    assert rows["name"].to_list()[:2] == ['LA "BELLE" ÉTOILE ; 0', "MAISON INVENTÉE 1"]
    assert rows["line_number"].to_list() == list(range(2, 32))


def test_a_finess_file_of_another_width_says_what_it_is_and_what_is_read(file: Path) -> None:
    whole = b"".join(synthetic.finess_et(3, ON)).replace(b"\r\n", b";\r\n")
    rule, message = refusal(file, whole.replace(b"structureet;", b"structureet;x;"))
    assert rule == "dataset.unknown_layout"
    assert "« structureet » à 34 champs" in message
    assert "structureet (32 champs)" in message


def test_a_record_of_another_kind_in_a_stock_of_one_kind_is_a_fault(file: Path) -> None:
    put(file, b"".join(synthetic.finess_et(30, ON)).replace(b"structureet;" + b"9", b"structurexx;9", 1))
    faults = rows_of(file, "finess_et")["fault"].drop_nulls().to_list()
    assert faults == ["record"]


# --- Annuaire santé


@pytest.mark.parametrize("columns", [56, 52])
def test_the_annuaire_is_mapped_by_name_whatever_its_number_of_columns(columns: int, file: Path) -> None:
    found = recognise(put(file, b"".join(synthetic.annuaire(20, columns))))
    assert (found.layout, found.width, found.personal) == ("annuaire-sante", columns, True)
    rows = rows_of(file, found)
    assert rows.height == 20
    assert rows["rpps"].to_list() == [synthetic.rpps(number + 1000) for number in range(20)]
    assert rows["profession"].to_list()[:2] == ["Infirmier", "Pharmacien"]
    assert set(rows["status_known"]) == {"non"}


def test_names_and_contact_data_of_the_annuaire_go_nowhere(file: Path) -> None:
    lines = b"".join(synthetic.annuaire(20)).splitlines(keepends=True)
    lines[5] = lines[5].replace(b"|", b"|x|", 1)
    found = recognise(put(file, b"".join(lines)))
    rows = rows_of(file, found)
    stored = rows.write_json() + b"".join(kept(file, found)).decode()
    assert rows["fault"].drop_nulls().len() == 1, "the line that cannot be cut is told, and its text is not kept"
    assert [planted for planted in synthetic.PERSON if planted in stored] == []
    assert found.workbook is None
    assert not any(planted in repr(found) for planted in synthetic.PERSON)


def test_what_is_kept_of_a_personal_file_is_read_back_as_the_same_rows(file: Path, tmp_path: Path) -> None:
    for content in (b"".join(synthetic.annuaire(20)), SAMPLES["declarations"], SAMPLES["professionals"]):
        found = recognise(put(file, content))
        again = put(tmp_path / "kept", b"".join(kept(file, found)))
        second = recognise(again, found.dataset)
        assert second.layout == found.layout
        columns = [column.name for column in datasets()[found.dataset].columns]
        assert rows_of(again, second).select(columns).equals(rows_of(file, found).select(columns))


def test_a_line_that_could_not_be_cut_stays_one_in_what_is_kept(file: Path, tmp_path: Path) -> None:
    content = SAMPLES["declarations"] + b"trop;court\r\n"
    found = recognise(put(file, content))
    again = put(tmp_path / "kept", b"".join(kept(file, found)))
    assert rows_of(again, "declarations")["fault"].null_count() == rows_of(file, found)["fault"].null_count()
    assert rows_of(again, "declarations").height == rows_of(file, found).height


def test_a_list_of_professionals_without_days_does_not_know_who_was_active_when(file: Path) -> None:
    assert set(rows_of(put(file, SAMPLES["professionals"]), "professionals")["status_known"]) == {"oui"}
    found = recognise(put(file, "RPPS;Profession\n99900000011;IDE\n"))
    assert (found.layout, rows_of(file, found)["status_known"].to_list()) == ("undated", ["non"])


# --- bad files


REFUSED = {
    "empty": (b"", "dataset.empty_file", "fichier vide"),
    "blank": (b"\xef\xbb\xbf \r\n\r\n", "dataset.empty_file", "fichier vide"),
    "other": (b"a;b;c\n1;2;3\n", "dataset.unknown_layout", "« a », « b », « c »"),
    "lacking": (b"SIRET;Nom\n1;2\n", "dataset.unknown_layout", "pour structures il manque : Type"),
    "twice": (b"SIRET;Nom;Type;n\xc2\xb0 siret\n", "dataset.column_twice", "« SIRET »"),
    "json": (b'[{"ege": "990000017"}]', "dataset.unreadable", "FINESS+"),
    "pdf": (b"%PDF-1.7", "dataset.unreadable", "document PDF"),
    "utf-16": (HEADER.encode("utf-16"), "dataset.encoding", "UTF-16"),
    "zip": (b"PK\x03\x04 broken", "dataset.unreadable", "archive"),
    "finess": (b"finess;etalab;93;2026-01-05\r\n", "dataset.unknown_layout", "sans enregistrement"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_dataset_is_refused_with_what_was_found(case: str, file: Path) -> None:
    content, rule, told = REFUSED[case]
    assert refusal(file, content)[0] == rule
    assert told in refusal(file, content)[1]


def test_a_refusal_names_the_datasets_that_exist_and_no_value(file: Path) -> None:
    _, message = refusal(file, "Nom;99900001100018\nDUPONT;1\n")
    assert all(name in message for name in datasets())
    assert "DUPONT" not in message
    assert "99900001100018" not in message
    assert refusal(file, HEADER, "nimporte")[1].startswith("jeu de données « nimporte » inconnu ; existent : adhesions")


def test_latin_1_is_read_where_it_is_declared_and_refused_elsewhere(file: Path) -> None:
    put(file, (HEADER + "99900001100018;Santé;CPTS\n").encode("cp1252"))
    assert recognise(file).encoding == "cp1252"
    assert rows_of(file, "structures")["name"].to_list() == ["Santé"]
    rule, message = refusal(file, b"".join(synthetic.annuaire(3)).decode().encode("latin-1"))
    assert (rule, "octet" in message, "UTF-8" in message) == ("dataset.encoding", True, True)


def test_a_letter_of_two_bytes_is_utf_8_wherever_a_block_ends(file: Path) -> None:
    pad = (1 << 23) - len((HEADER + "99900001100018;").encode()) - 1
    put(file, HEADER + "99900001100018;" + "x" * pad + "é;CPTS\n")
    assert recognise(file).encoding == "utf-8"


def test_a_file_cut_short_says_so_on_its_last_line(file: Path) -> None:
    put(file, HEADER + ROW + ROW[:20])
    assert rows_of(file, "structures")["fault"].to_list() == [None, "cut"]
    put(file, HEADER + ROW + ROW.rstrip())
    assert rows_of(file, "structures")["fault"].to_list() == [None, None], "a whole line without its end is whole"


def test_a_file_cut_inside_a_letter_is_still_utf_8_and_cut(file: Path) -> None:
    for last in ("99900002900010;MSP;Sant", '99900002900010;MSP;"Sant'):
        put(file, ("SIRET;Type;Nom\n99900001100018;CPTS;Été\n" + last + "é").encode()[:-1])
        rows = rows_of(file, "structures")
        assert (rows["fault"].to_list(), rows["name"].to_list()) == ([None, "cut"], ["Été", None])


def test_mixed_encodings_are_refused_not_read_as_the_wrong_one(file: Path) -> None:
    rule, message = refusal(
        file, (HEADER + "99900001100018;Santé;CPTS\n").encode() + "99900002900010;Été;MSP\n".encode("cp1252")
    )
    assert (rule, "encodages mélangés" in message) == ("dataset.encoding", True)


def test_one_bad_line_never_costs_the_others(file: Path) -> None:
    bad = ["a;b\n", 'x";"y;z;t\n', '"ouvert;b;CPTS\n', "a\x01;b;c\n", "1;2;3;4\n"]
    put(file, HEADER + ROW + "".join(line + ROW for line in bad))
    rows = rows_of(file, "structures")
    assert rows["siret"].drop_nulls().to_list() == ["99900001100018"] * (len(bad) + 1)
    assert rows["fault"].drop_nulls().to_list() == ["columns:2/3", "quote", "quote", "control", "columns:4/3"]


def test_two_stray_quotes_never_cost_the_lines_between_them(file: Path) -> None:
    put(file, HEADER + '"ouvert;b;CPTS\n' + ROW * 5 + '"encore;b;CPTS\n' + ROW)
    rows = rows_of(file, "structures")
    assert rows["siret"].drop_nulls().len() == 6
    assert rows["fault"].drop_nulls().to_list() == ["quote", "quote"]


# --- blocks


CUT = Cut("utf-8", ";", True, 3, 2, {"a": 0, "c": 2}, None, (), False)


def cut_of(content: bytes, chunk: int) -> pl.DataFrame:
    stream = io.BytesIO(content)
    return pl.concat(cut_blocks(iter(lambda: stream.read(chunk), b""), CUT))


def test_blocks_of_any_size_give_the_same_rows() -> None:
    lines = [
        "a;b;c",
        "1;é;3",
        '"de\nux";"x ""y""";"lignes\r\n;"',
        "",
        ";;",
        '4;"5";6',
        '"trois\n\n\nlignes";1;2',
        "7;8",
        "9;9;9",
    ]
    content = ("\ufeff" + "\r\n".join(lines)).encode()
    whole = cut_of(content, 1 << 20)
    assert whole["a"].to_list() == ["1", "de\nux", "4", "trois\n\n\nlignes", None, "9"]
    assert whole["line_number"].to_list() == [2, 3, 8, 9, 13, 14]
    starts = whole["byte_offset"].to_list()
    assert [content[start : start + 2].decode(errors="replace") for start in starts] == ["1;", '"d', "4;", '"t', "7;", "9;"]
    for chunk in (7, 64, 97):
        assert cut_of(content, chunk).equals(whole), chunk


def test_a_record_spans_a_bounded_number_of_lines() -> None:
    long = '"' + "\n" * (MAX_SPAN + 5) + '";b;c\n'
    rows = cut_of(b"a;b;c\n" + long.encode() + b"1;2;3\n", 1 << 20)
    assert rows["fault"].to_list()[0] == "quote"
    assert rows["a"].to_list()[-1] == "1"


def test_a_line_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.dataset_lines.MAX_LINE", 1000)
    blocks = list(cut_blocks((b"x" * 300 for _ in range(50)), CUT))
    assert max(len(frame["raw"][0]) for frame in blocks if frame.height) <= 1500
    assert all(frame["fault"].null_count() == 0 for frame in blocks)


# --- scopes and contracts


def test_a_file_of_one_caisse_or_demarche_has_its_scope_and_a_mixed_one_is_refused(file: Path) -> None:
    assert scope_of(put(file, SAMPLES["payments"]), recognise(file)) == "payments/C01"
    assert scope_of(put(file, SAMPLES["declarations"]), recognise(file)) == "declarations/1"
    assert scope_of(put(file, SAMPLES["structures"]), recognise(file)) == "reference/structures"
    put(file, SAMPLES["payments"] + b"P2;C02;99900001100018;;25,00;03/10/2022\n")
    with pytest.raises(DatasetRefused, match=r"« Caisse » doit porter la même valeur .* 2 trouvée"):
        scope_of(file, recognise(file))


@pytest.mark.parametrize(("change", "told"), [
    (("type: cents", "type: euros"), "type vaut l'un de text, day, cents"),
    (("keys: [payment_id]", "keys: [nothing]"), "« nothing » n'est pas une colonne"),
    (("headings: [payé le,", "headings: [montant,"), "intitulé donné à deux colonnes : montant"),
    (("status: proposal\n", ""), "il manque le champ 'status'"),
    (("identifier: siret", "identifiant: siret"), "champ inconnu"),
])  # fmt: skip
def test_a_mistake_in_a_contract_is_named(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "contracts_schema" / "datasets" / "payments.yaml"
    text = source.read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "payments.yaml").write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InvalidContract, match=r"contrat payments\.yaml") as wrong:
        load(tmp_path / "payments.yaml")
    assert told in str(wrong.value)
