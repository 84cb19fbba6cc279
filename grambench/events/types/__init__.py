"""Every event that a log may hold, by the place that writes it (`codec.py` has the form of a line).

Workers write trial events into `<trial>/events.jsonl`, the supervisor its own into
`supervisor.jsonl`. Durations are in seconds (`_s`), sizes in bytes, counters run from the start of the
trial. A field that could not be measured is None, and `reasons` says why where an event carries it.

All are imported from here, so that the log's reader knows each of them: a new event is a class in one of
these modules, and a line below.
"""

from grambench.events.types.adaptation import StatesCached as StatesCached
from grambench.events.types.base import Event as Event
from grambench.events.types.base import Outcome as Outcome
from grambench.events.types.base import Phase as Phase
from grambench.events.types.machine import GpuAbsent as GpuAbsent
from grambench.events.types.machine import GpuSample as GpuSample
from grambench.events.types.machine import HostSample as HostSample
from grambench.events.types.machine import ProcessSample as ProcessSample
from grambench.events.types.machine import SamplerFinished as SamplerFinished
from grambench.events.types.ranks import GroupFormed as GroupFormed
from grambench.events.types.ranks import RankSample as RankSample
from grambench.events.types.ranks import RanksLaunched as RanksLaunched
from grambench.events.types.ranks import RankStarted as RankStarted
from grambench.events.types.run import DecisionLooked as DecisionLooked
from grambench.events.types.run import Marked as Marked
from grambench.events.types.run import Preloading as Preloading
from grambench.events.types.run import RunFinished as RunFinished
from grambench.events.types.run import RunPaused as RunPaused
from grambench.events.types.run import RunResumed as RunResumed
from grambench.events.types.run import RunStarted as RunStarted
from grambench.events.types.run import TrialDropped as TrialDropped
from grambench.events.types.run import TurnGranted as TurnGranted
from grambench.events.types.run import WorkerExited as WorkerExited
from grambench.events.types.run import WorkerSpawned as WorkerSpawned
from grambench.events.types.setup import AuditFinished as AuditFinished
from grambench.events.types.setup import DataPrepared as DataPrepared
from grambench.events.types.setup import EncoderChecked as EncoderChecked
from grambench.events.types.setup import EngineChosen as EngineChosen
from grambench.events.types.setup import FilesChecked as FilesChecked
from grambench.events.types.setup import PrepareProgress as PrepareProgress
from grambench.events.types.trial import CheckpointSaved as CheckpointSaved
from grambench.events.types.trial import Diverged as Diverged
from grambench.events.types.trial import EpochFinished as EpochFinished
from grambench.events.types.trial import Evaluated as Evaluated
from grambench.events.types.trial import PredictionsWritten as PredictionsWritten
from grambench.events.types.trial import Progress as Progress
from grambench.events.types.trial import StalenessMeasured as StalenessMeasured
from grambench.events.types.trial import TrialForecast as TrialForecast
from grambench.events.types.trial import TrialPlanned as TrialPlanned
from grambench.events.types.trial import TrialResumed as TrialResumed
from grambench.events.types.trial import WarmedUp as WarmedUp
from grambench.events.types.trial import WindowClosed as WindowClosed
from grambench.events.types.worker import PhaseEntered as PhaseEntered
from grambench.events.types.worker import ProcessStopped as ProcessStopped
from grambench.events.types.worker import TrialFinished as TrialFinished
from grambench.events.types.worker import TurnEnded as TurnEnded
from grambench.events.types.worker import Warned as Warned
from grambench.events.types.worker import WorkerStarted as WorkerStarted
