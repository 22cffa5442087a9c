/*
 * Self-test of the lock auditor: the order between locks.
 *
 * Every cycle is gone around by LWPs that never meet, or by one alone: as they are, none of them hangs.
 * What their LWPs do at once, under directed schedules, is said beside (selftest_grade.c).
 */
#include "selftest_int.h"

/* --- undeclared classes: cycles --- */

static void
ab(void)
{
	take2(&A, &B);
}

static void
ba(void)
{
	take2(&B, &A);
}

static void
bc(void)
{
	take2(&B, &C);
}

static void
ca(void)
{
	take2(&C, &A);
}

static void
ac(void)
{
	take2(&A, &C);
}

static void
abba_one(int kinds)
{
	st_make_abc(kinds);
	ab();
	ba();
}

static void
abab_one(int kinds)
{
	st_make_abc(kinds);
	ab();
	ab();
}

static void
abba_two(int kinds)
{
	st_make_abc(kinds);
	in_lwp(ab);
	in_lwp(ba);
}

static void
abab_two(int kinds)
{
	st_make_abc(kinds);
	in_lwp(ab);
	in_lwp(ab);
}

static void
abc_cycle(int kinds)
{
	st_make_abc(kinds);
	in_lwp(ab);
	in_lwp(bc);
	in_lwp(ca);
}

static void
abc_chain(int kinds)
{
	st_make_abc(kinds);
	in_lwp(ab);
	in_lwp(bc);
	in_lwp(ac);
}

/* A is held along both ways: held exclusively it is a gate */
static void
middle_swapped(int kinds)
{
	st_make_abc(kinds);
	take3(&A, &B, &C);
	take3(&A, &C, &B);
}

#define	RING	24
static struct st_lock ring[80];

/* => a ring of so many locks, closed or not */
static void
go_round(int closed)
{
	static const char *const names[RING] = { "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8",
		"r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21",
		"r22", "r23" };

	for (int i = 0; i < RING; i++)
		st_make(&ring[i], MUTEX, names[i]);
	for (int i = 0; i + 1 < RING; i++)
		take2(&ring[i], &ring[i + 1]);
	if (closed)
		take2(&ring[RING - 1], &ring[0]);
	else
		take2(&ring[0], &ring[RING - 1]);
}

/* => 70 locks held at once, of a class ordered by birth; then one more, too old or not */
static void
hold_seventy(int wrong)
{
	const enum lock_class class = lockdebug_class("many", 0, LO_NEST_ID, LC_IPL_ANY);

	for (int i = 0; i < 72; i++)
		st_make_as(&ring[i], MUTEX, class, IPL_NONE);
	for (int i = 1; i < 71; i++)
		take(&ring[i]);
	take(&ring[wrong ? 0 : 71]);
	drop(&ring[wrong ? 0 : 71]);
	for (int i = 1; i < 71; i++)	/* in the order of taking: each one out of order */
		drop(&ring[i]);
}

static void
hand_over_hand(int wrong)
{
	st_make_abc(KINDS(MUTEX, MUTEX, MUTEX));
	take(&A);
	take(&B);
	drop(&A);
	take(&C);
	drop(&B);
	if (wrong)
		take(&A);
	drop(wrong ? &A : &C);
}

static void
retaken(int wrong)
{
	st_make_abc(KINDS(MUTEX, MUTEX, MUTEX));
	take(&A);
	take(&B);
	drop(&A);
	if (!wrong)
		drop(&B);
	take(&A);
	drop(&A);
}

/* --- trying --- */

static void
try_outer(int kinds)
{
	st_make_abc(kinds);
	try(&A);
	take(&B);
	drop(&B);
	drop(&A);
	ba();
}

static void
try_inner(int kinds)
{
	st_make_abc(kinds);
	ab();
	take(&B);
	try(&A);
	drop(&A);
	drop(&B);
}

/* --- a gate --- */

static void
gab(void)
{
	take3(&G, &A, &B);
}

static void
gba(void)
{
	take3(&G, &B, &A);
}

static void
gates_both(int kinds)
{
	st_make_abc(kinds);
	st_make(&G, MUTEX, "gate");
	in_lwp(gab);
	in_lwp(gba);
}

