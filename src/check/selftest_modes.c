/*
 * Self-test of the lock auditor: modes that no lock of this kernel has, and sizes that it has
 * not either.  The engine is called as the preload library calls it, with stacks of our own.
 */
#include <stdio.h>

#include "selftest_int.h"

#define	W	LO_WRITE
#define	R	LO_READ			/* waits for waiting writers */
#define	RR	LO_READ_REC		/* recursive: does not */

static struct held_stack runner[3];
static uint32_t class[8];
static char lock[8];			/* their addresses are the locks */

static void
make(int n)
{
	static const char *const names[8] = { "X", "Y", "Z", "U", "V", "E", "F", "G" };

	for (int i = 0; i < n; i++) {
		class[i] = lockorder_class(names[i], LOCKGRAPH_LOCK, 0, LO_NEST_NONE, 0, NULL);
		lockorder_born(class[i], (uint32_t)i + 1);
	}
	for (unsigned i = 0; i < 3; i++)
		runner[i].hs_runner = i + 1;
}

static void
lock_as(struct held_stack *hs, int i, unsigned how, int depth, int level)
{
	const struct lockorder_want w = {
		.lw_lock = &lock[i], .lw_class = class[i], .lw_id = (uint32_t)i + 1,
		.lw_how = (uint8_t)how, .lw_ipl = (uint8_t)level, .lw_depth = (uint8_t)depth,
		.lw_level = (uint8_t)level,
	};

	held_push(hs, &w, lockorder_want(hs, &w));
}

static void
unlock(struct held_stack *hs, int i)
{
	held_pop(hs, held_find(hs, &lock[i]));
}

static void
pair(struct held_stack *hs, int a, unsigned how_a, int b, unsigned how_b)
{
	lock_as(hs, a, how_a, 0, 0);
	lock_as(hs, b, how_b, 0, 0);
	unlock(hs, b);
	unlock(hs, a);
}

/* Modes of what is held and wanted by each. */
#define	TWO(a, b, c, d)			((a) | (b) << 2 | (c) << 4 | (d) << 6)
#define	THREE(a, b, c, d, e, f)		(TWO(a, b, c, d) | (e) << 8 | (f) << 10)
#define	MODE(arg, i)			((unsigned)(arg) >> 2 * (i) & 3)

static void
two(int modes)
{
	make(2);
	pair(&runner[0], 0, MODE(modes, 0), 1, MODE(modes, 1));
	pair(&runner[1], 1, MODE(modes, 2), 0, MODE(modes, 3));
}

static void
three(int modes)
{
	make(3);
	pair(&runner[0], 0, MODE(modes, 0), 1, MODE(modes, 1));
	pair(&runner[1], 1, MODE(modes, 2), 2, MODE(modes, 3));
	pair(&runner[2], 2, MODE(modes, 4), 0, MODE(modes, 5));
}

/* => harmless as readers; then one of the ways is gone for writing */
static void
harmless_then_not(int wrong)
{
	two(TWO(RR, RR, RR, RR));
	pair(&runner[0], 0, wrong ? W : RR, 1, RR);
	pair(&runner[1], 1, wrong ? W : RR, 0, RR);
}

/* --- one lock, twice --- */

static void
twice(int modes)
{
	make(1);
	lock_as(&runner[0], 0, MODE(modes, 0), 0, 0);
	lock_as(&runner[0], 0, MODE(modes, 1), 0, 0);
}

/* --- in an interrupt --- */

static void
intr_and_held(int modes)
{
	make(1);
	lock_as(&runner[0], 0, MODE(modes, 0), 1, IPL_VM);
	unlock(&runner[0], 0);
	lock_as(&runner[1], 0, MODE(modes, 1), 0, IPL_NONE);
}

/* U in an interrupt; U, then V; V with the interrupt open */
static void
intr_through(int modes)
{
	make(2);
	lock_as(&runner[0], 0, MODE(modes, 0), 1, IPL_VM);
	unlock(&runner[0], 0);
	lock_as(&runner[1], 0, W, 0, IPL_VM);
	lock_as(&runner[1], 1, MODE(modes, 1), 0, IPL_VM);
	unlock(&runner[1], 1);
	unlock(&runner[1], 0);
	lock_as(&runner[2], 1, MODE(modes, 2), 0, IPL_NONE);
}

/* --- sizes --- */

#define	MANY	5000

/* => a ring of 5,000 locks, closed or not */
static void
big_ring(int closed)
{
	static uint32_t node[MANY];
	static char address[MANY];
	char name[16];

	make(0);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		node[i] = lockorder_class(name, LOCKGRAPH_INSTANCE, 0, LO_NEST_ANY, 0, NULL);
	}
	for (int i = 0; i < MANY - !closed; i++)
		for (int k = 0; k < 2; k++) {
			const int n = (i + k) % MANY;
			const struct lockorder_want w = { .lw_lock = &address[n], .lw_class = node[n],
				.lw_id = 1 };

			held_push(&runner[0], &w, lockorder_want(&runner[0], &w));
			if (k == 1)
				runner[0].hs_n = 0;
		}
}

