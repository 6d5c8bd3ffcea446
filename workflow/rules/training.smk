# Trained networks: the classifier to be explained, StylEx, and what measures: the backbone behind perceptual and Fréchet
# distances, the oracle of counterfactuals and the regressor of known factors.

FOR_TRAINED = tuple(f"stylex.classifiers.{name}" for name in ("training", "initial_weights"))  # and not for the user's

for kind, (paths, _) in {"classifier": (EXPERIMENT.classifier, {}), **NETWORKS}.items():
    name = "experiment" if kind == "classifier" else kind

    rule:
        name:
            kind
        input:
            **network_inputs(kind),
        output:
            model=paths.model,
            metrics=paths.metrics,
            history=with_provenance(paths.history),
        log:
            f"{paths.folder}.log".replace("results/", "results/logs/"),
        benchmark:
            f"results/benchmarks/rules/{kind}/{{{name}}}.tsv"
        wildcard_constraints:
            experiment=experiments_where(lambda each: not each.released and not each.classifier.imported),
        priority: FIRST if kind in ("classifier", "backbone") else 0
        conda:
            ENVIRONMENT
        threads: CPU_THREADS
        resources:
            **requests(kind),
        params:
            verb=kind,
            name=f"{{{name}}}",
            code=code_of(kind, without=FOR_CLASSIFIERS),
            config=sections(kind) if kind == "classifier" else network_config(kind),
        message:
            f"Training the {kind} {'of ' if kind == 'classifier' else ''}{{wildcards.{name}}}"
        shell:
            "python -m stylex {params.verb} {params.name} --threads {threads} 2> >(tee {log} >&2)"


# A classifier of the user's own is checked, measured and packed where others are trained.
rule import_classifier:
    input:
        manifest=given("manifest"),
        files=lambda wildcards: PROJECT.experiments[wildcards.experiment].classifier.files(Path()),
    output:
        model=EXPERIMENT.classifier.model,
        metrics=EXPERIMENT.classifier.metrics,
    log:
        "results/logs/experiments/{experiment}/classifier.log",
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.classifier.imported),
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("classifier"),
    params:
        code=code_of("classifier", without=(*FOR_CLASSIFIERS, *FOR_TRAINED)),
        config=sections("classifier"),
    message:
        "Taking in the classifier of {wildcards.experiment}"
    shell:
        "python -m stylex classifier {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


# The checkpoints are not outputs: Snakemake deletes those of a failed job, and training resumes from them.
rule train:
    input:
        manifest=given("manifest"),
        classifier=given("classifier"),
        backbone=given("backbone"),
        weights=given("lpips_weights"),
    output:
        model=EXPERIMENT.stylex_model,
        history=with_provenance(EXPERIMENT.stylex_history),
        samples=EXPERIMENT.stylex_samples,
    log:
        "results/logs/experiments/{experiment}/train.log",
    benchmark:
        "results/benchmarks/rules/train/{experiment}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: not experiment.released),
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("train"),
        sharing=training_sharing,
    params:
        # what it says at its end is the verdict of `diagnose`
        code=code_of("train", without=(*CHECKED, "stylex.diagnosis")),
        config=sections("train"),
    message:
        "Training StylEx for {wildcards.experiment}"
    # exec: with a shell in between, a signal ends the shell before training can save. Outside of a Slurm job nobody ends
    # it, and it has no time limit.
    shell:
        "exec python -m stylex train {wildcards.experiment} {resources.sharing}"
        " ${{SLURM_JOB_ID:+--time-limit {resources.runtime}}} 2> >(tee {log} >&2)"


# The model that the authors of StylEx released: converted where other experiments train and encode. Not on a cluster's
# nodes, which may have no network to fetch it.
rule convert_released:
    output:
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        latents=EXPERIMENT.latents,
        effects=EXPERIMENT.effects(),
    log:
        "results/logs/experiments/{experiment}/convert-released.log",
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released == "effects"),
    localrule: True
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        code=code_of("convert-released", without=()),
        config=sections("convert_released"),
    message:
        "Converting the released model of {wildcards.experiment}"
    shell:
        "python -m stylex convert-released {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


use rule convert_released as convert_released_latents with:
    output:
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        latents=EXPERIMENT.latents,
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released == "latents"),
