"""Where the host waits for the device, how often, and why: all that the tests of this folder allow.

A count is by place in stylex/ and kind of wait (simulated.Wait). A copy to the device is a wait where it is blocking:
CUDA then finishes all that it was given before. docs/performance.md sums these tables up.
"""

from collections import Counter

Counts = dict[tuple[str, str], int]

# Weights and what else is sent once, at the start of a stage.
LOADING = {
    "networks/model.py:stylex_of", "classifiers/frozen.py:load_classifier", "classifiers/frozen.py:load_backbone",
    "classifiers/frozen.py:load_oracle", "classifiers/frozen.py:load_regressor", "training/state.py:initial_state",
    "training/state.py:FlatWeights.__init__", "attfind/effects.py:Measurement.__init__",
    "attfind/explanations.py:Explainer.__init__",
    "classifiers/training.py:train_network", "training/metrics.py:Validation.__init__",
    "training/sampler.py:BatchSampler.__init__",
}  # fmt: skip

# Of one training step.
STEP: Counts = {}  # without mixed conditions, as in the papers' presets: everything stays on the device
MIXED: Counts = {("training/losses.py:classifier_noise_term", "size"): 1}  # for each part of an accumulated batch
BATCH: Counts = {("training/reading.py:Reader.images", "written"): 1}
EPOCH: Counts = {("training/sampler.py:BatchSampler.next", "read"): 1}
# Of the numbers val_* of a row of the history.
VALIDATION: Counts = {
    ("training/metrics.py:Validation.measure", "number"): 2,
    ("training/metrics.py:Validation._embed", "read"): 1,
}
TRAINING: Counts = {  # of the training in conftest.py: 6 steps, 2 epochs, 2 rows and 3 checkpoints
    ("training/metrics.py:Validation.measure", "number"): 4,
    ("training/metrics.py:Validation._embed", "read"): 3,
    ("training/reading.py:Reader.images", "written"): 9,
    ("training/sampler.py:BatchSampler.next", "read"): 2,
    ("training/sampler.py:BatchSampler._of_all.<listcomp>.<listcomp>", "read"): 5,
    ("training/run.py:not_finite", "number"): 4,
    ("training/loop.py:_record.<dictcomp>", "number"): 13,
    ("training/checkpoint.py:save_checkpoint", "read"): 51,
    ("training/metrics.py:Validation.write_samples", "written"): 2,
    ("training/metrics.py:Validation.write_samples", "read"): 1,
    ("artifacts.py:save_tensors.<dictcomp>", "read"): 83,
}

CLASSIFIER: Counts = {  # of an epoch of 5 steps, and three passes over images that are not trained on
    ("classifiers/training.py:_Trainer._step", "written"): 5,
    ("classifiers/training.py:_Trainer.epoch", "read"): 1,
    ("classifiers/metrics.py:predict.<listcomp>", "written"): 3,
    ("classifiers/metrics.py:predict.<listcomp>", "read"): 3,
    ("artifacts.py:save_tensors.<dictcomp>", "read"): 122,
}

