import pytest
import torch

from stylex.errors import ArtifactError
from stylex.networks.model import build_networks, load_stylex, save_stylex


@pytest.mark.parametrize(("kind", "dim"), [("probabilities", 2), ("logits", 2), ("none", 0)])
def test_conditioning_is_the_same_on_both_paths(config, kind, dim):
    config = config.model_copy(update={"conditioning": kind})
    networks = build_networks(config, 32, 1, 2, seed=0)
    logits = torch.tensor([[2.0, 0.0]])
    expected = {"probabilities": logits.softmax(1), "logits": logits, "none": logits[:, :0]}[kind]
    assert torch.equal(networks.conditioning(logits), expected)
    for w in (torch.zeros(1, 64), torch.zeros(1, 7, 64)):
        assert torch.equal(networks.w_plus(w, logits)[..., 64:].reshape(w.numel() // 64, dim)[:1], expected)


def test_every_layer_has_a_normal_noise_map_of_its_own(networks):
    # A replication cropped one uniform map for all layers.
    layers = networks.synthesis.layers
    assert [layer.fixed_noise.shape[-1] for layer in layers] == [4, 8, 8, 16, 16, 32, 32]
    assert not torch.equal(layers[5].fixed_noise, layers[6].fixed_noise)
    values = torch.cat([layer.fixed_noise.flatten() for layer in layers])
    assert abs(values.mean()) < 0.1 and abs(values.std() - 1) < 0.1 and values.min() < -2


@pytest.mark.parametrize(
    "options", [{}, {"to_rgb": "last", "noise": False, "downsampling": "fir", "to_rgb_styles": "learned"}], ids=str
)
def test_file_round_trip(config, options, tmp_path):
    config = config.model_copy(update={"networks": config.networks.model_copy(update=options)})
    networks = build_networks(config, 32, 1, 2, seed=0).eval()
    path = tmp_path / "model.safetensors"
    save_stylex(path, networks, {"seed": "0"})
    loaded = load_stylex(path)
    networks.synthesis.quantized = True
    w_plus, images = torch.randn(1, 66), torch.rand(1, 1, 32, 32)
    assert torch.equal(
        loaded.synthesis.render(loaded.synthesis.styles(w_plus)),
        networks.synthesis.render(networks.synthesis.styles(w_plus)),
    )
    assert torch.equal(loaded.encoder(images), networks.encoder(images))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_damaged_and_missing_files_are_artifact_errors(networks, tmp_path):
    path = tmp_path / "model.safetensors"
    save_stylex(path, networks, {"seed": "0"})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="damaged"):
        load_stylex(path)
    with pytest.raises(ArtifactError, match="does not exist"):
        load_stylex(tmp_path / "none.safetensors")