static void
gates_one_side(int kinds)
{
	st_make_abc(kinds);
	st_make(&G, MUTEX, "gate");
	in_lwp(gab);
	in_lwp(ba);
}

static void
gates_and_once_without(int kinds)
{
	gates_both(kinds);
	in_lwp(ba);
}

static void
gate_for_readers(int kinds)
{
	st_make_abc(kinds);
	st_make(&G, READ, "gate");
	in_lwp(gab);
	in_lwp(gba);
}

/* => two locks of the gate's class: nobody says that it is the same one */
static void
two_gates(int kinds)
{
	static struct st_lock other;
	const enum lock_class class = lockdebug_class("gate", 0, LO_NEST_NONE, LC_IPL_ANY);

	st_make_abc(kinds);
	st_make_as(&G, MUTEX, class, IPL_NONE);
	st_make_as(&other, MUTEX, class, IPL_NONE);
	in_lwp(gab);
	in_lwp(gba);
}

/* --- the declared order --- */

static void
declared(int wrong)
{
	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	st_make_as(&B, MUTEX, LC_uobj, IPL_NONE);
	take2(wrong ? &B : &A, wrong ? &A : &B);
}

static void
declared_spin(int wrong)
{
	st_make_as(&A, SPIN, LC_pmap, IPL_VM);
	st_make_as(&B, SPIN, LC_fpageq, IPL_VM);
	take2(wrong ? &B : &A, wrong ? &A : &B);
}

static void
declared_read(int wrong)
{
	st_make_as(&A, READ, LC_map, IPL_NONE);
	st_make_as(&B, MUTEX, LC_pageq, IPL_NONE);
	take2(wrong ? &B : &A, wrong ? &A : &B);
}

static void
declared_try(int wrong)
{
	st_make_as(&A, MUTEX, LC_amap, IPL_NONE);
	st_make_as(&B, MUTEX, LC_pageq, IPL_NONE);
	take(&B);
	if (wrong)
		take(&A);
	else
		try(&A);
	drop(&A);
	drop(&B);
}

/* => a lock that was tried is held like any other */
static void
declared_tried(int wrong)
{
	st_make_as(&A, MUTEX, LC_amap, IPL_NONE);
	st_make_as(&B, MUTEX, LC_uobj, IPL_NONE);
	try(wrong ? &B : &A);
	take(wrong ? &A : &B);
	drop(&A);
	drop(&B);
}

static void
equal_ranks(int wrong)
{
	st_make_as(&A, MUTEX, LC_uobj, IPL_NONE);
	st_make_as(&B, MUTEX, wrong ? LC_ubc : LC_anon, IPL_NONE);
	take2(&A, &B);
}

/* --- two of one class --- */

static void
two_of_one(int wrong)
{
	st_make_as(&A, MUTEX, LC_uobj, IPL_NONE);
	st_make_as(&B, MUTEX, LC_uobj, IPL_NONE);
	take(&A);
	if (!wrong)
		drop(&A);
	take(&B);
	drop(&B);
}

static void
two_tried(int wrong)
{
	st_make_as(&A, SPIN, LC_pv, IPL_VM);
	st_make_as(&B, SPIN, LC_pv, IPL_VM);
	take(&A);
	if (wrong)
		take(&B);
	else
		try(&B);
	drop(&B);
	drop(&A);
}

static void
by_birth(int wrong)
{
	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	st_make_as(&B, WRITE, LC_map, IPL_NONE);
	take2(wrong ? &B : &A, wrong ? &A : &B);
}

static void
by_birth_read(int wrong)
{
	st_make_as(&A, READ, LC_map, IPL_NONE);
	st_make_as(&B, READ, LC_map, IPL_NONE);
	take2(wrong ? &B : &A, wrong ? &A : &B);
}

/* => the chain is known when it is gone the wrong way */
static void
by_birth_again(int wrong)
{
	struct st_lock *first[] = { &A, &A, wrong ? &B : &A }, *second[] = { &B, &B, wrong ? &A : &B };

	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	st_make_as(&B, WRITE, LC_map, IPL_NONE);
	for (int i = 0; i < 3; i++)
		take2(first[i], second[i]);
}

