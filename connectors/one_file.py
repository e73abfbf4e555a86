"""What all deliveries of one file have in common; what they are is told by the module of each source."""

from pathlib import Path


class OneFile:
    """A delivery that is one file, no archive."""

    path: Path
    archive = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def received(self) -> list[Path]:
        """The file as received."""
        return [self.path]
