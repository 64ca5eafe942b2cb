"""The state machine of experiments: transcripts of events and instructions, and random walks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.tune.events import (
    Ended,
    Event,
    Exhausted,
    Failed,
    Failure,
    Opened,
    Reported,
    Resumed,
    Started,
    StopRequested,
    Suggested,
    Waiting,
)
from air.tune.instructions import (
    AskSearcher,
    DropCheckpoint,
    Finish,
    Instruction,
    StartTrial,
    StopExperiment,
    StopTrial,
    TellSearcher,
)
from air.tune.machine import Experiment, IllegalEvent
from air.tune.trial import Limits, TrialState

OPENED = Opened(1, "e", "name", "trainable", 0.0, b"")
FAILURE = Failure("ValueError", "no", "Traceback ...")


def event(text: str) -> Event:
    """``reported a 3 loss=0.5 stop`` and the like: words are a trial, a checkpoint, flags."""
    kind, *words = text.split()
    match kind:
        case "opened":
            return OPENED
        case "suggested":
            return Suggested(words[0], f"trial_{words[0]}", {"of": words[0]})
        case "waiting":
            return Waiting()
        case "exhausted":
            return Exhausted()
        case "started":
            return Started(words[0], None, int(words[1]) if words[1:] else 0)
        case "reported":
            metrics = dict(word.split("=") for word in words if "=" in word)
            paths = [word for word in words[1:] if word.startswith("cp")]
            return Reported(
                words[0],
                {name: float(value) for name, value in metrics.items()},
                paths[0] if paths else None,
                amends="amends" in words,
                stop="stop" in words,
            )
        case "ended":
            return Ended(words[0])
        case "failed":
            return Failed(words[0], FAILURE, retry="again" in words)
        case "stop_requested":
            return StopRequested("because")
        case "resumed":
            if words == ["finished_only"]:
                return Resumed(unfinished=False, errored="keep")
            return Resumed(unfinished=True, errored=words[0])  # type: ignore[arg-type]
    raise AssertionError(text)


def words(instruction: Instruction) -> str:
    match instruction:
        case AskSearcher():
            return "ask"
        case StartTrial(trial_id=trial_id, checkpoint=checkpoint, results=results):
            return f"start {trial_id}" + (f" {checkpoint}@{results}" if checkpoint else "")
        case StopTrial(trial_id=trial_id):
            return f"stop {trial_id}"
        case TellSearcher(trial_id=trial_id):
            return f"tell {trial_id}"
        case DropCheckpoint(path=path):
            return f"drop {path}"
        case StopExperiment():
            return "stop_experiment"
        case Finish():
            return "finish"


def play(transcript: str, **limits: object) -> Experiment:
    """Apply the events of a transcript, compare the instructions, and check all invariants.

    At the end, replaying the events gives the same trials.
    """
    experiment = Experiment(Limits(**limits))  # type: ignore[arg-type]
    events = []
    for line in transcript.strip().splitlines():
        given, _, expected = (part.strip() for part in line.partition("->"))
        events.append(event(given))
        got = ", ".join(map(words, experiment.apply(events[-1])))
        assert got == expected, f"{given} -> {got}, expected {expected}"
        experiment.check()
    again = Experiment.replay(events, experiment.limits)
    assert again.trials == experiment.trials
    assert again.stop_reason == experiment.stop_reason
    return experiment


def state(experiment: Experiment) -> str:
    return " ".join(f"{t.trial_id}:{t.state.value}" for t in experiment.trials.values())


def test_one_trial_after_the_other() -> None:
    experiment = play(
        """
        opened             -> ask
        suggested a        -> start a
        started a          ->
        reported a loss=2  ->
        reported a loss=1  ->
        ended a            -> tell a, ask
        suggested b        -> start b
        started b          ->
        ended b            -> tell b, finish
        """,
        total=2,
    )
    assert state(experiment) == "a:TERMINATED b:TERMINATED"
    assert experiment.trials["a"].results == 2
    assert experiment.trials["a"].last_result == {"loss": 1}
    assert experiment.trials["b"].last_result is None
    assert experiment.finished


def test_as_many_trials_as_there_are_slots() -> None:
    play(
        """
        opened       -> ask
        suggested a  -> start a
        started a    -> ask
        suggested b  -> start b
        started b    ->
        ended a      -> tell a, ask
        suggested c  -> start c
        started c    ->
        ended c      -> tell c
        ended b      -> tell b, finish
        """,
        total=3,
        slots=2,
    )


def test_a_searcher_that_has_no_more_ends_the_experiment() -> None:
    play(
        """
        opened       -> ask
        suggested a  -> start a
        started a    ->
        ended a      -> tell a, ask
        exhausted    -> finish
        """,
        total=None,
    )


def test_a_searcher_that_waits_is_asked_again_when_something_was_reported() -> None:
    experiment = play(
        """
        opened             -> ask
        suggested a        -> start a
        started a          -> ask
        waiting            ->
        reported a loss=1  -> ask
        waiting            ->
        ended a            -> tell a, ask
        waiting            ->
        """,
        total=None,
        slots=2,
    )
    assert experiment.is_stuck
    assert not experiment.finished


def test_a_result_that_stops_a_trial_is_its_last() -> None:
    experiment = play(
        """
        opened                  -> ask
        suggested a             -> start a
        started a               ->
        reported a loss=3 stop  -> stop a
        reported a loss=2       ->
        reported a loss=1 cp9   -> drop cp9
        ended a                 -> tell a, finish
        """
    )
    assert experiment.trials["a"].last_result == {"loss": 3}
    assert experiment.trials["a"].results == 1


def test_what_a_stopped_trial_adds_to_its_last_result_counts() -> None:
    experiment = play(
        """
        opened                                  -> ask
        suggested a                             -> start a
        started a                               ->
        reported a training_iteration=1         ->
        reported a training_iteration=2 stop    -> stop a
        reported a training_iteration=2 cp1 amends ->
        reported a training_iteration=3 cp2     -> drop cp2
        reported a training_iteration=3 cp3 amends -> drop cp3
        ended a                                 -> tell a, finish
        """
    )
    trial = experiment.trials["a"]
    assert trial.results == 2
    assert [(saved.path, saved.results) for saved in trial.checkpoints] == [("cp1", 2)]


def test_the_result_that_a_trial_was_working_on_when_it_was_told_to_stop_counts() -> None:
    experiment = play(
        """
        opened                                     -> ask
        suggested a                                -> start a
        started a                                  ->
        reported a training_iteration=1            ->
        stop_requested                             -> stop a
        reported a training_iteration=2            ->
        reported a training_iteration=2 cp1 amends ->
        reported a training_iteration=3 cp2        -> drop cp2
        ended a                                    -> tell a, finish
        """
    )
    trial = experiment.trials["a"]
    assert trial.results == 2
    assert [(saved.path, saved.results) for saved in trial.checkpoints] == [("cp1", 2)]


def test_a_trial_that_fails_while_it_stops_has_not_failed() -> None:
    experiment = play(
        """
        opened             -> ask
        suggested a        -> start a
        started a          ->
        reported a stop    -> stop a
        failed a           -> tell a, finish
        """
    )
    assert state(experiment) == "a:TERMINATED"


def test_a_failed_trial_does_not_end_the_experiment() -> None:
    experiment = play(
        """
        opened       -> ask
        suggested a  -> start a
        started a    ->
        failed a     -> tell a, ask
        suggested b  -> start b
        started b    ->
        ended b      -> tell b, finish
        """,
        total=2,
    )
    assert state(experiment) == "a:ERROR b:TERMINATED"
    assert experiment.trials["a"].failure == FAILURE


def test_a_failed_trial_goes_on_from_its_last_checkpoint() -> None:
    experiment = play(
        """
        opened                 -> ask
        suggested a            -> start a
        started a              ->
        reported a loss=3 cp1  ->
        reported a loss=2      ->
        failed a again         -> start a cp1@1
        started a 1            ->
        reported a loss=1      ->
        failed a again         -> start a cp1@1
        started a 1            ->
        failed a               -> tell a, finish
        """
    )
    trial = experiment.trials["a"]
    # The second result of the first attempt gave way to that of the second; the third attempt
    # reported nothing, so what was there before it stands.
    assert (trial.results, trial.last_result) == (2, {"loss": 1})
    assert trial.failures == 3


def test_a_failed_trial_without_a_checkpoint_begins_again() -> None:
    experiment = play(
        """
        opened             -> ask
        suggested a        -> start a
        started a          ->
        reported a loss=3  ->
        reported a loss=2  ->
        failed a again     -> start a
        started a          ->
        reported a loss=5  ->
        ended a            -> tell a, finish
        """
    )
    trial = experiment.trials["a"]
    assert (trial.results, trial.last_result) == (1, {"loss": 5})
    assert trial.failure is None


def test_fail_fast_ends_the_experiment_with_the_first_failure() -> None:
    experiment = play(
        """
        opened          -> ask
        suggested a     -> start a
        started a       -> ask
        suggested b     -> start b
        started b       ->
        failed a        -> tell a, stop_experiment
        stop_requested  -> stop b
        failed b        -> tell b, finish
        """,
        total=9,
        slots=2,
        fail_fast=True,
    )
    assert state(experiment) == "a:ERROR b:TERMINATED"
    assert experiment.stop_reason == "because"


def test_the_end_of_the_time_stops_what_runs_and_starts_nothing() -> None:
    experiment = play(
        """
        opened             -> ask
        suggested a        -> start a
        started a          ->
        reported a loss=1  ->
        stop_requested     -> stop a
        ended a            -> tell a, finish
        """,
        total=9,
    )
    assert state(experiment) == "a:TERMINATED"


def test_a_result_may_be_amended() -> None:
    experiment = play(
        """
        opened                        -> ask
        suggested a                   -> start a
        started a                     ->
        reported a loss=1             ->
        reported a loss=1 cp1 amends  ->
        ended a                       -> tell a, finish
        """
    )
    trial = experiment.trials["a"]
    assert trial.results == 1
    assert [(saved.path, saved.results) for saved in trial.checkpoints] == [("cp1", 1)]


def test_the_best_checkpoints_and_the_newest_are_kept() -> None:
    experiment = play(
        """
        opened                 -> ask
        suggested a            -> start a
        started a              ->
        reported a acc=5 cp1   ->
        reported a acc=9 cp2   ->
        reported a acc=7 cp3   -> drop cp1
        reported a acc=nan cp4 ->
        reported a acc=8 cp5   -> drop cp3, drop cp4
        """,
        checkpoints_to_keep=2,
        score_attribute="acc",
    )
    assert [saved.path for saved in experiment.trials["a"].checkpoints] == ["cp2", "cp5"]


def test_without_a_score_the_newest_checkpoints_are_kept() -> None:
    play(
        """
        opened          -> ask
        suggested a     -> start a
        started a       ->
        reported a cp1  ->
        reported a cp2  -> drop cp1
        """,
        checkpoints_to_keep=1,
    )


def test_a_new_beginning_drops_the_old_checkpoints_with_its_first_result() -> None:
    experiment = play(
        """
        opened          -> ask
        suggested a     -> start a
        started a       ->
        reported a cp1  ->
        failed a        -> tell a, finish
        resumed restart -> start a
        started a       ->
        reported a      -> drop cp1
        reported a cp2  ->
        ended a         -> tell a, finish
        """
    )
    assert [saved.path for saved in experiment.trials["a"].checkpoints] == ["cp2"]


@pytest.mark.parametrize(
    ("how", "following"),
    [
        ("keep", "start b cp1@1"),
        ("resume", "start b cp1@1"),
        ("restart", "start b cp1@1"),
        ("finished_only", "ask"),
    ],
)
def test_a_killed_experiment_goes_on(how: str, following: str) -> None:
    killed = [
        event(line)
        for line in (
            "opened",
            "suggested a",
            "started a",
            "ended a",
            "suggested b",
            "started b",
            "reported b cp1",
            "suggested c",
            "started c",
            "failed c",
            "suggested d",
            "started d",
            "reported d stop",
        )
    ]
    experiment = Experiment.replay(killed, Limits(slots=3, total=5))
    assert state(experiment) == "a:TERMINATED b:RUNNING c:ERROR d:STOPPING"
    got = list(map(words, experiment.apply(event(f"resumed {how}"))))
    experiment.check()
    assert got[-1] == following
    assert "tell d" in got
    expected = {
        "keep": "a:TERMINATED b:PENDING c:ERROR d:TERMINATED",
        "resume": "a:TERMINATED b:PENDING c:PENDING d:TERMINATED",
        "restart": "a:TERMINATED b:PENDING c:PENDING d:TERMINATED",
        "finished_only": "a:TERMINATED b:TERMINATED c:ERROR d:TERMINATED",
    }
    assert state(experiment) == expected[how]


@pytest.mark.parametrize(
    ("max_failures", "expected"), [(0, [False]), (2, [True, True, False]), (-1, [True] * 9)]
)
def test_a_trial_is_tried_again_as_often_as_the_limit_says(
    max_failures: int, expected: list[bool]
) -> None:
    experiment = Experiment(Limits(max_failures=max_failures))
    experiment.apply(OPENED)
    experiment.apply(event("suggested a"))
    for retry in expected:
        experiment.apply(event("started a"))
        assert experiment.may_retry("a") == retry
        experiment.apply(Failed("a", FAILURE, retry))
        experiment.check()


@pytest.mark.parametrize(
    ("before", "bad"),
    [
        ("opened", "opened"),
        ("opened", "started a"),
        ("opened; suggested a", "suggested a"),
        ("opened; suggested a", "reported a"),
        ("opened; suggested a; started a; ended a", "reported a"),
        ("opened; suggested a; started a; ended a", "ended a"),
        ("opened; suggested a; started a", "started a"),
    ],
)
def test_what_cannot_happen_is_refused_and_changes_nothing(before: str, bad: str) -> None:
    events = [event(each) for each in before.split(";")]
    experiment = Experiment.replay(events, Limits())
    with pytest.raises(IllegalEvent):
        experiment.apply(event(bad))
    assert experiment.trials == Experiment.replay(events, Limits()).trials


# --- random walks -------------------------------------------------------------------------------

choices = st.lists(st.integers(0, 10**6), max_size=60)


def possible(experiment: Experiment) -> Iterable[str]:
    """What can happen next while the experiment runs."""
    for trial in experiment.running:
        name = trial.trial_id
        number = experiment.trials[name].results
        yield f"reported {name} loss={number}"
        yield f"reported {name} loss={number} cp{name}{number}"
        if number and trial.rewind_to is None:
            yield f"reported {name} loss={number} cp{name}{number}+ amends"
        yield f"reported {name} loss={number} stop"
        yield f"ended {name}"
        yield f"failed {name}" + (" again" if experiment.may_retry(name) else "")
    if experiment.running:
        yield "stop_requested"
    yield "resumed keep"
    yield "resumed resume"
    yield "resumed restart"
    yield "resumed finished_only"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    choices=choices,
    slots=st.integers(1, 3),
    total=st.integers(1, 5) | st.none(),
    max_failures=st.integers(-1, 2),
    keep=st.integers(1, 2) | st.none(),
    fail_fast=st.booleans(),
)
def test_invariants_hold_whatever_happens(
    choices: list[int],
    slots: int,
    total: int | None,
    max_failures: int,
    keep: int | None,
    fail_fast: bool,
) -> None:
    limits = Limits(slots, total, max_failures, fail_fast, keep)
    experiment = Experiment(limits)
    events: list[Event] = []
    dropped: list[str] = []

    def apply(happened: Event) -> list[Instruction]:
        events.append(happened)
        found = experiment.apply(happened)
        experiment.check()
        dropped.extend(each.path for each in found if isinstance(each, DropCheckpoint))
        return found

    def carry_out(instructions: list[Instruction], choice: int) -> None:
        while instructions:
            match instructions.pop(0):
                case AskSearcher():
                    name = f"t{len(experiment.trials)}"
                    answers = [event(f"suggested {name}"), Exhausted()]
                    if experiment.running:
                        answers.append(Waiting())
                    instructions += apply(answers[choice % len(answers)])
                case StartTrial(trial_id=trial_id, results=results):
                    instructions += apply(Started(trial_id, None, results))
                case StopExperiment(reason=reason):
                    instructions += apply(StopRequested(reason))

    carry_out(apply(OPENED), 0)
    for choice in choices:
        options = list(possible(experiment))
        happened = event(options[choice % len(options)])
        carry_out(apply(happened), choice)
    again = Experiment.replay(events, limits)
    assert again.trials == experiment.trials
    kept = {saved.path for trial in experiment.trials.values() for saved in trial.checkpoints}
    made = [each.checkpoint for each in events if isinstance(each, Reported) and each.checkpoint]
    assert kept <= set(made)
    # Nothing that was written is forgotten: it is kept, or was dropped.
    assert set(made) == kept | set(dropped)
    # Whatever state it is in, an experiment whose trials end comes to its end.
    for _ in range(200):
        if experiment.finished:
            break
        for trial in experiment.running:
            carry_out(apply(Ended(trial.trial_id)), 1)
    assert experiment.finished
    assert all(
        trial.is_over or (experiment.stop_reason and trial.state is TrialState.PENDING)
        for trial in experiment.trials.values()
    )
