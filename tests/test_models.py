"""The two models: shapes, parameters, MACs, receptive field, and that each can learn."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facesegkit import models
from facesegkit.profile import count_macs, profile_model, receptive_field

MODELS = [models.LightweightSegmentationModel, models.LightweightUNet]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("classes", [2, 6, 19])
@pytest.mark.parametrize("size", [(256, 256), (64, 96), (320, 160)])
def test_logits_have_the_photos_size_and_one_channel_per_class(model, classes, size):
    logits = model(classes=classes).eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, classes, *size) and logits.dtype == torch.float32


@pytest.mark.parametrize(("model", "limit"), [(MODELS[0], 100_000), (MODELS[1], 500_000)])
def test_parameters_stay_within_the_limit(model, limit):
    assert max(profile_model(model(classes=classes)).parameters for classes in (6, 19)) <= limit


@pytest.mark.parametrize("model", MODELS)
def test_it_can_overfit_one_batch(model):
    torch.manual_seed(0)
    network = model(classes=3).train()
    photos = F.interpolate(torch.rand(2, 3, 4, 4), size=64)
    target = (photos[:, 0] > 0.5).long() + (photos[:, 1] > 0.5).long()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(photos), target)
        loss.backward()
        optimizer.step()
    right = (network(photos).argmax(dim=1) == target).float().mean().item()
    assert right > 0.95


def test_macs_worked_out_by_hand():
    # 8 filters of 3 x 3 x 4 weights, at each of 16 x 16 pixels
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, padding=1))
    assert count_macs(layers, 16) == 16 * 16 * (3 * 4 + 8 * 3 * 3 * 4)
    block = nn.Sequential(nn.Conv2d(3, 6, 1), models.SeparableBlock(6, 10, 5, stride=2))
    assert count_macs(block, 32) == 32 * 32 * 3 * 6 + 16 * 16 * (6 * 25 + 6 * 10)


def test_receptive_field_worked_out_by_hand():
    conv = models.conv
    assert receptive_field(conv(3, 4, 3), 64) == 3
    two = nn.Sequential(conv(3, 4, 3), nn.ReLU(), conv(4, 4, 5))
    assert receptive_field(two, 64) == 7
    strided = nn.Sequential(conv(3, 4, 3, stride=2), conv(4, 4, 3), nn.Upsample(scale_factor=2))
    assert receptive_field(strided, 64) == 3 + 2 * 2
    gated = nn.Sequential(conv(3, 8, 3), models.GlobalGate(8))
    assert receptive_field(gated, 64) == 3  # without the gate


def test_profiling_does_not_change_the_model():
    network = models.LightweightSegmentationModel()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    profile = str(profile_model(network))
    assert network.training
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert "M parameters" in profile and "M MACs" in profile and "MB on disk" in profile


def test_the_gate_weights_channels_by_the_whole_photo():
    torch.manual_seed(0)
    gate = models.GlobalGate(8)
    x = torch.rand(1, 8, 4, 4)
    weights = gate(x) / x
    assert torch.allclose(weights, weights[:, :, :1, :1].expand_as(weights))  # one per channel
    changed = x.clone()
    changed[..., 3, 3] += 5
    assert not torch.allclose(gate(changed)[..., 0, 0], gate(x)[..., 0, 0])


def test_a_block_is_residual_only_if_the_shapes_are_the_same():
    blocks = [models.SeparableBlock(8, out, stride=by) for out, by in ((8, 1), (16, 1), (8, 2))]
    assert [block.residual for block in blocks] == [True, False, False]
