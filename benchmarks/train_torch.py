"""The same training function of PyTorch on two workers: by ``torchrun``, and by ``TorchTrainer``.

A network of three layers on 200,000 rows of 64 numbers, in batches of 256, for three epochs, on the
CPU (gloo). Both sides are run in one run, one after the other; what starting takes is measured
apart. It needs torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

ROWS, COLUMNS, BATCH, EPOCHS, WORKERS = 200_000, 64, 256, 3, 2


def train(model: Any, loader: Any) -> tuple[float, float, float]:
    """Seconds of all epochs, the time of the first step, and the last loss."""
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    first = 0.0
    begin = time.perf_counter()
    for _ in range(EPOCHS):
        for rows, labels in loader:
            loss = torch.nn.functional.mse_loss(model(rows)[:, 0], labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            first = first or time.time()
    return time.perf_counter() - begin, first, loss.item()


def parts() -> tuple[Any, Any]:
    """The model and the loader, the same for all."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = torch.randn(ROWS, COLUMNS)
    data = torch.utils.data.TensorDataset(rows, rows.sum(dim=1))
    model = torch.nn.Sequential(
        torch.nn.Linear(COLUMNS, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 1),
    )
    return model, torch.utils.data.DataLoader(data, batch_size=BATCH)


def by_torchrun() -> None:
    """What each process does that ``torchrun`` has started."""
    import torch

    torch.distributed.init_process_group("gloo")
    model, loader = parts()
    sampler = torch.utils.data.distributed.DistributedSampler(loader.dataset, shuffle=False)
    loader = torch.utils.data.DataLoader(loader.dataset, batch_size=BATCH, sampler=sampler)
    found = train(torch.nn.parallel.DistributedDataParallel(model), loader)
    if torch.distributed.get_rank() == 0:
        print("found", json.dumps(found), flush=True)
    torch.distributed.destroy_process_group()


def in_worker() -> None:
    """What each worker of the trainer does."""
    from air.train import report
    from air.train.torch import prepare_data_loader, prepare_model

    model, loader = parts()
    seconds, first, loss = train(prepare_model(model), prepare_data_loader(loader))
    report({"seconds": seconds, "first": first, "loss": loss})


def main() -> None:
    """Measure both and print a table."""
    import air
    from air import RunConfig, ScalingConfig
    from air.train.torch import TorchTrainer

    started = time.time()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={WORKERS}", __file__, "torchrun"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    [line] = [line for line in printed.splitlines() if line.startswith("found ")]
    alone = json.loads(line.removeprefix("found "))
    alone[1] -= started

    air.init(num_cpus=WORKERS, log_to_driver=False)
    with tempfile.TemporaryDirectory() as kept:
        options: dict[str, Any] = {
            "scaling_config": ScalingConfig(num_workers=WORKERS),
            "run_config": RunConfig(storage_path=kept),
        }
        TorchTrainer(lambda: None, **options).fit()  # torch is in the template from here on
        started = time.time()
        metrics = TorchTrainer(in_worker, **options).fit().metrics
    ours = [metrics["seconds"], metrics["first"] - started, metrics["loss"]]
    print(f"{'':30}{'air':>10}{'torchrun':>10}{'ratio':>9}")
    for place, name in enumerate(("seconds of all steps", "to the first step")):
        mine, other = ours[place], alone[place]
        print(f"{name:30}{mine:10.2f}{other:10.2f}{mine / other:8.3f}x")
    print(f"{'last loss':30}{ours[2]:10.6f}{alone[2]:10.6f}")


if __name__ == "__main__":
    by_torchrun() if sys.argv[1:] == ["torchrun"] else main()