STYLES = ("networks/stylespace.py:StyleVector.to", "written")
EXPLAINED: Counts = {  # of the searches for 6 images, 3 steps at the most
    ("attfind/explanations.py:Explainer._margins_of_moves", "size"): 4,
    ("attfind/engine.py:logits_of_moves", "read"): 2,
    ("attfind/explanations.py:Explainer._independent", "size"): 3,
    ("attfind/explanations.py:Explainer._subset", "size"): 10,
    ("attfind/explanations.py:Explainer._record", "read"): 16,
    ("attfind/explanations.py:Explainer._record.<genexpr>", "read"): 8,
}
DIAGNOSIS: Counts = {
    ("diagnosis/__init__.py:diagnose", "written"): 1,
    ("diagnosis/__init__.py:measures_of", "written"): 2,
    ("diagnosis/__init__.py:measures_of", "read"): 5,
    ("diagnosis/__init__.py:measures_of.<listcomp>", "read"): 2,
    ("diagnosis/__init__.py:_decisions", "read"): 3,
}
# Of whole stages, on the project of conftest.py: 24 images, of which 12 are searched; a batch holds 10, of moves 128.
STAGES: dict[str, Counts] = {
    "encode": {("latents/encode.py:encode", "written"): 1, ("latents/encode.py:encode.<dictcomp>", "read"): 8},
    "realistic": {
        ("latents/encode.py:encode", "written"): 1,
        ("latents/encode.py:encode.<dictcomp>", "read"): 8,
        ("latents/encode.py:realistic_rows", "written"): 1,
        ("latents/encode.py:realistic_rows", "read"): 1,
    },
    "effects": {  # of 12 groups
        STYLES: 24,
        ("attfind/effects.py:Measurement.rows", "written"): 12,
        ("attfind/effects.py:Measurement.rows", "read"): 24,
        ("attfind/engine.py:logits_of_moves", "read"): 24,
    },
    "screened": {
        STYLES: 2,
        ("attfind/engine.py:Screen._first_order", "read"): 2,
        ("attfind/engine.py:Screen._effects_of", "read"): 11,
    },
    "sufficiency": {STYLES: 12, ("evaluation/sufficiency.py:first_flips.<listcomp>", "read"): 6},
    "random_flips": {STYLES: 16, ("evaluation/sufficiency.py:first_flips.<listcomp>", "read"): 8},
    "frechet": {
        STYLES: 8,
        ("evaluation/frechet.py:BackboneFeatures.features", "written"): 2,
        ("evaluation/frechet.py:BackboneFeatures.features", "read"): 6,
    },
    "explain": {STYLES: 2, ("attfind/explanations.py:explain_analysed", "read"): 1, **EXPLAINED},
    "ganalyze": {
        ("evaluation/baselines.py:ganalyze", "written"): 2,
        ("evaluation/baselines.py:learn_direction", "number"): 3,
        ("artifacts.py:save_tensors.<dictcomp>", "read"): 1,
    },
    "samples": {("evaluation/samples.py:decisions", "written"): 4, ("evaluation/samples.py:decisions", "read"): 2},
    "maps": {
        STYLES: 24,
        ("evaluation/maps.py:moved_alone", "read"): 18,
        ("evaluation/maps.py:judges.<lambda>", "written"): 6,
    },
    "counterfactuals": {
        STYLES: 120,
        ("attfind/explanations.py:Explainer._margins_of_moves", "size"): 21,
        ("attfind/engine.py:logits_of_moves", "read"): 10,
        ("attfind/explanations.py:Explainer._independent", "size"): 20,
        ("attfind/explanations.py:Explainer._subset", "size"): 84,
        ("attfind/explanations.py:Explainer._record", "read"): 116,
        ("attfind/explanations.py:Explainer._record.<genexpr>", "read"): 58,
        ("evaluation/counterfactuals.py:Run.images.<listcomp>", "read"): 40,
        ("evaluation/frechet.py:BackboneFeatures.features", "written"): 16,
        ("evaluation/frechet.py:BackboneFeatures.features", "read"): 16,
        ("evaluation/methods.py:Explanations._diversity", "written"): 20,
        ("evaluation/methods.py:Explanations._spread", "number"): 4,
        ("evaluation/methods.py:Explanations._spread", "written"): 4,
        ("evaluation/methods.py:Explanations._spread.<genexpr>.<listcomp>", "written"): 32,
        ("evaluation/methods.py:Explanations.turn", "written"): 4,
        ("evaluation/methods.py:_of_w", "read"): 16,
        ("evaluation/methods.py:_of_w", "written"): 16,
        ("evaluation/methods.py:latent", "number"): 8,
        ("evaluation/methods.py:latent", "read"): 2,
        ("evaluation/methods.py:latent", "size"): 48,
        ("evaluation/methods.py:latent", "written"): 8,
        ("evaluation/methods.py:pixel", "number"): 4,
        ("evaluation/methods.py:pixel", "read"): 2,
        ("evaluation/methods.py:pixel", "size"): 4,
        ("evaluation/methods.py:pixel", "written"): 2,
        ("evaluation/quality.py:Evaluator._measure", "read"): 90,
        ("evaluation/quality.py:Evaluator._measure", "written"): 36,
        ("evaluation/sufficiency.py:first_flips.<listcomp>", "read"): 18,
        ("networks/stylespace.py:StyleVector.select", "written"): 12,
    },
    "diagnosis": DIAGNOSIS,
    "factors": {  # of 8 batches: 12 images, and some of them for each of 6 moves
        STYLES: 16,
        ("evaluation/factors.py:estimated.<listcomp>", "read"): 16,
        ("evaluation/factors.py:factors.<listcomp>", "written"): 2,
        ("evaluation/factors.py:factors.<listcomp>", "read"): 2,
    },
}

