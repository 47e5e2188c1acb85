"""The rows of the benchmark, in the order of the table; a file for each subject."""

from src.benchmarks.bench import Row
from src.benchmarks.rows import (
    fused_members,
    jobs,
    memory,
    run,
    startup,
    sweeps,
    tracking,
    updates,
)

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        *updates.ROWS,
        fused_members.ROW,
        run.ROW,
        sweeps.BASIC,
        sweeps.FUSED,
        jobs.ROW,
        tracking.ROW,
        startup.FIRST_UPDATE,
        startup.HELP,
        memory.ROW,
    )
}
