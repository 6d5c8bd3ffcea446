# The gallery: a folder of its own, whose page loads what it shows of an experiment from beside it.


rule frames:
    input:
        **{name: given(name) for name in ("model", "classifier", "latents", "oracle", "backbone_of_oracle", "shown")},
        attributes=EXPERIMENT.attributes,
    output:
        frames=GALLERY.frames("{experiment}"),
        numbers=with_provenance(GALLERY.numbers("{experiment}")),
    log:
        f"results/logs/experiments/{{experiment}}/frames-{SUITE}.log",
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("frames"),
    params:
        code=code_of("frames"),
        suite=SUITE,
        config=sections("frames"),
    message:
        "Rendering the gallery of {wildcards.experiment}"
    shell:
        "python -m stylex frames {params.suite} {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


rule gallery:
    input:
        frames=[GALLERY.frames(name) for name in PROJECT.suite.pictured],
        numbers=[
            file for each in map(paths_of, PROJECT.suite.pictured) for file in (each.sufficiency, each.stylex_model)
        ],
        names=names_of_people(),
    output:
        GALLERY.page,
    log:
        f"results/logs/suites/{SUITE}/gallery.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_of("gallery"),
        suite=SUITE,
        config=suite_sections("gallery"),
    message:
        "Writing the gallery of the suite {params.suite}"
    shell:
        "python -m stylex gallery {params.suite} 2> >(tee {log} >&2)"
