"""Triton kernels, one file a subject, each beside its definition in `nmoe.reference`.

They are compiled for sm_90a and sm_100a, or run in Triton's interpreter where TRITON_INTERPRET=1 was set before the import.
`nmoe.ops` chooses between them and the reference.  Importing this package imports nothing.
"""
