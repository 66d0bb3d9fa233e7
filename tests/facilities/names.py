"""A catalog of a few telling names."""

from __future__ import annotations

NAMES = (
    ("Riverside General Hospital", "epic"),
    ("Riverside Health System", "epic"),
    ("Riverside Dental, LLC", "athena"),
    ("Lake Riverside Clinic", "cerner"),
    ("St. Mary's Hosp.", "meditech"),
    ("Saint Joseph Med Ctr", "cerner"),
    ("Mt Sinai Heart & Lung", "epic"),
    ("University of California San Francisco", "epic"),
    ("Children's Hospital of Philadelphia", "epic"),
    ("NY - Rebecca Fishman MD", "athena"),
    ("CA - Rebecca Fishman MD", "athena"),
    ("Northwestern Memorial Hospital", "epic"),
    ("Evergreen Psychiatry Associates, P.C.", "eclinicalworks"),
    ("O'Brien Family Medicine", "athena"),
    ("Hôpital Général de Montréal", "epic"),
    ("Dr. J. B. Smith", ""),
    ("北京协和医院", "epic"),
    ("مستشفى النور", "epic"),
)
