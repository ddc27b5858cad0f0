"""Every preset called after a task is found by its name, by the task's, and so is another cell for the same task."""

import pytest
from robostral_sims.catalogue import Entry, catalogue, find, snake_case

from robostral.errors import UnknownName


def test_an_environment_is_found_by_cell_task_or_id():
    peg = Entry("PegInsert", "panda", "panda-peg_insert")
    for name in ("panda-peg_insert", "PegInsert", "Robostral/PegInsert-v0", "robostral_sims:Robostral/PegInsert-v0"):
        assert find(name) == peg
    assert peg in catalogue()
    assert snake_case(peg.task) == "peg_insert"


def test_another_cell_for_the_same_task_is_found_but_not_listed():
    square = find("panda-peg_insert_square")
    assert square == Entry("PegInsert", "panda", "panda-peg_insert_square")
    assert square not in catalogue()
    with pytest.raises(UnknownName, match="did you mean 'panda-peg_insert'"):
        find("panda-peg_insert_round")
