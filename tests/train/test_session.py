from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import air.session
import air.train.session as session
from air.checkpoint import Checkpoint
from air.errors import InvalidOption, SerializationError
from air.train.session import Session, StopTraining, install


def _recorder():
    rows = []
    return rows, lambda metrics, checkpoint: rows.append((metrics, checkpoint))


def test_a_report_reaches_the_sink_as_a_dict_of_its_own():
    rows, sink = _recorder()
    metrics = {"loss": 1.0}
    checkpoint = Checkpoint.from_dict({"a": 1})
    with install(Session(sink)):
        session.report(metrics)
        session.report(metrics, checkpoint=checkpoint)
    assert rows == [(metrics, None), (metrics, checkpoint)]
    assert rows[0][0] is not metrics


def test_sessions_nest():
    outer_rows, outer_sink = _recorder()
    inner_rows, inner_sink = _recorder()
    with install(Session(outer_sink, trial_name="outer")):
        with install(Session(inner_sink, trial_name="inner", world_rank=1, world_size=2)):
            assert (session.get_trial_name(), session.get_world_rank()) == ("inner", 1)
            session.report({"a": 1})
        assert (session.get_trial_name(), session.get_world_size()) == ("outer", 1)
        session.report({"a": 2})
    assert session.get_session() is None
    assert (len(outer_rows), len(inner_rows)) == (1, 1)


def test_a_stop_is_not_caught_by_except_exception_and_runs_finally():
    cleaned_up = []

    def train():
        for step in range(10):
            try:
                session.report({"step": step})
            except Exception:
                pytest.fail("a stop is no Exception")
            finally:
                cleaned_up.append(step)

    def stop(metrics, checkpoint):
        raise StopTraining

    with install(Session(stop)), pytest.raises(StopTraining):
        train()
    assert cleaned_up == [0]


def test_the_getters_tell_what_the_session_holds(tmp_path):
    held = Session(
        sink=lambda metrics, checkpoint: None,
        checkpoint=Checkpoint.from_dict({"step": 3}),
        world_rank=3,
        world_size=4,
        local_rank=1,
        local_world_size=2,
        node_rank=1,
        trial_name="trial",
        trial_id="1a",
        trial_dir=str(tmp_path / "trial"),
        trial_resources=[{}, {"CPU": 1}],
        experiment_name="experiment",
    )
    with install(held):
        assert session.get_checkpoint() is held.checkpoint
        assert session.get_local_rank() == 1
        assert session.get_local_world_size() == 2
        assert session.get_node_rank() == 1
        assert session.get_trial_id() == "1a"
        assert session.get_trial_dir() == str(tmp_path / "trial")
        assert os.path.isdir(tmp_path / "trial")
        assert session.get_trial_resources() == [{}, {"CPU": 1}]
        assert session.get_experiment_name() == "experiment"


def test_a_dataset_shard_is_found_by_name_or_by_being_the_only_one():
    shards = {"train": object(), "valid": object()}
    sink = _recorder()[1]
    with install(Session(sink, dataset_shards=shards)):
        assert session.get_dataset_shard("valid") is shards["valid"]
        assert session.get_dataset_shard() is shards["train"]
        with pytest.raises(InvalidOption, match=r"no dataset 'vaild'.*Did you mean 'valid'"):
            session.get_dataset_shard("vaild")
    with install(Session(sink, dataset_shards={"only": shards["train"]})):
        assert session.get_dataset_shard() is shards["train"]
    with install(Session(sink)), pytest.raises(InvalidOption, match="given no datasets"):
        session.get_dataset_shard()


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((1.0,), {}, "takes a dict of metrics, got float"),
        (({1: 2},), {}, "name of a metric is a str, got 1"),
        (({"a": 1},), {"checkpoint": "/path"}, "got str"),
        ((), {}, r'as a dict: report\(\{"loss": loss\}\)'),
        (({"training_iteration": "x"},), {}, "it is a whole number, got 'x'"),
    ],
)
def test_what_is_no_report_is_refused(arguments, keywords, message):
    with install(Session(_recorder()[1])), pytest.raises(TypeError, match=message):
        session.report(*arguments, **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"loss": 0.5}, r'no option .loss.. The metrics .* one dict: report\(\{"loss": 0.5\}\)'),
        ({"a": 1, "b": 2}, r'report\(\{"a": 1, "b": 2\}\)'),
        ({"metric": {"a": 1}}, "Did you mean 'metrics'"),
        ({"metrics": {"a": 1}, "chekpoint": None}, "Did you mean 'checkpoint'"),
    ],
)
def test_metrics_as_keywords_are_answered_with_what_to_write(keywords, message):
    with install(Session(_recorder()[1])), pytest.raises(InvalidOption, match=message):
        session.report(**keywords)


def test_numbers_of_numpy_are_reported_as_pythons_own():
    rows, sink = _recorder()
    with install(Session(sink)):
        session.report({"a": np.float32(0.5), "deep": {"n": np.int64(3), "ok": np.bool_(True)}})
    ((metrics, _),) = rows
    assert metrics == {"a": 0.5, "deep": {"n": 3, "ok": True}}
    assert [type(v) for v in (metrics["a"], *metrics["deep"].values())] == [float, int, bool]


def test_a_metric_that_cannot_be_sent_is_named():
    with (
        install(Session(_recorder()[1])),
        pytest.raises(SerializationError, match=r"the metric 'model'.*\[0\] is a _thread.lock"),
    ):
        session.report({"model": [threading.Lock()]})


def test_outside_of_a_run_the_error_says_so():
    with pytest.raises(RuntimeError, match=r"get_world_rank\(\) was called outside"):
        session.get_world_rank()
    with pytest.raises(RuntimeError, match=r"report\(\) was called outside"):
        session.report({"a": 1})


def test_the_other_name_is_the_same():
    for name in air.session.__all__:
        assert getattr(air.session, name) is getattr(session, name)
