"""Train: `python -m src.train [-m] [overrides]`.

One story: check the configuration, load the data, build, train, close. TensorFlow is imported once
the configuration is known to be sound.
"""

import sys
from pathlib import Path

SOURCES = str(Path(__file__).resolve().parent)
if SOURCES not in sys.path:  # where Hydra looks for hydra_plugins; last, so that it shadows nothing
    sys.path.append(SOURCES)

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from src import execution, preflight, sweep  # noqa: E402
from src.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError  # noqa: E402


@hydra.main(config_path="../conf", config_name="config", version_base="1.3")
def _main(composed: DictConfig) -> float | None:
    return execution.run(composed)


def main() -> None:
    """Run the command and exit with its code (see `src.errors`)."""
    try:
        preflight.check_overrides(sys.argv[1:])
        _main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sweep.abandon("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit:
        sweep.abandon("interrupted")
        raise
    sys.exit(sweep.exit_code())


if __name__ == "__main__":
    main()
