"""What a run does but train: `python -m tests.torture.start_only OUTPUTS`.

It claims its folder, writes its journal, has its store made and is delivered: all that can collide
with other processes, without the seconds that TensorFlow takes.
"""

import sys
from pathlib import Path

from src import naming
from src.tracking.record import RunRecord
from src.tracking.shipping import ShipperProcess
from src.tracking.tracker import Tracker
from tests.tracking.runs import losses


def main() -> None:
    """Start, record two epochs, and wait for the delivery."""
    outputs = Path(sys.argv[1]).absolute()
    uri = f"sqlite:///{outputs / 'mlflow.db'}"
    shipper = ShipperProcess.start(uri)
    shipper.prepare(pictures=False)
    identifier = naming.new_id()
    folder = outputs / "runs" / identifier
    record = RunRecord(
        id=identifier, name="n", tracking_uri=uri, artifacts="none", experiment="research"
    )
    record.claim(folder, {"config.yaml": "{}\n"})
    tracker = Tracker(folder, record)
    tracker.begin()
    shipper.ship(folder)
    for epoch in (1, 2):
        tracker.updates(10 * epoch - 9, losses(10), losses(10))
        tracker.metrics(epoch, {"train/loss": 1 / epoch})
    tracker.end("FINISHED", "", 20, 2)
    delivery = shipper.finish(300)
    if not delivery.delivered:
        sys.exit(f"undelivered: {delivery.error}")


if __name__ == "__main__":
    main()
