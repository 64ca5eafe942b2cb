"""The trainer, its process group, checkpoints and prediction for PyTorch."""

from __future__ import annotations

import copy
import os

import numpy as np
import pandas as pd
import pytest

import air.data
from air import FailureConfig, RunConfig, ScalingConfig
from air.data.preprocessors import Concatenator
from air.errors import InvalidOption
from air.train import (
    BatchPredictor,
    get_checkpoint,
    get_dataset_shard,
    get_world_rank,
    get_world_size,
    report,
)
from air.train.torch import (
    TorchCheckpoint,
    TorchConfig,
    TorchPredictor,
    TorchTrainer,
    accelerate,
    backward,
    enable_reproducibility,
    full_state_dict,
    get_device,
    prepare_data_loader,
    prepare_model,
    prepare_optimizer,
)

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("air_backend")]

TWO = ScalingConfig(num_workers=2)


@pytest.fixture(scope="module", autouse=True)
def _gloo_is_warm():
    """The first group of a process opens files that stay open, whatever becomes of it."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    torch.distributed.destroy_process_group()


def line(rows=64):
    """Rows of y = 2 x + 1."""
    x = np.linspace(-1, 1, rows, dtype=np.float32)
    return air.data.from_pandas(pd.DataFrame({"x": x, "y": 2 * x + 1}))


def new_model():
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def train_line(config):
    """Fit a line with all rows in each step, so that the result is that of one worker."""
    model = prepare_model(new_model(), parallel_strategy=config.get("strategy", "ddp"))
    optimizer = prepare_optimizer(torch.optim.SGD(model.parameters(), lr=0.5))
    for _ in range(config["epochs"]):
        for batch in get_dataset_shard("train").iter_torch_batches(batch_size=10_000):
            loss = (model(batch["x"][:, None])[:, 0] - batch["y"]).pow(2).mean()
            optimizer.zero_grad()
            backward(loss)
            optimizer.step()
        state = full_state_dict(model)
        kept = TorchCheckpoint.from_state_dict(state) if state else None
        report({"loss": loss.item()}, checkpoint=kept)


def expected_line(epochs, rows=64):
    """What one process without any of this comes to."""
    frame = line(rows).to_pandas()
    x, y = (torch.tensor(frame[name].to_numpy()) for name in ("x", "y"))
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(epochs):
        loss = (model(x[:, None])[:, 0] - y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_several_workers_train_what_one_trains(strategy):
    trainer = TorchTrainer(
        train_line,
        train_loop_config={"epochs": 5, "strategy": strategy},
        scaling_config=TWO,
        datasets={"train": line()},
    )
    result = trainer.fit()
    model, expected = result.checkpoint.get_model(new_model()), expected_line(5)
    for found, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)
    assert len(result.metrics_dataframe) == 5
    assert isinstance(result.checkpoint, TorchCheckpoint)


def test_parameters_are_really_divided(air_backend):
    def look():
        model = torch.nn.Linear(8, 6, bias=False)
        sharded = prepare_model(model, parallel_strategy="fsdp")
        [parameter] = sharded.parameters()
        held = parameter.to_local() if get_world_size() > 1 else parameter
        whole = full_state_dict(sharded)
        report({"held": held.numel(), "whole": [p.numel() for p in whole.values()]})

    found = TorchTrainer(look, scaling_config=TWO).fit().metrics
    assert found["held"] == (48 if air_backend == "local" else 24)
    assert found["whole"] == [48]


def test_a_function_sees_the_group_and_the_environment(air_backend, monkeypatch):
    monkeypatch.setenv("RANK", "before")

    def look():
        dist = torch.distributed
        total = torch.tensor([get_world_rank() + 1.0])
        dist.all_reduce(total)
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
        report(
            {
                "of group": [dist.get_rank(), dist.get_world_size(), dist.get_backend()],
                "total": total.item(),
                "environment": [os.environ[name] for name in names],
                "device": str(get_device()),
            }
        )

    workers = 1 if air_backend == "local" else 2
    found = TorchTrainer(look, scaling_config=TWO).fit().metrics
    assert found["of group"] == [0, workers, "gloo"]
    assert found["total"] == workers * (workers + 1) / 2
    assert found["environment"] == ["0", str(workers), "0", str(workers), "127.0.0.1"]
    assert found["device"] == "cpu"
    assert os.environ["RANK"] == "before"
    assert not torch.distributed.is_initialized()
    left_alone = TorchConfig(init_method="tcp")

    def environment():
        report({"rank": os.environ.get("RANK")})

    assert TorchTrainer(environment, torch_config=left_alone).fit().metrics["rank"] in (
        "before",
        None,
    )


def test_workers_get_equally_many_rows(air_backend):
    def count():
        batches = [len(b["x"]) for b in get_dataset_shard("train").iter_torch_batches(batch_size=2)]
        sizes = [None] * get_world_size()
        torch.distributed.all_gather_object(sizes, batches)
        report({"sizes": sizes})

    rows = line(9)
    sizes = TorchTrainer(count, scaling_config=TWO, datasets={"train": rows}).fit().metrics["sizes"]
    assert sizes == ([[2, 2, 2, 2, 1]] if air_backend == "local" else [[2, 2], [2, 2]])


def test_a_loader_is_divided_and_shuffled_anew_each_time(air_backend):
    def go_through():
        data = torch.utils.data.TensorDataset(torch.arange(10))
        plain = prepare_data_loader(torch.utils.data.DataLoader(data, batch_size=3))
        mixed = prepare_data_loader(torch.utils.data.DataLoader(data, batch_size=3, shuffle=True))
        whole = prepare_data_loader(
            torch.utils.data.DataLoader(data, batch_size=3), add_dist_sampler=False
        )
        mine = [
            [n for [b] in loader for n in b.tolist()] for loader in (plain, mixed, mixed, whole)
        ]
        found = [None] * get_world_size()
        torch.distributed.all_gather_object(found, mine)
        report({"found": found, "lengths": [len(plain), len(whole)]})

    metrics = TorchTrainer(go_through, scaling_config=TWO).fit().metrics
    workers = len(metrics["found"])
    assert metrics["lengths"] == [4 // workers, 4]
    for number, name in enumerate(("plain", "mixed", "mixed again")):
        rows = sorted(n for worker in metrics["found"] for n in worker[number])
        assert rows == list(range(10)), name
    first = metrics["found"][0]
    assert first[0] == list(range(0, 10, workers))
    assert first[1] != first[2]
    assert first[3] == list(range(10))


def test_batches_are_moved_whatever_they_are_made_of():
    def go_through():
        data = [{"a": torch.ones(2), "b": (torch.zeros(1), ["text"])}]
        [batch] = prepare_data_loader(torch.utils.data.DataLoader(data, batch_size=1))
        report({"kinds": [type(batch["b"]).__name__, batch["a"].device.type, batch["b"][1]]})

    assert TorchTrainer(go_through).fit().metrics["kinds"] == ["list", "cpu", [("text",)]]


def test_a_sampler_of_ones_own_is_not_replaced(air_backend):
    def go_through():
        weights = torch.utils.data.WeightedRandomSampler([0.0, 1.0], num_samples=4)
        loader = torch.utils.data.DataLoader(torch.arange(2), batch_size=2, sampler=weights)
        own = prepare_data_loader(loader, add_dist_sampler=False)
        report({"batches": [batch.tolist() for batch in own]})
        prepare_data_loader(loader)

    trainer = TorchTrainer(go_through, scaling_config=TWO, run_config=RunConfig(name="own"))
    if air_backend == "local":
        assert trainer.fit().metrics["batches"] == [[1, 1], [1, 1]]
        return
    with pytest.raises(InvalidOption, match="sampler of its own, WeightedRandomSampler"):
        trainer.fit()


def test_a_prepared_loader_is_copied_and_has_what_the_loader_has():
    def look():
        loader = torch.utils.data.DataLoader(torch.arange(10), batch_size=3)
        other = copy.deepcopy(prepare_data_loader(loader))
        report({"batches": [batch.tolist() for batch in other], "size": other.batch_size})

    metrics = TorchTrainer(look).fit().metrics
    assert metrics["batches"] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert metrics["size"] == 3


def test_mixed_precision():
    def train():
        kinds = []
        for amp in (True, False):
            accelerate(amp=amp)
            model = prepare_model(new_model(), parallel_strategy=None)
            optimizer = prepare_optimizer(torch.optim.SGD(model.parameters(), lr=0.1))
            found = model(torch.ones(3, 1))
            backward(found.sum())
            optimizer.step()
            kinds += [str(found.dtype), str(model.weight.grad.dtype)]
        report({"kinds": kinds})

    kinds = TorchTrainer(train).fit().metrics["kinds"]
    assert kinds == ["torch.bfloat16", "torch.float32", "torch.float32", "torch.float32"]


def test_a_model_of_mixed_precision_is_kept_as_it_was():
    def train():
        accelerate(amp=True)
        model = prepare_model(new_model())
        kept = TorchCheckpoint.from_model(model)
        report({"dtype": str(model(torch.ones(1, 1)).dtype)}, checkpoint=kept)

    result = TorchTrainer(train, scaling_config=TWO).fit()
    assert result.metrics["dtype"] == "torch.bfloat16"
    model = result.checkpoint.get_model()
    assert model(torch.ones(1, 1)).dtype == torch.float32
    assert torch.equal(model.weight, new_model().weight)


def test_reproducibility():
    def draw():
        enable_reproducibility(7)
        report({"drawn": [torch.rand(1).item(), float(np.random.rand())]})
        torch.use_deterministic_algorithms(False)

    assert TorchTrainer(draw).fit().metrics["drawn"] == TorchTrainer(draw).fit().metrics["drawn"]


class Broken(Exception):
    pass


def test_an_error_is_raised_once_and_as_it_is():
    def fails():
        if get_world_rank() == get_world_size() - 1:
            raise Broken("no more")
        torch.distributed.barrier()

    with pytest.raises(Broken, match="no more"):
        TorchTrainer(fails, scaling_config=TWO).fit()
    assert not torch.distributed.is_initialized()


def test_training_goes_on_after_a_worker_died(air_backend):
    if air_backend == "local":
        pytest.skip("there are no workers to die")

    def train():
        checkpoint = get_checkpoint()
        model = new_model() if checkpoint is None else checkpoint.get_model(new_model())
        model = prepare_model(model)
        for step in range(0 if checkpoint is None else 2, 4):
            if step == 2 and checkpoint is None and get_world_rank() == 1:
                os.abort()
            model(torch.ones(1, 1)).sum().backward()
            kept = TorchCheckpoint.from_state_dict(full_state_dict(model))
            report({"step": step}, checkpoint=kept)

    config = RunConfig(failure_config=FailureConfig(max_failures=1))
    result = TorchTrainer(train, scaling_config=TWO, run_config=config).fit()
    assert result.metrics_dataframe["step"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_method": "file"}, "init_method must be 'env' or 'tcp'"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"backend": 3}, "backend must be a name"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        TorchConfig(**options)


def test_bad_calls_are_refused():
    def prepares():
        prepare_model(new_model(), parallel_strategy="dp")

    with pytest.raises(InvalidOption, match="must be 'ddp', 'fsdp' or None"):
        TorchTrainer(prepares).fit()
    with pytest.raises(RuntimeError, match=r"get_device\(\) was called outside"):
        get_device()
    with pytest.raises(RuntimeError, match=r"prepare_model\(\) was called outside"):
        prepare_model(new_model())
    with pytest.raises(RuntimeError, match="outside of a training run"):
        backward(torch.ones(1, requires_grad=True))
    with pytest.raises(InvalidOption, match=r"'torch_confg'.*'torch_config'"):
        TorchTrainer(prepares, torch_confg=TorchConfig())


# -- Checkpoints and prediction


def test_a_checkpoint_holds_a_model_or_its_parameters(tmp_path):
    model = new_model()
    whole = TorchCheckpoint.from_model(model)
    whole.to_directory(tmp_path / "whole")
    again = TorchCheckpoint.from_directory(tmp_path / "whole").get_model()
    assert torch.equal(again.weight, model.weight)
    assert set(whole.get_state_dict()) == {"weight", "bias"}
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    parameters = TorchCheckpoint.from_state_dict(state)
    assert torch.equal(parameters.get_model(torch.nn.Linear(1, 1)).bias, model.bias)
    with pytest.raises(InvalidOption, match="give one, get_model"):
        parameters.get_model()
    with pytest.raises(InvalidOption, match="holds no PyTorch model"):
        TorchCheckpoint.from_dict({"x": 1}).get_model()
    with pytest.raises(InvalidOption, match=r"takes a torch\.nn\.Module"):
        TorchCheckpoint.from_model(model.state_dict())
    with pytest.raises(InvalidOption, match=r"model\.state_dict"):
        TorchCheckpoint.from_state_dict(model)


class TwoHeads(torch.nn.Module):
    """Takes a dictionary of tensors, and gives one."""

    def forward(self, inputs):
        return {"sum": inputs["a"] + inputs["b"], "pair": torch.stack([inputs["a"]] * 2, dim=1)}


def test_predictions_are_of_the_kind_of_the_data():
    model = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    predictor = TorchPredictor(model)
    rows = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    assert predictor.predict(rows).tolist() == [[3.0], [7.0]]
    frame = pd.DataFrame({"rows": list(rows)}, index=[5, 6])
    found = predictor.predict(frame)
    assert found.index.tolist() == [5, 6]
    assert np.stack(found["predictions"]).tolist() == [[3.0], [7.0]]
    wide = predictor.predict({"rows": rows.astype(float)}, dtype=torch.float32)
    assert wide["predictions"].tolist() == [[3.0], [7.0]]
    both = TorchPredictor(TwoHeads()).predict({"a": np.ones(2), "b": np.arange(2.0)})
    assert both["sum"].tolist() == [1, 2]
    assert both["pair"].shape == (2, 2)
    with pytest.raises(InvalidOption, match="sees no GPU"):
        TorchPredictor(model, use_gpu=True)
    with pytest.raises(InvalidOption, match="by from_checkpoint"):
        TorchPredictor(TorchCheckpoint.from_model(model))


def test_whole_datasets_are_predicted_with_the_preprocessor():
    preprocessor = Concatenator("inputs", include=["x"], dtype=np.float32)

    def train():
        model = prepare_model(new_model())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(60):
            for batch in get_dataset_shard("train").iter_torch_batches(batch_size=64):
                loss = (model(batch["inputs"])[:, 0] - batch["y"]).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        kept = TorchCheckpoint.from_state_dict(full_state_dict(model))
        report({"loss": loss.item()}, checkpoint=kept)

    result = TorchTrainer(
        train, datasets={"train": line()}, preprocessor=preprocessor, scaling_config=TWO
    ).fit()
    predictor = BatchPredictor.from_checkpoint(
        result.checkpoint, TorchPredictor, model=torch.nn.Linear(1, 1)
    )
    scored = predictor.predict(line(9), feature_columns=["x"], keep_columns=["y"]).to_pandas()
    found = np.stack(scored["predictions"])[:, 0]
    assert np.abs(found - scored["y"].to_numpy()).max() < 0.05
