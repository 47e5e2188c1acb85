"""A run's files on their way into the store."""

import json
from pathlib import Path

from src.tracking import limits
from src.tracking.paths import inside, write_json_atomically
from src.tracking.store import Store


def upload(store: Store, folder: Path, run_id: str, relative: str) -> str | None:
    """Store the artifact `relative` of the run in `folder`; a text where that can never be.

    Raises:
        StoreError: the store did not take it.
    """
    try:
        path = inside(folder / "artifacts", relative)
    except ValueError as error:
        return f"artifact not delivered: {error}"
    if not path.is_file():
        return f"artifact {relative} is missing in {folder}"
    parent = Path(relative).parent.as_posix()
    store.upload(run_id, path, None if parent == "." else parent)
    return None


def keep_whole(
    store: Store, folder: Path, run_id: str, params: limits.Changed, tags: limits.Changed
) -> None:
    """Store what MLflow's limits changed as artifacts. Raises StoreError."""
    for name, changed in ((limits.PARAMS_FILE, params), (limits.TAGS_FILE, tags)):
        if changed:
            path = folder / "artifacts" / name
            path.parent.mkdir(exist_ok=True)
            held = json.loads(path.read_text("utf-8")) if path.exists() else {}
            write_json_atomically(path, {**held, **changed})
            store.upload(run_id, path, None)
