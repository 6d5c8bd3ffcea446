# StylEx itself, and whether it has become what can be explained. The checkpoints are not outputs: Snakemake deletes those of a failed job, and training resumes from them.


rule train:
    input:
        manifest=manifest,
        classifier=classifier_model,
        backbone=backbone_model,
        weights=lpips_weights,
    output:
        model=EXPERIMENT.stylex_model,
        history=EXPERIMENT.stylex_history,
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
        config=sections("seed", "dataset", "stylex"),
    message:
        "Training StylEx for {wildcards.experiment}"
    # exec: with a shell in between, a signal ends the shell before training can save. Outside of a Slurm job nobody ends
    # it, and it has no time limit.
    shell:
        "exec python -m stylex train {wildcards.experiment} {resources.sharing}"
        " ${{SLURM_JOB_ID:+--time-limit {resources.runtime}}} 2> >(tee {log} >&2)"


rule diagnose:
    input:
        manifest=manifest,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
    output:
        with_provenance(EXPERIMENT.diagnosis),
    log:
        "results/logs/experiments/{experiment}/diagnose.log",
    benchmark:
        "results/benchmarks/rules/diagnose/{experiment}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: not experiment.released),
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("diagnose"),
    params:
        code=code_of("diagnose"),
        config=sections("seed", "dataset"),
    message:
        "Diagnosing the StylEx of {wildcards.experiment}"
    shell:
        "python -m stylex diagnose {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"
