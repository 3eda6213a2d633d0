"""Large collections: voices invented for them, and what is measured of a search."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.search import search_benchmark

RNG = np.random.default_rng(0)


def test_invented_voices_scatter_as_those_at_hand():
    speakers = np.repeat(np.arange(300), 8)
    centre, spread = np.array([4.0, 0, 0, 0]), np.array([0.1, 0.8, 0.4, 0.05])
    embeddings = centre + np.repeat(RNG.normal(size=(300, 4)) * spread, 8, axis=0)
    embeddings += 0.1 * RNG.normal(size=embeddings.shape)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    invented = search_benchmark.synthetic_embeddings(embeddings, speakers, 20_000)
    assert invented.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(invented, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(invented.mean(axis=0), embeddings.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(invented.T), np.cov(embeddings.T), atol=0.005)
    people = invented.reshape(-1, 10, 4)
    assert people.std(axis=1).mean() < invented.std(axis=0).mean() / 2  # ten voices a speaker
    assert len(search_benchmark.synthetic_embeddings(embeddings, speakers, 12_345)) == 12_345
    np.testing.assert_array_equal(
        invented, search_benchmark.synthetic_embeddings(embeddings, speakers, 20_000)
    )
    assert not np.array_equal(
        invented, search_benchmark.synthetic_embeddings(embeddings, speakers, 20_000, seed=1)
    )


def test_recall_is_the_share_found_in_any_order():
    true = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert search_benchmark.recall(true[:, ::-1], true) == 1
    assert search_benchmark.recall(np.array([[9, 2, 9, 9], [5, 6, 7, 1]]), true) == pytest.approx(0.5)


def test_searches_are_set_side_by_side():
    truth = np.tile(np.arange(10), (6, 1))

    def search_graph(embeddings, k, breadth):
        found = truth[: len(embeddings), :k].copy()
        found[:, breadth:] = 99
        return SimpleNamespace(rows=found)

    index = SimpleNamespace(
        search=lambda embeddings, k: SimpleNamespace(rows=truth[: len(embeddings), :k]),
        search_graph=search_graph,
        places=np.zeros((500, 2), np.float32),
        graph=SimpleNamespace(as_bytes=lambda: b"12345" * 400),
    )
    table = search_benchmark.compare_searches(index, np.zeros((6, 3)), (4, 10), build_seconds=7.0)
    assert table["search"].tolist() == ["exact", "graph", "graph"]
    assert table["recall"].tolist() == [1, pytest.approx(0.4), 1]
    assert table["megabytes"].tolist() == [0.004, 0.002, 0.002]
    assert table["build"].tolist() == [0, 7, 7]
    assert (table[["alone", "together"]] > 0).all(axis=None)
