"""The user study ([L] 4.2.2, Table 2): questions, questionnaire page, analysis of answers, and a machine observer."""
