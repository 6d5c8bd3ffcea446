# What a person reads: figures of each experiment, tables of the suite, and one page with everything.


NUMBERS = ["model", "classifier", "latents", "effects", "attributes", "maps", "sufficiency"]
DRAWN = NUMBERS[:-1] + ["manifest", "history", "independent", "subset", "compared", "frechet", "ganalyze"]
DRAWN += ["stylex_samples"]
for stage, inputs, figures, drawn in (
    ("figures", DRAWN, TRAINED, lambda each: not each.released),
    ("figures_released", NUMBERS, RELEASED, lambda each: each.released and not each.released_images),
    (
        "figures_released_with_images",
        [*NUMBERS, "frechet"],
        RELEASED_WITH_IMAGES,
        lambda each: each.released_images,
    ),
):

    rule:
        name:
            stage
        input:
            **{name: given(name) for name in inputs},
        output:
            # for Snakemake's own report, which has one page a file: ours is a page with files beside it
            [
                report(path, category="Figures", subcategory="{experiment}") if path.suffix == ".png" else path
                for path in figures_of("{experiment}", figures)
            ],
        log:
            f"results/logs/experiments/{{experiment}}/figures-{SUITE}.log",
        wildcard_constraints:
            experiment=experiments_where(drawn),
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
            config=sections("figures"),
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
        tables=[report(path, category="Tables") if path.suffix == ".csv" else path for path in suite_tables()],
        metrics=[SUITE_PATHS.metrics(name) for name in PROJECT.suite.runs],
    log:
        f"results/logs/suites/{SUITE}/tables.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_of("tables"),
        suite=SUITE,
        config=suite_sections("tables"),
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
        names=names_of_people(),
        others=of_all_experiments(report_inputs),
        networks=[backbone_paths(Path(), name).metrics for name in PROJECT.backbones],
        published=["config/published/sufficiency.csv", "config/published/user_study.csv"],
        notes=list(map(str, Path("docs").glob("method-notes.md"))),
    output:
        SUITE_PATHS.report,
        with_provenance(SUITE_PATHS.claims),
    log:
        f"results/logs/suites/{SUITE}/report.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code_of("report"),
        suite=SUITE,
        config=suite_sections("report"),
        layouts=[
            described(each.dataset.name, include={"layout"})
            for each in PROJECT.experiments.values()
            if not each.released
        ],
    message:
        "Writing the report of the suite {params.suite}"
    shell:
        "python -m stylex report {params.suite} 2> >(tee {log} >&2)"
