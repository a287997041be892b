"""One machine's own servers, Dagster and demo clicks. In this package only ``cli`` imports it.

A pipeline on other servers does without it: no asset, check or sensor is here.
"""