/* => 600 locks held at once; then one that came first */
static void
hold_many(int wrong)
{
	static uint32_t node[600];
	static char address[600];
	char name[16];

	make(0);
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		node[i] = lockorder_class(name, LOCKGRAPH_INSTANCE, 0, LO_NEST_ANY, 0, NULL);
	}
	for (int i = 0; i < 600; i++) {
		const struct lockorder_want w = { .lw_lock = &address[i], .lw_class = node[i], .lw_id = 1 };

		held_push(&runner[0], &w, lockorder_want(&runner[0], &w));
	}
	held_pop(&runner[0], &runner[0].hs_v[0]);
	if (wrong) {
		const struct lockorder_want w = { .lw_lock = &address[0], .lw_class = node[0], .lw_id = 1 };

		lockorder_want(&runner[0], &w);
	}
	held_fini(&runner[0]);
}

/* --- events --- */

/* => E is waited for with X held; who ends it needs X, or Y */
static void
event(int needs_held)
{
	uint32_t e;

	make(2);
	e = lockorder_class("event", LOCKGRAPH_EVENT, 0, LO_NEST_NONE, 0, NULL);
	lockorder_edge(NULL, class[0], e, LOCKGRAPH_WAIT, 0, LOCKGRAPH_NONE, LOCKGRAPH_NONE);
	lockorder_edge(NULL, e, class[needs_held ? 0 : 1], LOCKGRAPH_PROVIDE, 0, LOCKGRAPH_NONE,
	    LOCKGRAPH_NONE);
}

static const struct st_row rows[] = {
	{ "W-W, W-W; r-r, r-r (legal)", two, TWO(W, W, W, W), "lock-cycle", two, TWO(RR, RR, RR, RR) },
	{ "R-R, R-R: a writer between; r-r, r-R (legal)", two, TWO(R, R, R, R), "lock-cycle", two,
	    TWO(RR, RR, RR, R) },
	{ "r-W, W-W; r-W, W-r (legal)", two, TWO(RR, W, W, W), "lock-cycle", two, TWO(RR, W, W, RR) },
	{ "W-r, W-r; W-r, r-W (legal)", two, TWO(W, RR, W, RR), "lock-cycle", two, TWO(W, RR, RR, W) },
	{ "r-W, r-W; r-r, r-W (legal)", two, TWO(RR, W, RR, W), "lock-cycle", two, TWO(RR, RR, RR, W) },
	{ "R-W, W-R; R-r, r-W (legal)", two, TWO(R, W, W, R), "lock-cycle", two, TWO(R, RR, RR, W) },
	{ "W1r2, W2r3, W3r1; W1W2, r2r3, r3W1 (legal)", three, THREE(W, RR, W, RR, W, RR), "lock-cycle",
	    three, THREE(W, W, RR, RR, RR, W) },
	{ "W1W2, r2r3, W3r1; W1r2, r2r3, W3W1 (legal)", three, THREE(W, W, RR, RR, W, RR), "lock-cycle",
	    three, THREE(W, RR, RR, RR, W, W) },
	{ "W1r2, r2W3, W3r1 (legal); the same with R2", three, THREE(W, R, RR, W, W, RR), "lock-cycle",
	    three, THREE(W, RR, RR, W, W, RR) },
	{ "readers both ways, later writers", harmless_then_not, 1, "lock-cycle", harmless_then_not, 0 },
	{ "R twice; r twice (legal)", twice, TWO(R, R, 0, 0), "locking against myself", twice,
	    TWO(RR, RR, 0, 0) },
	{ "W, then r of one lock; R, then r (legal)", twice, TWO(W, RR, 0, 0), "locking against myself",
	    twice, TWO(R, RR, 0, 0) },
	{ "r, then W of one lock", twice, TWO(RR, W, 0, 0), "locking against myself", NULL, 0 },
	{ "r in an interrupt, W held; r held (legal)", intr_and_held, TWO(RR, W, 0, 0), "ipl-inversion",
	    intr_and_held, TWO(RR, RR, 0, 0) },
	{ "R in an interrupt, R held: a writer between", intr_and_held, TWO(R, R, 0, 0), "ipl-inversion",
	    intr_and_held, TWO(RR, R, 0, 0) },
	{ "W in an interrupt, r held", intr_and_held, TWO(W, RR, 0, 0), "ipl-inversion", NULL, 0 },
	{ "W in an interrupt waits for r held; r for r (legal)", intr_through, TWO(W, W, RR, 0),
	    "ipl-inversion", intr_through, TWO(W, RR, RR, 0) },
	{ "a ring of 5,000 locks", big_ring, 1, "lock-cycle", big_ring, 0 },
	{ "600 locks held, the first one taken again", hold_many, 1, "lock-cycle", hold_many, 0 },
	{ "event waited for with what its ender needs", event, 1, "lock-cycle", event, 0 },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_modes = { "modes (W writer, R reader, r recursive), sizes, events", rows };
