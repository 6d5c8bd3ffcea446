# From the trained networks to numbers: latents, AttFind, sufficiency, distances, counterfactuals, factors. Rules called
# …_aside do for the other protocols what their namesakes do for the main one.
ENCODE_KEYS = ["seed", "dataset", "stylex.perceptual", "stylex.perceptual_backbone"]
ENCODE_KEYS += [f"attfind.{key}" for key in ("split", "images", "sampling", "min_realism")]
SELECTION_KEYS = ["seed"] + [
    f"attfind.{key}"
    for key in (
        "protocols",
        "engine",
        "shards",
        "algorithm",
        "min_images_fraction",
        "tolerance",
        "against",
        "threshold",
        "max_attributes",
        "discriminator_filter",
        "unstable_filter",
    )
]
BASELINE_KEYS = ["seed", "stylex.conditioning", "attfind.protocols", "attfind.against", "attfind.max_attributes"]


rule encode:
    input:
        manifest=manifest,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        backbone=backbone_model,
        weights=lpips_weights,
    output:
        EXPERIMENT.latents,
    log:
        "results/logs/experiments/{experiment}/encode.log",
    benchmark:
        "results/benchmarks/rules/encode/{experiment}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.attfind.encode_shards == 1 and not each.released),
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("encode"),
    params:
        code=code_of("encode"),
        config=sections(*ENCODE_KEYS),
        shard="",
    message:
        "Encoding the analysed images of {wildcards.experiment}"
    shell:
        "python -m stylex encode {wildcards.experiment} {params.shard} --threads {threads} 2> >(tee {log} >&2)"


# What a batch holds decides which images are in a part.
use rule encode as encode_shard with:
    output:
        EXPERIMENT.folder / "latents/{shard}.parquet",
    log:
        "results/logs/experiments/{experiment}/encode-{shard}.log",
    benchmark:
        "results/benchmarks/rules/encode/{experiment}/{shard}.tsv"
    wildcard_constraints:
        experiment="|".join(PROJECT.experiments),
    params:
        code=code_of("encode"),
        config=sections(*ENCODE_KEYS, "attfind.encode_shards", "attfind.batch_size"),
        shard=lambda wildcards: f"--shard {int(wildcards.shard)}",
    message:
        "Encoding the analysed images of {wildcards.experiment}, shard {wildcards.shard}"


rule merge:
    input:
        manifest=manifest,
        shards=encoded_shards,
    output:
        EXPERIMENT.latents,
    log:
        "results/logs/experiments/{experiment}/merge.log",
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.attfind.encode_shards > 1 and not each.released),
    conda:
        ENVIRONMENT
    resources:
        **requests("merge"),
    params:
        code=code_of("encode"),
        config=sections(*ENCODE_KEYS),
    message:
        "Merging what was encoded of {wildcards.experiment}"
    shell:
        "python -m stylex encode {wildcards.experiment} --merge 2> >(tee {log} >&2)"


rule effects:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        EXPERIMENT.folder / "attfind/effects-{shard}.parquet",
    log:
        "results/logs/experiments/{experiment}/effects-{shard}.log",
    benchmark:
        "results/benchmarks/rules/effects/{experiment}/{shard}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released != "effects"),
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("effects"),
    params:
        code=code_of("effects"),
        config=effects_sections,
        protocol="",
    message:
        "Measuring the effects of all style coordinates of {wildcards.experiment}, shard {wildcards.shard}"
    shell:
        "python -m stylex effects {wildcards.experiment} {params.protocol} --shard $((10#{wildcards.shard}))"
        " --threads {threads} 2> >(tee {log} >&2)"


use rule effects as effects_aside with:
    output:
        ASIDE.attfind / "effects-{shard}.parquet",
    log:
        "results/logs/experiments/{experiment}/effects-{protocol}-{shard}.log",
    benchmark:
        "results/benchmarks/rules/effects/{experiment}/{protocol}-{shard}.tsv"
    params:
        code=code_of("effects"),
        config=effects_sections,
        protocol="--protocol {protocol}",
    message:
        "Measuring the effects on the {wildcards.protocol} of {wildcards.experiment}, shard {wildcards.shard}"


rule attributes:
    input:
        effects=effects,
    output:
        with_provenance(EXPERIMENT.attributes),
    log:
        "results/logs/experiments/{experiment}/attributes.log",
    group:
        group_of("attributes")
    conda:
        ENVIRONMENT
    resources:
        **requests("attributes"),
    params:
        code=code_of("attributes"),
        config=sections(*SELECTION_KEYS),
        protocol="",
    message:
        "Selecting the attributes of {wildcards.experiment}"
    shell:
        "python -m stylex attributes {wildcards.experiment} {params.protocol} 2> >(tee {log} >&2)"


use rule attributes as attributes_aside with:
    input:
        effects=effects_aside,
    output:
        with_provenance(ASIDE.attributes),
    log:
        "results/logs/experiments/{experiment}/attributes-{protocol}.log",
    params:
        code=code_of("attributes"),
        config=sections(*SELECTION_KEYS),
        protocol="--protocol {protocol}",
    message:
        "Selecting the attributes on the {wildcards.protocol} of {wildcards.experiment}"


