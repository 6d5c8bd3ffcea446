# From the trained networks to numbers: latents, AttFind, sufficiency, the Fréchet curve, the factors moved. Rules called
# …_aside do for the other protocols what their namesakes do for the main one.
SELECTION_KEYS = [
    f"attfind.{key}"
    for key in (
        "protocols",
        "engine",
        "algorithm",
        "ranking",
        "against",
        "threshold",
        "max_attributes",
        "discriminator_filter",
        "unstable_filter",
    )
]


rule encode:
    input:
        manifest=manifest,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        backbone=backbone_model,
        weights=lpips_weights,
        code=code("latents/*.py", "datasets/split.py", *STYLEX_CODE, *CLASSIFIER_CODE, *PERCEPTUAL_CODE),
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
        config=sections("dataset", "attfind.split", "attfind.images"),
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
        "results/benchmarks/rules/encode/{experiment}-{shard}.tsv"
    wildcard_constraints:
        experiment="|".join(PROJECT.experiments),
    params:
        config=sections("dataset", "attfind.split", "attfind.images", "attfind.encode_shards", "attfind.batch_size"),
        shard=lambda wildcards: f"--shard {int(wildcards.shard)}",
    message:
        "Encoding the analysed images of {wildcards.experiment}, shard {wildcards.shard}"


rule merge:
    input:
        manifest=manifest,
        shards=encoded_shards,
        code=code("latents/*.py", "datasets/split.py"),
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
        config=sections("dataset", "attfind.split", "attfind.images"),
    message:
        "Merging what was encoded of {wildcards.experiment}"
    shell:
        "python -m stylex encode {wildcards.experiment} --merge 2> >(tee {log} >&2)"


rule effects:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        code=code(
            "attfind/effects.py",
            "attfind/engine.py",
            "attfind/screening.py",
            "attfind/records.py",
            "precision.py",
            "latents/table.py",
            *STYLEX_CODE,
            *CLASSIFIER_CODE,
        ),
    output:
        EXPERIMENT.folder / "attfind/effects-{shard}.parquet",
    log:
        "results/logs/experiments/{experiment}/effects-{shard}.log",
    benchmark:
        "results/benchmarks/rules/effects/{experiment}-{shard}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released != "effects"),
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("effects"),
    params:
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
        "results/benchmarks/rules/effects/{experiment}-{protocol}-{shard}.tsv"
    params:
        config=effects_sections,
        protocol="--protocol {protocol}",
    message:
        "Measuring the effects on the {wildcards.protocol} of {wildcards.experiment}, shard {wildcards.shard}"


rule attributes:
    input:
        effects=effects,
        latents=EXPERIMENT.latents,
        code=code("attfind/selection.py", "attfind/algorithms.py", "attfind/records.py", "latents/table.py"),
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
        config=sections(*SELECTION_KEYS),
        protocol="",
    message:
        "Selecting the attributes of {wildcards.experiment}"
    shell:
        "python -m stylex attributes {wildcards.experiment} {params.protocol} 2> >(tee {log} >&2)"


use rule attributes as attributes_aside with:
    input:
        effects=effects_aside,
        latents=EXPERIMENT.latents,
        code=code("attfind/selection.py", "attfind/algorithms.py", "attfind/records.py", "latents/table.py"),
    output:
        with_provenance(ASIDE.attributes),
    log:
        "results/logs/experiments/{experiment}/attributes-{protocol}.log",
    params:
        config=sections(*SELECTION_KEYS),
        protocol="--protocol {protocol}",
    message:
        "Selecting the attributes on the {wildcards.protocol} of {wildcards.experiment}"


rule explanations:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        code=code(
            "attfind/explanations.py",
            "attfind/engine.py",
            "attfind/records.py",
            "precision.py",
            "latents/table.py",
            *STYLEX_CODE,
            *CLASSIFIER_CODE,
        ),
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
        config=sections(
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
        code=code(
            "evaluation/wu_2021.py",
            "evaluation/counterfactuals.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
        ),
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
        config=sections("attfind.protocols", "attfind.against", "attfind.max_attributes"),
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
        config=sections("attfind.protocols", "attfind.against", "attfind.max_attributes"),
        protocol="--protocol {protocol}",
    message:
        "Selecting the coordinates of {wildcards.experiment} on the {wildcards.protocol} as Wu et al. do"


rule sufficiency:
    input:
        latents=EXPERIMENT.latents,
        attributes=all_attribute_lists,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        code=code(
            "evaluation/random_lists.py",
            "evaluation/sufficiency.py",
            "evaluation/counterfactuals.py",
            "evaluation/intervals.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
            *CLASSIFIER_CODE,
        ),
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
        config=sections(
            "seed",
            "domain",
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


rule frechet:
    input:
        manifest=manifest,
        latents=EXPERIMENT.latents,
        attributes=all_attributes,
        model=EXPERIMENT.stylex_model,
        backbone=backbone_model,
        weights=fid_weights,
        code=code(
            "evaluation/frechet.py",
            "evaluation/extractors.py",
            "evaluation/statistics.py",
            "pretrained.py",
            "evaluation/counterfactuals.py",
            "distances.py",
            "attfind/records.py",
            "latents/table.py",
            "datasets/split.py",
            *STYLEX_CODE,
            *BACKBONE_CODE,
        ),
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
        config=sections(
            "seed",
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
        code=code(
            "evaluation/factors.py",
            "evaluation/counterfactuals.py",
            "attfind/records.py",
            "latents/table.py",
            "datasets/factors.py",
            "datasets/split.py",
            *STYLEX_CODE,
            *REGRESSOR_CODE,
        ),
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
        config=sections(
            "seed",
            "stylex.conditioning",
            "attfind.protocols",
            "attfind.shift",
            "attfind.split",
            "attfind.against",
            "evaluation.random_moves",
        ),
    message:
        "Measuring the known factors that the attributes of {wildcards.experiment} move"
    shell:
        "python -m stylex factors {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule ganalyze:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        code=code("evaluation/ganalyze.py", "latents/table.py", *STYLEX_CODE, *CLASSIFIER_CODE),
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
        config=sections("seed", "attfind.protocols", "evaluation.figure_class", "evaluation.ganalyze"),
    message:
        "Learning the single direction in W that the figures of {wildcards.experiment} compare with"
    shell:
        "python -m stylex ganalyze {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule study:
    input:
        latents=EXPERIMENT.latents,
        attributes=attribute_lists,
        model=EXPERIMENT.stylex_model,
        code=code(
            "study/animation.py",
            "study/answers.py",
            "study/build.py",
            "study/questions.py",
            "study/templates/*",
            "figures/examples.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
        ),
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
        code=code(
            "study/answers.py",
            "study/build.py",
            "study/observer.py",
            "study/questions.py",
            "study/statistics.py",
            "evaluation/intervals.py",
            "figures/examples.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
            *BACKBONE_CODE,
        ),
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
        config=sections("seed", "stylex.conditioning", "attfind.protocols", "attfind.shift", "study"),
    message:
        "Answering the questionnaire of {wildcards.experiment} by machine"
    shell:
        "python -m stylex study observe {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"
