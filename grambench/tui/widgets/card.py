"""One trial at a glance: fixed slots that never wrap, in four sizes."""

import re
from math import ceil

from textual.content import Content

from grambench.analysis import comparison
from grambench.analysis.ranks import slowness, waiting_share
from grambench.events.disturbance import disturbances
from grambench.events.state import TrialState
from grambench.text import safe_text
from grambench.tui.layout import Density
from grambench.tui.line_parts import Parts, bar, big_digits, ends, fill, pair, shortened, styled
from grambench.tui.palette import state_colour
from grambench.tui.scene import Scene
from grambench.tui.widgets.text import Lines
from grambench.views import numbers
from grambench.views.comparison_table import best_score, memory_of, test_score

_SLOWER, _STRAGGLES = 0.005, 0.2
"""How much longer than the median rank the slowest computes before it is named, and before it is marked."""


class Card(Lines):
    """The card of one trial."""

    def __init__(self, name: str) -> None:
        super().__init__(classes="card")
        self.trial_name = name
        self._density = Density.NORMAL
        self._frame: tuple[object, ...] = ()

    def show(self, scene: Scene, density: Density) -> None:
        """Draw the trial as `scene` knows it."""
        self._scene, self._density = scene, density
        trial = scene.state.trials[self.trial_name]
        word, look = scene.state_word(trial), scene.look(trial)
        frame = (density, word, look, scene.title(trial), scene.tones)
        if frame != self._frame:
            self._frame = frame
            self._draw_frame(scene, trial, word)
        self._draw()

    def _draw_frame(self, scene: Scene, trial: TrialState, word: str) -> None:
        """Name and state are in the border, which is muted in an inactive state."""
        look = scene.look(trial)
        colour = state_colour(word, scene.tones, look.colour)
        line = self._density == Density.LINE
        self.set_class(line, "-line")
        self.border_title = styled(f"{look.marker} {scene.title(trial)}", f"bold {look.colour}")
        self.border_subtitle = styled(word, colour)
        calm = word in ("waiting", "paused", "not run", "done", "early-stopped")
        self.styles.border = ("none" if line else "round", scene.tones.faint if calm else colour)

    def compose_lines(self, scene: Scene) -> Content:
        """The slots of the card's density."""
        width = self.content_size.width
        if width < 4:
            return Content("")
        slots = _Slots(scene, scene.state.trials[self.trial_name], width)
        lines = {
            Density.LINE: slots.one_line,
            Density.COMPACT: slots.compact,
            Density.NORMAL: slots.normal,
            Density.TALL: slots.tall,
        }[self._density]()
        if len(lines) < self.content_size.height:
            lines.append(slots.ranks())
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def _short(word: str) -> str:
    return {"early-stopped": "early stop", "interrupted": "interrupt."}.get(word, word)


