# Raw files and published weights, downloaded and verified, and the image tables prepared from them.
# Drawn datasets have no raw files.


rule download:
    output:
        DATASET.raw / "source.json",
    log:
        "results/logs/datasets/{dataset}/download.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_of("download", without=(*FOR_DATA, "stylex.datasets.layouts")),
        config=lambda wildcards: described(wildcards.dataset, include={"sources", "folder", "csv"}),
    message:
        "Downloading {wildcards.dataset}"
    shell:
        "python -m stylex download {wildcards.dataset} 2> >(tee {log} >&2)"


rule weights:
    output:
        weights_path(Path(), "{weights}"),
    log:
        "results/logs/weights/{weights}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_of("weights", without=FOR_DATA),
    message:
        "Downloading the published weights {wildcards.weights}"
    shell:
        "python -m stylex weights {wildcards.weights} 2> >(tee {log} >&2)"


rule prepare:
    input:
        source=lambda wildcards: DatasetPaths(Path(), dataset(wildcards.dataset).raw).raw / "source.json",
        own=lambda wildcards: list(filter(None, [getattr(dataset(wildcards.dataset).file, "csv", None)])),
    output:
        DATASET.manifest("{resolution}"),
    log:
        "results/logs/datasets/{dataset}/prepare-{resolution}.log",
    benchmark:
        "results/benchmarks/rules/prepare/{dataset}-{resolution}.tsv"
    conda:
        ENVIRONMENT
    threads: lambda wildcards: PREPARE_PROCESSES if dataset(wildcards.dataset).file else 1
    resources:
        **requests("prepare"),
    params:
        code=preparation_code,
        config=lambda wildcards: described(wildcards.dataset, exclude={"sources"}),
        own=lambda wildcards: own_stamp(wildcards.dataset),
    message:
        "Preparing {wildcards.dataset} at {wildcards.resolution}x{wildcards.resolution}"
    shell:
        "python -m stylex prepare {wildcards.dataset} --resolution {wildcards.resolution} --processes {threads}"
        " 2> >(tee {log} >&2)"
