"""Input files of every supported form as streams of records; a record becomes documents only when it is read."""
