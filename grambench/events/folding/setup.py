"""What the setup worker's events change: the newest of each type is kept."""

from grambench.events import types as ev
from grambench.events.folding.folded import Folded, Handler


def _newest(attribute: str) -> Handler:
    def keep(known: Folded, _: str, event: ev.Event) -> None:
        setattr(known.state.setup, attribute, event)

    return keep


def _files_checked(known: Folded, _: str, event: ev.FilesChecked) -> None:
    known.state.setup.checks[event.subject] = event


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.PrepareProgress: _newest("prepare"),
    ev.DataPrepared: _newest("data"),
    ev.FilesChecked: _files_checked,
    ev.EngineChosen: _newest("engine"),
    ev.EncoderChecked: _newest("encoder"),
    ev.AuditFinished: _newest("audit"),
}
