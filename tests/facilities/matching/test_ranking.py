"""How large a facility sounds by its name."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities.matching.normalization import fold_fully
from medblocks_connect.facilities.matching.ranking import Size, guess_size


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Riverside Health System", Size.SYSTEM),
        ("Allegheny Health Network", Size.SYSTEM),
        ("Prisma Health", Size.SYSTEM),
        ("Emory Healthcare Inc", Size.SYSTEM),
        ("Brigham and Women's Hospital", Size.HOSPITAL),
        ("The University of Texas MD Anderson Cancer Center", Size.HOSPITAL),
        ("Family Medical Center", Size.HOSPITAL),
        ("Baptist Medical Network", Size.UNKNOWN),
        ("Ortho Partners", Size.UNKNOWN),
        ("Riverside Women's Care", Size.PRACTICE),
        ("University Dermatology, P.C.", Size.PRACTICE),
        ("Dr. J. B. Smith", Size.PRACTICE),
        ("Northwell Health - PROD01", Size.PRACTICE),
        ("Dev Patel MD", Size.PRACTICE),
        ("Epic Dev Env", Size.TRIAL),
        ("Alta Hospitals System - TEST", Size.TRIAL),
        ("Northwell Health QA", Size.TRIAL),
        ("Unit Tests: Epic Sandbox", Size.TRIAL),
        ("ZZZ Old Clinic", Size.TRIAL),
        ("NORTHWEST WOMAN CARE, LLC (TERMED)", Size.TRIAL),
        ("Allergy Testing Center", Size.UNKNOWN),
    ],
)
def test_size(name, size):
    assert guess_size(fold_fully(name), "") is size


def test_record_system_of_hospitals_makes_a_hospital():
    assert guess_size("riverside", "epic") is Size.HOSPITAL
