"""Pages for people: the class report, the students' pages, similar pairs."""
