/*
 * locks/lockedge.def says of each edge that its ends exist, that the ranks allow it, and which
 * shipped profiles exercise it; each once.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ktest.h"

struct node {
	const char *n_name;
	int n_rank;
	bool n_nests;
};

static const struct node nodes[] = {
#define LOCK_CLASS(name, rank, nest, ipl, reason) { #name, rank, strcmp(#nest, "NONEST") != 0 },
#define LOCK_EVENT(name, text, rank, nest, reason) { text, rank, strcmp(#nest, "NONEST") != 0 },
#include "lockrank.def"
#include "lockevent.def"
};

static const struct edge {
	const char *e_from, *e_to, *e_profiles;
} edges[] = {
#define LOCK_EDGE(from, to, profiles) { from, to, profiles },
#include "lockedge.def"
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* => the class of that name; pool@vm is a pool */
static const struct node *
node(const char *name)
{
	size_t len = strcspn(name, "@");

	for (size_t i = 0; i < N(nodes); i++)
		if (strlen(nodes[i].n_name) == len && memcmp(nodes[i].n_name, name, len) == 0)
			return &nodes[i];
	ktest_fail(__FILE__, __LINE__, "no class %s", name);
}

KTEST(edges_are_allowed, "both ends of a known edge exist, and the order allows it")
{
	CHECK(N(edges) > 200);
	for (size_t i = 0; i < N(edges); i++) {
		const struct node *from = node(edges[i].e_from), *to = node(edges[i].e_to);

		if (from->n_rank >= to->n_rank && !(from == to && from->n_nests))
			ktest_fail(__FILE__, __LINE__, "%s (%d) -> %s (%d)", from->n_name, from->n_rank,
			    to->n_name, to->n_rank);
	}
}

KTEST(edges_are_there_once, "no edge has two rows")
{
	for (size_t i = 0; i < N(edges); i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(edges[i].e_from, edges[k].e_from) == 0 &&
			    strcmp(edges[i].e_to, edges[k].e_to) == 0)
				ktest_fail(__FILE__, __LINE__, "%s -> %s twice", edges[i].e_from, edges[i].e_to);
}

KTEST(profiles_exist, "the profiles of an edge are shipped")
{
	for (size_t i = 0; i < N(edges); i++) {
		char names[200], path[500], *save = NULL;

		CHECK((size_t)snprintf(names, sizeof(names), "%s", edges[i].e_profiles) < sizeof(names));
		CHECK(*names != '\0');
		for (char *p = strtok_r(names, ", ", &save); p != NULL; p = strtok_r(NULL, ", ", &save)) {
			snprintf(path, sizeof(path), "%s/%s.ini", PROFILES, p);
			if (access(path, R_OK) != 0)
				ktest_fail(__FILE__, __LINE__, "%s -> %s: no profile %s", edges[i].e_from,
				    edges[i].e_to, p);
		}
	}
}

KTEST_MAIN()
