"""Capacity's tables of a snapshot, each with the evidence of that snapshot; any table as text."""

from __future__ import annotations

from mnslib.capacity.daily import crossings_table, daily_peaks
from mnslib.capacity.evidence import with_evidence
from mnslib.capacity.layers import layers_by_day, layers_table
from mnslib.capacity.utilization import utilization_table
from mnslib.show.cells import csv_parts, text_columns


def csv_text(table):
    return b"".join(csv_parts(text_columns(table))).decode("utf-8")


def evidence_of(snapshot):
    return with_evidence(snapshot)[0]


def utilization_of(snapshot):
    evidence, clean = with_evidence(snapshot)
    return utilization_table(clean, evidence=evidence)


def daily_of(snapshot):
    evidence, clean = with_evidence(snapshot)
    table = utilization_table(clean, evidence=evidence)
    return daily_peaks(clean, table, evidence=evidence)


def crossings_of(snapshot):
    evidence, clean = with_evidence(snapshot)
    return crossings_table(clean, evidence=evidence)


def layers_of(snapshot):
    evidence, clean = with_evidence(snapshot)
    table = utilization_table(clean, evidence=evidence)
    return layers_table(clean, table, evidence=evidence)


def days_of(snapshot):
    evidence, clean = with_evidence(snapshot)
    return layers_by_day(clean, evidence=evidence)
