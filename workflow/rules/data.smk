# Raw files and published weights, downloaded and verified, and the image tables prepared from them.
# Drawn datasets have no raw files.


rule download:
    input:
        code=code(
            "datasets/catalog.py",
            "datasets/download.py",
            "datasets/kaggle.py",
            "datasets/packages.py",
            "datasets/sources.py",
            "datasets/spans.py",
            "datasets/transfer.py",
        ),
    output:
        DATASET.raw / "source.json",
    log:
        "results/logs/datasets/{dataset}/download.log",
    conda:
        ENVIRONMENT
    message:
        "Downloading {wildcards.dataset}"
    shell:
        "python -m stylex download {wildcards.dataset} 2> >(tee {log} >&2)"


rule weights:
    input:
        code=code("pretrained.py", "datasets/spans.py", "datasets/transfer.py"),
    output:
        weights_path(Path(), "{weights}"),
    log:
        "results/logs/weights/{weights}.log",
    conda:
        ENVIRONMENT
    message:
        "Downloading the published weights {wildcards.weights}"
    shell:
        "python -m stylex weights {wildcards.weights} 2> >(tee {log} >&2)"


rule prepare:
    input:
        source=DATASET.raw / "source.json",
        code=code(
            "datasets/decoding.py",
            "datasets/factors.py",
            "datasets/images.py",
            "datasets/leaves.py",
            "datasets/prepare.py",
            "datasets/splits.py",
        ),
    output:
        DATASET.manifest("{resolution}"),
    log:
        "results/logs/datasets/{dataset}/prepare-{resolution}.log",
    benchmark:
        "results/benchmarks/rules/prepare/{dataset}-{resolution}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **requests("prepare"),
    message:
        "Preparing {wildcards.dataset} at {wildcards.resolution}x{wildcards.resolution}"
    shell:
        "python -m stylex prepare {wildcards.dataset} --resolution {wildcards.resolution} 2> >(tee {log} >&2)"
