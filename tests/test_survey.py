"""The survey at the end of a starter, and what is read of it."""

from toy import MAIN

from autograder.authoring import starter, survey

PARTS = ("recursion", "scan", "the-rest")


def answered(**minutes):
    text = survey.question(PARTS)
    for part, number in minutes.items():
        text = text.replace(f"{part.replace('_', '-')}=", f"{part.replace('_', '-')}={number}")
    return survey.minutes(f"scan = 7\n{text}", PARTS)


def test_minutes_are_read_where_they_are_written():
    assert answered(recursion="40", the_rest=" 15 min") == {"recursion": 40.0, "the-rest": 15.0}


def test_what_is_no_number_of_minutes_is_no_answer():
    assert answered() == {}
    assert answered(scan="an hour", recursion="1234567") == {}
    assert survey.minutes("scan = 7\n", PARTS) == {}


def test_it_ends_the_file_and_the_notebook_of_a_starter(toy):
    files = starter.files(toy.assignment)
    question = survey.question(toy.assignment.parts)
    assert files[MAIN].decode() == toy.source.stub() + question
    assert survey.HEAD in files["sequences.ipynb"].decode()
    assert max(map(len, question.splitlines())) <= 100


def test_a_notebook_keeps_its_answers(toy):
    text = starter.files(toy.assignment)["sequences.ipynb"].decode()
    told = survey.minutes(text.replace("sums=", "sums=25"), toy.assignment.parts)
    assert told == {"sums": 25.0}
