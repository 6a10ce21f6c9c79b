"""A sample application: a shop's question-answering service, instrumented as any application would be.

Read ``__main__`` for what switches the recording on, and ``routes`` for who each call is for. The model calls are in
``assistant`` and know nothing of observability: around them it names an agent, a tool and a workflow, and it scores
answers. ``library`` names the steps of a search; ``similar`` and ``fallback`` say what their cache and their circuit
breaker do.
"""