static void
by_birth_three(int wrong)
{
	st_make_as(&A, WRITE, LC_map, IPL_NONE);
	st_make_as(&B, WRITE, LC_map, IPL_NONE);
	st_make_as(&C, WRITE, LC_map, IPL_NONE);
	take3(&A, wrong ? &C : &B, wrong ? &B : &C);
}

static void
child_of(int wrong)
{
	st_make_as(&A, MUTEX, LC_amap, IPL_NONE);
	st_make_as(&B, MUTEX, LC_amap, IPL_NONE);
	take(&A);
	if (wrong)
		mutex_enter(&B.st_m);
	else
		mutex_enter_nested(&B.st_m, &A.st_m);
	drop(&B);
	drop(&A);
}

static void
child_of_none(int wrong)
{
	st_make_as(&A, MUTEX, LC_anon, IPL_NONE);
	st_make_as(&B, MUTEX, LC_anon, IPL_NONE);
	if (!wrong)
		take(&A);
	mutex_enter_nested(&B.st_m, &A.st_m);
	drop(&B);
	if (!wrong)
		drop(&A);
}

/* --- two LWPs, each its own way --- */

/* Two locks of these classes. */
#define	CLASSES(a, b)	((int)(a) | (int)(b) << 8)

static void
make_two(int classes, enum st_kind kind, ipl_t ipl)
{
	st_make_as(&A, kind, (enum lock_class)(classes & 0xff), ipl);
	st_make_as(&B, kind, (enum lock_class)(classes >> 8), ipl);
}

static void
a_try_b(void)
{
	take(&A);
	if (try(&B))
		drop(&B);
	drop(&A);
}

static void
b_try_a(void)
{
	take(&B);
	if (try(&A))
		drop(&A);
	drop(&B);
}

static void
two_lwps(int classes, enum st_kind kind, ipl_t ipl, void (*first)(void), void (*second)(void))
{
	make_two(classes, kind, ipl);
	in_lwp(first);
	in_lwp(second);
}

static void
both_ways(int classes)
{
	two_lwps(classes, MUTEX, IPL_NONE, ab, ba);
}

static void
both_ways_spin(int classes)
{
	two_lwps(classes, SPIN, IPL_VM, ab, ba);
}

static void
both_ways_write(int classes)
{
	two_lwps(classes, WRITE, IPL_NONE, ab, ba);
}

static void
both_ways_read(int classes)
{
	two_lwps(classes, READ, IPL_NONE, ab, ba);
}

static void
one_way_write(int classes)
{
	two_lwps(classes, WRITE, IPL_NONE, ab, ab);
}

static void
both_try(int classes)
{
	two_lwps(classes, MUTEX, IPL_NONE, a_try_b, b_try_a);
}

static void
one_way(int classes)
{
	two_lwps(classes, MUTEX, IPL_NONE, ab, ab);
}

static void
both_ways_try_spin(int classes)
{
	two_lwps(classes, SPIN, IPL_VM, a_try_b, b_try_a);
}

/* Both in a gate: a class whose locks never nest has no grade but this one, and no schedule that deadlocks. */
static void
gated_both_ways(int classes)
{
	make_two(classes, MUTEX, IPL_NONE);
	st_make(&G, MUTEX, "gate");
	in_lwp(gab);
	in_lwp(gba);
}

static void
interrupted(void)
{
	in_interrupt(IPL_VM, ba);
}

static void
interrupted_ab(void)
{
	in_interrupt(IPL_VM, ab);
}

static void
order_in_interrupt(int wrong)
{
	st_make_abc(KINDS(SPIN, SPIN, SPIN));
	in_lwp(ab);
	in_lwp(wrong ? interrupted : interrupted_ab);
}

