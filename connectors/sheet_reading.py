"""From the bytes of a spreadsheet of any of the three formats to its cells. Runs in the child process."""

from typing import Any

from connectors import sheet_csv, sheet_ods, sheet_xlsx
from connectors.sheet_archive import open_archive, true_format
from connectors.sheet_cells import FileCells


def read(content: bytes, dialect: dict[str, Any]) -> FileCells:
    """The cells of a file, by what it is and not by its name; ``dialect``: delimiters, encodings and quote of a CSV."""
    kind = true_format(content)
    if kind == "csv":
        return sheet_csv.read(content, dialect["delimiters"], dialect["encodings"], dialect["quote"])
    archive = open_archive(content)
    return sheet_xlsx.read(archive) if kind == "xlsx" else sheet_ods.read(archive)
