"""The instrument files that vendors publish, read into rows of one type.

`reading.read_master` is the way in. Nothing here knows the database: what an import does with the
rows is in `instruments/importing.py`. One module a vendor says what its columns mean.
"""