rule explanations:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        with_provenance(EXPERIMENT.independent),
        with_provenance(EXPERIMENT.subset),
    log:
        "results/logs/experiments/{experiment}/explanations.log",
    benchmark:
        "results/benchmarks/rules/explanations/{experiment}.tsv"
    group:
        group_of("explanations")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("explanations"),
    params:
        # not what prepares and draws image files, which people alone give
        code=code_of("explain", without=("stylex.datasets", "stylex.figures", "stylex.latents.encode")),
        config=sections(
            "seed",
            "attfind.protocols",
            "attfind.shift",
            "attfind.precision",
            "evaluation.explained_images",
            "evaluation.explanation_steps",
        ),
    message:
        "Explaining single images of {wildcards.experiment}"
    shell:
        "python -m stylex explain {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule baseline:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
    output:
        with_provenance(EXPERIMENT.wu_2021),
    log:
        "results/logs/experiments/{experiment}/baseline.log",
    group:
        group_of("baseline")
    conda:
        ENVIRONMENT
    resources:
        **requests("baseline"),
    params:
        code=code_of("baseline"),
        config=sections(*BASELINE_KEYS),
        protocol="",
    message:
        "Selecting the coordinates of {wildcards.experiment} as Wu et al. do"
    shell:
        "python -m stylex baseline {wildcards.experiment} {params.protocol} 2> >(tee {log} >&2)"


use rule baseline as baseline_aside with:
    output:
        with_provenance(ASIDE.wu_2021),
    log:
        "results/logs/experiments/{experiment}/baseline-{protocol}.log",
    params:
        code=code_of("baseline"),
        config=sections(*BASELINE_KEYS),
        protocol="--protocol {protocol}",
    message:
        "Selecting the coordinates of {wildcards.experiment} on the {wildcards.protocol} as Wu et al. do"


rule sufficiency:
    input:
        latents=EXPERIMENT.latents,
        attributes=all_attribute_lists,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        with_provenance(EXPERIMENT.sufficiency),
        with_provenance(EXPERIMENT.flips),
        with_provenance(EXPERIMENT.random_flips),
    log:
        "results/logs/experiments/{experiment}/sufficiency.log",
    benchmark:
        "results/benchmarks/rules/sufficiency/{experiment}.tsv"
    group:
        group_of("sufficiency")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("sufficiency"),
    params:
        code=code_of("sufficiency"),
        config=sections(
            "seed",
            "domain",
            "stylex.conditioning",
            "attfind.protocols",
            "attfind.shift",
            "attfind.against",
            "evaluation.sufficiency_k",
            "evaluation.random_lists",
        ),
    message:
        "Measuring the sufficiency of the attributes of {wildcards.experiment}"
    shell:
        "python -m stylex sufficiency {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule samples:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        with_provenance(EXPERIMENT.samples),
    log:
        "results/logs/experiments/{experiment}/samples.log",
    benchmark:
        "results/benchmarks/rules/samples/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("samples"),
    params:
        code=code_of("samples"),
        config=sections("seed", "domain", "stylex.conditioning", "evaluation.random_samples"),
    message:
        "Counting the classes of random samples of {wildcards.experiment}"
    shell:
        "python -m stylex samples {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule frechet:
    input:
        manifest=originals_manifest,
        latents=EXPERIMENT.latents,
        attributes=all_attributes,
        model=EXPERIMENT.stylex_model,
        backbone=frechet_backbone,
        weights=fid_weights,
    output:
        with_provenance(EXPERIMENT.frechet),
    log:
        "results/logs/experiments/{experiment}/frechet.log",
    benchmark:
        "results/benchmarks/rules/frechet/{experiment}.tsv"
    group:
        group_of("frechet")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("frechet"),
    params:
        code=code_of("frechet"),
        config=sections(
            "seed",
            "released_images",
            "dataset",
            "stylex.perceptual_backbone",
            "attfind.split",
            "attfind.protocols",
            "attfind.shift",
            "attfind.against",
            "evaluation.frechet_attributes",
            "evaluation.frechet_extractors",
        ),
    message:
        "Measuring Fréchet distances of {wildcards.experiment}"
    shell:
        "python -m stylex frechet {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule factors:
    input:
        manifest=manifest,
        latents=EXPERIMENT.latents,
        attributes=attribute_lists,
        model=EXPERIMENT.stylex_model,
        regressor=lambda wildcards: factor_regressor(wildcards).model,
        metrics=lambda wildcards: factor_regressor(wildcards).metrics,
    output:
        with_provenance(EXPERIMENT.factors),
        with_provenance(EXPERIMENT.factor_fit),
    log:
        "results/logs/experiments/{experiment}/factors.log",
    benchmark:
        "results/benchmarks/rules/factors/{experiment}.tsv"
    group:
        group_of("factors")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("factors"),
    params:
        # of the catalog, it is asked for the causes
        code=code_of("factors", without=("stylex.datasets.layouts", "stylex.datasets.transfer")),
        config=sections(
            "seed",
            "dataset",
            "stylex.conditioning",
            "attfind.protocols",
            "attfind.shift",
            "attfind.split",
            "attfind.against",
            "evaluation.factor_regressor",
            "evaluation.random_moves",
        ),
    message:
        "Measuring the known factors that the attributes of {wildcards.experiment} move"
    shell:
        "python -m stylex factors {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule maps:
    input:
        latents=EXPERIMENT.latents,
        attributes=EXPERIMENT.attributes,
        model=EXPERIMENT.stylex_model,
    output:
        EXPERIMENT.maps,
        with_provenance(EXPERIMENT.map_numbers),
    log:
        "results/logs/experiments/{experiment}/maps.log",
    benchmark:
        "results/benchmarks/rules/maps/{experiment}.tsv"
    group:
        group_of("maps")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("maps"),
    params:
        code=code_of("maps"),
        config=sections(
            "seed",
            "dataset.resolution",
            "attfind.protocols",
            "attfind.shift",
            "attfind.against",
            "evaluation.figure_attributes",
        ),
    message:
        "Mapping where the attributes of {wildcards.experiment} change the images"
    shell:
        "python -m stylex maps {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule ganalyze:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        EXPERIMENT.ganalyze,
    log:
        "results/logs/experiments/{experiment}/ganalyze.log",
    benchmark:
        "results/benchmarks/rules/ganalyze/{experiment}.tsv"
    group:
        group_of("ganalyze")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("ganalyze"),
    params:
        code=code_of("ganalyze"),
        config=sections(
            "seed", "attfind.protocols", "attfind.against", "evaluation.figure_class", "evaluation.ganalyze"
        ),
    message:
        "Learning the single direction in W that the figures of {wildcards.experiment} compare with"
    shell:
        "python -m stylex ganalyze {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


