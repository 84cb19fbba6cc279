"""What the events of ranks change: who they are, and what each has done since its process started."""

from grambench.events import types as ev
from grambench.events.folding.folded import Folded, Handler
from grambench.events.state import GroupState, RankState, Stretch, TrialState


def _ranks_launched(known: Folded, _: str, event: ev.RanksLaunched) -> None:
    known.trial(event.trial).group = GroupState(event)


def _group_formed(known: Folded, source: str, event: ev.GroupFormed) -> None:
    trial = known.trial(source)
    before = trial.group or GroupState()
    trial.restarts += max(0, event.attempt - (before.formed.attempt if before.formed else 0))
    trial.group = GroupState(before.launched, event)


def _rank_started(known: Folded, source: str, event: ev.RankStarted) -> None:
    _group_of(known.trial(source)).ranks[event.rank] = RankState(event)


def _rank_sample(known: Folded, source: str, event: ev.RankSample) -> None:
    trial = known.trial(source)
    group = _group_of(trial)
    rank = group.ranks.setdefault(event.rank, RankState())
    rank.before, rank.sample, rank.seen_s = rank.sample, event, known.state.elapsed_s
    group.steps = (trial.progress.step if trial.progress else 0) - group.began_step


def _group_of(trial: TrialState) -> GroupState:
    """The trial's ranks; those of a damaged log may never have been started."""
    trial.group = trial.group or GroupState()
    return trial.group


def measure(trial: TrialState) -> None:
    """A window has closed: its counters belong to the ranks that train now."""
    size, counters, found = trial.group.size if trial.group else 1, trial.settled, trial.stretches
    if counters is None:
        return
    if found and found[-1].size == size:
        found[-1].last = counters
    else:
        from_step = trial.resumed_steps[-1] if trial.resumed_steps else 0
        found.append(Stretch(size, from_step, counters if from_step else None, counters))


def resume(trial: TrialState, step: int) -> None:
    """Training resumes after so many CF steps: drop what nothing is left of."""
    if trial.group is not None:
        trial.group.began_step = step
    trial.stretches = [each for each in trial.stretches if each.from_step < step]


HANDLERS: dict[type[ev.Event], Handler] = {
    ev.RanksLaunched: _ranks_launched,
    ev.GroupFormed: _group_formed,
    ev.RankStarted: _rank_started,
    ev.RankSample: _rank_sample,
}
