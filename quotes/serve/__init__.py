"""`manage.py serve`: the processes of one machine, with an embedded Redis."""
