"""Capacity's tables of a snapshot, each with the evidence of that snapshot; any table as text."""

from __future__ import annotations

from mnslib.capacity.crossings import crossings_table
from mnslib.capacity.daily import daily_peaks
from mnslib.capacity.evidence import evidence_table
from mnslib.capacity.layers import layers_by_day, layers_table
from mnslib.capacity.samples import cleaned
from mnslib.capacity.utilization import utilization_table
from mnslib.show.cells import csv_parts, text_columns


def csv_text(table):
    return b"".join(csv_parts(text_columns(table))).decode("utf-8")


def utilization_of(snapshot):
    return utilization_table(snapshot, evidence=evidence_table(snapshot))


def daily_of(snapshot):
    evidence = evidence_table(snapshot)
    table = utilization_table(snapshot, evidence=evidence)
    return daily_peaks(cleaned(snapshot, evidence), table, evidence=evidence)


def crossings_of(snapshot):
    evidence = evidence_table(snapshot)
    return crossings_table(cleaned(snapshot, evidence), evidence=evidence)


def layers_of(snapshot):
    evidence = evidence_table(snapshot)
    table = utilization_table(snapshot, evidence=evidence)
    return layers_table(cleaned(snapshot, evidence), table, evidence=evidence)


def days_of(snapshot):
    evidence = evidence_table(snapshot)
    return layers_by_day(cleaned(snapshot, evidence), evidence=evidence)
