"""Why a fire time ran, ran late, or did not run: facts in, reasons out.

Pure: `cronq.evidence` gathers the facts, `cronq.render.why` says them. Each reason names what it rests on, so
that a person can look it up.
"""