# In no group of jobs: it waits for those of two.
rule counterfactuals:
    input:
        manifest=manifest,
        latents=EXPERIMENT.latents,
        attributes=all_attribute_lists,
        ganalyze=EXPERIMENT.ganalyze,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        backbone=backbone_model,
        oracle=oracle_model,
        weights=lambda wildcards: fid_weights(wildcards) + lpips_weights(wildcards),
    output:
        with_provenance(EXPERIMENT.counterfactuals),
        with_provenance(EXPERIMENT.counterfactual_images),
    log:
        "results/logs/experiments/{experiment}/counterfactuals.log",
    benchmark:
        "results/benchmarks/rules/counterfactuals/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("counterfactuals"),
    params:
        code=code_of("counterfactuals"),
        config=sections(
            "seed",
            "domain",
            "dataset",
            "stylex.conditioning",
            "stylex.perceptual",
            "stylex.perceptual_backbone",
            "attfind.split",
            "attfind.protocols",
            "attfind.shift",
            "attfind.against",
            "attfind.precision",
            "evaluation.oracle",
            "evaluation.frechet_extractors",
            "evaluation.counterfactual_attributes",
            "evaluation.counterfactual_lists",
            "evaluation.counterfactual_searches",
            "evaluation.counterfactual_diversity",
            "evaluation.counterfactual_reals",
            "evaluation.baselines",
        ),
    message:
        "Measuring what the counterfactuals of {wildcards.experiment} look like"
    shell:
        "python -m stylex counterfactuals {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule study:
    input:
        latents=EXPERIMENT.latents,
        attributes=attribute_lists,
        model=EXPERIMENT.stylex_model,
    output:
        EXPERIMENT.study_page,
        with_provenance(EXPERIMENT.study_key),
    log:
        "results/logs/experiments/{experiment}/study.log",
    benchmark:
        "results/benchmarks/rules/study/{experiment}.tsv"
    group:
        group_of("study")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("study"),
    params:
        code=code_of("study build"),
        config=sections(
            "title", "seed", "stylex.conditioning", "attfind.protocols", "attfind.shift", "study.attributes"
        ),
    message:
        "Making the questionnaire of {wildcards.experiment}"
    shell:
        "python -m stylex study build {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule observer:
    input:
        latents=EXPERIMENT.latents,
        attributes=attribute_lists,
        key=EXPERIMENT.study_key,
        model=EXPERIMENT.stylex_model,
        backbone=backbone_model,
    output:
        with_provenance(EXPERIMENT.observer),
    log:
        "results/logs/experiments/{experiment}/observer.log",
    benchmark:
        "results/benchmarks/rules/observer/{experiment}.tsv"
    group:
        group_of("observer")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("observer"),
    params:
        code=code_of("study observe"),
        config=sections(
            "seed", "stylex.conditioning", "stylex.perceptual_backbone", "attfind.protocols", "attfind.shift", "study"
        ),
    message:
        "Answering the questionnaire of {wildcards.experiment} by machine"
    shell:
        "python -m stylex study observe {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"
