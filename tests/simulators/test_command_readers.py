"""Readers of what programs write: the numbers as they stand there, or one sentence on why they do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetcal.simulators import CSV, JSON, LongTable
from hetcal.simulators.command_readers import ReadFault

# Two surveys, three groups, measures 3 and 14, out of order.
TABLE = (
    "2\t1\t14\t21\n1\t3\t14\t13\n1\t1\t3\t0.5\n1\t1\t14\t11\n2\t3\t14\t23\n1\t2\t14\t1.2e1\n2\t2\t14\t22\n"
)


def read(reader, folder, text, shape):
    """The array that a reader makes of a file."""
    (folder / "out").write_text(text)
    return reader(folder, shape)


def test_a_long_table_becomes_surveys_by_groups(tmp_path):
    def table(shape, measure=14, **chosen):
        return read(LongTable("out", measure, **chosen), tmp_path, TABLE, shape).tolist()

    assert table((2, 3)) == [[11, 12, 13], [21, 22, 23]]
    assert table((3,), surveys=[2]) == [21, 22, 23]
    assert table((1, 3), surveys=[2]) == [[21, 22, 23]]
    assert table((2,), groups=[3]) == [13, 23]
    assert table((2, 2), groups=[3, 1]) == [[11, 13], [21, 23]]
    assert table((), surveys=[1], groups=[2]) == 12
    assert table((), measure=3) == table((1,), measure="3")[0] == 0.5


def test_a_first_line_may_name_the_columns(tmp_path):
    text = "value,measure,group,survey\n5,cases,1,1\n7,cases,2,1\n9,deaths,1,1\n\n"
    reader = LongTable("out", "cases", separator=",")
    assert read(reader, tmp_path, text, (2,)).tolist() == [5, 7]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(tmp_path_factory, surveys, groups, random):
    cells = np.arange(surveys * groups, dtype=float).reshape(surveys, groups) / 7
    lines = [f"{s + 1}\t{g + 1}\t0\t{float(cells[s, g])!r}" for s in range(surveys) for g in range(groups)]
    random.shuffle(lines)
    folder = tmp_path_factory.mktemp("table")
    np.testing.assert_array_equal(read(LongTable("out", 0), folder, "\n".join(lines), cells.shape), cells)


@pytest.mark.parametrize(
    "text, shape, sentence",
    [
        (TABLE.replace("2\t2\t14\t22\n", ""), (2, 3), "out has no line for survey 2, group 2 of measure 14"),
        (TABLE, (3, 3), r"measure 14 in out has 2 surveys and 3 groups, declared is \(3, 3\)"),
        (TABLE, (6,), r"has 2 surveys and 3 groups, declared is \(6,\)"),
        (TABLE, (3, 2), r"has 2 surveys and 3 groups, declared is \(3, 2\)"),
        (TABLE.replace("\t14\t", "\t15\t"), (2, 3), "out has no line of measure 14"),
        (TABLE + "1\t1\t14\t11\n", (2, 3), "line 8 of out is the second for survey 1, group 1 of measure 14"),
        (TABLE.replace("1.2e1", "many"), (2, 3), "value in line 6 of out is 'many' where a number belongs"),
        (TABLE.replace("1.2e1", "1_2"), (2, 3), "value in line 6 of out is '1_2' where a number belongs"),
        (TABLE.replace("1.2e1", ""), (2, 3), "value in line 6 of out is '' where a number belongs"),
        (TABLE.replace("1.2e1", "-nan"), (2, 3), "value in line 6 of out is nan, not a finite number"),
        (
            TABLE.replace("1\t3\t14", "1\t3.5\t14"),
            (2, 3),
            "group in line 2 of out is '3.5' where a whole number",
        ),
        (TABLE + "1\t1\t14", (2, 3), "line 8 of out has 3 columns, not survey, group, measure and value"),
        ("", (2, 3), "out has no line of measure 14"),
    ],
)
def test_a_long_table_with_a_fault_is_named_by_its_line(tmp_path, text, shape, sentence):
    with pytest.raises(ReadFault, match=sentence):
        read(LongTable("out", 14), tmp_path, text, shape)


def test_surveys_that_are_wanted_must_be_there(tmp_path):
    with pytest.raises(ReadFault, match="no line for survey 3, group 1 of measure 14"):
        read(LongTable("out", 14, surveys=[2, 3]), tmp_path, TABLE, (2, 3))


def test_what_is_wanted_is_a_list():
    with pytest.raises(ValueError, match="groups is 3: give a list of whole numbers"):
        LongTable("out", 14, groups=3)


def test_a_column_of_a_table_fills_the_shape_row_by_row(tmp_path):
    text = '"day","cases"\n1,3\n2,8.5\n3,1e3\n4,0\n'
    assert read(CSV("out", "cases"), tmp_path, text, (2, 2)).tolist() == [[3, 8.5], [1000, 0]]
    assert read(CSV("out", "b", separator=";"), tmp_path, "a;b\n1;2\n", ()).tolist() == 2
    assert read(CSV("out", "a"), tmp_path, "\ufeffa\r\n1\r\n", (1,)).tolist() == [1]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("day,cases\n1,3\n2\n", "line 3 of out has 1 columns, its first line 2"),
        ("day,cases\n1,3\n2,4,5\n", "line 3 of out has 3 columns, its first line 2"),  # a decimal comma
        ('"cases"\n"1",3\n"2",4\n', "line 2 of out has 2 columns, its first line 1"),  # R's row names
        ("cases,cases\n1,3\n2,4\n", "out has 2 columns 'cases'"),
        ("day,cases\n1,3\n2,\n", "cases in line 3 of out is '' where a number belongs"),
        ("day,cases\n1,3\n2,x\n", "cases in line 3 of out is 'x' where a number belongs"),
        ("day,cases\n1,3\n", "column 'cases' of out has 1 rows, 2 wanted"),
        ("day,sick\n1,3\n2,4\n", "out has no column 'cases'; it has day, sick"),
        ("", "out has no column 'cases'; it has no line"),
    ],
)
def test_a_table_with_a_fault_is_named_by_its_line(tmp_path, text, sentence):
    with pytest.raises(ReadFault, match=sentence):
        read(CSV("out", "cases"), tmp_path, text, (2,))


def test_an_entry_of_json_is_a_number_or_lists(tmp_path):
    text = '{"flu": {"cases": [[1, 2.5], [3, 4]], "total": 10}}'
    assert read(JSON("out", "flu", "cases"), tmp_path, text, (2, 2)).tolist() == [[1, 2.5], [3, 4]]
    assert read(JSON("out", "flu", "total"), tmp_path, text, ()).tolist() == 10
    assert read(JSON("out"), tmp_path, "[1, 2]", (2,)).tolist() == [1, 2]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('{"cases": [1, "2"]}', "entry cases of out holds '2' where a number belongs"),
        ('{"cases": [1, null]}', "entry cases of out holds None where a number belongs"),
        ('{"cases": [1, true]}', "entry cases of out holds True where a number belongs"),
        ('{"cases": [1, NaN]}', "entry cases of out is nan, not a finite number"),
        ('{"cases": [1, [2]]}', r"entry cases of out has lists of different lengths, declared is \(2,\)"),
        ('{"cases": [1, 2, 3]}', r"entry cases of out has shape \(3,\), declared is \(2,\)"),
        ('{"cases": 1}', r"entry cases of out has shape \(\), declared is \(2,\)"),
        ('{"deaths": 1}', "out has no entry cases"),
        ("[1, 2]", "out has no entry cases"),
        ('{"cases": [1, 2', "out is not JSON"),
    ],
)
def test_an_entry_with_a_fault_is_named(tmp_path, text, sentence):
    with pytest.raises(ReadFault, match=sentence):
        read(JSON("out", "cases"), tmp_path, text, (2,))


@pytest.mark.parametrize("reader", [LongTable("none", 1), CSV("none", "a"), JSON("none", "a")])
def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path, reader):
    with pytest.raises(ReadFault, match="none was not written"):
        reader(tmp_path, (2,))
    (tmp_path / "none").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadFault, match="none cannot be read"):
        reader(tmp_path, (2,))
