"""A classifier of the user's own, in each format: its logits on PNG files, gradients, and what the artifact holds."""

import copy
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import own_classifiers as own
import pytest
import timm
import torch
import torchvision
from torch import nn

from stylex.artifacts import content_digest, load_tensors, read_json, save_tensors, sha256
from stylex.classifiers import fine_tune, formats, load_backbone, load_classifier, load_oracle
from stylex.classifiers.frozen import save_network
from stylex.classifiers.imported import ImportedClassifier, read_imported, save_imported
from stylex.config import ExperimentPaths, ImportedClassifierConfig, load_experiment
from stylex.config.loading import parse_overrides
from stylex.datasets import load_split
from stylex.errors import AccuracyError, ArtifactError, ConfigError
from stylex.figures.comparison import grad_cam
from stylex.quantization import from_uint8

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pngs(tmp_path_factory):
    return own.write_pngs(tmp_path_factory.mktemp("pngs"), 12)


@pytest.fixture(scope="session")
def pixels(pngs):
    return own.read_bytes(pngs)


def read(folder, file, **declared) -> ImportedClassifier:
    config = ImportedClassifierConfig.model_validate({"file": str(file), **declared})
    return read_imported(config, folder, own.CLASSES, 3, own.SIDE)[0]


def assert_same(classifier, pixels, theirs, inputs):
    """Logits and the gradient of a pixel are those of the user's own network on their own preprocessing."""
    images = from_uint8(pixels).requires_grad_()
    logits = classifier(images)
    reference = pixels.float().requires_grad_()
    expected = theirs(inputs(reference))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.detach(), expected.detach(), rtol=1e-5, atol=1e-5)
    weights = torch.arange(logits.numel()).reshape(logits.shape) - 4.0
    (gradient,) = torch.autograd.grad((logits * weights).sum(), images)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), reference)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    torch.testing.assert_close(gradient, wanted * 127.5, rtol=1e-4, atol=1e-5)


SAVED = {
    "TorchScript": lambda folder, model: own.save_torchscript(folder / "own.pt", model),
    "torch.export": lambda folder, model: own.save_exported(folder / "own.pt2", model),
    "torch.export of one image": lambda folder, model: own.save_exported(folder / "own.pt2", model, batch=1),
    "ONNX": lambda folder, model: own.save_onnx(folder / "own.onnx", model),
    "ONNX of five images": lambda folder, model: own.save_onnx(folder / "own.onnx", model, batch=5),
    "ONNX, channels last": lambda folder, model: own.save_onnx(
        folder / "own.onnx", own.ChannelsLast(model).eval(), last=True
    ),
}


@pytest.mark.parametrize("kind", SAVED)
def test_logits_and_gradients_are_those_of_the_exporter(tmp_path, pixels, kind):
    model = own.trained()
    file = SAVED[kind](tmp_path, model)
    classifier = read(tmp_path, file.name, **own.DECLARED)
    assert classifier.declaration.layout == ("nhwc" if kind.endswith("last") else "nchw")
    assert_same(classifier, pixels, model, own.normalised)


@pytest.mark.parametrize("kind", ["TorchScript", "torch.export", "ONNX"])
def test_the_file_says_itself_what_it_wants(tmp_path, pixels, kind):
    save = {"TorchScript": own.save_torchscript, "torch.export": own.save_exported, "ONNX": own.save_onnx}[kind]
    file = save(
        tmp_path / {"TorchScript": "own.pt", "torch.export": "own.pt2"}.get(kind, "own.onnx"),
        own.trained(),
        own.DECLARED,
    )
    assert_same(read(tmp_path, file), pixels, own.trained(), own.normalised)


def test_a_vision_transformer_of_timm_with_its_own_transform(tmp_path, pngs, pixels):
    model = own.timm_vit()
    folder = own.save_timm(tmp_path / "vit", model)
    half = lambda images: images / 127.5 - 1  # noqa: E731
    assert_same(read(tmp_path, "vit"), pixels, model, half)
    assert_same(read(tmp_path, folder / "model.safetensors"), pixels, model, half)


def test_a_folder_of_transformers_with_its_own_processor(tmp_path, pixels):
    model = own.save_transformers(tmp_path / "vit")
    assert_same(
        read(tmp_path, "vit"), pixels, lambda x: model(pixel_values=x).logits, lambda images: images / 127.5 - 1
    )


