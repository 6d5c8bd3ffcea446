# The model that the authors of StylEx released: converted where other experiments train and encode.


rule released:
    input:
        [paths_of(name).sufficiency for name, each in PROJECT.experiments.items() if each.released],


rule convert_released:
    input:
        code=code("released/*.py", "attfind/engine.py", "latents/table.py", *STYLEX_CODE, *CLASSIFIER_CODE),
    output:
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        latents=EXPERIMENT.latents,
    log:
        "results/logs/experiments/{experiment}/convert-released.log",
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released == "latents"),
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("encode"),
    params:
        config=sections("seed", "dataset", "classifier", "stylex", "attfind", "released"),
    message:
        "Converting the released model of {wildcards.experiment}"
    shell:
        "python -m stylex convert-released {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


use rule convert_released as convert_released_with_effects with:
    output:
        model=EXPERIMENT.stylex_model,
        classifier=EXPERIMENT.classifier.model,
        latents=EXPERIMENT.latents,
        effects=EXPERIMENT.effects(),
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: experiment.released == "effects"),
