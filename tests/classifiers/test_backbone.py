import pytest
import torch

from stylex.classifiers import FeatureBackbone, load_backbone, perceptual_distance
from stylex.classifiers.backbone import unit_norm
from stylex.classifiers.wrapper import save_network


@pytest.fixture
def backbone(random_network, description):
    changes = {"role": "backbone", "name": "resnet18-tiny"}
    return FeatureBackbone(random_network(), description.model_copy(update=changes))


def test_features_have_unit_norm_at_four_scales(backbone, images):
    features = backbone.features(images)
    assert [tuple(scale.shape) for scale in features] == [(5, 8, 16, 16), (5, 8, 16, 16), (5, 16, 8, 8), (5, 32, 4, 4)]
    for scale in features:
        norms = scale.square().sum(1).sqrt()
        assert norms.max() <= 1.0 + 1e-5 and norms.median() > 0.99


def test_the_last_stage_and_the_head_are_only_for_the_embedding(backbone, images):
    calls = []
    backbone.network.stages[4].register_forward_hook(lambda *_: calls.append("last stage"))
    backbone.network.head.register_forward_hook(lambda *_: calls.append("head"))
    backbone.features(images)
    assert calls == []
    assert backbone.embedding(images).shape == (5, 64)
    assert calls == ["last stage"]


def test_features_are_float32_under_autocast(backbone, images):
    with torch.autocast("cpu", torch.bfloat16):
        assert {scale.dtype for scale in backbone.features(images)} == {torch.float32}
        assert backbone.embedding(images).dtype == torch.float32


def test_unit_norm_where_nothing_is_active_has_a_finite_gradient():
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    unit_norm(features).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_distance_is_zero_for_equal_positive_and_symmetric_otherwise(backbone, images):
    a, b = backbone.features(images), backbone.features(images.flip(3))
    assert torch.equal(perceptual_distance(a, a), torch.zeros(5))
    assert (perceptual_distance(a, b) > 0).all()
    assert torch.equal(perceptual_distance(a, b), perceptual_distance(b, a))


def test_distance_against_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    a, b = ([torch.rand(2, 3, side, side, generator=generator) for side in (4, 2)] for _ in range(2))
    expected = []
    for image in range(2):
        total = 0.0
        for x, y in zip(a, b, strict=True):
            side = x.shape[2]
            for row in range(side):
                for column in range(side):
                    for channel in range(3):
                        total += (x[image, channel, row, column] - y[image, channel, row, column]).item() ** 2 / side**2
        expected.append(total)
    torch.testing.assert_close(perceptual_distance(a, b), torch.tensor(expected))


def test_distance_drives_an_image_towards_another(backbone, images):
    target = backbone.features(images[:1])
    moved = torch.zeros(1, 1, 16, 16, requires_grad=True)
    distance = perceptual_distance(backbone.features(moved), target).sum()
    (gradient,) = torch.autograd.grad(distance, moved)
    closer = perceptual_distance(backbone.features(moved - 1e-3 * gradient / gradient.norm()), target).sum()
    assert closer < distance


def test_round_trip_keeps_name_and_embedding(tmp_path, backbone, random_network, description, images):
    path = tmp_path / "model.safetensors"
    save_network(path, random_network(), description.model_copy(update={"role": "backbone", "name": backbone.name}), {})
    loaded = load_backbone(path)
    assert loaded.name == "resnet18-tiny"
    assert torch.equal(loaded.embedding(images), backbone.embedding(images))


def test_distance_sees_brightness_and_contrast(backbone, images):
    # The replications stretched every image to its own minimum and maximum, which hides both.
    features = backbone.features(images)
    for changed in (0.5 * images, 0.5 * images + 0.4):
        assert (perceptual_distance(backbone.features(changed), features) > 1e-3).all()