def test_weights_of_torchvision(tmp_path, pixels):
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v3_small(num_classes=3).eval().requires_grad_(False)
    file = own.save_weights(tmp_path / "own.safetensors", model, own.DECLARED)
    assert_same(read(tmp_path, file, architecture="torchvision:mobilenet_v3_small"), pixels, model, own.normalised)


def test_a_function(tmp_path, pixels, monkeypatch):
    file = own.define(monkeypatch, own.trained)
    assert_same(read(tmp_path, file, **own.DECLARED), pixels, own.trained(), own.normalised)


def test_a_network_of_larger_images_resizes_once_within_the_gradient(tmp_path, pixels):
    """Its own transform rounds the larger image to bytes; here it stays as it is."""
    model = own.timm_vit(64)
    own.save_timm(tmp_path / "vit", model, 64, crop=0.875)
    classifier = read(tmp_path, "vit")
    assert (classifier.declaration.size, classifier.declaration.resize) == ((64, 64), (73, 73))
    options = timm.data.resolve_data_config(
        {}, pretrained_cfg=read_json(tmp_path / "vit/config.json")["pretrained_cfg"]
    )
    transform = timm.data.create_transform(**options)
    expected = model(torch.stack([transform(each) for each in formats.pictures(pixels)])).softmax(1)
    images = from_uint8(pixels).requires_grad_()
    found = classifier(images)
    torch.testing.assert_close(found.softmax(1).detach(), expected, rtol=0, atol=1e-3)
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).any(dim=1).float().mean() > 0.5


