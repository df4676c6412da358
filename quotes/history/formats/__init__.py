"""History as JSON, CSV, Arrow and Parquet: rows in, bytes out; where they come from is not here.

Every writer takes batches of rows and yields its text or file in pieces, holding one batch.
"""
