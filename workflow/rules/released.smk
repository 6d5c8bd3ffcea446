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
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    params:
        code=code_of("convert-released", without=()),
        config=sections("seed", "dataset", "classifier", "stylex", "attfind", "released"),
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
