"""Train: `python -m src.train [-m] [overrides]`.

One story: check the configuration, load the data, build, train, close. TensorFlow is imported once
the configuration is known to be sound.
"""

import sys
from pathlib import Path
from types import ModuleType

SOURCES = str(Path(__file__).resolve().parent)
if SOURCES not in sys.path:  # where Hydra looks for hydra_plugins; last, so that it shadows nothing
    sys.path.append(SOURCES)

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from src.arguments import check_overrides  # noqa: E402
from src.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_USER_ERROR, UserError  # noqa: E402


@hydra.main(config_path="../conf", config_name="config", version_base="1.3")
def _main(composed: DictConfig) -> float | None:
    from src import execution  # --help and what Hydra refuses have no use for it

    return execution.run(composed)


def main() -> None:
    """Run the command and exit with its code (see `src.errors`)."""
    try:
        check_overrides(sys.argv[1:])
        _main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        _abandon_sweep(EXIT_INTERRUPTED)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as ended:
        _abandon_sweep(ended.code)
        raise
    sys.exit(sweep.exit_code() if (sweep := _sweep()) else 0)


def _abandon_sweep(code: str | int | None) -> None:
    if sweep := _sweep():
        interrupted = code in (EXIT_INTERRUPTED, EXIT_TERMINATED)
        sweep.abandon(sweep.INTERRUPTED if interrupted else "the command was refused")


def _sweep() -> ModuleType | None:
    """`src.sweep`, where a callback in conf/ had Hydra import it: else there was no job."""
    return sys.modules.get("src.sweep")


if __name__ == "__main__":
    main()