class _Slots:
    """The slots of a card, `width` cells wide."""

    def __init__(self, scene: Scene, trial: TrialState, width: int) -> None:
        self.scene, self.trial, self.width = scene, trial, width
        self.tones, self.look = scene.tones, scene.look(trial)
        self.quiet, self.bright = scene.tones.muted, f"bold {scene.look(trial).colour}"

    # --- the four sizes ------------------------------------------------------------------------

    def tall(self) -> list[Content]:
        """Big digits, R and pace beside them, then the slots of the normal card but the first."""
        digits = big_digits(numbers.ratio(self._speedup()))
        beside = [self._reuse(), self._pace(), Content("")]
        rows = []
        for index, (digit, right) in enumerate(zip(digits, beside, strict=True)):
            left = styled(digit, self.bright)
            if index == 2:
                left = Content.assemble(left, (" ×", self.bright), (" E2E", self.quiet))
            rows.append(ends([(9, left)], [(1, right)], self.width))
        return [*rows, *self.normal()[1:]]

    def normal(self) -> list[Content]:
        """Speed-up and R; progress; rate; metric; memory."""
        return [
            ends(self._headline(), [(6, self._reuse())], self.width),
            self._progress(),
            self._trouble() or self._rate(),
            self._metric(),
            self._memory(),
        ]

    def compact(self) -> list[Content]:
        """Speed-up, metric and R; progress or what went wrong."""
        best = [(3, self._best())] if self.width >= 34 else []
        right = self._marks()[:2] or [*best, (2, Content.assemble(" ", self._reuse()))]
        return [ends(self._headline(), right, self.width), self._trouble() or self._progress()]

    def one_line(self) -> list[Content]:
        """Everything in one line, no frame: marker, name, state, speed-up, R, epoch, best."""
        word = self.scene.state_word(self.trial)
        others = self.scene.state.trials.values()
        longest_word = max(len(_short(self.scene.state_word(other))) for other in others)
        colour = state_colour(word, self.tones, self.look.colour)
        name = f"{self.look.marker} {self.scene.title(self.trial)}"
        longest = max(len(self.scene.title(other)) for other in others)
        time = f"took {self._clock():>6}" if self.trial.ended else f"{self._clock():>6} left"
        parts = [
            (9, styled(name.ljust(longest + 2), self.bright)),
            (8, styled(_short(word).ljust(longest_word), colour)),
            (7, styled(f"{numbers.times(self._speedup()):>6}", self.bright)),
            (4, Content.assemble(("R ", self.quiet), (f"{numbers.ratio(self._r()):<4}", self.tones.text))),
            (5, styled(f"{self._epochs():>5}", self.tones.text)),
            (6, Content.assemble((f"{self._title()} ", self.quiet), (self._best_score(), self.tones.text))),
            (3, styled(time, self.quiet)),
        ]
        return [fill([*parts, *self._marks()[:2], *self._ranks(least=-1)], self.width, " ")]

    # --- the slots -----------------------------------------------------------------------------

    def _headline(self) -> Parts:
        return [(9, styled(numbers.times(self._speedup()), self.bright)), (4, styled("E2E", self.quiet))]

    def _reuse(self) -> Content:
        return Content.assemble(("R ", self.quiet), (numbers.ratio(self._r()), self.tones.text))

    def _pace(self) -> Content:
        seconds = numbers.seconds(comparison.seconds_per_epoch(self.trial))
        return Content.assemble((seconds, self.tones.text), (" s/epoch", self.quiet))

    def _progress(self) -> Content:
        left = Content.assemble(
            ("epoch " if self.width >= 34 else "", self.quiet), (self._epochs(), self.tones.text)
        )
        label = "took " if self.trial.ended else "ETA "
        right = Content.assemble((label, self.quiet), (self._clock(), self.tones.text))
        # fixed widths for the texts, so that the bar does not jump
        room = self.width - (14 if self.width >= 34 else 8) - 12
        done = bar(self._share(), max(4, room), self.look.colour, self.tones.faint)
        return ends([(1, done), (8, left)], [(9, right)], self.width)

    def _rate(self) -> Content:
        rate = self.trial.rate if not self.trial.ended else comparison.samples_per_second(self.trial)
        left = [(9, styled(numbers.rate(rate), self.tones.text)), (4, styled("samples/s", self.quiet))]
        blocks = numbers.sparkline(self.trial.rate_series.ys, min(24, self.width - 19))
        return ends(left, self._marks() or [(1, styled(blocks, self.look.colour))], self.width)

    def _metric(self) -> Content:
        evaluations, name = self.trial.evaluations, self.scene.state.select_by
        newest = evaluations[-1].metrics.get(name) if evaluations else None
        left = [(9, styled(self._title(), self.quiet)), (7, styled(numbers.score(newest), self.tones.text))]
        if self.trial.test is not None and self.width >= 40:
            test = numbers.score(test_score(self.scene.state, self.trial))
            left.append((2, Content.assemble((" test ", self.quiet), (test, f"bold {self.tones.text}"))))
        return ends(left, [(8, self._best())], self.width)

    def _best(self) -> Content:
        return Content.assemble(("best ", self.quiet), (self._best_score(), self.tones.text))

    def _memory(self) -> Content:
        memory = memory_of(self.scene.state, self.trial)
        now = f"{numbers.gib(memory.now)} / " if memory.now is not None else ""
        right = Content.assemble(
            (now, self.quiet),
            ("peak " if self.width >= 34 or not now else "", self.quiet),
            (numbers.gib(memory.peak), self.tones.text),
            (" GiB", self.quiet),
        )
        share = None
        held = memory.now if memory.now is not None else memory.peak
        if held is not None and memory.total:
            share = held / memory.total
        room = max(0, self.width - 29)
        label = Content.assemble(("mem ", self.quiet))
        drawn = bar(share, room, self.look.colour, self.tones.faint)
        return pair(Content.assemble(label, drawn), right, self.width)

    def _marks(self) -> Parts:
        """What disturbed its training, in a word or two each, longest first."""
        parts: Parts = []
        for index, disturbance in enumerate(disturbances(self.trial)):
            word, *amount = re.split(r" (?=\d)", f"! {disturbance.label}", maxsplit=1)
            parts.append((6 - 3 * index, styled(word, self.tones.warn)))
            parts += [(5 - 3 * index, styled(text, self.tones.warn)) for text in amount]
        return parts

    def ranks(self) -> Content:
        """How many ranks train it, how much they wait, and which is the slowest."""
        return fill(self._ranks(least=1), self.width)

    def _ranks(self, least: int) -> Parts:
        """The parts of that line, of importance `least` and above; none if one process trains it."""
        group = self.trial.group
        if group is None:
            return []
        parts: Parts = [(least + 2, styled(f"{group.size} ranks", self.quiet))]
        share, slowest = waiting_share(group.ranks.values()), slowness(group)[:1]
        if share is not None:
            wait = Content.assemble(("wait ", self.quiet), (f"{100 * share:.0f} %", self.tones.text))
            parts.append((least + 1, wait))
        for rank, more in slowest:
            if more >= _SLOWER:
                look = self.tones.warn if more >= _STRAGGLES else self.tones.text
                name = Content.assemble(("slowest ", self.quiet), (f"r{rank} +{100 * more:.0f} %", look))
                parts.append((least, name))
        return parts

    def _trouble(self) -> Content | None:
        if self.scene.state_word(self.trial) not in ("failed", "diverged", "stopped", "interrupted"):
            return None
        reason = safe_text(self.trial.reason, 120) or "see the log"
        return styled(shortened(reason, self.width), self.tones.warn)

    # --- numbers -------------------------------------------------------------------------------

    def _speedup(self) -> float | None:
        return comparison.speedup(self.scene.state, self.trial)

    def _r(self) -> float | None:
        return comparison.reuse_ratio(self.trial)

    def _title(self) -> str:
        return self.scene.state.metric.title

    def _best_score(self) -> str:
        return numbers.score(best_score(self.scene.state, self.trial))

    def _clock(self) -> str:
        """The training time that is left, or that it took."""
        if self.trial.ended:
            return numbers.clock(self.trial.train_s if self.trial.progress else None)
        return numbers.clock(comparison.remaining_s(self.trial))

    def _share(self) -> float | None:
        progress, plan = self.trial.progress, self.trial.plan
        return progress.step / plan.max_steps if progress and plan and plan.max_steps else None

    def _epochs(self) -> str:
        progress, plan = self.trial.progress, self.trial.plan
        if progress is None:
            return numbers.DASH
        if plan is None or not plan.steps_per_epoch:
            return str(progress.epoch)
        return f"{progress.epoch}/{ceil(plan.max_steps / plan.steps_per_epoch)}"