@pytest.mark.parametrize(
    ("output", "count"), [("logits", 3), ("probabilities", 3), ("logits", 1), ("probabilities", 1)]
)
def test_outputs_become_logits_of_the_classes_of_the_dataset(tmp_path, pixels, monkeypatch, output, count):
    torch.manual_seed(0)
    core = own.network(count).eval()
    last = {"logits": nn.Identity(), "probabilities": nn.Softmax(1) if count > 1 else nn.Sigmoid()}[output]
    file = own.define(monkeypatch, lambda: nn.Sequential(core, last))
    names = ["orchid", "ember", "flame"][: max(count, 2)]
    config = ImportedClassifierConfig.model_validate({"file": file, **own.DECLARED, "classes": names, "output": output})
    asked = ("ember", "orchid") if count == 3 else ("orchid", "ember")
    classifier = read_imported(config, tmp_path, asked, 3, own.SIDE)[0]
    with torch.no_grad():
        found, raw = classifier(from_uint8(pixels)), core(own.normalised(pixels.float()))
    expected = raw[:, [1, 0]] if count == 3 else torch.cat([torch.zeros_like(raw), raw], 1)
    torch.testing.assert_close(found.diff(dim=1), expected.diff(dim=1), rtol=1e-4, atol=1e-4)
    if count == 1:
        torch.testing.assert_close(found.softmax(1)[:, 1:], raw.sigmoid(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dataset", "wanted"), [(1, 3), (3, 1)])
def test_grey_is_repeated_and_colour_becomes_luminance(tmp_path, monkeypatch, dataset, wanted):
    file = own.define(monkeypatch, lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    inputs = {"range": "0..255", "channels": wanted}
    config = {"file": file, "classes": ["a", "b", "c"][: max(wanted, 2)], "output": "logits", "inputs": inputs}
    image = torch.tensor([255, 0, 102]).reshape(1, 3, 1, 1).expand(-1, -1, 8, 8)[:, :dataset].byte()
    names = config["classes"]
    classifier = read_imported(ImportedClassifierConfig.model_validate(config), tmp_path, names, dataset, 8)[0]
    found = classifier(from_uint8(image))[0]
    torch.testing.assert_close(found, torch.full((3,), 255.0) if wanted == 3 else torch.tensor([0, 87.873]))


def test_it_stays_in_eval_mode_and_float32_whatever_surrounds_it(tmp_path, pixels):
    classifier = read(tmp_path, own.save_torchscript(tmp_path / "own.pt", own.trained()), **own.DECLARED)
    images = from_uint8(pixels)
    expected = classifier(images)
    nn.Sequential(classifier).train()
    copied = copy.deepcopy(classifier).to(torch.bfloat16)  # as training does
    with torch.autocast("cpu", torch.bfloat16):
        found = copied(images.bfloat16().float())
    torch.testing.assert_close(found, classifier(images.bfloat16().float()))
    assert torch.equal(classifier(images), expected)
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert {parameter.dtype for parameter in copied.parameters()} == {torch.float32}
    low = read(tmp_path, "own.pt", **own.DECLARED, precision="bfloat16")
    assert 0 < (low(images) - expected).abs().max() < 0.5


# Files that are refused


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("opened"),)


def test_a_pickle_is_refused_without_being_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Bomb(), "zip.pt")
    Path("old.pth").write_bytes(pickle.dumps(Bomb()))
    Path("other.pkl").write_bytes(pickle.dumps(Bomb()))
    for name in ("zip.pt", "old.pth", "other.pkl"):
        with pytest.raises(
            ConfigError, match=r"is no TorchScript but a pickle.*torch\.export\.save.*save_file"
        ) as error:
            read(tmp_path, name, **own.DECLARED)
        assert "\n" not in str(error.value)
    assert not Path("opened").exists()


def rewritten(path, change):
    """A copy of an archive, with other content of some members."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            inner = name.partition("/")[2]
            new.writestr(name, change(inner, old.read(name)))
    return target


def pickled_sample(name, content):
    return pickle.dumps(Bomb(), 2) if name == "data/sample_inputs/model.pt" else content


def pickled_weight(name, content):
    if name == "data/weights/weight_0":
        return pickle.dumps(Bomb())
    return (
        content.replace(b'"use_pickle": false', b'"use_pickle": true')
        if name.endswith("weights_config.json")
        else content
    )


def calls(name, content):
    return (
        content.replace(b"torch.ops.aten.relu.default", b"torch.os.system", 1)
        if name == "models/model.json"
        else content
    )


def evaluates(name, content):
    graph = json.loads(content) if name == "models/model.json" else None
    if graph is None:
        return content
    text = json.dumps(graph)
    symbol = text.split('"expr_str": "')[1].split('"')[0]
    return text.replace(f'"expr_str": "{symbol}"', '"expr_str": "eval(chr(49))"').encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickled_sample, "cannot be read as torch.export: UnpicklingError"),
        (pickled_weight, "as a pickle, and is not opened"),
        (calls, r"calls 'torch\.os\.system', which is no tensor operator"),
        (evaluates, r"calls 'eval\(chr\(49\)\)'"),
    ],
)
def test_an_archive_of_torch_export_that_would_run_code_is_refused(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    path = rewritten(own.save_exported(tmp_path / "own.pt2", own.trained()), change)
    with pytest.raises((ArtifactError, ConfigError), match=message) as error:
        read(tmp_path, path.name, **own.DECLARED)
    assert "\n" not in str(error.value) and not Path("opened").exists()


@pytest.mark.parametrize("name", ["own.pt2", "own.onnx", "own.safetensors"])
def test_an_unreadable_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"not this")
    with pytest.raises((ArtifactError, ConfigError), match=f"classifier.file: .*{name} cannot be read as") as error:
        read(tmp_path, name, **own.DECLARED, **({"architecture": "torchvision:resnet18"} if "safe" in name else {}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"file": "none.pt"}, "none.pt does not exist"),
        ({"file": "net.h5"}, "export it to ONNX"),
        ({"file": "net.txt"}, "of no known format"),
        ({"file": "w.safetensors"}, "holds weights alone; name their network"),
        ({"file": "w.safetensors", "architecture": "torchvision:resnet19"}, "did you mean 'resnet"),
        ({"file": "w.safetensors", "architecture": "timm:resnet18x"}, "did you mean 'resnet18"),
        (
            {"file": "w.safetensors", "architecture": "torchvision:resnet18"},
            "is not the network of .*'conv1.weight' is not in",
        ),
        ({"file": "no_such_module:network"}, "needs the module 'no_such_module'"),
        ({"file": "mine:netwrok"}, "unknown function of mine 'netwrok'; did you mean 'network'"),
        ({"classes": None}, "classifier.classes: .* does not say it; declare"),
        ({"output": None}, "classifier.output: .* does not say it; declare logits or probabilities"),
        ({"inputs": {}}, "classifier.inputs.range: .* does not say it; declare 0..1, 0..255 or -1..1"),
        ({"classes": ["ember", "flames", "orchid"]}, "class 'flame' is none of the 3 outputs; near are 'flames'"),
        ({"inputs": {"range": "0..1", "mean": [0.5, 0.5], "sd": [1, 1]}}, "mean has 2 values, the network takes 3"),
        ({"inputs": {"range": "0..1", "size": 32, "resize": 16}}, "resize .* is less than `size`"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path, monkeypatch, declared, message):
    own.define(monkeypatch, own.trained)
    for name in ("net.h5", "net.txt"):
        (tmp_path / name).touch()
    own.save_weights(tmp_path / "w.safetensors", own.trained())
    with pytest.raises(ConfigError, match=message) as error:
        read(tmp_path, **{"file": "mine:network", **own.DECLARED, **declared})
    assert "\n" not in str(error.value) and error.value.exit_code == 2


@pytest.mark.parametrize(
    ("package", "kind"), [("onnx", "ONNX"), ("onnx2torch", "ONNX"), ("transformers", "folder"), ("timm", "folder")]
)
def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch, package, kind):
    if kind == "ONNX":
        file = own.save_onnx(tmp_path / "own.onnx", own.trained())
    else:
        file = tmp_path / "vit"
        own.save_transformers(file) if package == "transformers" else own.save_timm(file, own.timm_vit())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}: pip install 'stylex\[classifiers\]'"):
        read(tmp_path, file, **(own.DECLARED if kind == "ONNX" else {}))


# The artifact


@pytest.mark.parametrize("kind", ["TorchScript", "torch.export", "ONNX", "timm", "transformers", "function"])
def test_the_artifact_holds_the_file_unchanged_and_gives_the_same_logits(tmp_path, monkeypatch, pixels, kind):
    if kind == "function":
        file, declared = own.define(monkeypatch, own.trained), own.DECLARED
    elif kind in SAVED:
        file, declared = SAVED[kind](tmp_path, own.trained()), own.DECLARED
    else:
        file, declared = tmp_path / "vit", {}
        own.save_timm(file, own.timm_vit()) if kind == "timm" else own.save_transformers(file)
    config = ImportedClassifierConfig.model_validate({"file": str(file), **declared})
    classifier, description, resolved = read_imported(config, tmp_path, own.CLASSES, 3, own.SIDE, "mine")
    expected = classifier(from_uint8(pixels))
    path = tmp_path / "classifier/model.safetensors"
    save_imported(path, resolved.source, description, {"seed": "0"})
    tensors, header = load_tensors(path)
    for name, content in tensors.items():
        if kind != "function":
            assert (
                content.numpy().tobytes()
                == (resolved.source.path.parent if kind != "transformers" else file).joinpath(name[5:]).read_bytes()
            )
    if kind == "TorchScript":
        assert description.weights_digest == sha256(file)
    assert header["seed"] == "0" and len(description.weights_digest) == 64
    for each in tmp_path.iterdir():  # it needs nothing but the artifact, or the function
        if each != path.parent:
            each.rename(tmp_path / f"{each.name}.gone")
    loaded = load_classifier(path)
    assert torch.equal(loaded(from_uint8(pixels)), expected)
    assert (loaded.name, loaded.class_names, loaded.resolution, loaded.channels) == ("mine", own.CLASSES, own.SIDE, 3)
    assert next(loaded.parameters()).device.type == "cpu"


def test_a_function_with_other_weights_is_refused(tmp_path, monkeypatch):
    config = {"file": own.define(monkeypatch, own.trained), **own.DECLARED}
    _, description, resolved = read_imported(
        ImportedClassifierConfig.model_validate(config), tmp_path, own.CLASSES, 3, 32
    )
    path = tmp_path / "model.safetensors"
    save_imported(path, resolved.source, description, {})
    digest = content_digest(path)
    own.define(monkeypatch, own.network)
    with pytest.raises(ArtifactError, match="'mine:network' returns other weights than when it was imported"):
        load_classifier(path)
    assert content_digest(path) == digest


def test_a_damaged_artifact_and_other_roles_are_one_line(tmp_path, random_network, description):
    file, path = own.save_torchscript(tmp_path / "own.pt", own.trained()), tmp_path / "model.safetensors"
    config = ImportedClassifierConfig.model_validate({"file": str(file), **own.DECLARED})
    _, own_description, resolved = read_imported(config, tmp_path, own.CLASSES, 3, own.SIDE)
    save_imported(path, resolved.source, own_description, {})
    with pytest.raises(ArtifactError, match="is no trained backbone of this version"):
        load_backbone(path)
    oracle = tmp_path / "oracle.safetensors"
    save_network(oracle, random_network(), description.model_copy(update={"role": "oracle"}), {})
    assert load_oracle(oracle, [path]).class_names == description.class_names
    tensors, header = load_tensors(path)
    tensors["file/own.pt"][100] ^= 1
    save_tensors(path, tensors, header)
    with pytest.raises(ArtifactError, match="is damaged: own.pt is not what was imported"):
        load_classifier(path)


# The stage


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return own.prepared_project(tmp_path_factory.mktemp("project"))


def test_the_stage_writes_what_training_would_and_trains_nothing(prepared):
    file = own.save_torchscript(prepared / "own.pt", own.trained())
    own.write_experiment(prepared, {"file": "own.pt", **own.DECLARED, "min_accuracy": 0.9})
    fine_tune(prepared, "tiny")
    paths = ExperimentPaths(prepared, "tiny").classifier
    assert sorted(path.name for path in paths.folder.iterdir()) == ["metrics.json", "model.safetensors"]
    metrics = read_json(paths.metrics)
    assert metrics["accuracy"] > 0.9 and metrics["class_names"] == list(own.CLASSES)
    keys = {
        "accuracy",
        "balanced_accuracy",
        "majority",
        "n",
        "class_names",
        "confusion_matrix",
        "calibration",
        "provenance",
    }
    assert set(metrics) == keys | {f"val_{key}" for key in ("accuracy", "balanced_accuracy", "majority", "n")}
    assert sum(map(sum, metrics["confusion_matrix"])) == metrics["n"]
    assert metrics["provenance"]["weights_digest"] == load_tensors(paths.model)[1]["weights_digest"] == sha256(file)
    test = load_split(prepared, load_experiment(prepared, "tiny").dataset, "test")
    decided = load_classifier(paths.model)(test.images()).argmax(1)
    assert (decided == test.labels).float().mean().item() == pytest.approx(metrics["accuracy"])


def test_the_stage_stops_below_min_accuracy_and_where_a_check_fails(prepared):
    worse, flames = copy.deepcopy(own.trained()), sorted((prepared / "images/flame").iterdir())
    margins = worse(own.normalised(own.read_bytes(flames).float())) @ torch.tensor([-1.0, 1.0, 0.0])
    worse[-1].bias[1] -= margins.quantile(0.3)  # three of ten are none any more
    own.save_torchscript(prepared / "worse.pt", worse)
    paths = ExperimentPaths(prepared, "tiny").classifier
    shutil.rmtree(paths.folder, ignore_errors=True)
    own.write_experiment(prepared, {"file": "worse.pt", **own.DECLARED, "min_accuracy": 1.0})
    with pytest.raises(AccuracyError, match=r"balanced accuracy 0\.\d+ on 27 validation images is below") as error:
        fine_tune(prepared, "tiny")
    assert "\n" not in str(error.value)
    assert [path.name for path in paths.folder.rglob("*")] == ["rejected", "metrics.json"]
    own.save_torchscript(prepared / "own.pt", own.trained())
    swapped = [own.CLASSES[1], own.CLASSES[0], own.CLASSES[2]]
    own.write_experiment(prepared, {"file": "own.pt", **own.DECLARED, "classes": swapped})
    with pytest.raises(ConfigError, match=r"classifier\.classes are probably in the order \[ember, flame, orchid\]"):
        fine_tune(prepared, "tiny")
    assert not paths.model.exists()


def test_snakemake_plans_to_take_it_in_and_no_training_of_a_classifier(prepared):
    own.save_torchscript(prepared / "own.pt", own.trained())
    own.write_experiment(prepared, {"file": "own.pt", **own.DECLARED})
    own.write_config(prepared, "suites/own.yaml", {"title": "Own", "experiments": ["tiny"], "tables": ["classifiers"]})
    own.write_config(prepared, "config.yaml", {"suite": "own"})
    shutil.rmtree(prepared / "results", ignore_errors=True)
    place = ("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(prepared))
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", *place]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    table = (result.stdout + result.stderr).split("Job stats:")[1].split("total")[0]
    counts = dict(line.split() for line in table.splitlines() if len(line.split()) == 2)
    assert counts["import_classifier"] == counts["backbone"] == counts["train"] == "1" and "classifier" not in counts


@pytest.mark.parametrize(
    ("kind", "name"),
    [("function", "Conv2d"), ("ONNX", "Conv"), ("TorchScript", None), ("torch.export", None), ("timm", None)],
)
def test_grad_cam_finds_the_last_maps_where_there_are_any(tmp_path, monkeypatch, pixels, kind, name):
    if kind == "function":
        classifier = read(tmp_path, own.define(monkeypatch, own.trained), **own.DECLARED)
        assert classifier.last_maps is own.trained()[4]
    elif kind == "timm":
        classifier = read(tmp_path, own.save_timm(tmp_path / "vit", own.timm_vit()))
    else:
        classifier = read(tmp_path, SAVED[kind](tmp_path, own.trained()), **own.DECLARED)
    layer = classifier.last_maps
    assert (layer is None) == (name is None)
    heat = grad_cam(classifier, from_uint8(pixels[:2]), torch.tensor([0, 1]))
    assert heat.shape == (2, own.SIDE, own.SIDE) and heat.isfinite().all() and heat.min() >= 0 and 0 < heat.max() <= 1
    if layer is not None:
        expected = grad_cam(
            read(tmp_path, own.define(monkeypatch, own.trained), **own.DECLARED),
            from_uint8(pixels[:2]),
            torch.tensor([0, 1]),
        )
        torch.testing.assert_close(heat, expected, rtol=1e-3, atol=1e-4)


def test_importing_the_classifiers_imports_none_of_the_packages_of_formats():
    names = {"onnx", "onnx2torch", "onnxruntime", "transformers", "timm"}
    script = f"import sys, stylex.classifiers, stylex.classifiers.checks; print({names} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


# The section of an experiment


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        ({"flie": "own.pt"}, r"classifier\.flie = 'own\.pt': unknown key 'flie'; did you mean 'file'\?"),
        ({"file": "own.pt", "outptu": "logits"}, "unknown key 'outptu'; did you mean 'output'"),
        ({"file": "own.pt", "inputs": {"szie": 32}}, r"classifier\.inputs\.szie = 32: .* did you mean 'size'"),
        ({"file": "own.pt", "inputs": 3}, r"classifier\.inputs = 3: a section goes here, with the keys antialias, "),
        ({"file": "own.pt", "inputs": {"mean": [0.5], "sd": [1, 1]}}, r"inputs\.mean has 1 values and inputs\.sd 2"),
        ({"file": "own.pt", "architecture": "timm:vit"}, "architecture goes with a .safetensors file alone"),
        ({"file": "o.safetensors", "architecture": "vit"}, "give the package before the name: 'timm:<name>' or"),
        ({"file": "own.pt", "epochs": 3}, "unknown key 'epochs'; choose one of architecture, classes, file, "),
        ({"file": "own.pt", "classes": ["a", "a"]}, "a class is listed twice"),
        ({"epohcs": 3}, r"classifier\.epohcs = 3: unknown key 'epohcs'; did you mean 'epochs'\?"),
        (3, r"classifier = 3: a section goes here, with the keys architecture, balance, "),
    ],
)
def test_a_mistake_in_the_section_is_named_by_its_key(root, classifier, message):
    own.write_config(root, "experiments/tiny.yaml", {"extends": "mnist", "classifier": classifier})
    with pytest.raises(ConfigError, match=message) as error:
        load_experiment(root, "tiny")
    assert "\n" not in str(error.value) and "<imported>" not in str(error.value)


def test_a_file_takes_the_place_of_what_a_preset_trains_and_can_be_overridden(root):
    own.write_config(root, "experiments/tiny.yaml", {"extends": "mnist", "classifier": {"file": "own.pt"}})
    assert load_experiment(root, "tiny").classifier == ImportedClassifierConfig(file="own.pt")
    text = parse_overrides(["experiment.classifier.inputs.size=64", "experiment.classifier.output=logits"])
    classifier = load_experiment(root, "tiny", json.loads(text)).classifier
    assert isinstance(classifier, ImportedClassifierConfig)
    assert (classifier.file, classifier.output, classifier.inputs.size) == ("own.pt", "logits", (64, 64))
    assert load_experiment(root, "mnist", {"classifier": {"epochs": 3}}).classifier.epochs == 3
    with pytest.raises(ConfigError, match="unknown key 'siez'; did you mean 'size'"):
        parse_overrides(["experiment.classifier.inputs.siez=64"])


def test_a_released_model_has_a_classifier_of_its_own(root):
    own.write_config(root, "experiments/tiny.yaml", {"extends": "released-age", "classifier": {"file": "own.pt"}})
    with pytest.raises(ConfigError, match=r"leave out classifier\.file, or `released`"):
        load_experiment(root, "tiny")
