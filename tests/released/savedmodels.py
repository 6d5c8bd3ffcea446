"""Write what the authors published, at reduced width, with TensorFlow: `python savedmodels.py FOLDER [whole]`.

Not a test: it runs in an environment of its own (TensorFlow 2.15, the last whose Keras writes SavedModels). What it
wrote is in tests/released/data; all but `whole` leaves out the graphs, which only TensorFlow runs, except MobileNet's.
The networks are StyleGAN2's as Karras et al. 2020 published them, in their order of operations, with every variable
under its published name; the values are drawn.
"""

import pickle
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

SIDES, WIDTHS = (4, 8, 16, 32), (8, 8, 6, 4)
LATENT, CLASSES, IMAGES = 6, 2, 3
RANDOM = np.random.default_rng(0)


def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * RANDOM.standard_normal(shape)).astype(np.float32)


def activate(x: tf.Tensor, gain: float = np.sqrt(2)) -> tf.Tensor:
    return tf.nn.leaky_relu(x, 0.2) * gain


def fir(x: tf.Tensor, before: int, after: int, gain: float = 1.0) -> tf.Tensor:
    """Filter NCHW with [1, 3, 3, 1] between zeros."""
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64 * gain
    kernel = np.repeat(taps[:, :, None, None], x.shape[1], axis=2)
    x = tf.pad(tf.transpose(x, (0, 2, 3, 1)), ((0, 0), (before, after), (before, after), (0, 0)))
    return tf.transpose(tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID"), (0, 3, 1, 2))


def spread(x: tf.Tensor) -> tf.Tensor:
    """Put a zero after every pixel of NCHW."""
    n, c, h, w = x.shape
    x = tf.pad(tf.reshape(x, (-1, c, h, 1, w, 1)), ((0, 0), (0, 0), (0, 0), (0, 1), (0, 0), (0, 1)))
    return tf.reshape(x, (-1, c, 2 * h, 2 * w))


def convolve(x: tf.Tensor, weight: tf.Tensor, padding: str = "SAME", stride: int = 1) -> tf.Tensor:
    x = tf.nn.conv2d(tf.transpose(x, (0, 2, 3, 1)), weight, stride, padding)
    return tf.transpose(x, (0, 3, 1, 2))


def convolve_up(x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The fused form: a transposed convolution, then the filter."""
    n, _, h, w = x.shape
    turned = tf.transpose(weight[::-1, ::-1], (0, 1, 3, 2))
    shape = (tf.shape(x)[0], 2 * h + 1, 2 * w + 1, weight.shape[3])
    y = tf.nn.conv2d_transpose(tf.transpose(x, (0, 2, 3, 1)), turned, shape, 2, "VALID")
    return fir(tf.transpose(tf.reshape(y, (-1, *shape[1:])), (0, 3, 1, 2)), 1, 1, gain=4)


class Bias(tf.keras.layers.Layer):
    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.bias = tf.Variable(draw(*shape, scale=0.3), name=name)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.bias


class DenseOf(tf.keras.layers.Layer):
    """`rate`: the learning rate's multiplier, by which the stored values are too large."""

    def __init__(self, weight: str, bias: str, inputs: int, outputs: int, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = tf.Variable(draw(inputs, outputs, scale=1 / rate), name=weight)
        self.dense_bias = Bias(bias, 1, outputs)
        self.scale, self.rate = rate / np.sqrt(inputs), rate

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.weight * self.scale) + self.dense_bias.bias * self.rate


class Convolution(tf.keras.layers.Layer):
    """`bias` none: a skip."""

    def __init__(self, weight: str, bias: str | None, size: int, inputs: int, outputs: int, down: bool = False) -> None:
        super().__init__()
        self.weight = tf.Variable(draw(size, size, inputs, outputs), name=weight)
        self.bias = Bias(bias, 1, outputs, 1, 1) if bias else None
        self.scale, self.size, self.down = 1 / np.sqrt(size * size * inputs), size, down

    def call(self, x: tf.Tensor) -> tf.Tensor:
        weight = self.weight * self.scale
        if self.down:
            before, after = (2, 2) if self.size == 3 else (1, 1)
            x = convolve(fir(x, before, after), weight, "VALID", 2)
        else:
            x = convolve(x, weight)
        return activate(self.bias(x)) if self.bias else x


class Modulated(tf.keras.layers.Layer):
    """A styled convolution with noise, or, of size 1, ToRGB."""

    def __init__(
        self, prefix: str, bias: str, size: int, inputs: int, outputs: int, noise: tf.Variable | None, up: bool = False
    ) -> None:
        super().__init__()
        scale = 1.0 if size == 3 else 0.2  # images are for the most part within [-1, 1]
        weight = draw(size, size, inputs, outputs, scale=scale)
        self.weight = tf.Variable(weight, name=f"{prefix}/ModulatedConv2D/weight")
        self.bias = Bias(f"{prefix}/{bias}", 1, outputs, 1, 1)
        self.strength = tf.Variable(draw(scale=0.5), name=f"{prefix}/NoiseStrength") if noise is not None else None
        self.noise, self.up, self.scale = noise, up, 1 / np.sqrt(size * size * inputs)

    def call(self, x: tf.Tensor, styles: tf.Tensor) -> tf.Tensor:
        weight = self.weight * self.scale
        x = x * styles[:, :, None, None]
        x = convolve_up(x, weight) if self.up else convolve(x, weight)
        if self.strength is None:
            return self.bias(x)
        energy = tf.einsum("ni,hwio->no", styles**2, weight**2)
        x = x * tf.math.rsqrt(energy + 1e-8)[:, :, None, None]
        return activate(self.bias(x + self.noise * self.strength))


class StyleCalculator(tf.keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        inputs = [WIDTHS[0], *(width for pair in zip(WIDTHS, WIDTHS[1:], strict=False) for width in pair)]
        names = ["Const", *(f"{block}_{layer}" for block in range(len(WIDTHS) - 1) for layer in range(2))]
        rgb = ["ConstRGB", *(f"RGB{block}" for block in range(len(WIDTHS) - 1))]
        self.style_dense_blocks = [self.dense(*each) for each in zip(names, inputs, strict=True)]
        self.style_dense_torgb = [self.dense(*each) for each in zip(rgb, WIDTHS, strict=True)]

    def dense(self, name: str, outputs: int) -> DenseOf:
        prefix = f"generator_style_calculator/StyleVector{name}"
        names = f"{prefix}/StyleGAN2Dense/weight", f"{prefix}/FusedBiasActivation/bias"
        return DenseOf(*names, LATENT + CLASSES, outputs)

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        return [each(x) + 1 for each in self.style_dense_blocks], [each(x) + 1 for each in self.style_dense_torgb]


class Synthesis(tf.keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.noises, self.convolutions, self.torgb = [], [], []
        top = "generator_synthesis"
        self.constant = tf.Variable(draw(1, WIDTHS[0], 4, 4), name=f"{top}/ConstBlock4x4/Const4x4")
        self.add(f"{top}/ConstBlock4x4/GeneratorLayer4x4", 4, WIDTHS[0], WIDTHS[0], up=False)
        for side, inputs, outputs in zip(SIDES[1:], WIDTHS, WIDTHS[1:], strict=False):
            block = f"{top}/GeneratorBlock{side}x{side}"
            self.add(f"{block}/Conv0Up", side, inputs, outputs, up=True)
            self.add(f"{block}/Conv1", side, outputs, outputs, up=False)
        for side, width in zip(SIDES, WIDTHS, strict=True):
            name = f"{top}/ToRGB{side}x{side}", "FusedBiasActivation/ToRGBBiasAct"
            self.torgb.append(Modulated(*name, 1, width, 3, noise=None))

    def add(self, prefix: str, side: int, inputs: int, outputs: int, up: bool) -> None:
        noise = tf.Variable(draw(1, 1, side, side), trainable=False, name=f"Noise{len(self.noises)}")
        self.noises.append(noise)
        self.convolutions.append(Modulated(prefix, "FusedBiasAct/BiasAct", 3, inputs, outputs, noise, up))

    def call(self, styles: tuple[list[tf.Tensor], list[tf.Tensor]], training: bool = False) -> tf.Tensor:
        blocks, rgb = styles
        x = self.convolutions[0](tf.repeat(self.constant, tf.shape(blocks[0])[0], axis=0), blocks[0])
        image = self.torgb[0](x, rgb[0])
        for index, torgb in enumerate(self.torgb[1:]):
            for layer in (2 * index + 1, 2 * index + 2):
                x = self.convolutions[layer](x, blocks[layer])
            image = fir(spread(image), 2, 1, gain=4) + torgb(x, rgb[index + 1])
        return image


class Mapping(tf.keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        top = "generator/generator_mapping"
        names = [(f"{top}/Dense{i}/MappingDense_{i}", f"{top}/DenseBiasAct{i}/MappingBias_{i}") for i in range(8)]
        self.dense = [DenseOf(*each, LATENT, LATENT, rate=0.01) for each in names]

    def call(self, z: tf.Tensor) -> tf.Tensor:
        x = z * tf.math.rsqrt(tf.reduce_mean(z**2, axis=1, keepdims=True) + 1e-8)
        for dense in self.dense:
            x = activate(dense(x))
        return x


class Generator(tf.keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.g_mapping, self.style_vector_calculator, self.g_synthesis = Mapping(), StyleCalculator(), Synthesis()
        self.dlatent_avg = tf.Variable(draw(LATENT), trainable=False, name="dlatent_avg")

    def call(self, inputs: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        z, labels = inputs
        styles = self.style_vector_calculator(tf.concat([self.g_mapping(z), labels], axis=1), training=training)
        return self.g_synthesis(styles, training=training)


class Residual(tf.keras.Model):
    """The discriminator, and the encoder, which has other names and no statistics of the batch."""

    def __init__(self, top: str, prefix: str, output: str, output_bias: str, outputs: int, statistics: bool) -> None:
        super().__init__()
        image, block = f"{top}/{prefix}FromRGB{SIDES[-1]}x{SIDES[-1]}", "Encoder" if prefix else "Discriminator"
        names = f"{image}/StyleGAN2Conv2D/weight", f"{image}/FusedBiasActivation/FromRGBBias"
        self.from_rgb = Convolution(*names, 1, 3, WIDTHS[-1])
        self.blocks = []
        for side, inputs, outs in zip(SIDES[:0:-1], WIDTHS[::-1], WIDTHS[-2::-1], strict=False):
            name = f"{top}/{block}Block{side}x{side}"
            first = Convolution(f"{name}/Conv0/weight", f"{name}/Conv0Bias/BiasAct0", 3, inputs, inputs)
            second = f"{name}/Conv1Down/weight", f"{name}/Conv1DownBiasAct/BiasAct1"
            skip = Convolution(f"{name}/Skip/weight", None, 1, inputs, outs, down=True)
            self.blocks.append([first, Convolution(*second, 3, inputs, outs, down=True), skip])
        self.statistics, width = statistics, WIDTHS[0]
        bias = f"{top}/{prefix}ConvBiasAct4x4/ConvBiasAct4x4"
        self.last = Convolution(f"{top}/Conv4x4/weight", bias, 3, width + statistics, width)
        names = f"{top}/{prefix}Dense4x4/weight", f"{top}/{prefix}DenseBiasAct4x4/DenseBiasAct4x4"
        self.hidden = DenseOf(*names, 16 * width, width)
        self.out = DenseOf(f"{top}/{output}/weight", f"{top}/{output_bias}/OutputBiasAct", width, outputs)

    def features(self, images: tf.Tensor) -> tf.Tensor:
        x = self.from_rgb(images)
        for first, second, skip in self.blocks:
            x = (second(first(x)) + skip(x)) / np.sqrt(2)
        if self.statistics:
            deviation = tf.reduce_mean(tf.sqrt(tf.math.reduce_variance(x, axis=0) + 1e-8))
            x = tf.concat([x, tf.zeros_like(x[:, :1]) + deviation], axis=1)
        x = self.last(x)
        return self.out(activate(self.hidden(tf.reshape(x, (-1, 16 * WIDTHS[0])))))


class Discriminator(Residual):
    def call(self, inputs: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        images, labels = inputs
        return tf.reduce_sum(self.features(images) * labels, axis=1, keepdims=True)


class Encoder(Residual):
    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.features(images)


def mobilenet() -> tf.keras.Model:
    """MobileNetV1 at a sixteenth of its width, as far as it is known: Keras's padding and normalisation."""
    layers, images = tf.keras.layers, tf.keras.Input((SIDES[-1], SIDES[-1], 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(2, 3, 2, "same", use_bias=False)(images)))
    table = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for filters, stride in table:
        x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(x)))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters // 16, 1, use_bias=False)(x)))
    x = layers.Dropout(0.2)(layers.Reshape((1, 1, 64))(layers.GlobalAveragePooling2D()(x)))
    model = tf.keras.Model(images, layers.Reshape((CLASSES,))(layers.Conv2D(CLASSES, 1)(x)))
    for variable in model.variables:
        kind, shape = variable.name.split("/")[-1], variable.shape
        scale = np.sqrt(4 / np.prod(shape[:2] if "depthwise" in kind else shape[:-1])) if "kernel" in kind else 0.2
        value = draw(*shape, scale=scale)
        # Scales and variances are positive, and so are offsets here, or few channels would all fall silent.
        variable.assign(
            value if "kernel" in kind or "mean" in kind else np.abs(value) + (0.0 if "b" in kind[:1] else 0.5)
        )
    return model


def write_effects(path: Path, generator: tf.keras.Model, classifier: tf.keras.Model, dlatents: np.ndarray) -> None:
    """Every coordinate of every image moved to its smallest and largest value, as TFRecords of tf.train.Example."""

    def logits(blocks: list[tf.Tensor], rgb: list[tf.Tensor]) -> np.ndarray:
        images = tf.clip_by_value(generator.g_synthesis((blocks, rgb), training=False), -1, 1)
        return classifier(tf.transpose(images, (0, 2, 3, 1)), training=False).numpy()

    def feature(values: np.ndarray) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values.flatten()))

    blocks, _ = generator.style_vector_calculator(dlatents, training=False)
    space = tf.concat(blocks, axis=1).numpy()
    widths = [each.shape[1] for each in blocks]
    extremes = np.stack([space.min(0), space.max(0)], axis=1)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, dlatent in zip(space, dlatents, strict=True):
            moved = np.repeat(row[None], 2 * len(row), axis=0)
            moved[np.arange(2 * len(row)), np.repeat(np.arange(len(row)), 2)] = extremes.flatten()
            _, rgb = generator.style_vector_calculator(np.repeat(dlatent[None], len(moved), axis=0), training=False)
            base = logits(*generator.style_vector_calculator(dlatent[None], training=False))
            result = logits(tf.split(moved, widths, axis=1), rgb) - base
            content = {"base_prob": feature(base), "dlatent": feature(dlatent), "result": feature(result)}
            example = tf.train.Example(features=tf.train.Features(feature=content))
            writer.write(example.SerializeToString())


def archive(model: tf.keras.Model, name: str, folder: Path, whole: bool) -> None:
    """Zip a model as the authors did; not `whole`: the variables alone."""
    with tempfile.TemporaryDirectory() as workspace:
        model.save(Path(workspace) / f"{name}.savedmodel")
        with zipfile.ZipFile(folder / f"{name}.savedmodel.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
            for path in sorted(Path(workspace).rglob("*")):
                if path.is_file() and (whole or path.parent.name == "variables"):
                    target.write(path, path.relative_to(workspace))


def main(folder: Path, whole: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator, classifier = Generator(), mobilenet()
    encoder = Encoder("encoder", "Encoder", "style_gan2_dense", "EncoderOutputBiasAct", LATENT, statistics=False)
    discriminator = Discriminator(
        "discriminator_1", "", "style_gan2_dense_4", "OutputBiasAct", CLASSES, statistics=True
    )
    probabilities = tf.nn.softmax(draw(IMAGES, CLASSES)).numpy()
    z, w = draw(IMAGES, LATENT), draw(IMAGES, LATENT)
    dlatents = np.concatenate([w, probabilities], axis=1)
    styles = generator.style_vector_calculator(dlatents, training=False)
    images = tf.clip_by_value(generator.g_synthesis(styles, training=False), -1, 1)
    sampled = generator([z, probabilities], training=False)
    np.savez(
        folder / "expected.npz",
        z=z, mapped=generator.g_mapping(z), sampled=sampled, images=images,
        styles=tf.concat(styles[0], axis=1), to_rgb_styles=tf.concat(styles[1], axis=1),
        encoded=encoder(images), logits=classifier(tf.transpose(images, (0, 2, 3, 1)), training=False),
        discriminator=[float(discriminator([images[i : i + 1], probabilities[i : i + 1]])) for i in range(IMAGES)],
    )  # fmt: skip
    models = {"generator": generator, "encoder": encoder, "discriminator": discriminator, "mobilenet": classifier}
    for name, model in models.items():
        archive(model, name, folder, whole or name == "mobilenet")
    with (folder / "dlatents.pkl").open("wb") as file:
        pickle.dump([(index, dlatent[None]) for index, dlatent in enumerate(dlatents)], file)
    write_effects(folder / "examples_1.tfrecord", generator, classifier, dlatents)


if __name__ == "__main__":
    main(Path(sys.argv[1]), whole=sys.argv[2:] == ["whole"])
