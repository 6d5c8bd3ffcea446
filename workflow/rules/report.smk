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
    output:
        [SUITE_PATHS.figure("{experiment}", name, suffix) for name, suffix in figure_files()],
    log:
        f"results/logs/experiments/{{experiment}}/figures-{SUITE}.log",
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
            "stylex.conditioning",
            "attfind.split",
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
        samples=of_all_experiments(lambda paths: [paths.stylex_samples]),
        claims=of_all_experiments(lambda paths: [paths.independent, paths.subset, paths.stylex_history]),
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
