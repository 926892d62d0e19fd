"""Walks over a scale-free network held as Python objects by networkx."""

from __future__ import annotations

import random
import sys

import networkx as nx  # type: ignore[import-untyped]

N_COMMUNITIES = 100
COMMUNITY = 200
N_NODES = N_COMMUNITIES * COMMUNITY
N_EDGES_EACH = 3
N_LINKS = 1_500


def make_graph(rng: random.Random) -> nx.Graph:
    """Scale-free communities, one after the other in memory, and links from anywhere to hubs."""
    graph = nx.Graph()
    for number in range(N_COMMUNITIES):
        community = nx.barabasi_albert_graph(COMMUNITY, N_EDGES_EACH, seed=rng)
        first = number * COMMUNITY
        graph.add_edges_from((first + a, first + b) for a, b in community.edges)
    for _ in range(N_LINKS):
        hub = rng.randrange(N_COMMUNITIES) * COMMUNITY + rng.randrange(N_EDGES_EACH)
        graph.add_edge(rng.randrange(N_NODES), hub)
    return graph


def page_rank(graph: nx.Graph, n_rounds: int) -> dict[int, float]:
    """Run a few rounds of page rank, pushed along the edges in plain Python."""
    rank = dict.fromkeys(graph, 1.0)
    for _ in range(n_rounds):
        following = dict.fromkeys(graph, 0.15)
        for node, neighbours in graph.adjacency():
            share = 0.85 * rank[node] / len(neighbours)
            for other in neighbours:
                following[other] += share
        rank = following
    return rank


def random_walks(graph: nx.Graph, rng: random.Random, n_walks: int, n_steps: int) -> int:
    """Count the nodes that random walks from random starts reach."""
    seen: set[int] = set()
    for _ in range(n_walks):
        node = rng.randrange(N_NODES)
        for _ in range(n_steps):
            node = rng.choice(list(graph[node]))
            seen.add(node)
    return len(seen)


def main(seed: int) -> None:
    """Build the graph, then search, rank and walk it."""
    rng = random.Random(seed)
    graph = make_graph(rng)
    print(graph.number_of_edges())
    print(len(nx.single_source_shortest_path_length(graph, 0)))
    print(round(max(page_rank(graph, 1).values()), 3))
    print(random_walks(graph, rng, 100, 40))
    print(nx.number_connected_components(graph.subgraph(range(0, N_NODES, 2))))


if __name__ == "__main__":
    main(int(sys.argv[1]))
