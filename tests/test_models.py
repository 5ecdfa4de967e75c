"""The two models: shapes, sizes, cost, and that each can learn."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facesegkit.models import (
    GlobalGate,
    LightweightSegmentationModel,
    LightweightUNet,
    SeparableBlock,
    conv,
)
from facesegkit.profile import count_macs, profile_model, receptive_field

MODELS = [LightweightSegmentationModel, LightweightUNet]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("classes", [2, 6, 19])
@pytest.mark.parametrize("size", [(256, 256), (64, 96), (320, 160)])
def test_scores_have_the_photos_size_and_one_channel_per_class(model, classes, size):
    scores = model(classes=classes).eval()(torch.rand(2, 3, *size))
    assert scores.shape == (2, classes, *size)
    assert scores.dtype == torch.float32


@pytest.mark.parametrize(("model", "limit"), [(MODELS[0], 100_000), (MODELS[1], 500_000)])
def test_parameters_stay_within_the_limit(model, limit):
    assert profile_model(model(classes=6)).parameters <= limit
    assert profile_model(model(classes=19)).parameters <= limit


@pytest.mark.parametrize("model", MODELS)
def test_it_can_learn_one_batch_by_heart(model):
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


def test_multiply_adds_of_a_convolution_worked_out_by_hand():
    # 8 filters of 3 x 3 x 4 weights, at each of 16 x 16 places
    layer = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, padding=1))
    assert count_macs(layer, 16) == 16 * 16 * (3 * 4 + 8 * 3 * 3 * 4)


def test_multiply_adds_of_a_depthwise_convolution_worked_out_by_hand():
    block = nn.Sequential(nn.Conv2d(3, 6, 1), SeparableBlock(6, 10, 5, stride=2))
    assert count_macs(block, 32) == 32 * 32 * 3 * 6 + 16 * 16 * (6 * 25 + 6 * 10)


def test_receptive_field_worked_out_by_hand():
    assert receptive_field(conv(3, 4, 3), 64) == 3
    two = nn.Sequential(conv(3, 4, 3), nn.ReLU(), conv(4, 4, 5))
    assert receptive_field(two, 64) == 7
    strided = nn.Sequential(conv(3, 4, 3, stride=2), conv(4, 4, 3), nn.Upsample(scale_factor=2))
    assert receptive_field(strided, 64) == 3 + 2 * 2


def test_receptive_field_leaves_the_global_gate_aside():
    gated = nn.Sequential(conv(3, 8, 3), GlobalGate(8))
    assert receptive_field(gated, 64) == 3


def test_measuring_a_model_leaves_it_alone():
    network = LightweightSegmentationModel()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    profile_model(network)
    after = network.state_dict()
    assert network.training
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_gate_weighs_channels_by_what_the_whole_picture_holds():
    torch.manual_seed(0)
    gate = GlobalGate(8)
    x = torch.rand(1, 8, 4, 4)
    weighed = gate(x) / x
    assert torch.allclose(weighed, weighed[:, :, :1, :1].expand_as(weighed))  # one per channel
    elsewhere = x.clone()
    elsewhere[..., 3, 3] += 5
    assert not torch.allclose(gate(elsewhere)[..., 0, 0], gate(x)[..., 0, 0])


def test_a_block_adds_its_input_only_where_shapes_allow():
    assert SeparableBlock(8, 8).residual
    assert not SeparableBlock(8, 16).residual
    assert not SeparableBlock(8, 8, stride=2).residual
