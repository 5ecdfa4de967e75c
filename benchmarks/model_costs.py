"""Cost of the two models: parameters, MACs, receptive field, latency in PyTorch.

    python benchmarks/model_costs.py

Latency is that of eager PyTorch on one thread, batch 1, the median of 60 runs, alternating with a
rival in the same run: LR-ASPP MobileNetV3, torchvision's lightest segmentation model. Machines
differ and are shared, so the ratio matters. Writes benchmarks/results/model_costs.json.
"""

import time
from dataclasses import asdict
from statistics import median

import torch
from common import save_results
from torch import nn

from facesegkit.checkpoint import ARCHITECTURES, build_model
from facesegkit.models import INPUT_SIZE
from facesegkit.profile import profile_model
from facesegkit.system.torchvision_import import torchvision

RIVAL = "LR-ASPP MobileNetV3 (torchvision)"


def latencies(models: dict[str, nn.Module], runs: int = 60, warmup: int = 10) -> dict[str, float]:
    """Median milliseconds of each model for one photo; the models alternate."""
    photo = torch.rand(1, 3, INPUT_SIZE, INPUT_SIZE).contiguous(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for _ in range(warmup + runs):
            for name, model in models.items():
                started = time.perf_counter()
                model(photo)
                seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * median(values[warmup:]) for name, values in seconds.items()}


def main() -> None:
    torch.set_num_threads(1)
    models: dict[str, nn.Module] = {arch: build_model(arch) for arch in ARCHITECTURES}
    results = {name: asdict(profile_model(model)) for name, model in models.items()}
    create = torchvision.models.segmentation.lraspp_mobilenet_v3_large
    models[RIVAL] = create(weights=None, weights_backbone=None)
    results[RIVAL] = {"parameters": sum(p.numel() for p in models[RIVAL].parameters())}
    for model in models.values():
        # PyTorch's own type hints do not know memory_format.
        model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, milliseconds in (measured := latencies(models)).items():
        results[name]["milliseconds"] = round(milliseconds, 2)
        results[name]["relative to the rival"] = round(milliseconds / measured[RIVAL], 3)
    save_results("model_costs", results)


if __name__ == "__main__":
    main()