# Why, by function; the tables above name no other, nor does the code of HOT call .cpu(), .item() or .numpy() elsewhere.
REASONS = {
    "artifacts.py:save_tensors": "a file is written",
    "attfind/effects.py:Measurement.rows": "a group is written to disk, so that a killed search goes on from it",
    "attfind/engine.py:Screen._effects_of": "the search decides on the CPU what it measures next",
    "attfind/engine.py:Screen._first_order": "the search reads all estimates, once a batch of images",
    "attfind/engine.py:logits_of_moves": "where the moves are decides the batches; twice a group, and nothing after",
    "attfind/explanations.py:Explainer._independent": "images that nothing turns end their search",
    "attfind/explanations.py:Explainer._margins_of_moves": "moves that change nothing are not rendered",
    "attfind/explanations.py:Explainer._record": "a step is a row of the table",
    "attfind/explanations.py:Explainer._subset": "images that have flipped, or cannot, end their search",
    "attfind/explanations.py:explain_analysed": "the table names the targets",
    "classifiers/metrics.py:predict": "images are sent, and outputs compared on the CPU, a batch at a time",
    "classifiers/training.py:_Trainer._step": "images are sent",
    "classifiers/training.py:_Trainer.epoch": "the losses of an epoch are read at its end",
    "diagnosis/__init__.py:_decisions": "classes are counted on the CPU",
    "diagnosis/__init__.py:diagnose": "images are sent, once",
    "diagnosis/__init__.py:measures_of": "measures in float64 are made on the CPU",
    "evaluation/baselines.py:ganalyze": "latents are sent, once",
    "evaluation/baselines.py:learn_direction": "a scale before the first step, two errors a batch after the last",
    "evaluation/counterfactuals.py:Run.images": "images that are kept are kept on the CPU",
    "evaluation/factors.py:estimated": "images and their factors are compared on the CPU, a batch at a time",
    "evaluation/factors.py:factors": "images are sent, and their factors compared on the CPU, a batch at a time",
    "evaluation/factors.py:overlap": "intervals are numpy's",
    "evaluation/frechet.py:BackboneFeatures.features": "sums over all images are float64, on the CPU",
    "evaluation/frechet.py:InceptionFeatures.features": "sums over all images are float64, on the CPU",
    "evaluation/maps.py:judges": "the classes of the oracle are sent",
    "evaluation/maps.py:moved_alone": "sums over all images are float64, on the CPU; answers are counted",
    "evaluation/methods.py:Explanations._diversity": "images left to explain again are chosen",
    "evaluation/methods.py:Explanations._spread": "a distance is a value of the table",
    "evaluation/methods.py:Explanations.turn": "images of which several explanations are asked are chosen",
    "evaluation/methods.py:_of_w": "images that are kept are kept on the CPU",
    "evaluation/methods.py:latent": "images that have flipped leave the batch, at each step",
    "evaluation/methods.py:pixel": "images that have flipped leave the batch, at each level",
    "evaluation/quality.py:Evaluator._measure": "what is measured of an image is a row of the table",
    "evaluation/samples.py:decisions": "decisions are counted on the CPU, once a batch",
    "evaluation/sufficiency.py:first_flips": "images that have flipped are not rendered again; once a batch",
    "latents/encode.py:encode": "images are sent a batch at a time, the table is read when all are encoded",
    "latents/encode.py:realistic_rows": "images are sent and scores are read a batch at a time",
    "latents/table.py:vector_column": "a file is written",
    "latents/table.py:write_latents": "a file is written",
    "networks/stylespace.py:StyleVector.select": "rows are chosen on the CPU",
    "networks/stylespace.py:StyleVector.to": "styles are kept on the CPU, and sent a batch at a time",
    "training/checkpoint.py:save_checkpoint": "a file is written",
    "training/distributed.py:Processes.any": "of a tensor on the CPU: no device is waited for",
    "training/loop.py:_record": "a row of the history has a number for each loss term",
    "training/losses.py:classifier_noise_term": "how many samples have one condition is random, and decides shapes",
    "training/metrics.py:Validation._embed": "the Fréchet distance is float64, on the CPU; once a row of the history",
    "training/metrics.py:Validation.measure": "numbers of a row of the history",
    "training/metrics.py:Validation.write_samples": "a file is written",
    "training/reading.py:Reader.bytes": "indices are on the CPU",
    "training/reading.py:Reader.images": "images are sent; with readers, from pinned memory and without waiting",
    "training/run.py:not_finite": "one number of all, at every 50th step and before files are written",
    "training/sampler.py:BatchSampler._of_all": "what is computed once is kept on the CPU; before the first step",
    "training/sampler.py:BatchSampler.next": "the order of the batches is read once an epoch",
}
HOT = (
    "attfind", "diagnosis", "evaluation", "latents", "networks", "training", "classifiers/frozen.py",
    "classifiers/perceptual.py", "quantization.py",
)  # fmt: skip


def beyond(counts: Counter[tuple[str, str]], *allowed: Counts) -> dict[tuple[str, str], int]:
    """Return the waits that no table allows, or that are more than allowed."""
    most = sum((Counter(each) for each in allowed), Counter[tuple[str, str]]())
    return {key: count for key, count in counts.items() if key[0] not in LOADING and count > most[key]}


def function(place: str) -> str:
    """Return the function or method of a place, without the comprehension or lambda in it."""
    return place.split(".<")[0]
