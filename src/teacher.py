"""The run that `step.teacher` names: a student's result depends on its weights."""

import json
from pathlib import Path

from src import resume
from src.config import Config
from src.errors import UserError

CHECKPOINT_FILES = "checkpoints/*/manifest.json"
BEST = "best.safetensors"
KEY, DIGEST = "teacher", "teacher_sha256"


def pinned(config: Config, outputs: Path) -> Config:
    """The configuration with the digest of its teacher's weights, where it has a teacher.

    With it the run's record says what it learnt from, and it resumes with the same teacher alone.

    Raises:
        UserError: there is no such run or it has no validated checkpoint yet.
    """
    arguments = config.step.arguments
    if DIGEST not in arguments:
        return config
    wanted, given = arguments[KEY], arguments[DIGEST]
    if wanted is None:
        raise UserError("step.teacher: name the run to learn from, by its id or folder")
    folder = resume.named(str(wanted), outputs, "step.teacher")
    found = checked(str(wanted), folder, given)
    step = config.step.model_copy(update={KEY: _stable(str(wanted), folder), DIGEST: found})
    return config.model_copy(update={"step": step})


def checked(wanted: str, folder: Path, expected: str | None) -> str:
    """The digest of the best weights of the run in `folder`, held against the one expected.

    Raises:
        UserError: it has none yet, or other ones.
    """
    found = _digest(folder)
    if found is None:
        raise UserError(
            f"step.teacher={wanted}: no epoch of that run has been validated and saved yet"
        )
    if expected not in (None, found):
        raise UserError(
            f"step.teacher={wanted}: its best weights are no longer those of "
            f"step.teacher_sha256={expected}; leave that key out to learn from those it has now"
        )
    return found


def _stable(wanted: str, folder: Path) -> str:
    """What names the teacher from any working directory: an id as it is, a folder absolute."""
    return str(folder) if Path(wanted).expanduser().exists() else wanted


def _digest(folder: Path) -> str | None:
    """The digest of the newest checkpoint's best weights, by its manifest; None without any.

    Whether the file is what the manifest says is found out when it is loaded.
    """
    # Others are being written, or set aside as damaged.
    found = [path for path in folder.glob(CHECKPOINT_FILES) if path.parent.name.isdigit()]
    for path in sorted(found, key=lambda path: int(path.parent.name), reverse=True):
        try:
            files = json.loads(json.loads(path.read_bytes())["manifest"])["files"]
            return str(files[BEST]["sha256"]) if BEST in files else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"step.teacher: {path} can't be read; it is damaged") from error
    return None
