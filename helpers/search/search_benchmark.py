"""Exact against approximate search in a large collection: recall, latency, memory."""

import timeit
from functools import partial

import numpy as np
import pandas as pd


EACH = 10  # embeddings of an invented speaker


def synthetic_embeddings(embeddings, speakers, count, seed=0):
    """Embeddings of people who do not exist, for a collection larger than any at hand.

    Speakers' centres and the scatter around them are drawn from normal distributions with the covariances of
    those at hand, `EACH` a speaker, and brought to length 1. They test a search, not a verification.

    Parameters
    ----------
    embeddings : float array (utterances, dimensions)
    speakers : array (utterances,)
    count, seed : int

    Returns
    -------
    float32 array (count, dimensions)
    """
    names, index = np.unique(speakers, return_inverse=True)
    centres = np.stack([embeddings[index == i].mean(axis=0) for i in range(len(names))])
    between, within = _root(centres), _root(embeddings - centres[index])
    rng, found = np.random.default_rng(seed), np.empty((count, embeddings.shape[1]), np.float32)
    for start in range(0, count, 1000 * EACH):
        block = found[start : start + 1000 * EACH]
        people = rng.normal(size=(-(-len(block) // EACH), len(between))) @ between + centres.mean(axis=0)
        block[:] = np.repeat(people, EACH, axis=0)[: len(block)]
        block += rng.normal(size=(len(block), len(within))) @ within
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return found


def _root(rows):
    """A matrix R (k, dimensions) with R'R the covariance of rows (n, dimensions)."""
    _, values, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return values[:, None] * axes / np.sqrt(len(rows) - 1)


def recall(found, true):
    """Share of the true neighbours, rows (queries, k), that were found."""
    return float(np.mean([np.isin(ours, theirs).mean() for ours, theirs in zip(true, found, strict=True)]))


def time_search(search, embeddings, k=10):
    """A search of embeddings one by one and all at once: rows found (queries, k), milliseconds a query.

    One by one it is the median over the queries, all at once over the repeats: what else the machine does in
    between hardly counts.
    """
    alone = [timeit.timeit(partial(search, query, k), number=1) for query in embeddings[:, None]]
    together = timeit.repeat(partial(search, embeddings, k), repeat=3, number=1)
    rows = search(embeddings, k).rows
    return rows, 1000 * np.median(alone), 1000 * np.median(together) / len(embeddings)


def compare_searches(index, embeddings, breadths, build_seconds):
    """Exact and approximate search of the ten nearest in one index side by side.

    Parameters
    ----------
    index : voice_index.VoiceIndex
        With its graph.
    embeddings : float array (queries, dimensions)
    breadths : sequence of int
        Of `VoiceIndex.search_graph`.
    build_seconds : float
        That the graph took to build.

    Returns
    -------
    pandas.DataFrame
        A row per search: `recall`, milliseconds a query `alone` and `together` with the others, `megabytes`
        that the search reads in memory, seconds to `build`.
    """
    size = len(index.graph.as_bytes()) / 1e6
    true, *times = time_search(index.search, embeddings)
    rows = [("exact", 0, 1.0, *times, index.places.nbytes / 1e6, 0.0)]
    for breadth in breadths:
        found, *times = time_search(partial(index.search_graph, breadth=breadth), embeddings)
        rows.append(("graph", breadth, recall(found, true), *times, size, build_seconds))
    columns = ["search", "breadth", "recall", "alone", "together", "megabytes", "build"]
    return pd.DataFrame(rows, columns=columns)
