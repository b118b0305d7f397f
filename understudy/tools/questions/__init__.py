"""Answers plain questions about a table, in English and German, soundly: every word of a question is matched to a
column, a value, an aggregate, a comparison, a superlative, a time or a number, and the question is answered only if all
are used and the reading is the only one. Otherwise it asks, and offers readings.

After Popescu, Etzioni and Kautz, *Towards a theory of natural language interfaces to databases* (2003), who call such
questions tractable. Runs in the table's process: the values of the table are words of its questions.
"""
