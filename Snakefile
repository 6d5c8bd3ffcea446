# The rules are in workflow/. An `include` does not take over its default target, so it is stated again here.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
