# What a person reads: figures of each experiment, tables of the suite, and one page with everything.


rule figures:
    input:
        manifest=manifest,
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        history=EXPERIMENT.stylex_history,
        latents=EXPERIMENT.latents,
        effects=effects,
        attributes=EXPERIMENT.attributes,
        independent=EXPERIMENT.independent,
        subset=EXPERIMENT.subset,
        sufficiency=compared,
        frechet=EXPERIMENT.frechet,
        ganalyze=EXPERIMENT.ganalyze,
        maps=EXPERIMENT.maps,
    output:
        figures_of("{experiment}", FIGURE_NAMES),
    log:
        f"results/logs/experiments/{{experiment}}/figures-{SUITE}.log",
    wildcard_constraints:
        experiment=experiments_where(lambda experiment: not experiment.released),
    group:
        group_of("figures")
    conda:
        ENVIRONMENT
    threads: CPU_THREADS
    resources:
        **requests("figures"),
    params:
        code=code_of("figures"),
        suite=SUITE,
        config=sections(
            "seed",
            "dataset",
            "released",
            "stylex.conditioning",
            "attfind.split",
            "attfind.against",
            "attfind.shards",
            "attfind.protocols",
            "attfind.shift",
            "evaluation.figure_attributes",
            "evaluation.explanation_steps",
            "evaluation.figure_class",
        ),
    message:
        "Drawing the figures of {wildcards.experiment}"
    shell:
        "python -m stylex figures {params.suite} {wildcards.experiment} --threads {threads} 2> >(tee {log} >&2)"


use rule figures as figures_released with:
    input:
        model=EXPERIMENT.stylex_model,
        classifier=classifier_model,
        latents=EXPERIMENT.latents,
        effects=effects,
        attributes=EXPERIMENT.attributes,
        maps=EXPERIMENT.maps,
        sufficiency=EXPERIMENT.sufficiency,
    output:
        figures_of("{experiment}", RELEASED),
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.released and not each.released_images),


use rule figures_released as figures_released_with_images with:
    input:
        **rules.figures_released.input,
        frechet=EXPERIMENT.frechet,
    output:
        figures_of("{experiment}", RELEASED_WITH_IMAGES),
    wildcard_constraints:
        experiment=experiments_where(lambda each: each.released_images),


rule tables:
    input:
        results=of_all_experiments(table_inputs),
        answers=answers_of_people(),
        published=expand("config/published/{name}.csv", name=["sufficiency", "datasets", "user_study"]),
    output:
        tables=suite_tables(),
        metrics=[SUITE_PATHS.metrics(name) for name in PROJECT.suite.experiments],
    log:
        f"results/logs/suites/{SUITE}/tables.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("tables"),
        suite=SUITE,
        config=suite_sections(*TABLE_KEYS),
    message:
        "Writing the tables of the suite {params.suite}"
    shell:
        "python -m stylex tables {params.suite} 2> >(tee {log} >&2)"


rule report:
    input:
        figures=suite_figures(),
        tables=suite_tables(),
        results=of_all_experiments(table_inputs),
        answers=answers_of_people(),
        others=of_all_experiments(report_inputs),
        published=["config/published/sufficiency.csv", "config/published/user_study.csv"],
        notes=list(map(str, Path("docs").glob("method-notes.md"))),
    output:
        report(SUITE_PATHS.report, category="Report"),
    log:
        f"results/logs/suites/{SUITE}/report.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("report"),
        suite=SUITE,
        config=suite_sections(
            "title",
            "domain",
            "published_domain",
            "published_method",
            "released",
            "released_images",
            "seed",
            "classifier_of",
            "dataset",
            "classifier",
            "stylex",
            "attfind",
            "evaluation",
        ),
    message:
        "Writing the report of the suite {params.suite}"
    shell:
        "python -m stylex report {params.suite} 2> >(tee {log} >&2)"
