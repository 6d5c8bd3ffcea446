# The classifier to be explained; the backbone behind perceptual and Fréchet distances, the oracle of counterfactuals and
# the regressor of known factors, which measure.


rule classifier:
    input:
        manifest=manifest,
        weights=lambda wildcards: initial_weights(PROJECT.experiments[wildcards.experiment].classifier),
    output:
        model=EXPERIMENT.classifier.model,
        metrics=EXPERIMENT.classifier.metrics,
        history=EXPERIMENT.classifier.history,
    log:
        "results/logs/experiments/{experiment}/classifier.log",
    benchmark:
        "results/benchmarks/rules/classifier/{experiment}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: not experiment.released),
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("classifier"),
    params:
        code=code_of("classifier", without=FOR_CLASSIFIERS),
        config=sections("seed", "dataset", "classifier", "classifier_of"),
    message:
        "Training the classifier of {wildcards.experiment}"
    shell:
        "python -m stylex classifier {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule backbone:
    input:
        manifest=backbone_manifest,
        weights=lambda wildcards: initial_weights(PROJECT.backbones[wildcards.backbone]),
    output:
        model=BACKBONE.model,
        metrics=BACKBONE.metrics,
        history=BACKBONE.history,
    log:
        "results/logs/backbones/{backbone}.log",
    benchmark:
        "results/benchmarks/rules/backbone/{backbone}.tsv"
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("backbone"),
    params:
        code=code_of("backbone", without=FOR_CLASSIFIERS),
        config=lambda wildcards: PROJECT.backbones[wildcards.backbone].model_dump_json(),
    message:
        "Training the backbone {wildcards.backbone}"
    shell:
        "python -m stylex backbone {wildcards.backbone} --threads {threads} 2> >(tee {log} >&2)"


rule oracle:
    input:
        manifest=oracle_manifest,
        weights=lambda wildcards: initial_weights(PROJECT.oracles[wildcards.oracle]),
    output:
        model=ORACLE.model,
        metrics=ORACLE.metrics,
        history=ORACLE.history,
    log:
        "results/logs/oracles/{oracle}.log",
    benchmark:
        "results/benchmarks/rules/oracle/{oracle}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("oracle"),
    params:
        code=code_of("oracle", without=FOR_CLASSIFIERS),
        config=lambda wildcards: PROJECT.oracles[wildcards.oracle].model_dump_json(),
    message:
        "Training the oracle {wildcards.oracle}"
    shell:
        "python -m stylex oracle {wildcards.oracle} --threads {threads} 2> >(tee {log} >&2)"


rule regressor:
    input:
        manifest=regressor_manifest,
        weights=lambda wildcards: initial_weights(PROJECT.regressors[wildcards.regressor]),
    output:
        model=REGRESSOR.model,
        metrics=REGRESSOR.metrics,
        history=REGRESSOR.history,
    log:
        "results/logs/regressors/{regressor}.log",
    benchmark:
        "results/benchmarks/rules/regressor/{regressor}.tsv"
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("regressor"),
    params:
        code=code_of("regressor", without=FOR_CLASSIFIERS),
        config=lambda wildcards: PROJECT.regressors[wildcards.regressor].model_dump_json(),
    message:
        "Training the regressor {wildcards.regressor}"
    shell:
        "python -m stylex regressor {wildcards.regressor} --threads {threads} 2> >(tee {log} >&2)"
