"""`nastool report --verify`: every figure that can be computed again from the files of a run is."""

from toolchain.run_report.comparison import Comparison, Verification
from toolchain.run_report.run_files import RunFiles
from toolchain.run_report.verify_files import (
    verify_exports,
    verify_front,
    verify_journals,
    verify_page,
    verify_retrained,
    verify_shrink,
)
from toolchain.run_report.verify_winners import verify_winners


def verify(files: RunFiles) -> Verification:
    """Compare the figures in a run's files with each other, with its space and with the latency table.

    Raises:
        BadDocument, BadConfig, BadCheckpoint: a file is damaged, or is of another space; it is named.
    """
    compared = Comparison()
    for part in (
        verify_winners,
        verify_journals,
        verify_front,
        verify_retrained,
        verify_exports,
        verify_shrink,
        verify_page,
    ):
        part(files, compared)
    return compared.result()
