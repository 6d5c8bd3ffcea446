"""The methods of the table `counterfactuals` by name, each a way from the rows of images to images turned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from stylex.attfind.explanations import Explainer
from stylex.attfind.records import Attribute, Method, read_attributes
from stylex.config import ExperimentPaths
from stylex.evaluation.baselines import condition, ganalyze, latent, pixel
from stylex.evaluation.turning import Model, Searched, Turned, by_chance, by_explanation, by_list
from stylex.latents.table import Latents

Way = Callable[[Tensor, str], list[Turned]]
"""Turns the images of the rows [n], n > 0, into a class, once a draw; []: there is no way to that class."""
Lists = Mapping[str, Sequence[Attribute]]  # by target class
Baseline = Callable[[Model, Latents, Tensor, str], Turned | None]


def ways(model: Model, paths: ExperimentPaths, latents: Latents) -> dict[str, Way]:
    """Return the methods of a protocol. Those that search each image by itself are of the main protocol alone."""
    config = model.config
    limit, main = config.evaluation.counterfactual_attributes, config.attfind.protocol
    files = paths.under(latents.protocol, main).attribute_lists(config.method)
    lists = {method: _first(read_attributes(file), limit) for method, file in files.items()}
    found: dict[str, Way] = {method: partial(_listed, model, latents, found) for method, found in lists.items()}
    found["random"] = partial(_random, model, latents, lists[config.method])
    if latents.protocol is not main:
        return found
    explainer = Explainer(model.networks, model.classifier, latents, config.attfind, model.device)
    known: dict[str, Searched] = {}
    for method in (Method.SUBSET, Method.INDEPENDENT):
        found[method.value] = partial(_explained, model, latents, explainer, known, method)
    others: dict[str, Baseline] = {"latent": latent, "ganalyze": partial(ganalyze, path=paths.ganalyze)}
    others |= {"condition": condition, "pixel": pixel}
    return found | {name: partial(_baseline, model, latents, turn) for name, turn in others.items()}


def _first(lists: Lists, limit: int) -> dict[str, Sequence[Attribute]]:
    return {target: attributes[:limit] for target, attributes in lists.items()}


def _listed(model: Model, latents: Latents, lists: Lists, rows: Tensor, target: str) -> list[Turned]:
    return [by_list(model, latents, rows, lists.get(target, []), target)]


def _random(model: Model, latents: Latents, lists: Lists, rows: Tensor, target: str) -> list[Turned]:
    return by_chance(model, latents, rows, len(lists.get(target, [])), target)


def _explained(
    model: Model,
    latents: Latents,
    explainer: Explainer,
    known: dict[str, Searched],
    method: Method,
    rows: Tensor,
    target: str,
) -> list[Turned]:
    """Explain the images by one method; `known` keeps what every move does to them for the next method."""
    if target not in known:
        known[target] = Searched.of(model, explainer, latents, rows, target)
    return [by_explanation(model, explainer, latents, known[target], method)]


def _baseline(model: Model, latents: Latents, turn: Baseline, rows: Tensor, target: str) -> list[Turned]:
    turned = turn(model, latents, rows, target)
    return [] if turned is None else [turned]
