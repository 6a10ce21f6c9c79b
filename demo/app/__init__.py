"""A sample application: a shop's question-answering service, instrumented as any application would be.

Read ``__main__`` for the one line that switches the recording on, ``routes`` for who each call is for, and
``assistant`` for the model calls themselves, which know nothing of observability but the score of an answer.
"""
