# From the trained networks to numbers: latents, AttFind, sufficiency and the Fréchet curve.


rule encode:
    input:
        manifest=manifest,
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        backbone=backbone_model,
        code=code("latents/*.py", "datasets/split.py", *STYLEX_CODE, *CLASSIFIER_CODE, *BACKBONE_CODE),
    output:
        EXPERIMENT.latents,
    log:
        "results/logs/encode/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/encode/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("dataset", "attfind.split", "attfind.images"),
    message:
        "Encoding the analysed images of {wildcards.experiment}"
    shell:
        "python -m stylex encode {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule effects:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        code=code(
            "attfind/effects.py",
            "attfind/engine.py",
            "attfind/screening.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
            *CLASSIFIER_CODE,
        ),
    output:
        EXPERIMENT.folder / "attfind/effects-{shard}.parquet",
    log:
        "results/logs/effects/{experiment}-{shard}.log",
    benchmark:
        "results/benchmarks/rules/effects/{experiment}-{shard}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=effects_sections,
    message:
        "Measuring the effects of all style coordinates of {wildcards.experiment}, shard {wildcards.shard}"
    shell:
        "python -m stylex effects {wildcards.experiment} --shard $((10#{wildcards.shard})) --threads {threads}"
        " 2> >(tee {log} >&2)"


rule attributes:
    input:
        effects=effects,
        latents=EXPERIMENT.latents,
        code=code("attfind/selection.py", "attfind/algorithms.py", "attfind/records.py", "latents/table.py"),
    output:
        with_provenance(EXPERIMENT.attributes),
    log:
        "results/logs/attributes/{experiment}.log",
    conda:
        ENVIRONMENT
    params:
        config=sections(
            "attfind.engine",
            "attfind.algorithm",
            "attfind.ranking",
            "attfind.against",
            "attfind.threshold",
            "attfind.max_attributes",
            "attfind.discriminator_filter",
            "attfind.unstable_filter",
        ),
    message:
        "Selecting the attributes of {wildcards.experiment}"
    shell:
        "python -m stylex attributes {wildcards.experiment} 2> >(tee {log} >&2)"


rule explanations:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        code=code(
            "attfind/explanations.py",
            "attfind/engine.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
            *CLASSIFIER_CODE,
        ),
    output:
        with_provenance(EXPERIMENT.independent),
        with_provenance(EXPERIMENT.subset),
    log:
        "results/logs/explanations/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/explanations/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("attfind.shift", "attfind.precision", "attfind.max_attributes", "evaluation.explained_images"),
    message:
        "Explaining single images of {wildcards.experiment}"
    shell:
        "python -m stylex explain {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule sufficiency:
    input:
        latents=EXPERIMENT.latents,
        attributes=EXPERIMENT.attributes,
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        code=code(
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
    log:
        "results/logs/sufficiency/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/sufficiency/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("seed", "domain", "published_domain", "attfind.shift", "evaluation.sufficiency_k"),
    message:
        "Measuring the sufficiency of the attributes of {wildcards.experiment}"
    shell:
        "python -m stylex sufficiency {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule frechet:
    input:
        manifest=manifest,
        latents=EXPERIMENT.latents,
        attributes=EXPERIMENT.attributes,
        model=EXPERIMENT.stylex_model,
        backbone=backbone_model,
        code=code(
            "evaluation/frechet.py",
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
        "results/logs/frechet/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/frechet/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("seed", "attfind.shift", "evaluation.frechet_attributes"),
    message:
        "Measuring Fréchet distances of {wildcards.experiment}"
    shell:
        "python -m stylex frechet {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule study:
    input:
        latents=EXPERIMENT.latents,
        attributes=EXPERIMENT.attributes,
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
        "results/logs/study/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/study/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("title", "seed", "stylex.conditioning", "attfind.shift", "study.attributes"),
    message:
        "Making the questionnaire of {wildcards.experiment}"
    shell:
        "python -m stylex study build {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule observer:
    input:
        latents=EXPERIMENT.latents,
        attributes=EXPERIMENT.attributes,
        key=EXPERIMENT.study_key,
        model=EXPERIMENT.stylex_model,
        backbone=backbone_model,
        code=code(
            "study/answers.py",
            "study/build.py",
            "study/observer.py",
            "study/questions.py",
            "study/statistics.py",
            "figures/examples.py",
            "attfind/records.py",
            "latents/table.py",
            *STYLEX_CODE,
            *BACKBONE_CODE,
        ),
    output:
        with_provenance(EXPERIMENT.observer),
    log:
        "results/logs/observer/{experiment}.log",
    benchmark:
        "results/benchmarks/rules/observer/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        config=sections("seed", "stylex.conditioning", "attfind.shift", "study"),
    message:
        "Answering the questionnaire of {wildcards.experiment} by machine"
    shell:
        "python -m stylex study observe {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"
