"""Discourse relation, section 4.2.3 of the paper; the data are those of Sileo et al. 2019, or mined like them."""
from __future__ import annotations

from tasks.given_label import GivenLabel


class DiscourseRelation(GivenLabel):
    """Tell which marker stood between two adjacent sentences. The classes are the markers of the pair store."""

    name = "discourse_relation"
