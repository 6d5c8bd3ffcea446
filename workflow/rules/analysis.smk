# From the trained networks to numbers: latents, AttFind, and the measures of stages.yaml. Rules called …_aside do for the
# other protocols what their namesakes do for the main one.


rule encode:
    input:
        manifest=given("manifest"),
        model=EXPERIMENT.stylex_model,
        classifier=given("classifier"),
        backbone=given("backbone"),
        weights=given("lpips_weights"),
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
        config=sections("encode"),
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
        config=sections("encode", ("attfind.encode_shards", "attfind.batch_size")),
        shard=lambda wildcards: f"--shard {int(wildcards.shard)}",
    message:
        "Encoding the analysed images of {wildcards.experiment}, shard {wildcards.shard}"


use rule encode as merge with:
    input:
        manifest=given("manifest"),
        shards=given("encoded"),
    log:
        "results/logs/experiments/{experiment}/merge.log",
    benchmark:
        "results/benchmarks/rules/merge/{experiment}.tsv"
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.attfind.encode_shards > 1 and not each.released),
    resources:
        **requests("merge"),
    params:
        code=code_of("encode"),
        config=sections("encode"),
        shard="--merge",
    message:
        "Merging the encoded parts of {wildcards.experiment}"


rule effects:
    input:
        latents=EXPERIMENT.latents,
        model=EXPERIMENT.stylex_model,
        classifier=given("classifier"),
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
        "Measuring the effects of {wildcards.experiment} by the protocol {wildcards.protocol}, shard {wildcards.shard}"


# The lists of coordinates: those of AttFind, and as Wu et al. select them.
for stage, message, inputs, output in (
    ("attributes", "Selecting the attributes {of}", {"effects": given("effects")}, "attributes"),
    (
        "baseline",
        "Selecting the coordinates {of} as Wu et al. do",
        {"latents": EXPERIMENT.latents, "model": EXPERIMENT.stylex_model},
        "wu_2021",
    ),
):
    for aside, paths, protocol in (("", EXPERIMENT, ""), ("_aside", ASIDE, "--protocol {protocol}")):
        of = f"of {{wildcards.experiment}}{' on the {wildcards.protocol}' if aside else ''}"

        rule:
            name:
                f"{stage}{aside}"
            input:
                **inputs | ({"effects": effects_aside} if aside and "effects" in inputs else {}),
            output:
                with_provenance(getattr(paths, output)),
            log:
                f"results/logs/experiments/{{experiment}}/{stage}{'-{protocol}' if aside else ''}.log",
            group:
                group_of(stage)
            conda:
                ENVIRONMENT
            resources:
                **requests(stage),
            params:
                verb=stage,
                code=code_of(stage),
                config=sections(stage),
                protocol=protocol,
            message:
                message.format(of=of)
            shell:
                "python -m stylex {params.verb} {wildcards.experiment} {params.protocol} 2> >(tee {log} >&2)"


for stage, measure in MEASURES.items():

    rule:
        name:
            stage
        input:
            **{name: given(each) for name, each in measure["input"].items()},
        output:
            *(path for each in measure["output"] for path in with_provenance(getattr(EXPERIMENT, each))),
        log:
            f"results/logs/experiments/{{experiment}}/{stage}.log",
        benchmark:
            f"results/benchmarks/rules/{stage}/{{experiment}}.tsv"
        group:
            group_of(stage)
        conda:
            ENVIRONMENT
        threads: CPU_THREADS
        resources:
            **requests(stage),
        params:
            verb=measure.get("verb", stage),
            code=code_of(measure.get("verb", stage), without=measure.get("without", CHECKED)),
            config=sections(stage),
        message:
            measure["message"]
        shell:
            "python -m stylex {params.verb} {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"
