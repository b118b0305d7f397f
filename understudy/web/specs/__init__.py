"""OpenAPI and AsyncAPI documents, made from the types that the code parses with.

Nothing here is written twice: a shape that is not in the code is not in a document.
"""
