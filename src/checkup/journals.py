"""Runs recorded as going on without a process, torn or damaged journals, what is undelivered."""

from collections.abc import Iterator

from src.checkup.finding import Finding
from src.checkup.place import Place
from src.errors import UserError
from src.tracking import closing, journal
from src.tracking.journal import Journal
from src.tracking.outstanding import load_delivery, outstanding


def examine(place: Place) -> Iterator[Finding]:
    """What is wrong with the journal of a run that nothing writes any more."""
    held = place.journal
    if held is not None and held.damage:
        yield Finding(
            place.folder,
            "journal",
            place.name,
            held.damage,
            "put back a copy of the file; what is before the damage is delivered",
        )
        return
    if held is not None and held.torn:
        yield Finding(
            place.folder,
            "torn",
            place.name,
            f"{journal.FILE_NAME} ends with {held.torn:,} bytes of a line torn by a kill",
            "drop the torn line; every whole line stays",
            lambda: _open(place),
        )
    if held is None or not held.begun:
        if held is None or held.end is None:
            yield Finding(
                place.folder,
                "unbegun",
                place.name,
                "claimed by a process that is gone before its training began",
                "record it as KILLED",
                lambda: _close(place, never_began=True),
            )
    elif held.end is None:
        yield Finding(
            place.folder,
            "unended",
            place.name,
            f"recorded as going on, but its process is gone{_amounts(place)}",
            "record it as KILLED (resume goes on with it all the same)",
            lambda: _close(place),
        )
    yield from _undelivered(place)


def _open(place: Place) -> None:
    Journal(place.folder / journal.FILE_NAME).close()  # opening drops what is torn


def _close(place: Place, *, never_began: bool = False) -> None:
    if not closing.close(place.folder, never_began=never_began):
        raise UserError("a process writes it, or closed it; nothing was changed")


def end_is_unknown(place: Place) -> bool:
    """Whether the run has an end that its store doesn't know; one without is closed first."""
    if place.record.tracking_uri is None or place.journal is None or place.journal.end is None:
        return False
    status = load_delivery(place.folder).get("status")
    return status != "delivered" or bool(outstanding(place.folder))


def _undelivered(place: Place) -> Iterator[Finding]:
    if place.being_delivered or not end_is_unknown(place):
        return
    error = load_delivery(place.folder).get("error")
    reason = f" ({error})" if error else ""
    yield Finding(
        place.folder,
        "undelivered",
        place.name,
        f"ended{_amounts(place) or ', its end undelivered'}{reason}",
        f"deliver it to {place.record.tracking_uri}",
        delivers=True,
    )


def _amounts(place: Place) -> str:
    left = outstanding(place.folder) if place.record.tracking_uri else {}
    return f", undelivered: {', '.join(f'{count} {what}' for what, count in left.items())}" * bool(
        left
    )