#define	MM	KINDS(MUTEX, MUTEX, MUTEX)
#define	SS	KINDS(SPIN, SPIN, SPIN)
#define	WW	KINDS(WRITE, WRITE, WRITE)
#define	RR	KINDS(READ, READ, READ)
#define	MW	KINDS(MUTEX, WRITE, MUTEX)
#define	MR	KINDS(MUTEX, READ, MUTEX)
#define	WR	KINDS(WRITE, READ, WRITE)
#define	RMM	KINDS(READ, MUTEX, MUTEX)

static const struct st_row rows[] = {
	{ "A-B, B-A by one LWP, mutexes", abba_one, MM, "lock-cycle", abab_one, MM,
	    "latent", NULL },
	{ "A-B, B-A by one LWP, spin mutexes", abba_one, SS, "lock-cycle", abab_one, SS,
	    "latent", NULL },
	{ "A-B, B-A by one LWP, writers", abba_one, WW, "lock-cycle", abab_one, WW,
	    "latent", NULL },
	{ "A-B, B-A by one LWP, mutex and writer", abba_one, MW, "lock-cycle", abab_one, MW,
	    "latent", NULL },
	{ "A-B, B-A by two LWPs that never meet, mutexes", abba_two, MM, "lock-cycle", abab_two, MM,
	    "confirmed", NULL },
	{ "A-B, B-A by two LWPs, spin mutexes", abba_two, SS, "lock-cycle", abab_two, SS,
	    "confirmed", NULL },
	{ "A-B, B-A by two LWPs, writers", abba_two, WW, "lock-cycle", abab_two, WW,
	    "confirmed", NULL },
	{ "A-B, B-A by two LWPs, mutex and writer", abba_two, MW, "lock-cycle", abab_two, MW,
	    "confirmed", NULL },
	{ "A-B, B-A by two LWPs, mutex and reader", abba_two, MR, "lock-cycle", abab_two, MR,
	    "latent", NULL },
	{ "A-B, B-A by two LWPs, writer and reader", abba_two, WR, "lock-cycle", abab_two, WR,
	    "latent", NULL },
	{ "A-B, B-A by two LWPs, readers: needs writers", abba_two, RR, "lock-cycle", abab_two, RR,
	    "latent", NULL },
	{ "A-B, B-C, C-A, mutexes", abc_cycle, MM, "lock-cycle", abc_chain, MM,
	    "confirmed", NULL },
	{ "A-B, B-C, C-A, spin mutexes", abc_cycle, SS, "lock-cycle", abc_chain, SS,
	    "confirmed", NULL },
	{ "A-B, B-C, C-A, writers", abc_cycle, WW, "lock-cycle", abc_chain, WW,
	    "confirmed", NULL },
	{ "A-B, B-C, C-A, mutex and writer", abc_cycle, MW, "lock-cycle", abc_chain, MW,
	    "confirmed", NULL },
	{ "A-B-C, A-C-B, A for readers; for writers (legal)", middle_swapped, RMM, "lock-cycle",
	    middle_swapped, MM,
	    "latent", "guarded" },
	{ "a ring of 24 locks", go_round, 1, "lock-cycle", go_round, 0,
	    "latent", NULL },
	{ "70 locks held, and one that is too old", hold_seventy, 1, "lock-nesting", hold_seventy, 0, "unconfirmed", NULL },
	{ "hand over hand, and back to the first", hand_over_hand, 1, "lock-cycle", hand_over_hand, 0,
	    "latent", NULL },
	{ "first of two released and taken again", retaken, 1, "lock-cycle", retaken, 0,
	    "latent", NULL },
	{ "outer one tried; inner one tried (legal), mutexes", try_outer, MM, "lock-cycle", try_inner, MM,
	    "latent", NULL },
	{ "outer one tried; inner one tried (legal), spin", try_outer, SS, "lock-cycle", try_inner, SS,
	    "latent", NULL },
	{ "outer one tried; inner one tried (legal), writers", try_outer, WW, "lock-cycle", try_inner, WW,
	    "latent", NULL },
	{ "gate on one side; on both (legal)", gates_one_side, MM, "lock-cycle", gates_both, MM,
	    "confirmed", "guarded" },
	{ "gate on both sides, and once without", gates_and_once_without, MM, "lock-cycle", gates_both, WW,
	    "confirmed", "guarded" },
	{ "gate held by readers", gate_for_readers, MM, "lock-cycle", gates_both, MM,
	    "confirmed", "guarded" },
	/* who knows whether it is the same one: it is, so no schedule deadlocks */
	{ "two gates of one class", two_gates, MM, "lock-cycle", gates_both, MW,
	    "unconfirmed", "guarded" },
	{ "declared order, mutex over rwlock", declared, 1, "lock-order", declared, 0, "one way", NULL },
	{ "declared order, spin mutexes", declared_spin, 1, "lock-order", declared_spin, 0, "one way", NULL },
	{ "declared order, reader", declared_read, 1, "lock-order", declared_read, 0, "one way", NULL },
	{ "declared order upward; by trying (legal)", declared_try, 1, "lock-order", declared_try, 0, "one way", NULL },
	{ "declared order after a try", declared_tried, 1, "lock-order", declared_tried, 0, "one way", NULL },
	{ "two classes of one rank", equal_ranks, 1, "lock-order", equal_ranks, 0, "one way", NULL },
	{ "two of a class that does not nest", two_of_one, 1, "lock-order", two_of_one, 0, "unconfirmed", NULL },
	{ "two of it, spin; by trying (legal)", two_tried, 1, "lock-order", two_tried, 0, "unconfirmed", NULL },
	{ "two by birth, writers", by_birth, 1, "lock-nesting", by_birth, 0, "unconfirmed", NULL },
	{ "two by birth, readers", by_birth_read, 1, "lock-nesting", by_birth_read, 0, "unconfirmed", NULL },
	{ "two by birth, the third time", by_birth_again, 1, "lock-nesting", by_birth_again, 0, "unconfirmed", NULL },
	{ "three by birth", by_birth_three, 1, "lock-nesting", by_birth_three, 0, "unconfirmed", NULL },
	{ "a child's lock without its parent named", child_of, 1, "lock-nesting", child_of, 0, "unconfirmed", NULL },
	{ "a child's lock, its parent named and not held", child_of_none, 1, "its parent is not held",
	    child_of_none, 0 },
	{ "declared order, both ways by two LWPs", both_ways, CLASSES(LC_amap, LC_uobj), "lock-order",
	    one_way, CLASSES(LC_amap, LC_uobj), "confirmed", NULL },
	{ "the same, spin; by trying (legal)", both_ways_spin, CLASSES(LC_pmap, LC_fpageq), "lock-order",
	    both_ways_try_spin, CLASSES(LC_pmap, LC_fpageq), "confirmed", NULL },
	{ "two of a class that does not nest, both ways by two", both_ways, CLASSES(LC_uobj, LC_uobj), "lock-order",
	    both_try, CLASSES(LC_uobj, LC_uobj), "confirmed", NULL },
	{ "two of it, spin, both ways by two; by trying (legal)", both_ways_spin, CLASSES(LC_pv, LC_pv), "lock-order",
	    both_ways_try_spin, CLASSES(LC_pv, LC_pv), "confirmed", NULL },
	{ "two of it, both ways, in a gate", gated_both_ways, CLASSES(LC_uobj, LC_uobj), "lock-order",
	    both_try, CLASSES(LC_uobj, LC_uobj), "unconfirmed", NULL },
	{ "two by birth, both ways by two LWPs, writers", both_ways_write, CLASSES(LC_map, LC_map), "lock-nesting",
	    one_way_write, CLASSES(LC_map, LC_map), "confirmed", NULL },
	{ "two by birth, both ways by two LWPs, readers", both_ways_read, CLASSES(LC_map, LC_map), "lock-nesting",
	    one_way_write, CLASSES(LC_map, LC_map), "unconfirmed", NULL },
	{ "a child's and a parent's, both ways by two LWPs", both_ways, CLASSES(LC_amap, LC_amap), "lock-nesting",
	    both_try, CLASSES(LC_amap, LC_amap), "confirmed", NULL },
	{ "A-B by an LWP, B-A in an interrupt over another", order_in_interrupt, 1, "lock-cycle",
	    order_in_interrupt, 0, "confirmed", NULL },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_order = { "order between locks", rows, true };
